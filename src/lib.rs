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
//!   durable, [`PostgresStore`] is for several machines, [`MemoryStore`] keeps nothing.
//!   [`ActionStoreExt`] adds convenience methods to any store.
//!
//! - [`http`] serves the recorded actions at the documented read endpoints.
//!
//! - [`transfer`] exports a store as text, imports it, and copies one store into another.
//!
//! - [`retention`] plans and performs the removal of old actions.
//!
//! - [`expectations`] estimates how long actions of a name take and how often they fail.
//!
//! - [`connect`](connect()) opens a store by its [`address`], such as `sqlite:plane.db`.
//!
//! - [`observe`] reports what a store does to the facades `metrics` and `tracing`.
//!
//! - [`spi`] has what the author of a store needs: the decisions, and the encoding of stored records.
//!
//! - [`conformance`] is the test suite for implementations of the trait.
//!
//! The crate root has the types that most programs name. The others are in the modules: [`action`],
//! [`command`], [`query`], [`owner`], [`tracker`], [`watch`], [`sqlite`] and [`postgres`].
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
//! | execute a repeated request once | [`NewAction::with_idempotency_key`], [`Tracker::begin_or_find`], [`Error::is_repeat`] |
//! | split an action into parts | [`Tracker::begin_with_children`], [`Reporter::begin_child`], [`ChildCounts`](action::ChildCounts) |
//! | wait for completion | [`Tracker::watcher`], [`Watcher::wait`] |
//! | cancel an action from any process | [`Tracker::cancel`], [`Reporter::cancel_requested`], [`ActionError::cancelled`] |
//! | cancel many actions | [`ActionStoreExt::cancel_all`], [`Tracker::cancel_all`] |
//! | keep my own rows in step after a crash | [`TrackerOptions::with_on_settled`], [guide](guide::settled) |
//! | end a process without new work | [`Tracker::drain`], [`Tracker::shutdown`] |
//! | hide error details from clients | `?` in [`Tracker::run`]; [`ActionError::with_source`] |
//! | list all actions on node 7 | [`ActionStoreExt::touching`] |
//! | link actions to a request or span | [`TrackerOptions::with_correlation`] |
//! | find actions by a label | [`NewAction::with_label`], [`Filter::label`] |
//! | count actions by status and outcome | [`ActionStoreExt::count`] |
//! | collect metrics and traces | [`Observed`](observe::Observed), [guide](guide::observability) |
//! | estimate the remaining time | [`Expectations::remaining`](expectations::Expectations::remaining) |
//!
//! # Features
//!
//! | feature | | adds |
//! | --- | --- | --- |
//! | `sqlite` | default | [`SqliteStore`]: durable storage in a file or in the host's pool (bundled SQLite) |
//! | `sqlite-unbundled` | | as `sqlite`, with the SQLite that the host links |
//! | `postgres` | | [`PostgresStore`]: a store in a PostgreSQL database, for several processes and machines |
//! | `tracker` | default | [`Tracker`], [`ActionHandle`]: claim, begin, report, finish, recover; [`Watcher`]: wait, watch |
//! | `http` | | [`http`]: the documented read endpoints for axum 0.8; [`Watcher`] |
//! | `console` | | [`http::console`](crate::http::console()): a web page that shows the actions of `http` |
//! | `openapi` | | [`http::openapi`](crate::http::openapi()): an OpenAPI 3.1 description of `http` |
//! | `cli` | | the program `actions`: a store from a shell |
//! | `argon2` | | [`BasicAuth`](http::BasicAuth) with password hashes |
//! | `conformance` | | [`conformance`]: the test suite for your own store |
//! | `tracing` | | spans and events for the facade `tracing`; [`observe::Observed`] |
//! | `metrics` | | metrics for the facade `metrics`; [`observe::Observed`] |
//!
//! A feature adds items and never changes behaviour.
#![cfg_attr(docsrs, feature(doc_cfg))]
// The links above lead to items of features that may be disabled.
#![cfg_attr(
    not(all(
        feature = "sqlite-unbundled",
        feature = "postgres",
        feature = "tracker",
        feature = "console",
        feature = "openapi",
        feature = "argon2",
        feature = "conformance",
        feature = "tracing",
        feature = "metrics"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

pub mod address;
mod backend;
mod children;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
pub mod expectations;
#[cfg(all(
    any(doc, doctest),
    feature = "sqlite-unbundled",
    feature = "postgres",
    feature = "tracker",
    feature = "http",
    feature = "conformance",
    feature = "metrics"
))]
pub mod guide;
#[cfg(feature = "http")]
pub mod http;
mod id_gen;
mod model;
#[cfg(any(feature = "tracing", feature = "metrics"))]
pub mod observe;
pub mod retention;
mod runtime;
pub mod spi;
mod store;
mod telemetry;
#[cfg(feature = "tracker")]
pub mod tracker;
pub mod transfer;
#[cfg(any(feature = "tracker", feature = "http"))]
pub mod watch;

