//! There and back, byte for byte.

use std::collections::BTreeSet;

use action_store::action::LogEntryKind;
use action_store::command::{ConflictReason, Effect};
use action_store::owner::{OwnerEnd, OwnerQuery};
use action_store::{
    ActionStore, ActionStoreExt, Change, Command, Error, Filter, Finish, Limits, MemoryStore,
    NewAction, Outcome, Query, Rejection, Status, transfer,
};

use crate::plant::{action_lines, all, apply, assert_same, claim, plant, text_of, write};

/// That a planted store has what the round trip is to carry, so that it proves something.
async fn assert_rich(store: &dyn ActionStore) {
    let all = all(store).await;
    let outcomes: BTreeSet<_> = all
        .iter()
        .filter_map(|(action, _)| action.outcome)
        .collect();
    assert_eq!(outcomes.len(), Outcome::ALL.len(), "{outcomes:?}");
    let statuses: BTreeSet<_> = all.iter().map(|(action, _)| action.status).collect();
    assert_eq!(statuses.len(), Status::ALL.len());
    let kinds: BTreeSet<_> = all
        .iter()
        .flat_map(|(_, log)| log)
        .map(|e| e.kind)
        .collect();
    assert_eq!(kinds.len(), LogEntryKind::ALL.len(), "{kinds:?}");
    assert!(all.iter().any(|(action, _)| action.evidence.is_some()));
    let most = Limits::LOG_ENTRIES;
    assert!(
        all.iter()
            .any(|(a, log)| a.log_entries > most && log.len() == most as usize)
    );
}

#[tokio::test]
async fn a_store_comes_back_from_text() {
    let from = MemoryStore::new();
    plant(&from, 700).await;
    assert_rich(&from).await;
    let text = text_of(&from).await;
    let to = MemoryStore::new();
    let report = transfer::import(&to, &mut text.as_bytes()).await.unwrap();
    assert_eq!(
        (report.imported, report.already, report.refused),
        (701, 0, 0)
    );
    assert_same(&from, &to).await;
    // Again, it changes nothing.
    let at = to.changed(None).await.unwrap();
    let report = transfer::import(&to, &mut text.as_bytes()).await.unwrap();
    assert_eq!(
        (report.imported, report.already, report.refused),
        (0, 701, 0)
    );
    assert_eq!(to.changed(None).await.unwrap(), at);
    assert_eq!(action_lines(&text_of(&to).await), action_lines(&text));
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn five_thousand_actions_go_from_memory_over_sqlite_and_text_to_memory() {
    let from = MemoryStore::new();
    plant(&from, 5000).await;
    assert_rich(&from).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("actions.db");
    let between = action_store::SqliteStore::open(&path).await.unwrap();
    let copied = transfer::copy(&from, &between).await.unwrap();
    assert_eq!((copied.entered.imported, copied.verified), (5001, 5001));
    assert!(copied.is_faithful(), "{copied:?}");
    between.close().await.unwrap();

    let between = action_store::SqliteStore::open(&path).await.unwrap();
    let text = text_of(&between).await;
    assert_eq!(action_lines(&text), action_lines(&text_of(&from).await));
    let to = MemoryStore::new();
    let report = transfer::import(&to, &mut text.as_bytes()).await.unwrap();
    assert_eq!((report.imported, report.refused), (5001, 0));
    assert_same(&from, &to).await;
    #[cfg(feature = "conformance")]
    for store in [&from as &dyn ActionStore, &between, &to] {
        let checked = action_store::conformance::check_store(store).await.unwrap();
        assert_eq!(checked.actions, 5001);
    }
}

#[tokio::test]
async fn an_empty_store_has_an_export() {
    let text = text_of(&MemoryStore::new()).await;
    assert_eq!(text.lines().count(), 2);
    let to = MemoryStore::new();
    let report = transfer::import(&to, &mut text.as_bytes()).await.unwrap();
    assert_eq!(report, transfer::Imported::default());
}

#[tokio::test]
async fn an_export_of_some_has_those() {
    let from = MemoryStore::new();
    plant(&from, 100).await;
    let mut text = Vec::new();
    let completed = Filter::Status(Status::Completed);
    let mut exporter = transfer::Exporter::new(&from).with_filter(completed.clone());
    exporter.write_to(&mut text).await.unwrap();
    let to = MemoryStore::new();
    transfer::import(&to, &mut text.as_slice()).await.unwrap();
    let expected = from
        .pages(Query::new().with_filter(completed))
        .collect()
        .await
        .unwrap();
    let found = to.pages(Query::new()).collect().await.unwrap();
    assert!(expected.len() > 30 && expected.len() < 90);
    assert_eq!(found, expected);
}

#[tokio::test]
async fn an_action_of_an_unknown_owner_can_be_settled_as_lost() {
    let from = MemoryStore::new();
    let owner = claim(&from, "plane").await;
    let uid = from.create(NewAction::task("a")).await.unwrap().uid;
    from.start(uid, &owner).await.unwrap();
    let to = MemoryStore::new();
    transfer::copy(&from, &to).await.unwrap();
    assert_eq!(to.all_owners(OwnerQuery::new()).await.unwrap(), []);
    // No process there can act for this owner, not even under the same name.
    let refused = to
        .finish(uid, Finish::succeeded(), Some(&owner))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, Error::Rejected(Rejection::Fenced { .. })),
        "{refused:?}"
    );
    let lost = to
        .finish(uid, Finish::new(Outcome::Lost), None)
        .await
        .unwrap();
    let evidence = lost.evidence.clone().unwrap();
    assert_eq!((evidence.owner, evidence.end), (owner, OwnerEnd::Unknown));
}

