//! How `ActionStoreExt` uses the answers of a store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use action_store::owner::{Owner, OwnerQuery};
use action_store::query::{Position, Revision};
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, Capabilities, Command, Done, Error,
    ErrorKind, Filter, Finish, LogEntry, LogQuery, MemoryStore, NewAction, Outcome, Page, Query,
    Rejection, StoreError, StoreErrorKind,
};
use async_trait::async_trait;

/// Does everything and tells all of it but the last.
#[derive(Debug, Default)]
struct Terse(MemoryStore);

#[async_trait]
impl ActionStore for Terse {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        let mut answers = self.0.write(batch).await?;
        answers.pop();
        Ok(answers)
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.0.get(uids).await
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        self.0.list(query).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        self.0.log(query).await
    }

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        self.0.owners(query).await
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        self.0.changed(after).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.0.close().await
    }
}

#[tokio::test]
async fn an_answer_short_of_the_batch_is_an_error_and_not_half_an_answer() {
    let create = || Command::create(NewAction::task("one of two"));
    let store = Terse::default();
    let batch = Batch::each(vec![create(), create()]);
    let error = store.write_repeating(batch).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    let error = store.command(create()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_pin_keeps_an_action_until_it_is_let_go() {
    let store = MemoryStore::new();
    let uid = store.create(NewAction::task("a")).await.unwrap().uid;
    assert_eq!(store.pin(uid, true).await.unwrap().uid, uid);
    let end = Finish::new(Outcome::Cancelled);
    let ended = store.finish(uid, end, None).await.unwrap();
    let remove = || Command::remove(uid, ended.version);
    let refused = store.command(remove()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    // Twice is as good as once, and it is no change of the action.
    store.pin(uid, true).await.unwrap();
    assert_eq!(store.pin(uid, false).await.unwrap(), ended);
    store.command(remove()).await.unwrap();
    let missing = store.pin(uid, true).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn a_busy_store_and_an_unknown_outcome_are_retryable_and_nothing_else_is() {
    for (kind, of_error, retryable) in [
        (StoreErrorKind::Unavailable, ErrorKind::Unavailable, true),
        (
            StoreErrorKind::OutcomeUnknown,
            ErrorKind::OutcomeUnknown,
            true,
        ),
        (StoreErrorKind::Invalid, ErrorKind::Invalid, false),
        (StoreErrorKind::Unsupported, ErrorKind::Unsupported, false),
        (
            StoreErrorKind::CursorExpired,
            ErrorKind::CursorExpired,
            false,
        ),
        (StoreErrorKind::Corrupt, ErrorKind::Corrupt, false),
        (StoreErrorKind::Incompatible, ErrorKind::Incompatible, false),
        (StoreErrorKind::Closed, ErrorKind::Closed, false),
    ] {
        let error = StoreError::new(kind, "write", "as it was told to");
        assert_eq!(error.is_retryable(), retryable, "{kind:?}");
        let error = Error::from(error);
        assert_eq!(error.kind(), of_error);
        assert_eq!(error.is_retryable(), retryable, "{kind:?}");
    }
    let refused = Error::from(Rejection::NotFound(ActionUid::new()));
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    assert!(!refused.is_retryable());
}

#[tokio::test]
async fn a_count_takes_any_bound() {
    let store = MemoryStore::new();
    store.create(NewAction::task("a")).await.unwrap();
    let of_name = [Filter::Name("a".into())];
    let counts = store.count(&of_name, u32::MAX).await.unwrap();
    assert_eq!((counts.total(), counts.is_exact()), (1, true));
}

#[test]
fn a_filter_is_made_of_a_text_that_a_person_wrote() {
    for (text, filter) in [
        ("backup_bdb", Filter::Name("backup_bdb".into())),
        ("SM*", Filter::NamePrefix("SM".into())),
        ("SM**", Filter::NamePrefix("SM*".into())),
        ("*SM", Filter::Name("*SM".into())),
    ] {
        assert_eq!(Filter::name_or_prefix(text), filter, "{text}");
    }
    for (text, filter) in [
        ("region", Filter::label_key("region")),
        ("region=eu-1", Filter::label("region", "eu-1")),
        ("region=", Filter::label("region", "")),
        ("query=a=b", Filter::label("query", "a=b")),
    ] {
        assert_eq!(Filter::label_text(text), filter, "{text}");
    }
}
