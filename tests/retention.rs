//! Retention: what goes, what stays, on each store, without waiting.
// Helpers of tests are test code too, which clippy sees only in the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/plane.rs"]
mod plane;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use action_store::retention::{self, Eraser, Pruner, Reason, Retention, Stays};
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Clock, Command, Filter, Finish, MemoryStore,
    NewAction, ObjectRef, Order, Outcome, OwnerRef, Query, RelatedObject, Status, StoreError,
    StoreErrorKind, Timestamp,
};

use plane::{ERA, Plane};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The name of what shows that time passes.
const PASSING: &str = "passing";

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

    /// Lets time pass as it does in a store that is used: something is completed every quarter of an
    /// age, and never so long ago that it is older. Without that it would be a jump of the clock.
    async fn pass(&self, by: Duration, age: Duration) {
        if by > age {
            self.clock.advance(by - age);
            self.done(NewAction::task(PASSING)).await;
        }
        for _ in 0..4 {
            self.clock.advance(by.min(age) / 4);
            self.done(NewAction::task(PASSING)).await;
        }
    }

    /// Something completed now: the newest completion, which the cutoff needs.
    async fn mark(&self) -> ActionUid {
        self.done(NewAction::task("mark")).await
    }

    async fn pin(&self, uid: ActionUid) {
        let command = Command::pin(uid, true);
        self.store.command(command).await.unwrap();
    }

    async fn uids(&self) -> BTreeSet<ActionUid> {
        let all = self.store.pages(Query::new()).collect().await.unwrap();
        let all = all.iter().filter(|action| &*action.name != PASSING);
        all.map(|action| action.uid).collect()
    }

    async fn prune(&self, policy: &Retention) -> retention::Pruned {
        let policy = policy.clone().with_pause(Duration::ZERO);
        let now = self.clock.now();
        retention::prune(&*self.store, &policy, now).await.unwrap()
    }

    async fn plan(&self, policy: &Retention) -> Vec<(Arc<Action>, Reason)> {
        let mut plan = retention::plan(&*self.store, policy, self.clock.now());
        let mut all = Vec::new();
        while let Some(page) = plan.next().await.unwrap() {
            assert!(page.len() <= 500);
            all.extend(page);
        }
        assert_eq!(plan.counts().total(), all.len() as u64);
        all
    }
}

fn task() -> NewAction {
    NewAction::task("work")
}

fn set(uids: impl IntoIterator<Item = ActionUid>) -> BTreeSet<ActionUid> {
    uids.into_iter().collect()
}

fn planned(plan: &[(Arc<Action>, Reason)], reason: Reason) -> BTreeSet<ActionUid> {
    let of = plan.iter().filter(|(_, why)| *why == reason);
    set(of.map(|(action, _)| action.uid))
}

fn aged(days: u32) -> Retention {
    let outcomes = Outcome::ALL.iter();
    outcomes.fold(Retention::keep_all(), |policy, outcome| {
        policy.with_age(*outcome, Some(days * DAY))
    })
}

