//! Service provider interface: what the author of a store needs beyond the trait.
//!
//! - [`read_set`] checks a batch and lists the rows that it needs. [`plan`] decides the batch on a
//!   [`TxnState`] with these rows. [`WriteSet`] has the changes to save.
//!
//! - [`Key`] is a unique key that an action holds, exclusive or idempotent.
//!
//! - [`TRANSITIONS`] is the table of the legal changes of an action.
//!
//! - [`CheckError`] says why a query or a batch is refused before the store is read.
//!
//! - [`codec`] encodes actions, log entries and owners. A store that keeps them in this form keeps
//!   every field, fields of a later version included, and finds damage.
//!
//! - [`trim_log`] says which entries a log loses that has become too long.

mod position_watch;

pub use crate::model::codec;
pub use crate::model::{
    Authority, CheckError, Digest, Event, Key, KeyKind, ReadSet, TRANSITIONS, Transition, TxnState,
    WriteSet, plan, read_set, trim_log,
};
pub(crate) use position_watch::PositionWatch;
