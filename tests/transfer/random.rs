//! Every kind of action comes back unchanged.

use action_store::owner::OwnerQuery;
use action_store::{
    ActionError, ActionStoreExt, Change, Command, Finish, Json, MemoryStore, NewAction, ObjectRef,
    Progress, RelatedObject, Report, transfer,
};
use proptest::prelude::*;

use crate::plant::{apply, assert_same, claim, text_of, write};

#[derive(Debug, Clone)]
struct Draw {
    name: String,
    labels: Vec<String>,
    proses: Vec<String>,
    json: String,
    progress: u16,
    stage: u8,
}

fn draw() -> impl Strategy<Value = Draw> {
    let label = "[^\\p{Cc}]{1,40}";
    let prose = "[^\\x00]{0,60}";
    // Texts that serde_json writes, with spaces around that it would not.
    let json = (prose, any::<f64>(), "[ \t\r\n]{0,3}").prop_map(|(text, number, space)| {
        let text = serde_json::to_string(&text).unwrap();
        let number = if number.is_finite() { number } else { 0.0 };
        format!("{space}{{{text}:{space}[{number},{text}]}}{space}")
    });
    (
        label,
        prop::collection::vec(label, 0..4),
        prop::collection::vec(prose, 1..4),
        json,
        0..=10_000_u16,
        0..5_u8,
    )
        .prop_map(|(name, labels, proses, json, progress, stage)| Draw {
            name,
            labels,
            proses,
            json,
            progress,
            stage,
        })
}

/// A key of a label.
fn key(label: &str) -> String {
    label.replace('=', "-").chars().take(15).collect()
}

async fn comes_back(draws: Vec<Draw>) {
    let store = MemoryStore::new();
    let owner = claim(&store, "plane").await;
    for draw in &draws {
        let json = Json::new(draw.json.as_str()).unwrap();
        let mut new = NewAction::task(draw.name.as_str())
            .with_description(draw.proses[0].as_str())
            .with_attributes(json.clone());
        for label in &draw.labels {
            let object = ObjectRef::new("kind", label).unwrap();
            new = new
                .with_tenant(label.as_str())
                .with_actor(label.as_str())
                .with_correlation(label.as_str())
                .with_label(key(label), label.chars().take(30).collect::<String>())
                .with_related(RelatedObject::new(label.as_str(), object).with_name(label.as_str()));
        }
        let uid = new.uid;
        let error = ActionError::new(draw.name.as_str(), draw.proses[0].as_str());
        let mut report = Report::new()
            .with_progress(Progress::from_hundredths(draw.progress).unwrap())
            .with_step(draw.name.as_str());
        for prose in &draw.proses {
            report = report.with_warning(prose.as_str());
        }
        let mut commands = vec![Command::create(new)];
        if draw.stage > 0 {
            commands.push(apply(uid, Change::Start, Some(&owner)));
            commands.push(apply(uid, Change::Report(report), Some(&owner)));
        }
        let end = match draw.stage {
            3 => Some(Finish::succeeded().with_result(json)),
            4 => Some(Finish::failed(error.with_detail(draw.proses[0].as_str()))),
            _ => None,
        };
        commands.extend(end.map(|end| apply(uid, Change::Finish(end), Some(&owner))));
        write(&store, commands).await;
    }
    let to = MemoryStore::new();
    let text = text_of(&store).await;
    let report = transfer::import(&to, &mut text.as_bytes()).await.unwrap();
    assert_eq!(report.imported, draws.len() as u64);
    assert_same(&store, &to).await;
    assert_eq!(to.all_owners(OwnerQuery::new()).await.unwrap(), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_kind_of_action_comes_back_unchanged(draws in prop::collection::vec(draw(), 0..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(comes_back(draws));
    }
}
