//! Every documented limit at its full size: as many of the largest actions as a call may name.

use std::sync::Arc;
use std::time::Duration;

use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, CancelRequest, Change, Command, Json,
    Limits, LogQuery, NewAction, OwnerRef, Query, RelatedObject, Report, SqliteOptions,
    SqliteStore,
};

use super::place;

/// As many as one call may name or show.
const MOST: usize = Limits::PAGE as usize;

/// Makes the largest unfinished action: each text is as long as it may be.
async fn make_largest(store: &SqliteStore, owner: &OwnerRef) {
    let control = || "\u{1}".repeat(Limits::TEXT);
    let quotes = format!("{{\"a\":\"{}\"}}", "\\\"".repeat(Limits::JSON / 2 - 4));
    let quoted = || "\"".repeat(Limits::LABEL);
    let mut new = NewAction::task("large")
        .with_description(control())
        .with_attributes(Json::new(quotes).unwrap());
    for number in 0..Limits::RELATED {
        let object = format!("node:{number}{}", "\"".repeat(Limits::LABEL - 8));
        let related = RelatedObject::new(quoted(), object.parse().unwrap());
        new = new.with_related(related.with_name(quoted()));
    }
    let uid = new.uid;
    let create = Command::create(new).by(owner.clone());
    let apply = |change| Command::apply(uid, change).by(owner.clone());
    let mut commands = vec![create, apply(Change::Start)];
    for number in 0..Limits::WARNINGS {
        // Each another text: the same warning is kept once.
        let warning = format!("{number:02}{}", "\u{1}".repeat(Limits::TEXT - 2));
        let report = Report::new().with_warning(warning);
        commands.push(apply(Change::Report(report)));
    }
    let answers = store.write(Batch::all(commands)).await.unwrap();
    let last = answers.into_iter().map(Result::unwrap).next_back().unwrap();
    assert_eq!(last.action.unwrap().warnings.len(), Limits::WARNINGS);
}

fn request_cancel(action: &Arc<Action>) -> Command {
    let reason = CancelRequest::new().with_reason("\u{1}".repeat(Limits::TEXT));
    Command::apply(action.uid, Change::RequestCancel(reason))
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_of_the_largest_actions_as_allowed_are_read_and_changed_at_once() {
    let place = place();
    let options = || SqliteOptions::new().with_timeout(Duration::from_secs(600));
    let store = options().open(&place.path).await.unwrap();
    let owner = OwnerRef::new("plane");
    let claim = Command::claim(owner.clone());
    store.command(claim).await.unwrap();
    for _ in 0..MOST {
        make_largest(&store, &owner).await;
    }
    store.close().await.unwrap();

    let store = options().open(&place.path).await.unwrap();
    assert_eq!(store.capabilities().max_commands, MOST);
    let query = Query::new().with_limit(Limits::PAGE);
    let page = store.list(&query).await.unwrap().items;
    assert_eq!(page.len(), MOST);
    let uids: Vec<ActionUid> = page.iter().map(|action| action.uid).collect();
    let found = store.get(&uids).await.unwrap();
    for (found, listed) in found.into_iter().zip(&page) {
        assert!(found.as_ref() == Some(listed));
    }
    let requests = page.iter().map(request_cancel).collect();
    let answers = store.write(Batch::all(requests)).await.unwrap();
    assert_eq!(answers.len(), MOST);
    for (answer, before) in answers.into_iter().zip(&page) {
        let after = answer.unwrap().action.unwrap();
        assert_eq!(after.version, before.version.next());
        assert!(after.warnings == before.warnings && after.attributes == before.attributes);
    }
    drop(page);
    let log = LogQuery::all().with_limit(Limits::PAGE);
    let log = store.log(&log).await.unwrap();
    assert_eq!(log.items.len(), MOST);
    store.close().await.unwrap();
}
