//! A store of one's own: actions in fjall, an ordered key-value store on disk.
//!
//!     cargo run --features conformance --example custom_store
//!
//! Runs every conformance case on the store. Then kills processes that write to it, and checks that
//! every acknowledged write is there. The guide "Write a store" explains the steps.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use action_store::conformance::kill::{KillTest, work_until_killed};
use action_store::conformance::{Subject, Verdict, cases};
use action_store::owner::{Owner, OwnerQuery};
use action_store::query::{BranchId, Position, Revision, StoreId};
use action_store::spi::{AccessPath, ActionRow, Group, GroupWriter, Key, PositionWatch};
use action_store::spi::{ReadRows, RowChanges, StoreState, codec};
use action_store::*;
use async_trait::async_trait;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Slice, Snapshot};
use serde::Serialize;

type Result<T, E = StoreError> = std::result::Result<T, E>;

// The tables: the first byte of each key. Numbers are big-endian, so that they sort.
const STATE: u8 = 0; // -> state of the store
const ACTION: u8 = 1; // uid -> action with its log
// Each of these leads to the key of an action.
const CREATED: u8 = 2; // number
const INDEX: u8 = 3; // index and value, number
const FEED: u8 = 4; // revision
const FINISHED: u8 = 5; // completion time, number
const ENTRY: u8 = 6; // number of a log entry
const HOLDER: u8 = 7; // unique key
const OWNER: u8 = 8; // number of a claim -> owner

fn key(table: u8, parts: &[&[u8]]) -> Vec<u8> {
    [&[table], &*parts.concat()].concat()
}

fn action_key(uid: ActionUid) -> Vec<u8> {
    key(ACTION, &[uid.as_uuid().as_bytes()])
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

fn pack(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|_| corrupt("a value cannot be written"))
}

/// Everything that the database has of an action: its row, and the keys that lead to it.
fn entries(row: &ActionRow) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let (action, number) = (&*row.action, row.number.to_be_bytes());
    let mut keys = vec![
        key(CREATED, &[&number]),
        key(FEED, &[&row.revision.get().to_be_bytes()]),
    ];
    let paths = AccessPath::of(action).into_iter();
    let paths = paths.chain([AccessPath::Uid(action.uid)]);
    let paths = paths.filter_map(|path| path.to_key());
    keys.extend(paths.map(|path| key(INDEX, &[&path, &number])));
    let time = action.finished_at.map(|at| finished(at, row.number));
    keys.extend(time.map(|time| key(FINISHED, &[&time])));
    let entries = row.log.iter().map(|(entry, _)| entry.to_be_bytes());
    keys.extend(entries.map(|entry| key(ENTRY, &[&entry])));
    let held = Key::held_by(action);
    keys.extend(held.iter().map(|held| key(HOLDER, &[&held.to_key()])));
    let to = action_key(action.uid);
    let mut entries: BTreeMap<_, _> = keys.into_iter().map(|key| (key, to.clone())).collect();
    entries.insert(to, row.to_bytes()?);
    Ok(entries)
}

/// The database at one moment.
struct View(Snapshot, Keyspace);

/// Values, each with the number at the end of its key.
type Values = Box<dyn Iterator<Item = Result<(u64, Slice)>>>;

impl View {
    fn get(&self, key: &[u8]) -> Result<Option<Slice>> {
        self.0.get(&self.1, key).map_err(failed)
    }

    /// Reads the keys that begin with `prefix`, those beyond `after`.
    fn range(&self, prefix: &[u8], after: Option<Vec<u8>>, newest: bool) -> Values {
        let (first, last) = (prefix.to_vec(), [prefix, &[0xff; 17]].concat());
        let after = after.map(|after| [prefix, &after].concat());
        let read = |found: fjall::Guard| {
            let (key, value) = found.into_inner().map_err(failed)?;
            let number = key.last_chunk().copied().map(u64::from_be_bytes);
            Ok((number.ok_or_else(|| corrupt("a key is too short"))?, value))
        };
        if newest {
            let found = self.0.range(&self.1, first..after.unwrap_or(last));
            return Box::new(found.rev().map(read));
        }
        // The next key after another one has a zero byte more.
        let first = after.map_or(first, |after| [&*after, &[0]].concat());
        Box::new(self.0.range(&self.1, first..last).map(read))
    }

    fn row(&self, key: &[u8]) -> Result<Option<ActionRow>> {
        let bytes = self.get(key)?;
        let row = bytes.map(|bytes| ActionRow::from_bytes(&bytes));
        match row.transpose()? {
            Some(row) if action_key(row.action.uid) != key => Err(corrupt("a row is misplaced")),
            row => Ok(row),
        }
    }

    /// Reads the actions to which the keys of a range lead. Without the action, the store is damaged.
    fn rows(
        &self,
        prefix: &[u8],
        after: Option<Vec<u8>>,
        newest: bool,
    ) -> impl Iterator<Item = Result<(u64, ActionRow)>> {
        self.range(prefix, after, newest).map(|found| {
            let (number, key) = found?;
            let row = self
                .row(&key)?
                .ok_or_else(|| corrupt("an action is missing"))?;
            Ok((number, row))
        })
    }

