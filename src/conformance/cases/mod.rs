//! The cases, grouped by topic. Each is one sentence about every store.

mod batches;
mod branches;
mod changed;
mod clock;
mod completion;
mod contention;
mod create;
mod drops;
mod filters;
mod finding;
mod fitting;
mod get;
mod keys;
mod lifecycle;
mod list;
mod log;
mod operations;
mod owner_lists;
mod owners;
mod paging;
mod polls;
mod pruned;
mod pruning;
mod recovery;
mod relations;
mod removal;
mod reopen;
mod reports;
mod scan;
mod taken;
mod texts;
mod transfer;
mod values;
mod variety;
mod walks;

// Shared imports. Each case module imports them with `use super::*`.
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::Case;
use super::check::check_store;
use super::failure::{Failure, Proof, Stop, at_call, demand, holds, pick, same, shown};
use super::harness::{
    Answer, PAGES, apply, apply_as, at_version, claim, create, create_by, fails, fence, finish,
    in_time, joined, log_walk, open, poll_once, poll_times, remove, report, step, summaries, uids,
    walk, write,
};
use super::subject::{Fixture, Subject};
use crate::clock::Clock;
use crate::error::StoreErrorKind;
use crate::model::{
    Action, ActionError, ActionUid, Authority, Batch, BatchMode, CancelRequest, Change, Command,
    ConflictReason, Cursor, Done, Effect, Event, Evidence, Filter, Finish, Json, Limits, LogEntry,
    LogEntryKind, LogQuery, NewAction, ObjectRef, ObjectSet, OpId, Order, Outcome, Owner, OwnerEnd,
    OwnerQuery, OwnerRef, OwnerState, Position, Progress, Query, Rejection, RelatedObject, Report,
    Revision, Source, Status, StoreId, TRANSITIONS, Timestamp, Transition, Version,
};
use crate::store::{ActionStore, ActionStoreExt, CancelAll};

crate::__conformance_cases! { __conformance_register [] }