#[tokio::test]
async fn each_outcome_has_an_age_counted_from_completion() {
    for plane in Plane::each().await {
        let endings = [
            Outcome::Succeeded,
            Outcome::Failed,
            Outcome::Cancelled,
            Outcome::Interrupted,
        ];
        let mut ended = Vec::new();
        for outcome in endings {
            let uid = plane.started(task()).await;
            plane.end(uid, outcome).await;
            ended.push(uid);
        }
        let lost = {
            let dead = OwnerRef::new("dead");
            let claim = |owner: OwnerRef| Command::claim(owner);
            plane.store.command(claim(dead.clone())).await.unwrap();
            let uid = plane.store.create(task()).await.unwrap().uid;
            plane.store.start(uid, &dead).await.unwrap();
            plane
                .store
                .command(claim(OwnerRef::new("dead")))
                .await
                .unwrap();
            let finish = Finish::new(Outcome::Lost);
            plane.store.finish(uid, finish, None).await.unwrap();
            uid
        };
        ended.push(lost);
        // Created as long ago, completed just now.
        let long = plane.started(task()).await;
        plane.pass(10 * DAY, 10 * DAY).await;
        let mark = plane.mark().await;
        plane.end(long, Outcome::Succeeded).await;
        let all_outcomes = endings.iter().chain([&Outcome::Lost]);
        for (outcome, uid) in all_outcomes.zip(&ended) {
            let old = |age| Retention::keep_all().with_age(*outcome, Some(age));
            // As old as its age is not older.
            assert_eq!(plane.plan(&old(10 * DAY)).await.len(), 0, "{outcome}");
            let young = 10 * DAY - Duration::from_micros(1);
            let plan = plane.plan(&old(young)).await;
            assert_eq!(planned(&plan, Reason::Aged), set([*uid]), "{outcome}");
        }
        let pruned = plane.prune(&aged(9)).await;
        assert_eq!((pruned.removed.aged, pruned.removed.over_cap), (5, 0));
        assert_eq!(plane.uids().await, set([mark, long]));
    }
}

#[tokio::test]
async fn a_clock_that_runs_ahead_removes_nothing_that_is_not_old_in_the_store() {
    for plane in Plane::each().await {
        let old = plane.many(3).await;
        plane.pass(20 * DAY, 10 * DAY).await;
        let new = plane.many(3).await;
        let newest = plane.clock.now();
        let ahead = Timestamp::from_seconds(ERA * 10);
        for now in [ahead, Timestamp::from_micros(i64::MAX), newest] {
            let policy = aged(30);
            let mut plan = retention::plan(&*plane.store, &policy, now);
            while let Some(page) = plan.next().await.unwrap() {
                assert_eq!(page, []);
            }
            assert_eq!(plan.cutoff(), Some(newest));
        }
        // One that runs behind removes less.
        let behind = Timestamp::from_seconds(ERA);
        let counts = retention::plan(&*plane.store, &aged(10), behind).count();
        assert_eq!(counts.await.unwrap().total(), 0);
        let behind = Timestamp::from_micros(i64::MIN);
        let counts = retention::plan(&*plane.store, &aged(10), behind).count();
        assert_eq!(counts.await.unwrap().total(), 0);
        let policy = aged(10).with_pause(Duration::ZERO);
        let pruned = retention::prune(&*plane.store, &policy, ahead)
            .await
            .unwrap();
        assert_eq!(pruned.removed.aged, old.len() as u64);
        assert_eq!(plane.uids().await, set(new));
    }
}

#[tokio::test]
async fn the_newest_completion_is_found_wherever_it_was_created() {
    let plane = Plane::memory().await;
    let long = plane.started(task()).await;
    let old = plane.many(700).await;
    plane.pass(30 * DAY, 30 * DAY).await;
    assert_eq!(plane.plan(&aged(30)).await.len(), 0);
    plane.clock.advance(DAY);
    plane.end(long, Outcome::Succeeded).await;
    let plan = plane.plan(&aged(30)).await;
    assert_eq!(planned(&plan, Reason::Aged), set(old));
}

#[tokio::test]
async fn the_last_of_an_object_are_kept_exactly() {
    for plane in Plane::each().await {
        let of = |bdb| NewAction::state_machine("SMUpdateBDB", ObjectRef::bdb(bdb));
        let mut first = Vec::new();
        let mut second = Vec::new();
        for _ in 0..7 {
            first.push(plane.done(of(1)).await);
            // Related is not the subject.
            let other = RelatedObject::new("source", ObjectRef::bdb(1));
            second.push(plane.done(of(2).with_related(other)).await);
        }
        let single = plane.done(of(3)).await;
        let free = plane.done(task()).await;
        let open = plane.started(of(1)).await;
        plane.pass(100 * DAY, 30 * DAY).await;
        let mark = plane.mark().await;
        let policy = aged(30).with_keep_last(3);
        let gone = first[..4].iter().chain(&second[..4]).chain([&free]);
        let plan = plane.plan(&policy).await;
        assert_eq!(planned(&plan, Reason::Aged), set(gone.copied()));
        plane.prune(&policy).await;
        let kept = first[4..].iter().chain(&second[4..]).copied();
        let kept = set(kept.chain([single, open, mark]));
        assert_eq!(plane.uids().await, kept);
        assert_eq!(plane.prune(&policy).await.removed.total(), 0);
        // Young ones count among the last.
        plane.done(of(1)).await;
        assert_eq!(plane.plan(&policy).await[0].0.uid, first[4]);
    }
}