#[tokio::test]
async fn keys_go_with_their_actions_and_pins_do_not() {
    let from = MemoryStore::new();
    let new = NewAction::task("a")
        .with_exclusive("k")
        .with_idempotency_key("i");
    let held = from.create(new.clone()).await.unwrap();
    let owner = claim(&from, "plane").await;
    let ended = from.create(NewAction::task("b")).await.unwrap().uid;
    from.start(ended, &owner).await.unwrap();
    let ended = from
        .finish(ended, Finish::succeeded(), Some(&owner))
        .await
        .unwrap();
    write(&from, vec![Command::pin(ended.uid, true)]).await;
    let to = MemoryStore::new();
    transfer::import(&to, &mut text_of(&from).await.as_bytes())
        .await
        .unwrap();
    let reason = to
        .create(NewAction::task("c").with_exclusive("k"))
        .await
        .unwrap_err();
    assert_eq!(reason.current().unwrap().uid, held.uid);
    let again = new.with_uid(action_store::ActionUid::new());
    let again = Command::create(again);
    let again = to.command(again).await.unwrap();
    assert_eq!(
        (again.effect, again.action.unwrap().uid),
        (Effect::Already, held.uid)
    );
    let remove = Command::remove(ended.uid, ended.version);
    assert!(from.command(remove.clone()).await.is_err());
    to.command(remove).await.unwrap();
}

#[tokio::test]
async fn a_conflict_is_reported_and_disturbs_nobody() {
    let from = MemoryStore::new();
    plant(&from, 30).await;
    let kept = from
        .create(NewAction::task("a").with_idempotency_key("i"))
        .await
        .unwrap();
    let to = MemoryStore::new();
    let holder = to
        .create(NewAction::task("b").with_idempotency_key("i"))
        .await
        .unwrap();
    // One action is there in an earlier state, one is there as a different one.
    let going = from.create(NewAction::task("going")).await.unwrap();
    let early = transfer::Exporter::new(&from).with_filter(Filter::Name("going".into()));
    let mut text = Vec::new();
    { early }.write_to(&mut text).await.unwrap();
    transfer::import(&to, &mut text.as_slice()).await.unwrap();
    let request = Change::RequestCancel(action_store::CancelRequest::new());
    write(&from, vec![apply(going.uid, request, None)]).await;
    let other = from.create(NewAction::task("one")).await.unwrap();
    to.create(NewAction::task("other").with_uid(other.uid))
        .await
        .unwrap();

    let text = text_of(&from).await;
    let report = transfer::import(&to, &mut text.as_bytes()).await.unwrap();
    assert_eq!((report.imported, report.refused), (31, 3));
    let found: Vec<_> = report
        .rejections
        .iter()
        .map(|r| (r.uid, r.outdated))
        .collect();
    assert_eq!(
        found,
        [(kept.uid, false), (going.uid, true), (other.uid, false)]
    );
    for refusal in &report.rejections {
        let line = text
            .lines()
            .nth(refusal.line.unwrap() as usize - 1)
            .unwrap();
        assert!(line.contains(&format!("{{\"action\":{{\"uid\":\"{}\"", refusal.uid)));
    }
    assert!(matches!(
        &report.rejections[0].refused,
        Rejection::Conflict { reason: ConflictReason::IdempotencyKey, current } if current.uid == holder.uid
    ));
    let copied = transfer::copy(&from, &to).await.unwrap();
    assert!(!copied.is_faithful());
    assert_eq!(
        (copied.entered.already, copied.verified, copied.different),
        (31, 31, 3)
    );
    use transfer::Differs::{Action, Behind, Missing};
    let found: Vec<_> = copied.differences.iter().map(|d| (d.uid, d.how)).collect();
    assert_eq!(
        found,
        [
            (kept.uid, Missing),
            (going.uid, Behind),
            (other.uid, Action)
        ]
    );
}
