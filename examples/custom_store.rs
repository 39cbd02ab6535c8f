//! A store of one's own: actions in fjall, an ordered key-value store on disk.
//!
//!     cargo run --features conformance --example custom_store
//!
//! Runs every conformance case on the store. Then kills processes that write to it, and checks that
//! every acknowledged write is there. The guide "Write a store" explains the steps.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use action_store::conformance::kill::{KillTest, work_until_killed};
use action_store::conformance::{Subject, Verdict, cases};
use action_store::owner::{Owner, OwnerQuery};
use action_store::query::{BranchId, Position, Revision, StoreId};
use action_store::spi::{self, AccessPath, CommitError, Committed, Group, GroupWriter, Key};
use action_store::spi::{PositionWatch, TxnState, WriteSet, codec};
use action_store::*;
use async_trait::async_trait;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Slice, Snapshot};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

type Result<T, E = StoreError> = std::result::Result<T, E>;

// The tables: the first byte of each key. Numbers are big-endian, so that they sort.
const STATE: u8 = 0; // -> position and last numbers
const ACTION: u8 = 1; // uid -> row of the action, with its log
const CREATED: u8 = 2; // number -> uid
const INDEX: u8 = 3; // index and value, number -> uid
const FEED: u8 = 4; // revision -> uid
const FINISHED: u8 = 5; // completion time, number -> uid
const ENTRY: u8 = 6; // number of a log entry -> uid
const HOLDER: u8 = 7; // tenant, kind, key -> uid
const OWNER: u8 = 8; // claim number -> owner

fn key(table: u8, parts: &[&[u8]]) -> Vec<u8> {
    [&[table], &*parts.concat()].concat()
}

fn row_key(uid: ActionUid) -> Vec<u8> {
    key(ACTION, &[uid.as_uuid().as_bytes()])
}

fn holder_key(held: &Key) -> Vec<u8> {
    // The length keeps "a" with "bc" apart from "ab" with "c".
    let length = (held.tenant.len() as u64).to_be_bytes();
    let (tenant, kind, text) = (
        held.tenant.as_bytes(),
        held.kind.code(),
        held.key.as_bytes(),
    );
    key(HOLDER, &[&length, tenant, &[kind], text])
}

/// A completion time and a number, in this order. The flipped sign sorts times before 1970 first.
fn finished(at: Timestamp, number: u64) -> Vec<u8> {
    let micros = (at.as_micros() as u64) ^ (1 << 63);
    [micros.to_be_bytes(), number.to_be_bytes()].concat()
}

fn corrupt(message: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "read", message)
}

fn failed(error: fjall::Error) -> StoreError {
    let kind = match error {
        fjall::Error::Io(_) | fjall::Error::Poisoned => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Corrupt,
    };
    StoreError::new(kind, "read", "the database failed").with_source(error)
}

fn encode<R: codec::Record>(record: &R) -> Result<Vec<u8>> {
    codec::encode(record).map_err(|error| StoreError::from_codec("write", error))
}

fn decode<R: codec::Record>(bytes: &[u8]) -> Result<R> {
    codec::decode(bytes).map_err(|error| StoreError::from_codec("read", error))
}

fn pack(parts: &impl Serialize) -> Result<Vec<u8>> {
    postcard::to_stdvec(parts).map_err(|_| corrupt("a row cannot be written"))
}

fn unpack<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T> {
    postcard::from_bytes(bytes).map_err(|_| corrupt("a row cannot be read"))
}

fn number_of(key: &[u8]) -> Result<u64> {
    let number = key.last_chunk().copied().map(u64::from_be_bytes);
    number.ok_or_else(|| corrupt("a key is too short"))
}

fn uid_of(bytes: &[u8]) -> Result<ActionUid> {
    let uuid = Uuid::from_slice(bytes).map(ActionUid::from_uuid);
    uuid.map_err(|_| corrupt("a uid cannot be read"))
}

