//! The parts that all SQL stores share. They name no driver and no database: those are below
//! [`Engine`] and [`ReadEngine`].

mod columns;
mod commit_timer;
mod dialect;
mod doubt;
mod engine;
mod errors;
mod lineage;
mod list;
mod loaded_rows;
mod memory_size;
mod options;
mod pipeline;
mod poll;
mod read_cache;
mod reader;
mod row_writer;
mod saved_rows;
mod scripted;
mod select;
mod store;
mod write_cache;
mod write_loop;
mod writer;

use crate::spi::{deadline, write_queue, write_request, write_sender};

pub(crate) use self::columns::{
    ACTION, CHANGED_ACTION, Columns, ENTRY, KEY, LABEL, NEW_ACTION, NEW_ENTRY, NEW_OWNER, OWNER,
    PIN, POSITION, PROGRESSED_ACTION, TOUCH, Type, copies, flags,
};
pub(crate) use self::dialect::{Dialect, PageText};
pub(crate) use self::engine::{
    Doubt, Encoded, Engine, FoundOne, Frame, Loaded, Phase, ReadEngine, Stored, Verdict,
};
pub(crate) use self::errors::{corrupt, out_of_place};
pub(crate) use self::lineage::Lineage;
pub(crate) use self::list::{
    FirstRow, candidates, count_statement, fewest, must_count, read as read_page,
    statement as page_statement,
};
pub(crate) use self::loaded_rows::{Found, Lookups};
pub(crate) use self::options::SqlOptions;
// Not every database sends notifications.
#[allow(unused_imports)]
pub(crate) use self::poll::PollHint;
pub(crate) use self::row_writer::{RowWriter, encode_action, encode_owner};
pub(crate) use self::saved_rows::{
    Numbers, entries, keys_taken, labels, numbers_of, position, touches, updated,
};
pub(crate) use self::select::{Select, Value};
pub(crate) use self::store::SqlStore;
