//! Actions that are parts of others, and waiting through the tracker.

use std::time::Duration;

use action_store::action::ChildCounts;
use action_store::command::BatchMode;
use action_store::tracker::CancelOptions;
use action_store::{
    Action, ActionError, ActionStoreExt, ActionUid, Batch, CancelRequest, Capabilities, Change,
    Command, Durability, ErrorKind, Finish, NewAction, ObjectRef, Outcome, Progress, Status,
    Tracker,
};
use tokio::time::timeout;

use crate::spy::{Fault, Spy, tracker};

fn upgrade() -> NewAction {
    NewAction::task("upgrade")
        .with_tenant("acme")
        .with_actor("ada")
        .with_correlation("request-17")
}

fn node(uid: u64) -> NewAction {
    let new = NewAction::task("upgrade_node").with_object(ObjectRef::node(uid));
    new.exclusive_on_object().with_tenant("default")
}

fn tasks(count: usize) -> Vec<NewAction> {
    (0..count).map(|_| NewAction::task("part")).collect()
}

fn nodes(count: u64) -> Vec<NewAction> {
    (1..=count).map(node).collect()
}

#[tokio::test]
async fn a_parent_and_its_children_are_one_commit() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    store.writes();
    let own = node(3).with_actor("bob").with_correlation("own");
    let news = [nodes(2), vec![own]].concat();
    let uids: Vec<ActionUid> = news.iter().map(|new| new.uid).collect();
    let (parent, children) = tracker.begin_with_children(upgrade(), news).await.unwrap();
    let writes = store.writes();
    assert_eq!(writes.len(), 1);
    assert_eq!(
        (writes[0].mode, writes[0].commands.len()),
        (BatchMode::All, 5)
    );
    assert_eq!(parent.action().status, Status::Executing);
    let found: Vec<ActionUid> = children.iter().map(|child| child.uid).collect();
    assert_eq!(found, uids, "in the order given");
    let recorded = store.children(parent.uid()).collect().await.unwrap();
    assert_eq!(recorded, children);
    for child in &children {
        assert_eq!(
            (child.parent, child.status),
            (Some(parent.uid()), Status::Queued)
        );
        assert_eq!(
            (&*child.tenant, child.owner.as_ref()),
            ("acme", Some(tracker.owner()))
        );
    }
    let said = |at: usize| {
        (
            children[at].actor.as_deref(),
            children[at].correlation.as_deref(),
        )
    };
    assert_eq!(said(0), (Some("ada"), Some("request-17")));
    assert_eq!(said(2), (Some("bob"), Some("own")));
    for child in children {
        tracker
            .start_queued(child.uid)
            .await
            .unwrap()
            .succeed()
            .await
            .unwrap();
    }
    parent.succeed().await.unwrap();
}

#[tokio::test]
async fn a_child_that_is_refused_refuses_the_parent() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let holder = tracker.begin(node(2).with_tenant("acme")).await.unwrap();
    let new = upgrade();
    let uid = new.uid;
    let refused = tracker
        .begin_with_children(new, nodes(3))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(refused.current().unwrap().uid, holder.uid());
    assert_eq!(store.now_or_none(uid).await, None);
    assert_eq!(store.children(uid).collect().await.unwrap(), []);
    // So is what does not fit.
    let most = Capabilities::new(Durability::Volatile).max_commands as u64;
    let too_many = tracker
        .begin_with_children(upgrade(), nodes(most - 1))
        .await;
    assert_eq!(too_many.unwrap_err().kind(), ErrorKind::Invalid);
    holder.succeed().await.unwrap();
    let (parent, children) = tracker
        .begin_with_children(upgrade(), nodes(most - 2))
        .await
        .unwrap();
    assert_eq!(children.len() as u64, most - 2);
    let counts = ChildCounts::of(&store, parent.uid()).await.unwrap();
    assert_eq!(
        (counts.queued, counts.total(), counts.more),
        (most - 2, most - 2, false)
    );
}

