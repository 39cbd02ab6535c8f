//! The works that read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::callers::{Caller, closed_loop, cpu_time};
use super::dataset::Dataset;
use super::latencies::Latencies;
use super::ledger::Standing;
use super::measured::Measured;
use super::work::ListBy;
use super::writing::new_action;
use crate::conformance::failure::{Failure, Proof, holds, same};
use crate::conformance::harness::in_time;
use crate::conformance::subject::Subject;
use crate::model::{ActionUid, Cursor, Limits, Order, Position, Query, Status, Version};
use crate::store::{ActionStore, ActionStoreExt};

/// Number of callers and duration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crowd {
    pub(super) callers: usize,
    pub(super) time: Duration,
}

impl Crowd {
    /// Runs the callers on a store. Returns the first failure of a caller.
    pub(super) async fn run<F, Fut, T>(self, caller: F) -> Proof<(Measured, Vec<T>)>
    where
        F: Fn(Caller) -> Fut,
        Fut: Future<Output = (Caller, Proof<T>)> + Send + 'static,
        T: Send + 'static,
    {
        let (measured, ended) = closed_loop(self.callers, self.time, caller).await?;
        Ok((measured, ended.into_iter().collect::<Proof<Vec<T>>>()?))
    }
}

/// Returns the next number of a pseudorandom sequence (SplitMix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(super) async fn get(dataset: &mut Dataset, crowd: Crowd) -> Proof<Measured> {
    holds("initial actions to look up", !dataset.uids.is_empty(), 0)?;
    let uids: Arc<[ActionUid]> = dataset.uids.as_slice().into();
    let run = crowd.run(|mut caller| {
        let (store, uids) = (dataset.store.clone(), uids.clone());
        async move {
            let ended = get_caller(&*store, &uids, &mut caller).await;
            (caller, ended)
        }
    });
    Ok(run.await?.0)
}

async fn get_caller(store: &dyn ActionStore, uids: &[ActionUid], caller: &mut Caller) -> Proof {
    let mut state = caller.number() as u64;
    while caller.goes_on().await {
        let at = random(&mut state) % uids.len() as u64;
        let uid = uids.get(at as usize).copied();
        let uid = uid.ok_or_else(|| Failure::new("the uid of an initial action", "none"))?;
        let found = store.action(uid).await?;
        caller.lap();
        let found = found.map(|action| action.uid);
        same("the requested action", found, Some(uid))?;
    }
    Ok(())
}

pub(super) async fn list(dataset: &mut Dataset, crowd: Crowd, by: ListBy) -> Proof<Measured> {
    let query = dataset.query(by, Limits::DEFAULT_PAGE);
    let expected: Arc<[ActionUid]> = dataset.expected(&query).await?.into();
    let run = crowd.run(|mut caller| {
        let (store, query, expected) = (dataset.store.clone(), query.clone(), expected.clone());
        async move {
            let ended = list_caller(&*store, &query, &expected, &mut caller).await;
            (caller, ended)
        }
    });
    Ok(run.await?.0)
}

async fn list_caller(
    store: &dyn ActionStore,
    query: &Query,
    expected: &[ActionUid],
    caller: &mut Caller,
) -> Proof {
    while caller.goes_on().await {
        let (mut query, mut found) = (query.clone(), Vec::new());
        // A page may be short without being the last. The following pages must contain
        // the rest.
        loop {
            let page = store.list(&query).await?;
            caller.lap();
            found.extend(page.items.iter().map(|action| action.uid));
            query.after = page.next;
            if found.len() >= expected.len() || query.after.is_none() {
                break;
            }
        }
        found.truncate(expected.len());
        let right = found == expected;
        holds("the expected first page", right, (query, found.len()))?;
    }
    Ok(())
}

pub(super) async fn feed(dataset: &mut Dataset, crowd: Crowd) -> Proof<Measured> {
    let count = dataset.uids.len();
    let run = crowd.run(|mut caller| {
        let store = dataset.store.clone();
        async move {
            let ended = feed_caller(&*store, count, &mut caller).await;
            (caller, ended)
        }
    });
    Ok(run.await?.0)
}

async fn feed_caller(store: &dyn ActionStore, count: usize, caller: &mut Caller) -> Proof {
    while caller.goes_on().await {
        let (mut query, mut seen) = (Query::new().with_order(Order::Feed), 0);
        loop {
            let page = store.list(&query).await?;
            caller.lap();
            seen += page.items.len();
            holds("a feed that ends", seen <= count, seen)?;
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        same("the number of actions in the feed", seen, count)?;
    }
    Ok(())
}

pub(super) async fn wait(dataset: &mut Dataset, crowd: Crowd) -> Proof<Measured> {
    let store = dataset.store.clone();
    let (begun, cpu) = (Instant::now(), cpu_time());
    let mut latencies = Latencies::default();
    while begun.elapsed() < crowd.time || latencies.count() == 0 {
        let at = in_time("the position", store.changed(None)).await??;
        let mut waiting = JoinSet::new();
        for _ in 0..crowd.callers {
            let store = store.clone();
            waiting.spawn(async move { wait_above(&*store, at).await });
        }
        // Lets the waiters start. On a runtime with one thread all of them do.
        tokio::task::yield_now().await;
        let sent = Instant::now();
        let uid = dataset.store.create(new_action(0)).await?.uid;
        let standing = Standing {
            status: Status::Queued,
            version: Version::FIRST,
            entries: 1,
        };
        dataset.ledger.write(uid, standing);
        for _ in 0..crowd.callers {
            let heard = in_time("the end of a waiter after a write", waiting.join_next()).await?;
            let heard = heard.ok_or_else(|| Failure::new("a waiting caller", "none"))???;
            latencies.record(heard.saturating_duration_since(sent));
        }
    }
    Ok(Measured::since(begun, cpu, latencies))
}

/// Waits until a change above a position is readable. Returns the time when it was.
async fn wait_above(store: &dyn ActionStore, at: Position) -> Proof<Instant> {
    let mut found = at;
    // `changed` may resolve early, when there is nothing above the position. Then this
    // waits again.
    while found.revision <= at.revision {
        found = store.changed(Some(at.revision)).await?;
    }
    let heard = Instant::now();
    let after = Some(Cursor::feed(at, at.revision));
    let feed = Query::new().with_order(Order::Feed).with_after(after);
    let page = store.list(&feed).await?;
    let readable = !page.items.is_empty();
    holds("a change above the requested revision", readable, found)?;
    Ok(heard)
}

/// Closes and opens the store repeatedly. There must be no other user of it.
pub(super) async fn reopen(
    mut subject: Subject,
    first: Option<ActionUid>,
    time: Duration,
) -> Proof<(Subject, Measured)> {
    let (begun, cpu) = (Instant::now(), cpu_time());
    let mut latencies = Latencies::default();
    loop {
        let closing = Instant::now();
        subject = subject.reopened().await?;
        if let Some(uid) = first {
            let found = subject.store.action(uid).await?.map(|action| action.uid);
            same("an action after reopening", found, Some(uid))?;
        }
        latencies.record(closing.elapsed());
        if begun.elapsed() >= time {
            return Ok((subject, Measured::since(begun, cpu, latencies)));
        }
    }
}