/// An action with its log. A store whose logs are long keeps each entry in a row of its own.
#[derive(Clone)]
struct Row {
    number: u64,
    revision: u64,
    pinned: bool,
    action: Arc<Action>,
    log: Vec<(u64, LogEntry)>,
}

impl Row {
    fn to_bytes(&self) -> Result<Vec<u8>> {
        let entries = self
            .log
            .iter()
            .map(|(number, entry)| Ok((number, encode(entry)?)));
        let (action, log) = (encode(&*self.action)?, entries.collect::<Result<Vec<_>>>()?);
        pack(&(self.number, self.revision, self.pinned, action, log))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Row> {
        type Parts<'b> = (u64, u64, bool, &'b [u8], Vec<(u64, &'b [u8])>);
        let (number, revision, pinned, action, log): Parts<'_> = unpack(bytes)?;
        let log = log
            .into_iter()
            .map(|(number, entry)| Ok((number, decode(entry)?)));
        let (action, log) = (Arc::new(decode(action)?), log.collect::<Result<_>>()?);
        Ok(Row {
            number,
            revision,
            pinned,
            action,
            log,
        })
    }

    /// The keys of the other rows that lead to it.
    fn keys(&self) -> BTreeSet<Vec<u8>> {
        let number = self.number.to_be_bytes();
        let mut paths = AccessPath::of(&self.action);
        paths.push(AccessPath::Uid(self.action.uid));
        let paths = paths.iter().filter_map(AccessPath::to_key);
        let mut keys: BTreeSet<_> = paths.map(|path| key(INDEX, &[&path, &number])).collect();
        let finished = self.action.finished_at.map(|at| finished(at, self.number));
        keys.extend(finished.map(|finished| key(FINISHED, &[&finished])));
        keys.extend([
            key(CREATED, &[&number]),
            key(FEED, &[&self.revision.to_be_bytes()]),
        ]);
        let entries = self
            .log
            .iter()
            .map(|(entry, _)| key(ENTRY, &[&entry.to_be_bytes()]));
        keys.extend(entries);
        keys
    }
}

/// The position of the store, and the last number of an action, a log entry and a claim.
#[derive(Clone, Copy)]
struct State {
    at: Position,
    last: [u64; 3],
}

impl State {
    fn to_bytes(self) -> Result<Vec<u8>> {
        let (at, last) = (self.at, self.last);
        let pruned = (
            at.pruned_through.get(),
            at.pruned_created.map(Timestamp::as_micros),
        );
        pack(&(
            at.store_id.as_uuid().as_u128(),
            at.revision.get(),
            pruned,
            at.actions,
            last,
        ))
    }

    fn from_bytes(bytes: &[u8]) -> Result<State> {
        type Parts = (u128, u64, (u64, Option<i64>), u64, [u64; 3]);
        let (store_id, revision, (through, created), actions, last): Parts = unpack(bytes)?;
        let store_id = StoreId::from_uuid(Uuid::from_u128(store_id));
        let at = Position::new(store_id, BranchId::FIRST, Revision::new(revision))
            .with_pruned(Revision::new(through), created.map(Timestamp::from_micros))
            .with_actions(actions);
        Ok(State { at, last })
    }
}

/// The database at one moment.
struct View(Snapshot, Keyspace);

type Rows = Box<dyn Iterator<Item = Result<(Slice, Slice)>>>;

impl View {
    fn get(&self, key: &[u8]) -> Result<Option<Slice>> {
        self.0.get(&self.1, key).map_err(failed)
    }

    /// The rows whose keys begin with `prefix`, those beyond `after`, in ascending order or newest first.
    fn rows(&self, prefix: &[u8], after: Option<&[u8]>, newest: bool) -> Rows {
        let (first, last) = (prefix.to_vec(), [prefix, &[0xff; 17]].concat());
        let after = after.map(|after| [prefix, after].concat());
        let read = |row: fjall::Guard| row.into_inner().map_err(failed);
        if newest {
            let rows = self.0.range(&self.1, first..after.unwrap_or(last));
            return Box::new(rows.rev().map(read));
        }
        // The next key after another one has a zero byte more.
        let first = after.map_or(first, |after| [&*after, &[0]].concat());
        Box::new(self.0.range(&self.1, first..last).map(read))
    }

    fn state(&self) -> Result<State> {
        let state = self.get(&[STATE])?;
        State::from_bytes(&state.ok_or_else(|| corrupt("the state of the store is missing"))?)
    }

    fn row(&self, uid: ActionUid) -> Result<Option<Row>> {
        let row = self.get(&row_key(uid))?;
        let row = row.map(|bytes| Row::from_bytes(&bytes)).transpose()?;
        match row {
            Some(row) if row.action.uid != uid => Err(corrupt("a row is of another action")),
            row => Ok(row),
        }
    }

    /// Follows a row that leads to an action. Without the action, the store is damaged.
    fn follow(&self, row: Result<(Slice, Slice)>) -> Result<(u64, Row)> {
        let (key, uid) = row?;
        let row = self.row(uid_of(&uid)?)?;
        Ok((
            number_of(&key)?,
            row.ok_or_else(|| corrupt("an action is missing"))?,
        ))
    }

    fn owners(&self) -> Result<BTreeMap<u64, Owner>> {
        let rows = self.rows(&[OWNER], None, false);
        let owner = |(key, owner): (Slice, Slice)| Ok((number_of(&key)?, decode(&owner)?));
        rows.map(|row| row.and_then(owner)).collect()
    }

    fn owns_unfinished(&self, owner: &OwnerRef) -> Result<bool> {
        let path = AccessPath::UnfinishedOf(owner.name.clone());
        let prefix = key(INDEX, &[&path.to_key().unwrap_or_default()]);
        for row in self.rows(&prefix, None, false) {
            if self.follow(row)?.1.action.owner.as_ref() == Some(owner) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn page(&self, query: &Query) -> Result<Page<Arc<Action>>> {
        let path = query.access_paths().iter().find_map(AccessPath::to_key);
        let prefix = match query.order {
            Order::Feed => vec![FEED],
            Order::Finished => vec![FINISHED],
            _ => path.map_or(vec![CREATED], |path| key(INDEX, &[&path])),
        };
        let after = query.after.map(|cursor| match query.order {
            Order::Finished => finished(cursor.finished_at(), cursor.position()),
            _ => cursor.position().to_be_bytes().to_vec(),
        });
        let newest = !matches!(query.order, Order::Oldest | Order::Feed);
        let rows = self.rows(&prefix, after.as_deref(), newest);
        let rows = rows.map(|row| self.follow(row).map(|(number, row)| (number, row.action)));
        Page::fill(rows, query, self.state()?.at)
    }

    fn log_page(&self, query: &LogQuery) -> Result<Page<LogEntry>> {
        let after = query.after.map_or(0, |cursor| cursor.position());
        let at = self.state()?.at;
        if let Some(uid) = query.uid {
            let log = self.row(uid)?.map_or(Vec::new(), |row| row.log);
            let rest = log.into_iter().filter(|(number, _)| *number > after);
            return Page::fill_log(rest.map(Ok), query, at);
        }
        let rows = self
            .rows(&[ENTRY], Some(&after.to_be_bytes()), false)
            .map(|row| {
                let (number, row) = self.follow(row)?;
                let entry = row.log.into_iter().find(|(entry, _)| *entry == number);
                entry.ok_or_else(|| corrupt("a log entry is missing"))
            });
        Page::fill_log(rows, query, at)
    }

    fn owner_page(&self, query: &OwnerQuery) -> Result<Page<Owner>> {
        let after = query.after.map_or(0, |cursor| cursor.position());
        let mut rows = Vec::new();
        for (claim, owner) in self.owners()?.split_off(&after.saturating_add(1)) {
            let ask = query.active && !owner.is_alive();
            if query.matches(&owner, ask && self.owns_unfinished(&owner.owner)?) {
                rows.push(Ok((claim, owner)));
            }
        }
        Page::fill_owners(rows, query, self.state()?.at)
    }
}

/// The changes of a commit. Of several changes of one row, the last one counts.
type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A transaction: one moment of the database, the actions that were loaded, and the changes.
struct Txn {
    view: View,
    rows: HashMap<ActionUid, Row>,
    changes: Changes,
}

impl Txn {
    fn load(&mut self, uid: ActionUid, state: &mut TxnState) -> Result<()> {
        if !self.rows.contains_key(&uid)
            && let Some(row) = self.view.row(uid)?
        {
            let late = row.log.iter().any(|(_, entry)| entry.is_late());
            state.put_action(row.action.clone(), row.pinned, late);
            self.rows.insert(uid, row);
        }
        Ok(())
    }

    /// Loads what the batches of a group need.
    fn load_all(&mut self, group: &Group, owners: &BTreeMap<u64, Owner>) -> Result<TxnState> {
        let mut state = TxnState::new();
        for read_set in group.read_sets() {
            for uid in read_set.actions() {
                self.load(*uid, &mut state)?;
            }
            for uid in read_set.parents_of() {
                if let Some(parent) = self.rows.get(uid).and_then(|row| row.action.parent) {
                    self.load(parent, &mut state)?;
                }
            }
            for held in read_set.keys() {
                if let Some(holder) = self.view.get(&holder_key(held))? {
                    self.load(uid_of(&holder)?, &mut state)?;
                    state.put_key(held.clone(), uid_of(&holder)?);
                }
            }
            // After the actions to which they belong.
            for (uid, op) in read_set.ops() {
                let log = self.rows.get(uid).map_or(&[][..], |row| &row.log);
                if log.iter().any(|(_, entry)| entry.op == Some(*op)) {
                    state.put_op(*uid, *op);
                }
            }
        }
        let owns_unfinished = |owner: &OwnerRef| self.view.owns_unfinished(owner);
        state.put_all_owners(owners.values(), group.read_sets(), owns_unfinished)?;
        Ok(state)
    }

    /// Replaces an action, creates it, or removes it.
    fn put(&mut self, uid: ActionUid, after: Option<Row>) -> Result<()> {
        let before = self
            .rows
            .remove(&uid)
            .map_or(BTreeSet::new(), |row| row.keys());
        let keys = after.as_ref().map_or(BTreeSet::new(), Row::keys);
        let gone = before.difference(&keys).map(|key| (key.clone(), None));
        self.changes.extend(gone);
        let value = || Some(uid.as_uuid().as_bytes().to_vec());
        let new = keys.difference(&before).map(|key| (key.clone(), value()));
        self.changes.extend(new);
        let bytes = after.as_ref().map(Row::to_bytes).transpose()?;
        self.changes.insert(row_key(uid), bytes);
        self.rows.extend(after.map(|row| (uid, row)));
        Ok(())
    }

    /// Changes a row that was loaded or created.
    fn change(&mut self, uid: ActionUid, change: impl FnOnce(&mut Row)) -> Result<()> {
        let row = self.rows.get(&uid).cloned();
        let mut row = row.ok_or_else(|| corrupt("a row was not loaded"))?;
        change(&mut row);
        self.put(uid, Some(row))
    }

    /// Converts a write set to changes, in its order. Returns the position after the commit.
    fn save(&mut self, set: &WriteSet, owners: &mut BTreeMap<u64, Owner>) -> Result<Position> {
        let mut state = self.view.state()?;
        let [last_number, last_entry, last_claim] = &mut state.last;
        let mut revisions = state.at.next_revisions().map(Revision::get);
        let stored = |uid| self.rows.get(&uid).map(|row| Revision::new(row.revision));
        state.at = state.at.apply(set, stored);
        for (action, new) in set.updated.iter().zip(revisions.by_ref()) {
            self.change(action.uid, |row| {
                (row.action, row.revision) = (action.clone(), new)
            })?;
        }
        for uid in &set.unpinned {
            self.change(*uid, |row| row.pinned = false)?;
        }
        for action in &set.removed {
            self.put(action.uid, None)?;
        }
        for held in &set.keys_freed {
            self.changes.insert(holder_key(held), None);
        }
        for (action, revision) in set.created.iter().zip(revisions) {
            *last_number += 1;
            let (number, log, uid) = (*last_number, Vec::new(), action.uid);
            let action = action.clone();
            self.put(
                uid,
                Some(Row {
                    number,
                    revision,
                    pinned: false,
                    action,
                    log,
                }),
            )?;
        }
        for entry in &set.log {
            *last_entry += 1;
            self.change(entry.uid, |row| row.log.push((*last_entry, entry.clone())))?;
        }
        for uid in &set.trim {
            self.change(*uid, |row| {
                drop(spi::trim_log(&mut row.log, |(_, e)| e.kind))
            })?;
        }
        for (held, uid) in &set.keys_taken {
            let uid = uid.as_uuid().as_bytes().to_vec();
            self.changes.insert(holder_key(held), Some(uid));
        }
        for uid in &set.pinned {
            self.change(*uid, |row| row.pinned = true)?;
        }
        for owner in &set.owners {
            let known = owners.iter().find(|(_, known)| known.owner == owner.owner);
            let claim = known.map_or(*last_claim + 1, |(claim, _)| *claim);
            *last_claim = claim.max(*last_claim);
            let row = encode(owner)?;
            self.changes
                .insert(key(OWNER, &[&claim.to_be_bytes()]), Some(row));
            owners.insert(claim, owner.clone());
        }
        let forgotten = |owner: &Owner| set.owners_forgotten.contains(&owner.owner);
        for (claim, _) in owners.extract_if(.., |_, owner| forgotten(owner)) {
            self.changes
                .insert(key(OWNER, &[&claim.to_be_bytes()]), None);
        }
        self.changes.insert(vec![STATE], Some(state.to_bytes()?));
        Ok(state.at)
    }
}

#[derive(Clone)]
struct Db(Database, Keyspace);

impl Db {
    fn view(&self) -> View {
        View(self.0.snapshot(), self.1.clone())
    }

    /// Commits the batches of a group. This is the only writer, so it remembers the owners.
    fn commit(
        &self,
        group: &Group,
        owners: &mut BTreeMap<u64, Owner>,
        clock: &Clock,
    ) -> Result<Committed, CommitError> {
        let (rows, changes) = (HashMap::new(), Changes::new());
        let mut txn = Txn {
            view: self.view(),
            rows,
            changes,
        };
        let mut state = txn.load_all(group, owners)?;
        let answers = group.plan(&mut state, clock.now());
        let write_set = state.into_write_set();
        if write_set.is_empty() {
            return Ok(Committed::new(answers, txn.view.state()?.at));
        }
        let mut owners_after = owners.clone();
        let at = txn.save(&write_set, &mut owners_after)?;
        // fjall syncs first and then shows: no reader sees what a power cut could take back.
        let mut batch = self.0.batch().durability(Some(PersistMode::SyncAll));
        for (key, value) in txn.changes {
            match value {
                Some(value) => batch.insert(&self.1, key, value),
                None => batch.remove(&self.1, key),
            }
        }
        batch.commit().map_err(|error| {
            let kind = match error {
                // It refuses to write after an earlier failure.
                fjall::Error::Poisoned => StoreErrorKind::Unavailable,
                _ => StoreErrorKind::OutcomeUnknown,
            };
            StoreError::new(kind, "write", "the commit failed").with_source(error)
        })?;
        *owners = owners_after;
        Ok(Committed::new(answers, at))
    }
}

struct FjallStore {
    db: Db,
    writer: GroupWriter,
    watch: Arc<PositionWatch>,
}

impl std::fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FjallStore")
    }
}

const CAPABILITIES: Capabilities = Capabilities::new(Durability::Disk);

impl FjallStore {
    async fn open(path: PathBuf, clock: Clock) -> Result<FjallStore> {
        let database = Database::builder(path).open().map_err(failed)?;
        let rows = database
            .keyspace("actions", KeyspaceCreateOptions::default)
            .map_err(failed)?;
        let db = Db(database, rows);
        if db.view().get(&[STATE])?.is_none() {
            let at = Position::new(StoreId::new(), BranchId::FIRST, Revision::ZERO);
            let state = State { at, last: [0; 3] };
            db.1.insert([STATE], state.to_bytes()?).map_err(failed)?;
            db.0.persist(PersistMode::SyncAll).map_err(failed)?;
        }
        let watch = Arc::new(PositionWatch::new(db.view().state()?.at));
        let (own, mut owners) = (db.clone(), db.view().owners()?);
        let commit = move |group: &Group| own.commit(group, &mut owners, &clock);
        let timeout = Duration::from_secs(30);
        let writer = GroupWriter::spawn(CAPABILITIES, watch.clone(), timeout, commit)?;
        Ok(FjallStore { db, writer, watch })
    }

    /// One moment of the store. Reads are short, so they are done in the caller's task.
    fn view(&self, operation: &'static str) -> Result<View> {
        self.watch.check_open(operation)?;
        Ok(self.db.view())
    }

    /// Announces the position of a page: its reader may wait for the next change at once.
    fn shown<T>(&self, page: Result<Page<T>>) -> Result<Page<T>> {
        page.inspect(|page| self.watch.publish(page.at))
    }
}

#[async_trait]
impl ActionStore for FjallStore {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>> {
        self.writer.write(batch).await
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>> {
        CAPABILITIES.check_count("get", uids.len())?;
        let view = self.view("get")?;
        let action = |uid: &ActionUid| Ok(view.row(*uid)?.map(|row| row.action));
        uids.iter().map(action).collect()
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>> {
        self.shown(self.view("list")?.page(query))
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>> {
        self.shown(self.view("log")?.log_page(query))
    }

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>> {
        self.shown(self.view("owners")?.owner_page(query))
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position> {
        self.watch.changed(after).await
    }

    async fn close(&self) -> Result<()> {
        self.writer.close().await
    }
}

/// Opens an empty store for a conformance case.
#[allow(
    clippy::expect_used,
    reason = "without a store there is nothing to test"
)]
async fn subject() -> Subject {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (path, clock) = (
        dir.path().to_owned(),
        Clock::manual(Timestamp::from_seconds(1)),
    );
    let time = clock.clone();
    let open = move || FjallStore::open(path.clone(), time.clone());
    let store = open().await.expect("an open store");
    Subject::new(store)
        .with_clock(clock)
        .with_reopen(open)
        .with_kept(dir)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    const CHILD: &str = "STORE_OF_A_CHILD";
    if let Some(path) = std::env::var_os(CHILD) {
        let store = FjallStore::open(path.into(), Clock::system()).await?;
        return Err(work_until_killed(Arc::new(store)).await.into());
    }
    // Most of the time they wait for the disk.
    for several in cases().chunks(16) {
        let mut running = tokio::task::JoinSet::new();
        for case in several {
            running.spawn(async move { (case, case.run(&subject).await) });
        }
        for (case, ended) in running.join_all().await {
            assert_eq!(ended?, Verdict::Held, "{case:?}");
        }
    }
    println!("{} conformance cases hold", cases().len());
    let (dir, program) = (tempfile::tempdir()?, std::env::current_exe()?);
    let child = || {
        let mut child = Command::new(&program);
        child.env(CHILD, dir.path());
        child
    };
    let open = || FjallStore::open(dir.path().to_owned(), Clock::system());
    println!("{:?}", KillTest::new().run(child, open).await?);
    Ok(())
}
