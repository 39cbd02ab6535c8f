//! The parts that all SQL stores share. They name no driver and no database: those are below
//! [`Engine`] and [`ReadEngine`].

mod commit_timer;
mod dialect;
mod doubt;
mod engine;
mod errors;
mod lineage;
mod list;
mod memory_size;
mod pipeline;
mod poll;
mod read_cache;
mod reader;
#[cfg(test)]
mod scripted;
mod select;
mod store;
mod write_cache;
mod write_loop;
mod writer;

use crate::spi::{deadline, write_queue, write_request, write_sender};

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
pub(crate) use self::select::{Select, Value};
pub(crate) use self::store::{Settings, SqlStore};
