//! Embeddable tracking of a management plane's long-lived actions.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
#[cfg(feature = "http")]
pub mod http;
mod model;
mod store;
#[cfg(feature = "tracker")]
mod tracker;

pub use backend::MemoryStore;
#[cfg(feature = "sqlite")]
pub use backend::{SqliteOptions, SqliteStore};
pub use clock::Clock;
pub use error::{Error, ErrorKind, StoreError};
pub use model::{
    Action, ActionError, ActionUid, Authority, Batch, BatchMode, Cancel, CancelRequest, Change,
    Changes, CheckError, Clash, Command, Cursor, CursorError, Detail, Digest, Done, EDGES, Edge,
    Effect, Evidence, Finish, Incarnation, Invalid, Json, Key, KeyKind, Limits, Loaded, LogQuery,
    Move, Needs, NewAction, ObjectRef, OpId, Order, Outcome, Owner, OwnerEnd, OwnerRef, OwnerState,
    Page, Position, Progress, Query, Refused, RelatedObject, Report, Revision, Source, Status,
    StoreId, Term, Timestamp, Transition, TransitionKind, UnknownWord, Version, needs, plan,
};
pub use store::{ActionStore, ActionStoreExt, Capabilities, Durability, Pages};
#[cfg(feature = "tracker")]
pub use tracker::{
    ActionHandle, LeftQueued, Recovery, Reporter, RunError, Spawned, Tracker, TrackerOptions,
    Unsettled,
};
