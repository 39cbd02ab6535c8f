//! Embeddable tracking of a management plane's long-lived actions: what was started, how far it
//! is, how it ended, and after a crash the truth about what it left. It records, never runs.
//!
//! - [`Tracker`] is the face for whoever does the work: it claims an owner name, settles what an
//!   earlier life of it left, begins actions, reports on them, ends them.
//! - [`Watcher`] waits for actions and watches them, from any process that shares the store.
//! - [`ActionStore`] is the seam: eight methods and a contract. [`SqliteStore`] keeps its history
//!   across restarts, [`MemoryStore`] does not; [`ActionStoreExt`] makes any store pleasant.
//! - [`http`] shows what is recorded at the documented read endpoints.
//! - [`transfer`] exports a store as text, imports it, and copies one store into another.
//! - [`retention`] keeps a store small: what may go, what would go, and letting it go.
//! - [`Expectations`] says how long actions of a name take and how often they fail.
//! - [`conformance`] is the proof that a store keeps the contract.
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
//! # The short ways
//!
//! | what is wanted | what does it |
//! | --- | --- |
//! | one at a time for each database | [`NewAction::exclusive_on_object`]; [what keys promise](NewAction#keys) |
//! | a request that comes twice acts once | [`NewAction::with_idempotency_key`] |
//! | an operation made of others | [`Tracker::begin_with_children`], [`Reporter::begin_child`], [`ChildCounts`] |
//! | wait until it is over | [`Tracker::watcher`], [`Watcher::wait`] |
//! | stop it, from anywhere | [`Tracker::cancel`], [`Reporter::cancel_requested`], [`ActionError::cancelled`] |
//! | an error that tells the public nothing | `?` in [`Tracker::run`]; [`ActionError::with_source`] |
//! | what ever happened to node 7 | [`ActionStoreExt::touching`] |
//! | the request or span it belongs to | [`TrackerOptions::with_correlation`] |
//! | how long it still takes | [`Expectations::remaining`] |
//!
//! # Features
//!
//! | feature | | what it adds |
//! | --- | --- | --- |
//! | `sqlite` | default | [`SqliteStore`]: durable storage in a file or a host's pool (bundled SQLite) |
//! | `sqlite-unbundled` | | the same with the SQLite that the host links |
//! | `tracker` | default | [`Tracker`], [`ActionHandle`]: claim, begin, report, finish, recover; [`Watcher`]: wait, watch |
//! | `http` | | [`http`]: the documented read endpoints for axum 0.8; [`Watcher`] |
//! | `console` | | [`http::console`](crate::http::console()): a page for people, over what `http` serves |
//! | `openapi` | | [`http::openapi`](crate::http::openapi()): a description of what `http` serves, in OpenAPI 3.1 |
//! | `conformance` | | [`conformance`]: the public suite, for a store of your own |
//!
//! A feature adds items and never changes behaviour.
#![cfg_attr(docsrs, feature(doc_cfg))]
// The links above lead to items of features that may be off.
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
#[cfg(feature = "http")]
pub mod http;
mod model;
pub mod retention;
mod store;
#[cfg(feature = "tracker")]
mod tracker;
pub mod transfer;
#[cfg(any(feature = "tracker", feature = "http"))]
mod watch;

pub use backend::MemoryStore;
#[cfg(feature = "sqlite-unbundled")]
pub use backend::{SqliteAccess, SqliteDiagnostics, SqliteOptions, SqliteStore};
pub use children::ChildCounts;
pub use clock::Clock;
pub use error::{Error, ErrorKind, StoreError};
pub use expectations::{Expectations, Remaining};
pub use model::{
    Action, ActionError, ActionUid, Authority, Batch, BatchMode, Cancel, CancelRequest, Change,
    Changes, CheckError, Clash, Command, Cursor, CursorError, Detail, Digest, Done, EDGES, Edge,
    Effect, Evidence, Finish, Incarnation, Invalid, Json, Key, KeyKind, Limits, Loaded, LogQuery,
    Move, Needs, NewAction, ObjectRef, ObjectSet, OpId, Order, Outcome, Owner, OwnerEnd, OwnerRef,
    OwnerState, Page, Position, Progress, Query, Refused, RelatedObject, Report, Revision, Source,
    Status, StoreId, Term, Timestamp, Transition, TransitionKind, UnknownWord, Version, needs,
    plan,
};
/// The sqlx that [`SqliteStore::on_pool`] and [`SqliteStore::write_in`] are about, for a host that
/// has another one, or none.
#[cfg(feature = "sqlite-unbundled")]
pub use sqlx;
pub use store::{ActionStore, ActionStoreExt, Capabilities, Durability, Pages};
#[cfg(feature = "tracker")]
pub use tracker::{
    ActionHandle, Correlation, Decide, Failing, Health, LeftQueued, Orphan, Prepared, Recovery,
    Reporter, RunError, Settlement, Spawned, ToBegin, Tracker, TrackerOptions, Unsettled,
};
#[cfg(any(feature = "tracker", feature = "http"))]
pub use watch::{Feed, Waited, Watch, Watcher};

/// The README's example, compiled and run.
#[cfg(all(
    doctest,
    feature = "sqlite-unbundled",
    feature = "tracker",
    feature = "http"
))]
#[doc = include_str!("../README.md")]
struct Readme;