    fn owners_after(&self, after: u64) -> Result<BTreeMap<u64, Owner>> {
        let after = Some(after.to_be_bytes().to_vec());
        let owners = self.range(&[OWNER], after, false).map(|found| {
            let (claim, owner) = found?;
            let owner = codec::decode(&owner);
            Ok((
                claim,
                owner.map_err(|error| StoreError::from_codec("read", error))?,
            ))
        });
        owners.collect()
    }

    fn list(&self, query: &Query) -> Result<Page<Arc<Action>>> {
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
        let rows = self.rows(&prefix, after, newest);
        let rows = rows.map(|row| row.map(|(number, row)| (number, row.action)));
        Page::fill(rows, query, self.state()?.at)
    }

    fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>> {
        let at = self.state()?.at;
        let after = query.after.map_or(0, |cursor| cursor.position());
        if let Some(uid) = query.uid {
            let log = self
                .row(&action_key(uid))?
                .map_or(Vec::new(), |row| row.log);
            let rest = log.into_iter().filter(|(number, _)| *number > after);
            return Page::fill_log(rest.map(Ok), query, at);
        }
        let rows = self.rows(&[ENTRY], Some(after.to_be_bytes().to_vec()), false);
        let entries = rows.map(|row| {
            let (number, row) = row?;
            let entry = row.log.into_iter().find(|(entry, _)| *entry == number);
            entry.ok_or_else(|| corrupt("a log entry is missing"))
        });
        Page::fill_log(entries, query, at)
    }

    fn owner_page(&self, query: &OwnerQuery) -> Result<Page<Owner>> {
        let mut rows = Vec::new();
        for (claim, owner) in
            self.owners_after(query.after.map_or(0, |cursor| cursor.position()))?
        {
            let ask = query.active && !owner.is_alive();
            if query.matches(&owner, ask && self.owns_unfinished(&owner.owner)?) {
                rows.push(Ok((claim, owner)));
            }
        }
        Page::fill_owners(rows, query, self.state()?.at)
    }
}

/// Reads for a commit.
impl ReadRows for View {
    fn state(&self) -> Result<StoreState> {
        let state = self.get(&[STATE])?;
        let state = state.ok_or_else(|| corrupt("the state of the store is missing"))?;
        serde_json::from_slice(&state).map_err(|_| corrupt("the state cannot be read"))
    }

    fn action(&self, uid: ActionUid) -> Result<Option<ActionRow>> {
        self.row(&action_key(uid))
    }

    fn holder(&self, held: &Key) -> Result<Option<ActionRow>> {
        let holder = self.get(&key(HOLDER, &[&held.to_key()]))?;
        holder.map_or(Ok(None), |holder| self.row(&holder))
    }

    fn owners(&self) -> Result<BTreeMap<u64, Owner>> {
        self.owners_after(0)
    }

    fn owns_unfinished(&self, owner: &OwnerRef) -> Result<bool> {
        let path = AccessPath::UnfinishedOf(owner.name.clone()).to_key();
        let prefix = key(INDEX, &[&path.unwrap_or_default()]);
        for row in self.rows(&prefix, None, false) {
            if row?.1.action.owner.as_ref() == Some(owner) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[derive(Clone)]
struct Db(Database, Keyspace);

impl Db {
    fn view(&self) -> View {
        View(self.0.snapshot(), self.1.clone())
    }

    /// Saves the changes of a commit. There is one writer, so nothing changes in between.
    fn save(&self, changes: RowChanges) -> Result<()> {
        let (mut values, mut added) = (BTreeMap::new(), BTreeMap::new());
        for (before, after) in &changes.actions {
            let before = before.as_ref().map_or(Ok(BTreeMap::new()), entries)?;
            let mut after = after.as_ref().map_or(Ok(BTreeMap::new()), entries)?;
            let gone = before.keys().filter(|key| !after.contains_key(*key));
            values.extend(gone.map(|key| (key.clone(), None)));
            after.retain(|key, value| before.get(key) != Some(value));
            added.extend(after.into_iter().map(|(key, value)| (key, Some(value))));
        }
        // After all removals: an action may take a key that another one held.
        values.append(&mut added);
        for (claim, owner) in changes.owners {
            let owner = owner.map(|owner| codec::encode(&owner)).transpose();
            let owner = owner.map_err(|error| StoreError::from_codec("write", error))?;
            values.insert(key(OWNER, &[&claim.to_be_bytes()]), owner);
        }
        values.insert(vec![STATE], Some(pack(&changes.state)?));
        // fjall syncs first and then shows: no reader sees what a power cut could take back.
        let mut batch = self.0.batch().durability(Some(PersistMode::SyncAll));
        for (key, value) in values {
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
        })
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
            let state = pack(&StoreState::new(at))?;
            db.1.insert([STATE], state).map_err(failed)?;
            db.0.persist(PersistMode::SyncAll).map_err(failed)?;
        }
        let watch = Arc::new(PositionWatch::new(db.view().state()?.at));
        let own = db.clone();
        let commit = move |group: &Group| {
            group.commit_rows(clock.now(), &own.view(), |changes| own.save(changes))
        };
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
        let action = |uid: &ActionUid| Ok(view.row(&action_key(*uid))?.map(|row| row.action));
        uids.iter().map(action).collect()
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>> {
        self.shown(self.view("list")?.list(query))
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>> {
        self.shown(self.view("log")?.log(query))
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
