//! Retention under clocks that are wrong: nothing here sleeps, the clock is an input.
// Helpers of tests are test code too, which clippy sees only in the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/plane.rs"]
mod plane;

use std::time::Duration;

use action_store::retention::{self, Retention};
use action_store::{ActionStoreExt, ActionUid, Filter, NewAction, Outcome, Query, Timestamp};

use plane::{ERA, Plane};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Plane {
    async fn ended(&self, outcome: Outcome) -> ActionUid {
        let uid = self.store.create(NewAction::task("work")).await.unwrap();
        let uid = uid.uid;
        self.store.start(uid, &self.owner).await.unwrap();
        self.end(uid, outcome).await;
        uid
    }

    /// Lets time pass as a store in use sees it: something is completed every day.
    async fn pass(&self, days: u32) {
        for _ in 0..days {
            self.clock.advance(DAY);
            self.ended(Outcome::Succeeded).await;
        }
    }

    async fn left(&self) -> usize {
        let all = self.store.pages(Query::new()).collect().await.unwrap();
        all.len()
    }

    async fn prune(&self, policy: &Retention) -> retention::Pruned {
        let policy = policy.clone().with_pause(Duration::ZERO);
        let now = self.clock.now();
        retention::prune(&*self.store, &policy, now).await.unwrap()
    }
}

fn policy() -> Retention {
    Retention::new().with_keep_last(0)
}

#[tokio::test]
async fn a_completion_stamped_before_this_library_existed_gives_no_age() {
    for plane in Plane::each().await {
        // A box without a battery, minutes after it was switched on.
        plane.clock.set(Timestamp::from_seconds(300));
        for _ in 0..3 {
            plane.ended(Outcome::Failed).await;
            plane.clock.advance(Duration::from_secs(60));
        }
        assert_eq!(plane.prune(&policy()).await.removed.total(), 0);
        // Then its clock is set.
        plane.clock.set(Timestamp::from_seconds(ERA));
        plane.pass(3).await;
        assert_eq!(plane.prune(&policy()).await.removed.total(), 0);
        assert_eq!(plane.left().await, 6);
        // Without an age they go only for the cap, the first completed first.
        plane.pass(100).await;
        let pruned = plane.prune(&policy()).await;
        assert_eq!(pruned.removed.over_cap, 0);
        let failed = plane
            .store
            .pages(Query::new().with_filter(Filter::Outcome(Outcome::Failed)));
        assert_eq!(failed.collect().await.unwrap().len(), 3);
        plane.prune(&policy().with_cap(Some(10))).await;
        let failed = plane
            .store
            .pages(Query::new().with_filter(Filter::Outcome(Outcome::Failed)));
        assert_eq!(failed.collect().await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn one_jump_of_a_clock_makes_nothing_older_by_more_than_half_an_age() {
    for plane in Plane::each().await {
        plane.many(101).await;
        plane.clock.advance(YEAR);
        plane.ended(Outcome::Succeeded).await;
        assert_eq!(plane.prune(&policy()).await.removed.total(), 0);
        // As many as a start settles, too.
        plane.many(20).await;
        assert_eq!(plane.prune(&policy()).await.removed.total(), 0);
        assert_eq!(plane.left().await, 122);
        // With the time that passes they do get old: half of their 30 days is left.
        plane.pass(15).await;
        assert_eq!(plane.prune(&policy()).await.removed.total(), 0);
        plane.pass(1).await;
        assert_eq!(plane.prune(&policy()).await.removed.aged, 101);
    }
}

#[tokio::test]
async fn stamps_of_a_clock_that_was_ahead_make_nothing_old_once_it_is_right() {
    for plane in Plane::each().await {
        plane.many(10).await;
        plane.clock.advance(YEAR);
        plane.many(10).await;
        plane.clock.set(Timestamp::from_seconds(ERA + 60));
        plane.many(10).await;
        assert_eq!(plane.prune(&policy()).await.removed.total(), 0);
        plane.pass(31).await;
        // The ones stamped ahead are kept until that time has come.
        let pruned = plane.prune(&policy()).await;
        assert_eq!(pruned.removed.aged, 20);
    }
}

#[tokio::test(start_paused = true)]
async fn a_keeper_follows_no_clock_that_runs_faster_than_time_passes() {
    let plane = Plane::memory().await;
    let hour = Duration::from_secs(3600);
    let keep = policy().spawn(plane.store.clone(), plane.clock.clone(), hour);
    let mut prune_task = keep.unwrap();
    let first = prune_task.round().await.unwrap();
    assert_eq!(first.at, Timestamp::from_seconds(ERA));
    plane.many(101).await;
    // Forty days within an hour, with completions all the way.
    plane.pass(40).await;
    let second = prune_task.round().await.unwrap();
    assert_eq!(second.pruned.removed.total(), 0);
    let most = Timestamp::from_seconds(ERA + 3600 + 60);
    assert!(second.at <= most, "{:?}", second.at);
    // A look at a clock that was not set does not hold it back either.
    let ahead = plane.clock.now();
    plane.clock.set(Timestamp::from_seconds(300));
    let third = prune_task.round().await.unwrap();
    assert_eq!(third.pruned.removed.total(), 0);
    plane.clock.set(ahead);
    tokio::time::advance(40 * DAY).await;
    let mut round = prune_task.round().await.unwrap();
    while round.pruned.removed.total() == 0 && round.number < 10 {
        round = prune_task.round().await.unwrap();
    }
    assert_eq!(round.pruned.removed.aged, 101 + 9, "{round:?}");
    prune_task.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_keeper_begun_before_the_clock_was_set_goes_by_the_clock_that_was() {
    let plane = Plane::memory().await;
    plane.many(5).await;
    plane.pass(40).await;
    let now = plane.clock.now();
    plane.clock.set(Timestamp::from_seconds(300));
    let hour = Duration::from_secs(3600);
    let keep = policy().spawn(plane.store.clone(), plane.clock.clone(), hour);
    let mut prune_task = keep.unwrap();
    assert_eq!(prune_task.round().await.unwrap().pruned.removed.total(), 0);
    plane.clock.set(now);
    let second = prune_task.round().await.unwrap();
    assert_eq!(second.pruned.removed.aged, 5 + 9);
    prune_task.close().await;
}
