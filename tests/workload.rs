//! The workloads: each runs on both stores, and none of them measures a store that loses something.
#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use action_store::command::Effect;
use action_store::conformance::workload::{ListBy, Measured, Work, Workload};
use action_store::conformance::{Failure, Subject};
use action_store::owner::{Owner, OwnerQuery};
use action_store::query::{Position, Revision};
use action_store::{
    Action, ActionStore, ActionUid, Batch, Capabilities, Command, Done, LogEntry, LogQuery,
    MemoryStore, Order, Page, Query, Rejection, StoreError,
};
use async_trait::async_trait;

/// A page and a half.
const DATASET: u64 = 150;

fn short(work: Work) -> Workload {
    Workload::new(work)
        .with_callers(4)
        .with_dataset(DATASET as usize)
        .with_time(Duration::from_millis(5))
}

fn check(work: Work, measured: &Measured) {
    assert!(measured.calls() > 0, "{work:?}: {measured:?}");
    assert!(measured.took > Duration::ZERO);
    assert!(measured.latencies.quantile(0.5) <= measured.latencies.quantile(0.99));
    assert!(measured.latencies.quantile(0.999) <= measured.latencies.longest());
    let dataset = DATASET - measured.removed;
    match work {
        Work::Create | Work::Wait => assert!(measured.rows > dataset),
        Work::Life => assert_eq!(measured.rows, dataset + measured.calls() / 6),
        Work::Prune => {
            assert!(measured.removed > 0);
            let removed = format!(", {} actions removed", measured.removed);
            assert!(measured.to_string().ends_with(&removed), "{measured}");
            assert_eq!(measured.rows, dataset + measured.calls() / 6);
        }
        _ => assert_eq!((measured.rows, measured.removed), (DATASET, 0)),
    }
    if cfg!(target_os = "linux") {
        assert!(measured.cpu.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_work_runs_in_memory() {
    for work in Work::all() {
        if work == Work::Reopen {
            continue;
        }
        let measured = short(work).run(Subject::new(MemoryStore::new())).await;
        check(work, &measured.unwrap());
    }
}

#[test]
fn every_work_is_named_like_its_variant() {
    let mut names = Vec::new();
    for work in Work::all() {
        // For example `List(TouchesAny)`.
        let variant = format!("{work:?}").replace(['(', ')'], "");
        let mut expected = String::new();
        for letter in variant.chars() {
            if letter.is_uppercase() && !expected.is_empty() {
                expected.push('_');
            }
            expected.extend(letter.to_lowercase());
        }
        assert_eq!(work.name(), expected);
        names.push(expected);
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), Work::all().len());
}

#[tokio::test]
async fn a_store_that_cannot_be_reopened_fails_the_reopen_measurement() {
    let reopen = short(Work::Reopen);
    let failure = reopen.run(Subject::new(MemoryStore::new())).await;
    assert_eq!(failure.unwrap_err().case, "reopen");
    let none = short(Work::Get).with_dataset(0);
    let failure = none.run(Subject::new(MemoryStore::new())).await;
    assert_eq!(failure.unwrap_err().case, "get");
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_work_runs_in_sqlite_and_is_weighed() {
    for work in Work::all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("actions.db");
        let file = path.clone();
        let workload = short(work).with_bytes(move || Some(file.metadata().ok()?.len()));
        let store = action_store::SqliteStore::open(&path).await.unwrap();
        let subject = Subject::new(store)
            .with_reopen(move || action_store::SqliteStore::open(path.clone()))
            .with_kept(dir);
        let measured = workload.run(subject).await.unwrap();
        check(work, &measured);
        let bytes = measured.bytes_a_row().unwrap();
        assert!((200.0..20_000.0).contains(&bytes), "{bytes}");
    }
}

/// The occasional error of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Says that a batch is done without doing it.
    AcknowledgesWithoutWriting,
    /// Says that a removal is done without doing it.
    KeepsWhatIsRemoved,
    /// Loses a row from `get`.
    LosesFromGet,
    /// Answers with another action.
    MistakesAnAction,
    /// Loses a row from lists of this order.
    LosesFrom(Order),
    /// Loses an entry of the log.
    LosesFromLog,
    /// Ignores the terms of a query.
    IgnoresTerms,
    /// Says that something changed before anything did.
    HearsTooEarly,
}

/// A store whose calls go wrong once so many went well.
#[derive(Debug)]
struct Lossy {
    inner: MemoryStore,
    fault: Fault,
    well: AtomicUsize,
}

impl Lossy {
    fn subject(fault: Fault, well: usize) -> Subject {
        Subject::new(Lossy {
            inner: MemoryStore::new(),
            fault,
            well: AtomicUsize::new(well),
        })
    }

    /// Returns true if this call must fail.
    fn now(&self, fault: Fault) -> bool {
        let down = |left: usize| left.checked_sub(1);
        self.fault == fault
            && self
                .well
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, down)
                .is_err()
    }
}