pub use address::connect;
pub use backend::MemoryStore;
#[cfg(feature = "postgres")]
pub use backend::{PostgresOptions, PostgresStore};
#[cfg(feature = "sqlite-unbundled")]
pub use backend::{SqliteOptions, SqliteStore};
pub use clock::Clock;
pub use error::{Error, ErrorKind, StoreError, StoreErrorKind};
pub use model::{
    Action, ActionError, ActionUid, Batch, CancelRequest, Change, Command, Cursor, Done, Filter,
    Finish, Json, Limits, LogEntry, LogQuery, NewAction, ObjectRef, Order, Outcome, OwnerRef, Page,
    Progress, Query, Rejection, RelatedObject, Report, Source, Status, Timestamp,
};
pub use store::{ActionStore, ActionStoreExt, Capabilities, Durability};
#[cfg(feature = "tracker")]
#[doc(inline)]
pub use tracker::{ActionHandle, Reporter, Tracker, TrackerOptions};
#[cfg(any(feature = "tracker", feature = "http"))]
#[doc(inline)]
pub use watch::Watcher;

pub mod action {
    //! Parts of an [`Action`](crate::Action) and of its log.

    pub use crate::children::ChildCounts;
    pub use crate::model::{
        Cancel, Evidence, Invalid, Labels, LogEntryKind, ObjectSet, UnknownWord, Version,
    };
}

pub mod command {
    //! Parts of a [`Command`](crate::Command) and of the answer to it; commands on many actions.

    pub use crate::model::{BatchMode, ConflictReason, Effect, OpId};
    pub use crate::store::{CancelAll, CancelReport};
}

pub mod owner {
    //! Owners as a store knows them. Most programs need only the [`OwnerRef`](crate::OwnerRef).

    pub use crate::model::{Incarnation, Owner, OwnerEnd, OwnerQuery, OwnerState};
}

pub mod query {
    //! Parts of a [`Query`](crate::Query) and of what it returns; positions in a store.

    pub use crate::model::{BranchId, CursorError, Detail, Position, Revision, StateSet, StoreId};
    pub use crate::store::{Pages, StateCount, StateCounts};
}

#[cfg(feature = "postgres")]
pub mod postgres {
    //! Parts for hosts of a [`PostgresStore`](crate::PostgresStore).

    /// The version of sqlx in the signatures of [`PostgresStore::on_pool`] and
    /// [`PostgresOptions::connect_with`], for hosts that depend on another version or on none.
    ///
    /// [`PostgresStore::on_pool`]: crate::PostgresStore::on_pool
    /// [`PostgresOptions::connect_with`]: crate::PostgresOptions::connect_with
    pub use sqlx;
}

#[cfg(feature = "sqlite-unbundled")]
pub mod sqlite {
    //! Inspection and settings of a [`SqliteStore`](crate::SqliteStore).

    pub use crate::backend::{SqliteAccess, SqliteCheck, SqliteDiagnostics, SqliteFile};
    /// The version of sqlx in the signatures of [`SqliteStore::on_pool`] and
    /// [`SqliteStore::write_in`], for hosts that depend on another version or on none.
    ///
    /// [`SqliteStore::on_pool`]: crate::SqliteStore::on_pool
    /// [`SqliteStore::write_in`]: crate::SqliteStore::write_in
    pub use sqlx;
}

/// Compiles and runs the README's examples.
#[cfg(all(
    doctest,
    feature = "sqlite-unbundled",
    feature = "tracker",
    feature = "http"
))]
#[doc = include_str!("../README.md")]
struct Readme;