#[tokio::test]
async fn a_repeat_that_finds_the_parent_records_nothing() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let new = || upgrade().with_idempotency_key("i");
    let (parent, children) = tracker.begin_with_children(new(), nodes(2)).await.unwrap();
    let again = tracker
        .begin_with_children(new(), nodes(2))
        .await
        .unwrap_err();
    assert!(again.is_repeat());
    assert_eq!(again.current().unwrap().uid, parent.uid());
    let recorded = || async { store.children(parent.uid()).collect().await.unwrap() };
    assert_eq!(recorded().await, children);

    // A queued action is begun together with its children.
    let new = || NewAction::task("upgrade").with_idempotency_key("j");
    let queued = tracker.enqueue(new()).await.unwrap();
    let part = node(9).with_parent(queued.uid);
    let part = tracker.enqueue(part).await.unwrap().into_action();
    let (begun, found) = tracker.begin_with_children(new(), nodes(2)).await.unwrap();
    assert_eq!((begun.uid(), found), (queued.uid, vec![part]));
    assert_eq!(begun.action().status, Status::Executing);
}

#[tokio::test(start_paused = true)]
async fn a_family_of_which_nobody_knows_is_interrupted() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    store.on_write(|batch| {
        let creates = matches!(batch.commands[0], Command::Create { .. });
        creates.then_some(Fault::UnknownButDone)
    });
    let (new, news) = (upgrade(), nodes(2));
    let uids: Vec<ActionUid> = [&new].into_iter().chain(&news).map(|new| new.uid).collect();
    let unknown = tracker.begin_with_children(new, news).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown);
    for uid in uids {
        assert_eq!(
            store.completed(uid).await.outcome,
            Some(Outcome::Interrupted)
        );
    }
}

#[tokio::test]
async fn work_begins_children_of_its_action() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let parent = tracker.begin(upgrade()).await.unwrap();
    let uid = parent.uid();
    let ran = parent.run(async |action| {
        let moved = action.begin_child(node(1)).await?;
        assert_eq!(moved.action().status, Status::Executing);
        moved.succeed().await?;
        let failed = action.begin_child(node(1)).await?;
        failed
            .fail(ActionError::new("disk_full", "the disk is full"))
            .await?;
        action.begin_child(node(1)).await?.cancelled().await?;
        drop(action.begin_child(node(1)).await?);
        Ok(())
    });
    ran.await.unwrap();
    let children = store.children(uid).collect().await.unwrap();
    assert!(children.iter().all(|child| &*child.tenant == "acme"));
    assert!(
        children
            .iter()
            .all(|child| child.actor.as_deref() == Some("ada"))
    );
    store.completed(children[3].uid).await;
    let counts = ChildCounts::of(&store, uid).await.unwrap();
    let by_outcome = [
        counts.succeeded,
        counts.failed,
        counts.cancelled,
        counts.interrupted,
    ];
    assert_eq!((by_outcome, counts.total()), ([1, 1, 1, 1], 4));
    assert_eq!(
        (counts.unfinished(), counts.progress()),
        (0, Progress::DONE)
    );
}

#[tokio::test]
async fn children_are_counted_by_how_they_stand() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let parent = upgrade();
    let nobody = ChildCounts::of(&store, parent.uid).await.unwrap();
    assert_eq!(nobody, ChildCounts::default());
    for _ in 0..3 {
        store
            .create(NewAction::task("a").part_of(&parent))
            .await
            .unwrap();
    }
    let other = NewAction::task("a").part_of(&upgrade());
    store.create(other).await.unwrap();
    let working = tracker.begin(NewAction::task("a").part_of(&parent));
    let working = working.await.unwrap();
    let done = tracker
        .begin(NewAction::task("a").part_of(&parent))
        .await
        .unwrap();
    done.succeed().await.unwrap();
    let counts = ChildCounts::of(&store, parent.uid).await.unwrap();
    assert_eq!(
        (counts.queued, counts.executing, counts.succeeded),
        (3, 1, 1)
    );
    assert_eq!(
        (counts.unfinished(), counts.completed(), counts.lost),
        (4, 1, 0)
    );
    assert_eq!(counts.progress(), Progress::ratio(1, 5));
    // The name is taken over, as after a crash.
    let next = crate::spy::tracker(&store).await;
    assert_eq!(next.recovery().await.lost, 1);
    let counts = ChildCounts::of(&store, parent.uid).await.unwrap();
    assert_eq!((counts.executing, counts.lost), (0, 1));
    assert_eq!(
        working.succeed().await.unwrap_err().kind(),
        ErrorKind::Fenced
    );
}