#[tokio::test]
async fn no_more_than_the_cap_stay_and_those_completed_last_do() {
    for plane in Plane::each().await {
        let long = plane.started(task()).await;
        let uids = plane.many(40).await;
        let open = plane.started(task()).await;
        plane.end(long, Outcome::Succeeded).await;
        let cap = |actions| Retention::keep_all().with_cap(Some(actions));
        for exact in [41, 42] {
            assert_eq!(plane.plan(&cap(exact)).await.len(), 0);
        }
        for (most, keeps) in [(40, 1), (30, 11), (1, 40)] {
            let plan = plane.plan(&cap(most)).await;
            let over = uids.iter().take(keeps).copied();
            assert_eq!(planned(&plan, Reason::OverCap), set(over), "{most}");
        }
        // Overrides the last of an object and what is young.
        let policy = cap(5).with_keep_last(1000).with_batch(7);
        let pruned = plane.prune(&policy).await;
        assert_eq!((pruned.removed.over_cap, pruned.batches), (36, 6));
        let stay = set(uids[36..].iter().copied().chain([long, open]));
        assert_eq!(plane.uids().await, stay);
        assert_eq!(plane.prune(&policy).await.batches, 0);
    }
}

#[tokio::test]
async fn the_cap_is_exact_over_many_pages() {
    let plane = Plane::memory().await;
    let uids = plane.many(2600).await;
    for most in [2599, 2101, 2100, 1600, 1599, 501, 500, 3, 1] {
        let policy = Retention::keep_all().with_cap(Some(most));
        let expected = set(uids.iter().rev().take(most as usize).copied());
        let plan = plane.plan(&policy).await;
        assert_eq!(plan.len(), 2600 - most as usize);
        let over = planned(&plan, Reason::OverCap);
        assert_eq!(over.intersection(&expected).count(), 0);
    }
    plane
        .prune(&Retention::keep_all().with_cap(Some(1100)))
        .await;
    assert_eq!(plane.uids().await, set(uids[1500..].iter().copied()));
}

#[tokio::test]
async fn an_action_removed_for_its_age_does_not_count_for_the_cap() {
    for plane in Plane::each().await {
        let kept_first = plane.started(task()).await;
        plane.end(kept_first, Outcome::Failed).await;
        plane.many(6).await;
        plane.pass(20 * DAY, 10 * DAY).await;
        let young = plane.many(4).await;
        let policy = Retention::keep_all().with_cap(Some(10));
        let policy = policy.with_age(Outcome::Succeeded, Some(10 * DAY));
        let plan = plane.plan(&policy).await;
        assert_eq!(planned(&plan, Reason::Aged).len(), 6);
        assert_eq!(planned(&plan, Reason::OverCap).len(), 0);
        let pruned = plane.prune(&policy.clone().with_cap(Some(9))).await;
        assert_eq!((pruned.removed.aged, pruned.removed.over_cap), (6, 1));
        assert_eq!(plane.uids().await, set(young));
    }
}

