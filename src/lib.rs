//! Embeddable tracking of a management plane's long-lived actions. It records which actions were
//! started, their progress and their outcome, and recovers the records after a crash. It does not run
//! the actions.
//!
//! - [`Tracker`] is for the process that does the work. It claims an owner name, settles the actions
//!   that an earlier run left unfinished, and begins, reports and ends actions.
//!
//! - [`Watcher`] waits for actions and watches them, from any process that shares the store.
//!
//! - [`ActionStore`] is the trait of all stores: eight methods and a contract. [`SqliteStore`] is
//!   durable, [`MemoryStore`] is not. [`ActionStoreExt`] adds convenience methods to any store.
//!
//! - [`http`] serves the recorded actions at the documented read endpoints.
//!
//! - [`transfer`] exports a store as text, imports it, and copies one store into another.
//!
//! - [`retention`] plans and performs the removal of old actions.
//!
//! - [`Expectations`] estimates how long actions of a name take and how often they fail.
//!
//! - [`spi`] has what the author of a store needs: the encoding of stored records.
//!
//! - [`conformance`] is the test suite for implementations of the trait.
//!
//! ```
//! # async fn example(dir: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use action_store::{ActionStoreExt, NewAction, ObjectRef, Progress, SqliteStore, Tracker};
//!
//! let store = Arc::new(SqliteStore::open(dir.join("actions.db")).await?);
//! let tracker = Tracker::start(store.clone(), "plane@host-1").await?;
//!
//! let action = tracker
//!     .begin(NewAction::state_machine("SMCreateBDB", ObjectRef::bdb(1)))
//!     .await?;
//! let uid = action.uid();
//! action.step("load_rows").await?;
//! action.progress(Progress::ratio(250, 1000));
//! action.succeed().await?;
//!
//! let recorded = store.action(uid).await?.ok_or("it is there")?;
//! assert_eq!(recorded.progress, Progress::DONE);
//! # tracker.shutdown().await?;
//! # Ok(())
//! # }
//! # let dir = tempfile::tempdir().unwrap();
//! # tokio::runtime::Runtime::new().unwrap().block_on(example(dir.path())).unwrap();
//! ```
//!
//! # Common tasks
//!
//! | task | API |
//! | --- | --- |
//! | run one action at a time per database | [`NewAction::exclusive_on_object`]; [what keys guarantee](NewAction#keys) |
//! | execute a repeated request once | [`NewAction::with_idempotency_key`] |
//! | split an action into parts | [`Tracker::begin_with_children`], [`Reporter::begin_child`], [`ChildCounts`] |
//! | wait for completion | [`Tracker::watcher`], [`Watcher::wait`] |
//! | cancel an action from any process | [`Tracker::cancel`], [`Reporter::cancel_requested`], [`ActionError::cancelled`] |
//! | hide error details from clients | `?` in [`Tracker::run`]; [`ActionError::with_source`] |
//! | list all actions on node 7 | [`ActionStoreExt::touching`] |
//! | link actions to a request or span | [`TrackerOptions::with_correlation`] |
//! | estimate the remaining time | [`Expectations::remaining`] |
//!
//! # Features
//!
//! | feature | | adds |
//! | --- | --- | --- |
//! | `sqlite` | default | [`SqliteStore`]: durable storage in a file or in the host's pool (bundled SQLite) |
//! | `sqlite-unbundled` | | as `sqlite`, with the SQLite that the host links |
//! | `tracker` | default | [`Tracker`], [`ActionHandle`]: claim, begin, report, finish, recover; [`Watcher`]: wait, watch |
//! | `http` | | [`http`]: the documented read endpoints for axum 0.8; [`Watcher`] |
//! | `console` | | [`http::console`](crate::http::console()): a web page that shows the actions of `http` |
//! | `openapi` | | [`http::openapi`](crate::http::openapi()): an OpenAPI 3.1 description of `http` |
//! | `conformance` | | [`conformance`]: the test suite for your own store |
//!
//! A feature adds items and never changes behaviour.
#![cfg_attr(docsrs, feature(doc_cfg))]
// The links above lead to items of features that may be disabled.
#![cfg_attr(
    not(all(
        feature = "sqlite-unbundled",
        feature = "tracker",
        feature = "console",
        feature = "openapi",
        feature = "conformance"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

mod backend;
mod children;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod expectations;
#[cfg(all(
    any(doc, doctest),
    feature = "sqlite-unbundled",
    feature = "tracker",
    feature = "http",
    feature = "conformance"
))]
pub mod guide;
#[cfg(feature = "http")]
pub mod http;
mod id_gen;
mod model;
pub mod retention;
mod runtime;
pub mod spi;
mod store;
#[cfg(feature = "tracker")]
mod tracker;
pub mod transfer;
#[cfg(any(feature = "tracker", feature = "http"))]
mod watch;

pub use backend::MemoryStore;
#[cfg(feature = "sqlite-unbundled")]
pub use backend::{SqliteAccess, SqliteDiagnostics, SqliteFile, SqliteOptions, SqliteStore};
pub use children::ChildCounts;
pub use clock::Clock;
pub use error::{Error, ErrorKind, StoreError};
pub use expectations::{Expectations, Remaining};
pub use model::{
    Action, ActionError, ActionUid, Authority, Batch, BatchMode, BranchId, Cancel, CancelRequest,
    Change, CheckError, Command, ConflictReason, Cursor, CursorError, Detail, Digest, Done, Effect,
    Event, Evidence, Filter, Finish, Incarnation, Invalid, Json, Key, KeyKind, Limits, LogEntry,
    LogEntryKind, LogQuery, NewAction, ObjectRef, ObjectSet, OpId, Order, Outcome, Owner, OwnerEnd,
    OwnerQuery, OwnerRef, OwnerState, Page, Position, Progress, Query, ReadSet, Rejection,
    RelatedObject, Report, Revision, Source, Status, StoreId, TRANSITIONS, Timestamp, Transition,
    TxnState, UnknownWord, Version, WriteSet, plan, read_set,
};
/// The version of sqlx in the signatures of [`SqliteStore::on_pool`] and [`SqliteStore::write_in`],
/// for hosts that depend on another version or on none.
#[cfg(feature = "sqlite-unbundled")]
pub use sqlx;
pub use store::{ActionStore, ActionStoreExt, Capabilities, Durability, Pages};
#[cfg(feature = "tracker")]
pub use tracker::{
    ActionHandle, CancelOptions, Correlation, Decide, Failing, Health, LeftQueued, OrphanDecision,
    Prepared, Recovery, Reporter, RunError, Settlement, Spawned, ToBegin, Tracker, TrackerOptions,
    Unsettled,
};
#[cfg(any(feature = "tracker", feature = "http"))]
pub use watch::{Feed, Waited, Watch, Watcher};

/// Compiles and runs the README's examples.
#[cfg(all(
    doctest,
    feature = "sqlite-unbundled",
    feature = "tracker",
    feature = "http"
))]
#[doc = include_str!("../README.md")]
struct Readme;