#[tokio::test]
async fn no_more_children_are_counted_than_is_said() {
    let store = Spy::new();
    let parent = upgrade();
    let most = ChildCounts::MOST;
    for count in [most - 1, most, most + 1] {
        let there = ChildCounts::of(&store, parent.uid).await.unwrap().total();
        let mut commands =
            (there..count).map(|_| Command::create(NewAction::task("a").part_of(&parent)));
        loop {
            let commands: Vec<_> = commands.by_ref().take(1000).collect();
            if commands.is_empty() {
                break;
            }
            store
                .write_repeating(action_store::Batch::all(commands))
                .await
                .unwrap();
        }
        let counts = ChildCounts::of(&store, parent.uid).await.unwrap();
        assert_eq!(counts.queued, count.min(most));
        assert_eq!(counts.more, count > most);
    }
}

#[tokio::test]
async fn all_clones_wait_through_one_watcher() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let uid = store.create(NewAction::task("a")).await.unwrap().uid;
    let clone = tracker.clone();
    let waiting = tokio::spawn(async move { clone.watcher().wait(uid).await });
    let watched = async {
        while tracker.watcher().watched() != 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), watched).await.unwrap();
    // Another owner has finished it.
    let end = Finish::new(Outcome::Cancelled);
    let ended = store.finish(uid, end, None).await.unwrap();
    let waited = timeout(Duration::from_secs(20), waiting).await;
    assert_eq!(waited.unwrap().unwrap().unwrap(), ended);
}

#[tokio::test]
async fn cancelling_an_action_asks_all_its_descendants_to_cancel() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let other = Tracker::start(store.clone(), "other").await.unwrap();
    let (parent, queued) = tracker
        .begin_with_children(upgrade(), nodes(3))
        .await
        .unwrap();
    let part = parent.begin_child(NewAction::task("part")).await.unwrap();
    let deep = part.begin_child(NewAction::task("deep")).await.unwrap();
    let of_part = NewAction::task("elsewhere").with_parent(part.uid());
    let elsewhere = other.begin(of_part).await.unwrap();
    let over = parent.begin_child(NewAction::task("over")).await.unwrap();
    let over = over.succeed().await.unwrap();
    let request = CancelRequest::new()
        .with_by("ann")
        .with_reason("wrong node");
    tracker.cancel(parent.uid(), request.clone()).await.unwrap();
    for uid in [part.uid(), deep.uid(), elsewhere.uid()] {
        let asked = store.action(uid).await.unwrap().unwrap();
        let cancel = asked.cancel.clone().unwrap();
        assert_eq!(
            (asked.status, cancel.by.as_deref(), cancel.reason.as_deref()),
            (Status::Executing, Some("ann"), Some("wrong node"))
        );
    }
    // Queued parts end at once; a completed one stays as it is.
    for part in &queued {
        let ended = store.completed(part.uid).await;
        assert_eq!(ended.outcome, Some(Outcome::Cancelled));
    }
    assert_eq!(*store.action(over.uid).await.unwrap().unwrap(), *over);
    // Once more changes nothing.
    let before = store.action(deep.uid()).await.unwrap();
    tracker.cancel(parent.uid(), request).await.unwrap();
    assert_eq!(store.action(deep.uid()).await.unwrap(), before);
    // Parts begun from now on are asked at once, too.
    let late = parent.begin_child(NewAction::task("late")).await.unwrap();
    let known = timeout(Duration::from_secs(10), late.cancel_requested());
    assert_eq!(known.await.unwrap().by.as_deref(), Some("ann"));
    // Each child keeps its own outcome, independent of its parent's.
    parent.cancelled().await.unwrap();
    deep.succeed().await.unwrap();
    part.cancelled().await.unwrap();
    late.cancelled().await.unwrap();
    elsewhere.succeed().await.unwrap();
}