#[tokio::test]
async fn pinned_and_unfinished_stay_whatever_the_policy() {
    for plane in Plane::each().await {
        let uids = plane.many(20).await;
        let queued = plane.store.create(task()).await.unwrap().uid;
        let executing = plane.started(task()).await;
        for uid in [uids[0], uids[7], uids[19]] {
            plane.pin(uid).await;
        }
        plane.pass(1000 * DAY, DAY).await;
        let mark = plane.mark().await;
        let policy = aged(1);
        let plan = plane.plan(&policy).await;
        assert_eq!(plan.len(), 20, "a plan cannot see pins");
        let pruned = plane.prune(&policy).await;
        assert_eq!((pruned.removed.aged, pruned.pinned), (17, 3));
        assert_eq!((pruned.gone, pruned.changed), (0, 0));
        let stay = [uids[0], uids[7], uids[19], queued, executing, mark];
        assert_eq!(plane.uids().await, set(stay));
        // For the cap as for the age: the pinned ones do not push others out.
        let capped = Retention::keep_all().with_cap(Some(1));
        assert_eq!(plane.prune(&capped).await.pinned, 3);
        assert_eq!(plane.uids().await, set(stay));
    }
}

#[tokio::test]
async fn a_policy_with_nothing_set_removes_nothing_and_the_defaults_are_as_documented() {
    let plane = Plane::memory().await;
    plane.many(30).await;
    plane.pass(10_000 * DAY, 30 * DAY).await;
    plane.mark().await;
    assert_eq!(plane.plan(&Retention::keep_all()).await.len(), 0);
    let default = Retention::new();
    assert_eq!(default.age(Outcome::Succeeded), Some(30 * DAY));
    for outcome in &Outcome::ALL[1..] {
        assert_eq!(default.age(*outcome), Some(90 * DAY), "{outcome}");
    }
    assert_eq!((default.keep_last, default.cap), (10, Some(1_000_000)));
    assert_eq!((default.batch, default.batch_bytes), (50, 256 * 1024));
    assert_eq!(plane.prune(&default).await.removed.aged, 30);
    let empty = MemoryStore::new();
    let counts = retention::plan(&empty, &default, plane.clock.now()).count();
    assert_eq!(counts.await.unwrap().total(), 0);
}

#[tokio::test]
async fn a_policy_beyond_its_limits_is_refused() {
    let plane = Plane::memory().await;
    for policy in [
        Retention::new().with_keep_last(1001),
        Retention::new().with_cap(Some(0)),
        Retention::new().with_batch(0),
        Retention::new().with_batch(1001),
    ] {
        let now = plane.clock.now();
        let counts = retention::plan(&*plane.store, &policy, now).count().await;
        assert_eq!(counts.unwrap_err().kind(), StoreErrorKind::Invalid);
        let kept = policy.spawn(plane.store.clone(), Clock::system(), DAY);
        assert_eq!(kept.unwrap_err().kind(), StoreErrorKind::Invalid);
    }
    let eraser = Eraser::new(&*plane.store, Filter::Tenant("default".into())).with_batch(0);
    assert_eq!(
        eraser.run().await.unwrap_err().kind(),
        StoreErrorKind::Invalid
    );
    let often = Retention::new().spawn(plane.store.clone(), Clock::system(), Duration::ZERO);
    assert_eq!(often.unwrap_err().kind(), StoreErrorKind::Invalid);
}