#[async_trait]
impl ActionStore for Lossy {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        if let [Command::Create { new, .. }] = &batch.commands[..]
            && self.now(Fault::AcknowledgesWithoutWriting)
        {
            let at = action_store::Timestamp::from_micros(1);
            let action = Arc::new(Action::new(new, new.digest(), at));
            return Ok(vec![Ok(Done::new(Effect::Applied, Some(action)))]);
        }
        if let [Command::Remove { .. }, ..] = &batch.commands[..]
            && self.now(Fault::KeepsWhatIsRemoved)
        {
            let done = Done::new(Effect::Applied, None);
            return Ok(vec![Ok(done); batch.commands.len()]);
        }
        self.inner.write(batch).await
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        let mut found = self.inner.get(uids).await?;
        if self.now(Fault::LosesFromGet) {
            found[0] = None;
        }
        if self.now(Fault::MistakesAnAction) {
            let page = self.inner.list(&Query::new().with_limit(2)).await?;
            let other = page.items.into_iter().find(|action| action.uid != uids[0]);
            found[0] = other;
        }
        Ok(found)
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        let mut query = query.clone();
        if self.fault == Fault::IgnoresTerms {
            query.filters.clear();
        }
        let mut page = self.inner.list(&query).await?;
        if !page.items.is_empty() && self.now(Fault::LosesFrom(query.order)) {
            page.items.pop();
        }
        Ok(page)
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        let mut page = self.inner.log(query).await?;
        if self.now(Fault::LosesFromLog) {
            page.items.pop();
        }
        Ok(page)
    }

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        self.inner.owners(query).await
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        if after.is_some() && self.fault == Fault::HearsTooEarly {
            let mut at = self.inner.changed(None).await?;
            at.revision = Revision::new(at.revision.get() + 1);
            return Ok(at);
        }
        self.inner.changed(after).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}

async fn failure(work: Work, fault: Fault, well: usize) -> Failure {
    let measured = short(work).run(Lossy::subject(fault, well)).await;
    match measured {
        Ok(measured) => panic!("{work:?} measured a store that {fault:?}: {measured}"),
        Err(failure) => failure,
    }
}

#[tokio::test]
async fn a_store_that_loses_something_is_not_measured() {
    let oldest = Work::List(ListBy::Oldest);
    let newest = Work::List(ListBy::Newest);
    let named = Work::List(ListBy::Name);
    for (work, fault, well, says) in [
        // The second create of the crowd.
        (
            Work::Create,
            Fault::AcknowledgesWithoutWriting,
            1,
            "acknowledged action",
        ),
        // The verification of the dataset, and in the middle of the crowd.
        (Work::Life, Fault::LosesFromGet, 0, "acknowledged action"),
        (
            Work::Life,
            Fault::MistakesAnAction,
            0,
            "acknowledged action",
        ),
        (Work::Get, Fault::LosesFromGet, 2, "the requested action"),
        (
            Work::Get,
            Fault::MistakesAnAction,
            2,
            "the requested action",
        ),
        (
            oldest,
            Fault::LosesFrom(Order::Oldest),
            2,
            "the expected first page",
        ),
        (
            newest,
            Fault::LosesFrom(Order::Newest),
            1,
            "the expected first page",
        ),
        (
            Work::Feed,
            Fault::LosesFrom(Order::Feed),
            1,
            "the number of actions in the feed",
        ),
        (
            Work::Life,
            Fault::LosesFrom(Order::Oldest),
            0,
            "acknowledged action",
        ),
        (
            Work::Life,
            Fault::LosesFrom(Order::Newest),
            0,
            "acknowledged action",
        ),
        (
            Work::Life,
            Fault::LosesFrom(Order::Feed),
            0,
            "acknowledged action",
        ),
        (named, Fault::IgnoresTerms, 0, "the expected first page"),
        (Work::Life, Fault::LosesFromLog, 0, "in the log"),
        (
            Work::Prune,
            Fault::KeepsWhatIsRemoved,
            0,
            "removed actions stay removed",
        ),
        (
            Work::Wait,
            Fault::HearsTooEarly,
            0,
            "above the requested revision",
        ),
    ] {
        let failure = failure(work, fault, well).await;
        assert_eq!(failure.case, work.name());
        assert!(failure.expected.contains(says), "{fault:?}: {failure}");
    }
}
