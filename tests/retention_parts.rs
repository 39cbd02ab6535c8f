//! Parts of unfinished actions stay, and batches of removals are bounded in bytes.
// Helpers of tests are test code too, which clippy sees only in the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/plane.rs"]
mod plane;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use action_store::action::ChildCounts;
use action_store::owner::{Owner, OwnerQuery};
use action_store::query::{Position, Revision};
use action_store::retention::{self, Eraser, Retention};
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, Capabilities, Command, Done, Filter,
    Finish, Json, LogEntry, LogQuery, NewAction, ObjectRef, Outcome, Page, Query, Rejection,
    StoreError,
};

use async_trait::async_trait;
use plane::Plane;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Plane {
    async fn started(&self, new: NewAction) -> ActionUid {
        let uid = self.store.create(new).await.unwrap().uid;
        self.store.start(uid, &self.owner).await.unwrap();
        uid
    }

    async fn done(&self, new: NewAction) -> ActionUid {
        let uid = self.started(new).await;
        self.end(uid, Outcome::Succeeded).await;
        uid
    }

    async fn pass(&self, days: u32) {
        for _ in 0..days {
            self.clock.advance(DAY);
            self.done(NewAction::task("mark")).await;
        }
    }

    async fn counts(&self, parent: ActionUid) -> ChildCounts {
        ChildCounts::of(&*self.store, parent).await.unwrap()
    }
}

#[tokio::test]
async fn parts_of_an_unfinished_action_cannot_be_removed() {
    for plane in Plane::each().await {
        let node = || ObjectRef::node(7);
        let parent = plane.started(NewAction::task("upgrade")).await;
        let part = || {
            NewAction::task("part")
                .with_parent(parent)
                .with_object(node())
        };
        let mut parts = Vec::new();
        for _ in 0..8 {
            parts.push(plane.done(part()).await);
        }
        plane.started(part()).await;
        plane.store.create(part()).await.unwrap();
        plane.pass(200).await;
        let now = plane.clock.now();
        let policy = Retention::new()
            .with_keep_last(0)
            .with_pause(Duration::ZERO);
        for policy in [policy.clone(), policy.clone().with_cap(Some(1))] {
            let mut plan = retention::plan(&*plane.store, &policy, now);
            while let Some(page) = plan.next().await.unwrap() {
                assert!(page.iter().all(|(action, _)| action.parent.is_none()));
            }
            retention::prune(&*plane.store, &policy, now).await.unwrap();
            let counts = plane.counts(parent).await;
            assert_eq!((counts.completed(), counts.total()), (8, 10));
        }
        let one = plane.store.action(parts[0]).await.unwrap().unwrap();
        let (uid, if_version) = (one.uid, one.version);
        let removed = plane.store.command(Command::remove(uid, if_version));
        let refused = removed.await.unwrap_err().to_string();
        assert!(refused.contains(&parent.to_string()), "{refused}");
        let eraser = Eraser::new(&*plane.store, Filter::Touches(node()));
        let erased = eraser.with_pause(Duration::ZERO).run().await.unwrap();
        assert_eq!((erased.removed, erased.is_complete()), (0, false));
        assert_eq!(plane.counts(parent).await.total(), 10);

        // They go once it is over.
        plane.end(parent, Outcome::Succeeded).await;
        let eraser = Eraser::new(&*plane.store, Filter::Touches(node()));
        let erased = eraser.with_pause(Duration::ZERO).run().await.unwrap();
        assert_eq!((erased.removed, erased.unfinished), (8, 2));
    }
}

/// A store that keeps what is written to it.
#[derive(Debug)]
struct Spy {
    inner: Arc<dyn ActionStore>,
    batches: Mutex<Vec<Batch>>,
}

#[async_trait]
impl ActionStore for Spy {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        self.batches.lock().unwrap().push(batch.clone());
        self.inner.write(batch).await
    }
    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.inner.get(uids).await
    }
    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        self.inner.list(query).await
    }
    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        self.inner.log(query).await
    }
    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        self.inner.owners(query).await
    }
    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        self.inner.changed(after).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}

impl Spy {
    /// How many removals there were in each batch since it was last asked.
    fn removals(&self) -> Vec<usize> {
        let batches = std::mem::take(&mut *self.batches.lock().unwrap());
        let sizes = batches.iter().map(|batch| batch.commands.len());
        sizes.collect()
    }
}

#[tokio::test]
async fn a_batch_of_removals_is_bounded_in_bytes() {
    for plane in Plane::each().await {
        let spy = Spy {
            inner: plane.store.clone(),
            batches: Mutex::default(),
        };
        let result = Json::new(format!("\"{}\"", "x".repeat(36 * 1024))).unwrap();
        let large = async || {
            for _ in 0..40 {
                let uid = plane.started(NewAction::task("large")).await;
                let finish = Finish::succeeded().with_result(result.clone());
                let by = Some(&plane.owner);
                plane.store.finish(uid, finish, by).await.unwrap();
            }
        };
        large().await;
        plane.done(NewAction::task("last")).await;
        let policy = Retention::keep_all()
            .with_cap(Some(1))
            .with_pause(Duration::ZERO);
        let now = plane.clock.now();
        let pruned = retention::prune(&spy, &policy, now).await.unwrap();
        assert_eq!(pruned.removed.over_cap, 40);
        let removals = spy.removals();
        // Seven of 36 KiB are 252 KiB.
        let most = removals.iter().max().copied();
        assert!(most <= Some(7) && most >= Some(5), "{removals:?}");
        assert_eq!(removals.iter().sum::<usize>(), 40);

        large().await;
        let eraser = Eraser::new(&spy, Filter::Name("large".into()));
        eraser.with_pause(Duration::ZERO).run().await.unwrap();
        let removals = spy.removals();
        assert!(removals.iter().all(|count| *count <= 7), "{removals:?}");
        assert_eq!(removals.iter().sum::<usize>(), 40);

        // The entries of a log weigh, too.
        for _ in 0..20 {
            let uid = plane.started(NewAction::task("chatty")).await;
            let commands = (0..250).map(|n| {
                let report = action_store::Report::new().with_step(format!("step {n}"));
                Command::apply(uid, action_store::Change::Report(report)).by(plane.owner.clone())
            });
            let batch = Batch::all(commands.collect());
            plane.store.write(batch).await.unwrap();
            plane.end(uid, Outcome::Succeeded).await;
        }
        let eraser = Eraser::new(&spy, Filter::Name("chatty".into()));
        eraser.with_pause(Duration::ZERO).run().await.unwrap();
        let removals = spy.removals();
        assert!(removals.len() >= 4, "{removals:?}");
        assert_eq!(removals.iter().sum::<usize>(), 20);
    }
}
