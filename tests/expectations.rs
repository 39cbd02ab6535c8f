//! Expectations: how long actions of a name take and how often they fail.
// Helpers of tests are test code too, which clippy sees only in the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/plane.rs"]
mod plane;

use std::sync::Arc;
use std::time::Duration;

use action_store::expectations::{Expectations, Remaining};
use action_store::{Action, ActionStoreExt, Finish, NewAction, Outcome, StoreErrorKind, Timestamp};

use plane::Plane;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Plane {
    async fn began(&self, name: &str) -> Arc<Action> {
        // Time in the queue counts for nothing.
        let uid = self.store.create(NewAction::task(name)).await.unwrap().uid;
        self.clock.advance(secs(1000));
        self.store.start(uid, &self.owner).await.unwrap()
    }

    async fn took(&self, name: &str, time: Duration, outcome: Outcome) {
        let uid = self.began(name).await.uid;
        self.clock.advance(time);
        self.end(uid, outcome).await;
    }
}

#[tokio::test]
async fn typical_and_slow_are_of_the_succeeded_ones_of_the_name() {
    for plane in Plane::each().await {
        for second in (1..=40).rev() {
            plane.took("backup", secs(second), Outcome::Succeeded).await;
            plane.took("other", secs(9999), Outcome::Succeeded).await;
        }
        for _ in 0..8 {
            plane.took("backup", secs(5000), Outcome::Failed).await;
        }
        plane.took("backup", secs(1), Outcome::Interrupted).await;
        plane.took("backup", secs(1), Outcome::Cancelled).await;
        // An unfinished action and an action that never ran are not samples.
        plane.began("backup").await;
        let never = plane.store.create(NewAction::task("backup")).await.unwrap();
        let cancelled = Finish::new(Outcome::Cancelled);
        plane
            .store
            .finish(never.uid, cancelled, None)
            .await
            .unwrap();

        let found = Expectations::of(&*plane.store, "backup").await.unwrap();
        assert_eq!(found.sample(), 50);
        assert_eq!(found.typical(), Some(secs(20)));
        assert_eq!(found.slow(), Some(secs(38)));
        assert_eq!(found.ended(Outcome::Failed), 8);
        assert_eq!(found.share(Outcome::Failed), Some(0.16));
        assert_eq!(found.share(Outcome::Lost), Some(0.0));
        assert_eq!(found.share(Outcome::Succeeded), Some(0.8));
        assert_eq!(found.failure_share(), Some(0.18));
        // Only the last ones: of eleven, one never ran and ten did not succeed.
        let last = Expectations::of_last(&*plane.store, "backup", 11)
            .await
            .unwrap();
        assert_eq!((last.sample(), last.typical()), (10, None));
        for limit in [0, 1001] {
            let refused = Expectations::of_last(&*plane.store, "backup", limit).await;
            assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Invalid);
        }
        let none = Expectations::of(&*plane.store, "nothing").await.unwrap();
        assert_eq!(
            (none.sample(), none.failure_share(), none.typical()),
            (0, None, None)
        );
    }
}

#[tokio::test]
async fn the_remaining_time_is_never_negative_and_names_its_samples() {
    for plane in Plane::each().await {
        for second in [10, 20, 30, 40] {
            plane.took("backup", secs(second), Outcome::Succeeded).await;
        }
        let running = plane.began("backup").await;
        let began = running.started_at.unwrap();
        let expected = || Expectations::of(&*plane.store, "backup");
        let too_few = expected().await.unwrap();
        assert_eq!(too_few.remaining(&running, began), None);
        plane.took("backup", secs(100), Outcome::Succeeded).await;
        let expected = expected().await.unwrap();
        let after = |micros: i64| Timestamp::from_micros(began.as_micros() + micros);
        let at = |micros| expected.remaining(&running, after(micros)).unwrap();
        assert_eq!(at(0), Remaining::Typical(secs(30)));
        assert_eq!(
            at(-5_000_000),
            Remaining::Typical(secs(30)),
            "a clock set back"
        );
        assert_eq!(at(29_000_000), Remaining::Typical(secs(1)));
        assert_eq!(at(30_000_000), Remaining::Typical(Duration::ZERO));
        assert_eq!(at(31_000_000), Remaining::Slow(secs(69)));
        assert_eq!(at(31_000_000).duration(), secs(69));
        assert_eq!(at(100_000_000), Remaining::Slow(Duration::ZERO));
        assert_eq!(at(130_000_000), Remaining::Beyond(secs(30)));
        assert_eq!(at(130_000_000).duration(), Duration::ZERO);
        assert_eq!(at(i64::MAX - began.as_micros()).duration(), Duration::ZERO);

        let queued = plane.store.create(NewAction::task("backup")).await.unwrap();
        assert_eq!(expected.remaining(&queued, began), None);
        let other = plane.began("other").await;
        assert_eq!(expected.remaining(&other, began), None);
        let finish = Finish::succeeded();
        let by = Some(&plane.owner);
        let done = plane.store.finish(running.uid, finish, by).await.unwrap();
        assert_eq!(expected.remaining(&done, began), None);
    }
}

#[tokio::test]
async fn an_action_that_spans_a_clock_jump_is_not_a_sample() {
    for plane in Plane::each().await {
        for second in [10, 20, 30, 40, 50] {
            plane.took("backup", secs(second), Outcome::Succeeded).await;
        }
        // Started on a clock that was not set, a year ahead at its end, and set back before it.
        let right = plane.clock.now();
        plane.clock.set(Timestamp::from_seconds(60));
        let unset = plane.began("backup").await;
        plane.clock.set(right);
        plane.end(unset.uid, Outcome::Succeeded).await;
        for _ in 0..2 {
            plane
                .took("backup", secs(365 * 86_400), Outcome::Succeeded)
                .await;
        }
        let found = Expectations::of(&*plane.store, "backup").await.unwrap();
        assert_eq!(
            (found.typical(), found.slow()),
            (Some(secs(30)), Some(secs(50)))
        );
        // Their outcomes still count.
        assert_eq!((found.sample(), found.ended(Outcome::Succeeded)), (8, 8));
        plane.clock.set(Timestamp::from_seconds(60));
        let unset = plane.began("backup").await;
        assert_eq!(found.remaining(&unset, right), None);
    }
}
