//! Service provider interface: what the author of a store needs beyond the trait.
//!
//! - [`codec`] encodes actions, log entries and owners. A store that keeps them in this form keeps
//!   every field, fields of a later version included, and finds damage.
//!
//! - [`trim_log`] says which entries a log loses that has become too long.

pub use crate::model::{codec, trim_log};
