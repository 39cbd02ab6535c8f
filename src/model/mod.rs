//! The model: actions, the legal changes to them, and the meaning of a query.
//!
//! The model is pure: no I/O, no clock, no async. A backend loads the rows that [`read_set`] lists,
//! calls [`plan`], and saves what [`TxnState::into_write_set`] returns. Backends make no decisions of
//! their own.
//!
//! One exception: [`NewAction::new`], [`OpId::new`], [`OwnerRef::new`] and [`Command::apply`]
//! generate a UUID for callers that do not bring one.

mod action;
mod attributes;
mod branch;
pub mod codec;
mod command;
mod cursor;

mod access_path;
mod extra;
mod fit;
mod identity;
mod json;
mod key;
mod labels;
mod lifecycle;
mod limits;
mod log_entry;
mod new_action;
mod object;
mod owner;
mod owner_query;
mod plan;
mod position;
mod progress;
mod query;
mod query_paths;
mod rejection;
mod report;
mod size;
mod state_set;
mod text_serde;
mod time;
mod time_ranges;
mod warnings;
mod words;
mod workspace;

pub use access_path::AccessPath;
#[cfg(feature = "_sql")]
pub(crate) use access_path::{prefix_end, touched};
pub use action::{Action, ActionError, Cancel, Evidence};
#[cfg(feature = "http")]
pub(crate) use attributes::PENDING_OPS;
#[cfg(feature = "_sql")]
pub(crate) use branch::Fork;
pub(crate) use branch::{Branches, End};
pub use command::{Batch, BatchMode, Change, Command, Done, Effect};
pub use cursor::{Cursor, CursorError};
pub(crate) use extra::Extra;
#[cfg(feature = "tracker")]
pub(crate) use fit::{UNNAMED_CODE, as_prose};
pub use identity::{ActionUid, Digest, OpId, Version};
pub use json::Json;
#[cfg(feature = "http")]
pub(crate) use json::Member;
pub use key::{Key, KeyKind};
pub use labels::Labels;
#[cfg(feature = "_sql")]
pub(crate) use labels::label_text;
pub use lifecycle::{Authority, Event, TRANSITIONS, Transition};
pub use limits::{Invalid, Limits};
pub(crate) use log_entry::check_log;
pub use log_entry::{LogEntry, LogEntryKind, trim_log};
pub use new_action::NewAction;
pub use object::{ObjectRef, ObjectSet, RelatedObject};
pub use owner::{Incarnation, Owner, OwnerRef, OwnerState};
pub use owner_query::OwnerQuery;
#[cfg(feature = "sqlite-unbundled")]
pub(crate) use plan::disconnect;
pub use plan::{ReadSet, plan, read_set};
pub use position::{BranchId, Position, Revision, StoreId};
pub use progress::Progress;
pub use query::{CheckError, Detail, Filter, LogQuery, Order, Page, Query};
pub use query_paths::SELECTIVE;
pub use rejection::{ConflictReason, Rejection};
pub use report::{CancelRequest, Finish, Report};
pub use state_set::StateSet;
pub use time::Timestamp;
#[cfg(any(feature = "tracker", feature = "sqlite-unbundled"))]
pub(crate) use time::as_seconds;
pub use time_ranges::{BlockTimes, TimeRanges};
pub use words::{Outcome, OwnerEnd, Source, Status, UnknownWord};
pub use workspace::{TxnState, WriteSet};
