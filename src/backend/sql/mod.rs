//! The parts that all SQL stores share. They name no driver and no database: those are below
//! [`Engine`] and [`ReadEngine`].

mod deadline;
#[allow(dead_code)]
mod engine;
mod errors;
mod lineage;
mod memory_size;
mod read_cache;
mod write_cache;
mod write_queue;

pub(crate) use self::deadline::deadline;
pub(crate) use self::engine::{Frame, Phase, Stored};
pub(crate) use self::errors::{corrupt, out_of_place};
pub(crate) use self::lineage::Lineage;
pub(crate) use self::read_cache::ReadCache;
pub(crate) use self::write_cache::{Applied, Remembered, WriteCache};
pub(crate) use self::write_queue::{
    Answers, Claim, ROOM_UNIT, WriteQueue, WriteRequest, about_owners, answer_all, answer_each,
};
