//! Service provider interface: what the author of a store needs beyond the trait.
//!
//! The [guide](crate::guide::custom_store) shows how the pieces fit together.
//!
//! Writing:
//!
//! - [`read_set`] checks a batch and lists the rows that it needs. [`plan`] decides the batch on a
//!   [`TxnState`] with these rows. [`WriteSet`] has the changes to save.
//!
//! - [`Position::next_revisions`](crate::query::Position::next_revisions) numbers the changes, and
//!   [`Position::apply`](crate::query::Position::apply) returns the position after the commit.
//!
//! - [`Key`] is a unique key that an action holds, exclusive or idempotent.
//!
//! - [`AccessPath::of`] lists the indexes that contain an action, and [`AccessPath::changes`] those
//!   that an update changes.
//!
//! - [`trim_log`] says which entries a log loses that has become too long.
//!
//! - [`GroupWriter`] takes the batches of all callers, and commits those that wait together.
//!
//! - [`Group::commit_rows`] is the whole commit of a store that keeps an action with its log in one
//!   [`ActionRow`]. Such a store implements [`ReadRows`] and saves [`RowChanges`].
//!
//! Reading:
//!
//! - [`Query::access_paths`](crate::Query::access_paths) lists the indexes that a query can read.
//!   [`TimeRanges`] and [`BlockTimes`] find the actions of a range of times.
//!
//! - [`Page::fill`](crate::Page::fill), [`Page::fill_log`](crate::Page::fill_log) and
//!   [`Page::fill_owners`](crate::Page::fill_owners) check a query and its cursor, and fill a page.
//!
//! - [`PositionWatch`] is `changed`, closing and waking.
//!
//! Storing:
//!
//! - [`codec`] encodes actions, log entries and owners. A store that keeps them in this form keeps
//!   every field, fields of a later version included, and finds damage.
//!
//! - Words have codes both ways, as [`Status::code`](crate::Status::code) and
//!   [`Status::from_code`](crate::Status::from_code): status, outcome, source, kind of log entry,
//!   kind of [key](KeyKind), and the state and end of an owner.
//!   [`Json::from_stored`](crate::Json::from_stored) wraps a text that was checked before.
//!
//! The rules:
//!
//! - [`TRANSITIONS`] is the table of the legal changes of an action. [`CheckError`] says why a query
//!   or a batch is refused before the store is read.

mod action_row;
pub(crate) mod claim;
pub(crate) mod deadline;
mod group_writer;
mod page;
mod position_watch;
mod rows;
pub(crate) mod write_queue;
pub(crate) mod write_request;
pub(crate) mod write_sender;

pub use crate::model::codec;
pub use crate::model::{
    AccessPath, Authority, BlockTimes, CheckError, Digest, Event, Key, KeyKind, ReadSet, SELECTIVE,
    TRANSITIONS, TimeRanges, Transition, TxnState, WriteSet, plan, read_set, trim_log,
};
pub use action_row::ActionRow;
pub use group_writer::{CommitError, Committed, Group, GroupWriter};
#[cfg(feature = "_sql")]
pub(crate) use page::another_branch;
pub use position_watch::PositionWatch;
pub use rows::{ReadRows, RowChanges, StoreState};
pub use write_request::Answers;
