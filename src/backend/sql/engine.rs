//! The interface between a database and the shared writer and readers.
//!
//! An engine decides nothing about actions. It loads the rows that a plan needs, writes what the
//! plan says, and tells what became of a commit.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::error::StoreError;
use crate::model::{
    Action, ActionUid, LogEntry, LogQuery, Owner, OwnerQuery, Page, Position, Query, ReadSet,
    Timestamp, TxnState, WriteSet,
};

/// The point at which a transaction failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before COMMIT was sent: nothing was or will be applied.
    Before,
    /// At COMMIT, with an unknown outcome. The transaction may be applied, or may appear after a
    /// crash.
    Commit,
}

/// Position of the store, as read inside the transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) revision: i64,
    pub(crate) pruned_through: i64,
    pub(crate) pruned_created: Option<i64>,
    pub(crate) actions: i64,
    pub(crate) last_number: i64,
    pub(crate) last_entry: i64,
    /// Number of the transaction that was committed last: a random one on SQLite, the next higher
    /// one on PostgreSQL. It tells what became of a doubtful commit.
    pub(crate) last_commit: i64,
}

/// The part of its transaction that a [`Save`](Engine::Save) contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame {
    /// All of it, for a plan made from the cache.
    BeginAndCommit,
    /// The rest of a transaction that loaded the plan's data.
    Commit,
    /// A part of the host's transaction, which the host commits.
    Inside,
}

/// The data that a group of batches needs, as read in the transaction that will save the changes.
pub(crate) struct Loaded {
    pub(crate) txn: TxnState,
    pub(crate) stored: Stored,
    /// The number of each loaded action.
    pub(crate) numbers: HashMap<ActionUid, i64>,
    /// Time of the plan. Read after the transaction has its lock: another writer may have held it
    /// for seconds, and written later timestamps.
    pub(crate) now: Timestamp,
    /// Batches that cannot be planned now, by their index: a host's transaction has rows of theirs
    /// locked. The writer plans the others, and tries these again in a later transaction. Always
    /// empty if the database cannot lock single rows.
    pub(crate) blocked: Vec<usize>,
}

/// Changes in the form in which they are sent.
pub(crate) trait Encoded {
    /// Returns the position after the commit, as far as it is known in advance.
    fn expected(&self) -> Stored;

    /// Returns the number of each action, including new ones.
    fn numbers(&self) -> &HashMap<ActionUid, i64>;
}

/// A transaction whose COMMIT failed.
pub(crate) struct Doubt<E: Engine> {
    /// Position of the store before the transaction.
    pub(crate) before: Stored,
    /// The changes that were sent, with what identifies their transaction.
    pub(crate) save: E::Save,
    pub(crate) error: E::Error,
}

/// Outcome of a doubtful commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was applied, and is durable now.
    Applied(Stored),
    /// It was not applied, and never will be.
    NotApplied,
    /// Another writer has committed since, so it cannot be told. The batches are planned again: if
    /// the transaction was applied, the new plan finds it and answers `Already`.
    Overtaken,
    /// The store could not be reached in time.
    Unknown,
}