#[tokio::test]
async fn parts_are_asked_in_batches_or_not_at_all() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let (parent, queued) = tracker
        .begin_with_children(NewAction::task("parent"), tasks(250))
        .await
        .unwrap();
    let uid = parent.uid();
    let options = CancelOptions::new(CancelRequest::new()).with_parts(false);
    store.writes();
    tracker.cancel(uid, options).await.unwrap();
    let commands = |writes: Vec<Batch>| {
        let asks = |batch: &Batch| {
            let asks = batch.commands.iter().filter(|command| {
                let Command::Apply { change, uid, .. } = command else {
                    return false;
                };
                matches!(change, Change::RequestCancel(_)) && *uid != parent.uid()
            });
            asks.count()
        };
        let asked: Vec<usize> = writes.iter().map(asks).filter(|asks| *asks > 0).collect();
        asked
    };
    assert_eq!(commands(store.writes()), [0; 0]);
    let first = store.action(queued[0].uid).await.unwrap().unwrap();
    assert_eq!((first.status, &first.cancel), (Status::Queued, &None));
    tracker.cancel(uid, CancelRequest::new()).await.unwrap();
    assert_eq!(commands(store.writes()), [100, 100, 50]);
    for part in &queued {
        let ended = store.completed(part.uid).await;
        assert_eq!(ended.outcome, Some(Outcome::Cancelled));
    }
    let counts = ChildCounts::of(&store, uid).await.unwrap();
    assert_eq!((counts.cancelled, counts.removed), (250, false));
}

#[tokio::test]
async fn counts_of_parts_say_whether_some_may_have_been_removed() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let parent = tracker.begin(NewAction::task("parent")).await.unwrap();
    let uid = parent.uid();
    let part = parent.begin_child(NewAction::task("part")).await.unwrap();
    let part = part.succeed().await.unwrap();
    let other = tracker.begin(NewAction::task("other")).await.unwrap();
    let other = other.succeed().await.unwrap();
    let removed = async || ChildCounts::of(&store, uid).await.unwrap().removed;
    let remove = async |action: &Action| {
        let (uid, if_version) = (action.uid, action.version);
        let command = Command::remove(uid, if_version);
        store.command(command).await
    };
    remove(&other).await.unwrap();
    // As long as it is unfinished, its parts stay.
    assert!(remove(&part).await.is_err());
    assert!(!removed().await);
    parent.succeed().await.unwrap();
    assert!(removed().await, "something as young was removed");
    remove(&part).await.unwrap();
    let counts = ChildCounts::of(&store, uid).await.unwrap();
    assert_eq!((counts.total(), counts.removed), (0, true));
    assert_eq!(counts.progress(), Progress::ZERO);
    // One that is younger than all that was removed has all its parts.
    let young = tracker.begin(NewAction::task("parent")).await.unwrap();
    let young = young.succeed().await.unwrap();
    let counts = ChildCounts::of(&store, young.uid).await.unwrap();
    assert!(!counts.removed);
}

#[tokio::test]
async fn parts_that_execute_when_their_parent_ends_go_on_and_none_is_added() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let parent = tracker.begin(upgrade()).await.unwrap();
    let part = parent.begin_child(NewAction::task("part")).await.unwrap();
    let reporter = parent.reporter();
    let ended = parent.succeed().await.unwrap();
    let refused = reporter.begin_child(NewAction::task("late")).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(
        refused.current().map(|current| current.uid),
        Some(ended.uid)
    );
    part.step("still at it").await.unwrap();
    let part = part.succeed().await.unwrap();
    assert_eq!(part.parent, Some(ended.uid));
}