/// Polls a future a few times and drops it.
async fn drop_after(future: impl Future + Send, polls: usize) {
    fn poll(future: Pin<&mut impl Future>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        future.poll(&mut context).is_ready()
    }
    let mut future = Box::pin(future);
    for _ in 0..polls {
        if poll(future.as_mut()) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_dropped_step_is_taken_up_again() {
    for plane in Plane::each().await {
        let uids = plane.many(120).await;
        let open = plane.started(task()).await;
        let policy = Retention::keep_all().with_cap(Some(20)).with_batch(9);
        let mut pruner = Pruner::new(&*plane.store, &policy, plane.clock.now());
        for polls in 0..200 {
            drop_after(pruner.next(), polls % 5).await;
        }
        while pruner.next().await.unwrap().is_some() {}
        let report = pruner.report();
        assert_eq!(report.removed.over_cap + report.gone, 100, "{report:?}");
        let stay = set(uids[100..].iter().copied().chain([open]));
        assert_eq!(plane.uids().await, stay);
    }
}

#[tokio::test]
async fn another_pruner_goes_on_where_one_was_left() {
    for plane in Plane::each().await {
        let uids = plane.many(50).await;
        let policy = Retention::keep_all().with_cap(Some(10)).with_batch(6);
        let mut removed = 0;
        for _ in 0..3 {
            let mut pruner = Pruner::new(&*plane.store, &policy, plane.clock.now());
            while pruner.next().await.unwrap() == Some(0) {}
            removed += pruner.report().removed.over_cap;
        }
        assert_eq!(removed, 18);
        assert_eq!(plane.prune(&policy).await.removed.over_cap, 22);
        assert_eq!(plane.uids().await, set(uids[40..].iter().copied()));
    }
}

#[tokio::test]
async fn two_that_have_counted_the_same_remove_it_once() {
    let plane = Plane::memory().await;
    let uids = plane.many(2000).await;
    let policy = Retention::keep_all().with_cap(Some(700));
    let now = plane.clock.now();
    // However far the first has come, the second removes all it is to, and the first no more.
    for steps in 1..14 {
        let fresh = Plane::memory().await;
        let uids = fresh.many(1500).await;
        let mut first = Pruner::new(&*fresh.store, &policy, now);
        for _ in 0..steps {
            first.next().await.unwrap();
        }
        fresh.prune(&policy).await;
        while first.next().await.unwrap().is_some() {}
        let stay = set(uids[800..].iter().copied());
        assert_eq!(fresh.uids().await, stay, "{steps}");
    }
    let (one, other) = tokio::join!(plane.prune(&policy), plane.prune(&policy));
    let (removed, gone) = (
        one.removed.total() + other.removed.total(),
        one.gone + other.gone,
    );
    assert_eq!(removed, 1300, "{gone} were gone");
    assert_eq!(plane.uids().await, set(uids[1300..].iter().copied()));
}

#[tokio::test]
async fn concurrent_removals_do_not_stop_a_prune() {
    for plane in Plane::each().await {
        let uids = plane.many(1200).await;
        let policy = Retention::keep_all().with_cap(Some(400)).with_batch(1000);
        let mut pruner = Pruner::new(&*plane.store, &policy, plane.clock.now());
        // At each step the feed that it reads would have expired.
        while pruner.next().await.unwrap().is_some() {
            let uid = plane.done(task()).await;
            let removed = plane.store.action(uid).await.unwrap().unwrap();
            let if_version = removed.version;
            let command = Command::remove(uid, if_version);
            plane.store.command(command).await.unwrap();
        }
        assert_eq!(pruner.report().removed.over_cap, 800);
        assert_eq!(plane.uids().await, set(uids[800..].iter().copied()));
    }
}

#[tokio::test]
async fn where_those_that_stay_are_gone_nothing_later_goes() {
    let plane = Plane::memory().await;
    let uids = plane.many(600).await;
    let policy = Retention::keep_all().with_cap(Some(1)).with_batch(1000);
    let mut pruner = Pruner::new(&*plane.store, &policy, plane.clock.now());
    while pruner.next().await.unwrap() == Some(0) {}
    let last = plane.store.action(uids[599]).await.unwrap().unwrap();
    let (uid, if_version) = (last.uid, last.version);
    let command = Command::remove(uid, if_version);
    plane.store.command(command).await.unwrap();
    let new = plane.many(700).await;
    while pruner.next().await.unwrap().is_some() {}
    let left = plane.uids().await;
    assert_eq!(set(new).difference(&left).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_keeps_the_right_actions_while_others_write() {
    for plane in Plane::each().await {
        let plane = Arc::new(plane);
        let mut old = Vec::new();
        for number in 0..300 {
            old.push(plane.done(task()).await);
            if number % 10 == 0 {
                plane.pin(old[number]).await;
            }
        }
        let waiting = plane.started(task()).await;
        plane.pass(40 * DAY, 30 * DAY).await;
        plane.mark().await;
        let writers: Vec<_> = (0..8)
            .map(|_| {
                let plane = plane.clone();
                tokio::spawn(async move {
                    let mut written = plane.many(15).await;
                    written.push(plane.started(task()).await);
                    written
                })
            })
            .collect();
        let policy = aged(30).with_batch(10);
        let pruned = tokio::join!(plane.prune(&policy), plane.prune(&policy));
        let mut stay = set([waiting]);
        for writer in writers {
            stay.extend(writer.await.unwrap());
        }
        stay.extend(old.iter().step_by(10));
        let left = plane.uids().await;
        assert_eq!(stay.difference(&left).count(), 0, "something was lost");
        assert_eq!(left.len(), stay.len() + 1);
        let removed = pruned.0.removed.total() + pruned.1.removed.total();
        assert_eq!(removed, 270);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cap_holds_while_others_write_and_remove() {
    for plane in Plane::each().await {
        let plane = Arc::new(plane);
        plane.many(200).await;
        let policy = Retention::keep_all().with_cap(Some(50)).with_batch(10);
        let writers: Vec<_> = (0..8)
            .map(|_| {
                let plane = plane.clone();
                tokio::spawn(async move { plane.many(20).await })
            })
            .collect();
        for _ in 0..10 {
            plane.prune(&policy).await;
            assert!(plane.uids().await.len() >= 50);
        }
        for writer in writers {
            writer.await.unwrap();
        }
        plane.prune(&policy).await;
        let left = plane.store.pages(Query::new().with_order(Order::Feed));
        let left = left.collect().await.unwrap();
        assert_eq!(left.len(), 50);
        assert!(left.iter().all(|action| action.status == Status::Completed));
    }
}

#[tokio::test]
async fn erase_removes_all_that_touched_an_object_and_reports_what_stays() {
    for plane in Plane::each().await {
        let node = || ObjectRef::node(7);
        let mut gone = Vec::new();
        for number in 0..30 {
            let new = match number % 2 {
                0 => NewAction::state_machine("SMDrain", node()),
                _ => task().with_related(RelatedObject::new("from", node())),
            };
            gone.push(plane.done(new).await);
        }
        let other = plane.done(task().with_object(ObjectRef::node(8))).await;
        let open = plane.started(task().with_object(node())).await;
        plane.pin(gone[3]).await;
        let eraser = Eraser::new(&*plane.store, Filter::Touches(node()));
        let eraser = eraser.with_batch(7).with_pause(Duration::ZERO);
        let erased = eraser.run().await.unwrap();
        assert_eq!(
            (erased.removed, erased.pinned, erased.unfinished),
            (29, 1, 1)
        );
        assert!(!erased.is_complete());
        let left: Vec<_> = erased
            .left
            .iter()
            .map(|left| (left.uid, left.why))
            .collect();
        assert_eq!(left.len(), 2);
        assert!(left.contains(&(gone[3], Stays::Pinned)));
        assert!(left.contains(&(open, Stays::Unfinished)));
        assert_eq!(plane.uids().await, set([gone[3], other, open]));
    }
}

#[tokio::test]
async fn erase_removes_a_tenant_and_leaves_what_was_created_since() {
    for plane in Plane::each().await {
        let of = |tenant: &str| task().with_tenant(tenant);
        for _ in 0..600 {
            let uid = plane.store.create(of("acme")).await.unwrap().uid;
            let finish = Finish::new(Outcome::Cancelled);
            plane.store.finish(uid, finish, None).await.unwrap();
        }
        let other = plane.done(of("other")).await;
        let mut eraser = Eraser::new(&*plane.store, Filter::Tenant("acme".into()));
        eraser.next().await.unwrap();
        let late = plane.done(of("acme")).await;
        for polls in 0..100 {
            drop_after(eraser.next(), polls % 4).await;
        }
        while eraser.next().await.unwrap().is_some() {}
        let report = eraser.report().clone();
        assert_eq!(report.removed + report.gone, 600);
        assert!(report.is_complete());
        assert_eq!(plane.uids().await, set([other, late]));
        let erased = retention::erase(&*plane.store, Filter::Tenant("acme".into()));
        assert_eq!(erased.await.unwrap().removed, 1);
        assert_eq!(plane.uids().await, set([other]));
    }
}

#[tokio::test]
async fn a_store_says_since_when_its_history_is_whole() {
    for plane in Plane::each().await {
        let since = || retention::history_complete_since(&*plane.store);
        plane.many(3).await;
        assert_eq!(since().await.unwrap(), None);
        let created = plane.clock.now();
        plane.pass(40 * DAY, 30 * DAY).await;
        plane.mark().await;
        plane.prune(&aged(30)).await;
        assert_eq!(since().await.unwrap(), Some(created));
    }
}

#[tokio::test(start_paused = true)]
async fn a_keeper_prunes_at_once_and_again_and_keeps_its_errors() {
    let plane = Plane::memory().await;
    plane.many(5).await;
    plane.pass(40 * DAY, 30 * DAY).await;
    plane.mark().await;
    // As long as the clock is said to advance: it is not believed to run faster.
    let interval = 41 * DAY;
    let keep = aged(30).spawn(plane.store.clone(), plane.clock.clone(), interval);
    let mut prune_task = keep.unwrap();
    assert!(prune_task.last().is_none());
    let began = tokio::time::Instant::now();
    let first = prune_task.round().await.unwrap();
    assert_eq!((first.number, first.pruned.removed.aged), (1, 5));
    assert_eq!(first.at, plane.clock.now());
    assert!(first.error.is_none());
    plane.pass(40 * DAY, 30 * DAY).await;
    plane.mark().await;
    let second = prune_task.round().await.unwrap();
    assert_eq!((second.number, second.pruned.removed.aged), (2, 6));
    assert!(began.elapsed() >= interval);
    assert_eq!(prune_task.last().unwrap().number, 2);
    plane.store.close().await.unwrap();
    let third = prune_task.round().await.unwrap();
    assert_eq!(
        third.error.as_ref().map(StoreError::kind),
        Some(StoreErrorKind::Closed)
    );
    assert!(prune_task.round().await.is_none());
    assert!(prune_task.is_stopped());
    assert_eq!(prune_task.close().await.unwrap().number, 3);
}

#[tokio::test(start_paused = true)]
async fn a_keeper_stops_when_it_is_dropped_or_closed() {
    let plane = Plane::memory().await;
    let keep = || {
        let hour = Duration::from_secs(3600);
        let keep = aged(1).with_batch(1).with_pause(hour);
        let clock = plane.clock.clone();
        keep.spawn(plane.store.clone(), clock, hour).unwrap()
    };
    plane.many(50).await;
    plane.pass(40 * DAY, DAY).await;
    plane.mark().await;
    let prune_task = keep();
    tokio::time::sleep(Duration::from_secs(3600 * 5)).await;
    drop(prune_task);
    let left = plane.uids().await.len();
    assert!((40..50).contains(&left), "{left}");
    tokio::time::sleep(Duration::from_secs(3600 * 50)).await;
    // The store is no longer held either.
    assert_eq!(plane.uids().await.len(), left);
    assert_eq!(Arc::strong_count(&plane.store), 1);
    let prune_task = keep();
    tokio::time::sleep(Duration::from_secs(3600 * 5)).await;
    let round = prune_task.close().await.unwrap();
    let now = plane.uids().await.len();
    assert_eq!(round.pruned.removed.aged, (left - now) as u64);
    assert!(now < left && now > 20, "{now}");
    tokio::time::sleep(Duration::from_secs(3600 * 50)).await;
    assert_eq!(plane.uids().await.len(), now);
}
