//! From store to store, with interruptions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use action_store::owner::{Owner, OwnerQuery};
use action_store::query::{Position, Revision};
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, CancelRequest, Capabilities, Command,
    Done, Filter, LogEntry, LogQuery, MemoryStore, NewAction, Page, Query, Rejection, StoreError,
    StoreErrorKind, transfer,
};
use async_trait::async_trait;
use transfer::{Copier, CopyPoint, Differs, Side, TransferError};

use crate::plant::{all, assert_same, plant};

/// A store that takes few commands per batch and fails every n-th call.
#[derive(Debug)]
struct Frail {
    inner: MemoryStore,
    calls: AtomicUsize,
    fails_each: usize,
    /// The error it returns then. `OutcomeUnknown` is returned after the write.
    kind: StoreErrorKind,
    most: usize,
}

impl Frail {
    fn new(fails_each: usize, kind: StoreErrorKind, most: usize) -> Frail {
        Frail {
            inner: MemoryStore::new(),
            calls: AtomicUsize::new(0),
            fails_each,
            kind,
            most,
        }
    }

    fn call(&self) -> Result<(), StoreError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        match call % self.fails_each {
            0 => Err(StoreError::new(self.kind, "test", "as it was told to")),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl ActionStore for Frail {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.max_commands = self.most;
        capabilities.max_bytes = 64 * 1024;
        capabilities
    }
    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        assert!(batch.commands.len() <= self.most);
        assert!(batch.bytes() <= 64 * 1024 || batch.commands.len() == 1);
        let call = self.call();
        if self.kind != StoreErrorKind::OutcomeUnknown {
            call.clone()?;
        }
        let answers = self.inner.write(batch).await?;
        call.map(|()| answers)
    }
    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        assert!(uids.len() <= self.most);
        self.call()?;
        self.inner.get(uids).await
    }
    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        self.call()?;
        self.inner.list(query).await
    }
    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        self.call()?;
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

#[tokio::test]
async fn a_copy_goes_on_after_every_failure() {
    let from = MemoryStore::new();
    plant(&from, 200).await;
    for kind in [StoreErrorKind::Unavailable, StoreErrorKind::OutcomeUnknown] {
        let to = Frail::new(23, kind, 3);
        let mut copier = Copier::new(&from, &to).with_page(7);
        let mut failures = 0;
        loop {
            match copier.next().await {
                Ok(point) if point.is_done() => break,
                Ok(_) => {}
                Err(TransferError::Store { side, source }) => {
                    assert_eq!((side, source.kind()), (Side::To, kind));
                    failures += 1;
                }
                Err(other) => panic!("{other}"),
            }
            assert!(failures < 1000, "the copy does not get on");
        }
        assert!(failures > 3, "{failures}");
        let report = copier.report();
        assert!(report.is_faithful(), "{report:?}");
        // Each action is counted once, however often its page was gone over.
        let entered = report.entered.imported + report.entered.already;
        assert_eq!((entered, report.verified), (201, 201));
        assert_same(&from, &to.inner).await;
    }
}

#[tokio::test]
async fn a_copy_goes_on_in_another_process() {
    let from = MemoryStore::new();
    plant(&from, 50).await;
    let to = MemoryStore::new();
    let mut point: Option<CopyPoint> = None;
    let (mut imported, mut verified, mut rounds) = (0, 0, 0);
    while !point.is_some_and(|point| point.is_done()) {
        let mut copier = Copier::new(&from, &to).with_page(10);
        if let Some(point) = point {
            copier = copier.with_point(point.to_string().parse().unwrap());
        }
        point = Some(copier.next().await.unwrap());
        // The last page has no cursor behind it, so a process that ends there repeats it.
        if copier.report().entered.already > 0 || (verified >= 40 && imported == 51) {
            point = Some(copier.next().await.unwrap());
        }
        imported += copier.report().entered.imported;
        verified += copier.report().verified;
        rounds += 1;
        assert!(rounds < 40, "the copy does not get on");
    }
    assert_eq!(imported, 51);
    assert!(verified >= 51, "{verified}");
    assert_same(&from, &to).await;
    for bad in ["", "copied", "done:1o.x.1", "copying:", "verifying:1o"] {
        assert!(bad.parse::<CopyPoint>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_difference_is_found() {
    let from = MemoryStore::new();
    plant(&from, 40).await;
    let going = from.create(NewAction::task("going")).await.unwrap().uid;
    let staying = from.create(NewAction::task("staying")).await.unwrap().uid;
    let to = MemoryStore::new();
    assert!(transfer::copy(&from, &to).await.unwrap().is_faithful());
    to.request_cancel(going, CancelRequest::new())
        .await
        .unwrap();
    from.request_cancel(staying, CancelRequest::new())
        .await
        .unwrap();
    let copied = transfer::copy(&from, &to).await.unwrap();
    let found: Vec<_> = copied.differences.iter().map(|d| (d.uid, d.how)).collect();
    assert_eq!(found, [(going, Differs::Ahead), (staying, Differs::Behind)]);
    assert_eq!((copied.verified, copied.different), (41, 2));
    assert_eq!((copied.entered.already, copied.entered.refused), (42, 1));
    assert!(copied.entered.rejections[0].outdated);
}

#[tokio::test]
async fn a_log_that_differs_is_found() {
    let from = MemoryStore::new();
    from.create(NewAction::task("a")).await.unwrap();
    let to = MemoryStore::new();
    let (action, mut log) = all(&from).await.remove(0);
    log[0].note = Some("another history".into());
    to.command(Command::import(action, log)).await.unwrap();
    let copied = transfer::copy(&from, &to).await.unwrap();
    assert_eq!(copied.differences[0].how, Differs::Log);
    assert_eq!((copied.entered.already, copied.verified), (1, 0));
}

#[tokio::test]
async fn only_what_matches_is_copied_and_compared() {
    let from = MemoryStore::new();
    plant(&from, 60).await;
    let to = MemoryStore::new();
    let copier = Copier::new(&from, &to)
        .with_filter(Filter::Unfinished)
        .with_page(9);
    let copied = copier.run().await.unwrap();
    let expected = Query::new().with_filter(Filter::Unfinished);
    let expected = from.pages(expected).collect().await.unwrap();
    assert!(copied.is_faithful() && expected.len() > 10);
    assert_eq!(copied.verified, expected.len() as u64);
    assert_eq!(to.pages(Query::new()).collect().await.unwrap(), expected);
}

#[tokio::test]
async fn an_import_goes_on_after_a_failure() {
    let from = MemoryStore::new();
    plant(&from, 60).await;
    let mut text = Vec::new();
    let mut exporter = transfer::Exporter::new(&from).with_page(20);
    exporter.write_to(&mut text).await.unwrap();
    let text = String::from_utf8(text).unwrap();
    let to = Frail::new(3, StoreErrorKind::Unavailable, 4);
    let mut importer = transfer::Importer::new(&to);
    let mut failures = 0;
    for line in text.lines() {
        while let Err(error) = importer.line(line).await {
            assert!(matches!(error, TransferError::Store { side: Side::To, .. }));
            failures += 1;
            assert!(failures < 100, "the import does not get on");
        }
    }
    assert!(failures > 5, "{failures}");
    let origin = importer.origin().unwrap();
    assert_eq!(origin.store, from.changed(None).await.unwrap().store_id);
    let report = importer.finish().unwrap();
    assert_eq!((report.imported, report.already), (61, 0));
    assert_same(&from, &to.inner).await;
}