/// A database as its one writer task uses it.
///
/// The writer takes a connection, runs a transaction on it, and then either
/// [hands it back](Engine::hand_back) or [gives it up](Engine::give_up). No future of this trait is
/// dropped before it has ended, except with the runtime.
pub(crate) trait Engine: Send + Sync + Sized + 'static {
    type Connection: Send + Sync;

    type Save: Encoded + Send + Sync;

    /// The driver's error.
    type Error: Send + Sync;

    /// Maximum time for finding out whether a transaction was applied.
    const PATIENCE: Duration;

    /// Returns true if plans are made from the write cache. Return true only if no other process
    /// can write: the cache also answers refusals then, which no guard in the transaction checks.
    fn plans_from_memory(&self) -> bool;

    /// Returns the time for a plan that is made from memory. Only called if there are such plans.
    fn now(&self) -> Timestamp;

    /// Returns true while the store may hold data that is not durable. The writer calls
    /// [`connection`](Engine::connection) until it is.
    fn is_in_doubt(&self) -> bool;

    /// Prepares a connection, so that the next use need not wait. Called before the writer takes
    /// batches: until then their callers can withdraw them.
    fn ready(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Gives a prepared connection back that is not needed now.
    fn rest(&mut self);

    /// Lets other writers in after a transaction, if there are any.
    fn give_way(&mut self) -> impl Future<Output = ()> + Send;

    /// Returns a connection for writing. First makes a store in doubt durable.
    fn connection(&mut self) -> impl Future<Output = Result<Self::Connection, StoreError>> + Send;

    /// Takes back a connection that has no open transaction.
    fn hand_back(&mut self, connection: Self::Connection);

    /// Takes back a connection whose transaction failed: rolls back, or closes the connection.
    fn give_up(
        &mut self,
        connection: Self::Connection,
        error: &StoreError,
    ) -> impl Future<Output = ()> + Send;

    /// Rolls back an open transaction. Returns false if that fails.
    fn roll_back(&mut self, connection: &mut Self::Connection)
    -> impl Future<Output = bool> + Send;

    /// Reads the position of the store and all its owners, for a new write cache. Only called if
    /// plans are made from memory.
    fn read_owners(
        &mut self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(Stored, Vec<Owner>), StoreError>> + Send;

    /// Begins a transaction, takes the lock that all writers take, and loads the data that the
    /// batches need. Waits for other writers by itself, up to its own limit.
    fn load(
        &mut self,
        connection: &mut Self::Connection,
        read_sets: &[&ReadSet],
    ) -> impl Future<Output = Result<Loaded, StoreError>> + Send;

    /// Converts changes to the form in which they are sent. `known` has the numbers of the loaded
    /// actions.
    fn encode(
        &self,
        write_set: &WriteSet,
        stored: Stored,
        known: HashMap<ActionUid, i64>,
        frame: Frame,
    ) -> Result<Self::Save, StoreError>;

    /// Sends the changes and commits. Returns the new position, or the point at which it failed.
    ///
    /// With [`Frame::BeginAndCommit`] the transaction must fail before its commit unless the store
    /// is still at the position that the plan assumes.
    fn commit(
        &self,
        connection: &mut Self::Connection,
        save: &mut Self::Save,
    ) -> impl Future<Output = Result<Stored, (Phase, Self::Error)>> + Send;

    /// Ends a transaction that changes nothing. `repeats` is true if an answer is `Already`: it may
    /// refer to another writer's commit, and must not be given before that one is durable.
    fn end_unchanged(
        &mut self,
        connection: &mut Self::Connection,
        repeats: bool,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes the connection whose COMMIT failed. Returns the outcome if it is certain without a new
    /// connection.
    fn examine(
        &mut self,
        failed: Self::Connection,
        doubt: &Doubt<Self>,
    ) -> impl Future<Output = Option<Verdict>> + Send;

    /// Makes one attempt to find out whether a transaction was applied: on a new connection, under
    /// the lock that the transaction held. Returns `None` if the result is inconclusive.
    fn look_up(&mut self, doubt: &Doubt<Self>) -> impl Future<Output = Option<Verdict>> + Send;

    /// Closes the connections, and whatever the store holds of the database.
    fn close(self) -> impl Future<Output = ()> + Send;

    /// Converts an error to the error of the whole write.
    fn error(phase: Phase, error: Self::Error) -> StoreError;

    /// Returns true if one batch of a transaction may be the cause of its failure. The other
    /// batches are then tried without it.
    fn may_lie_with_one(error: &StoreError) -> bool;

    /// Returns true if the same transaction may succeed when all of it is tried again: its
    /// connection was at fault, or another transaction was in its way.
    fn may_succeed_again(error: &StoreError) -> bool;

    /// Returns true if the database refused a transaction because the plan's data is not what is
    /// stored. A plan that was made from memory is then made again from loaded data. Only called if
    /// plans are made from memory.
    fn contradicts(error: &Self::Error) -> bool;
}

/// The result of a look-up for one uid.
pub(crate) type FoundOne = Result<Option<Arc<Action>>, StoreError>;

/// A database as one reader task uses it. Each method reads one moment of the store.
pub(crate) trait ReadEngine: Send + 'static {
    /// Looks up distinct uids in ascending order. The results are in the same order.
    fn get(
        &mut self,
        uids: &[ActionUid],
    ) -> impl Future<Output = Result<Vec<FoundOne>, StoreError>> + Send;

    /// Looks again for uids that were not found, if damage can hide an action. Fails if it finds
    /// any. Does nothing if the database itself detects such damage.
    fn check_absent(
        &mut self,
        uids: &[ActionUid],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    fn list(
        &mut self,
        query: &Query,
    ) -> impl Future<Output = Result<Page<Arc<Action>>, StoreError>> + Send;

    fn log(
        &mut self,
        query: &LogQuery,
    ) -> impl Future<Output = Result<Page<LogEntry>, StoreError>> + Send;

    fn owners(
        &mut self,
        query: &OwnerQuery,
    ) -> impl Future<Output = Result<Page<Owner>, StoreError>> + Send;

    /// Reads the position of the store.
    fn position(&mut self) -> impl Future<Output = Result<Position, StoreError>> + Send;

    /// Closes the connection.
    fn close(self) -> impl Future<Output = ()> + Send;
}
