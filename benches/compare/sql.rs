//! Common parts of the hand-written SQLite stores: the pinned schema and statements, and the same
//! change in rusqlite.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::contestant::{Change, Head, Held, New, Owner, Record, life, now};

pub const SCHEMA: &str = include_str!("schema.sql");

/// The library's checkpoint interval, so no contestant gains by syncing the main file less often.
/// Like WAL and the sync at each commit, it is the same for all.
pub const CHECKPOINT: &str = "4000";
pub const BUSY: Duration = Duration::from_secs(30);

pub const CREATE: &str = "INSERT INTO actions_action (uid, source, name, object, tenant, digest, \
     created_at, status, progress, description, last_seen_at, version, log_entries) \
     VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?, 1, 1) RETURNING number";

pub const TOUCH: &str = "INSERT INTO actions_touch (object, action) VALUES (?, ?)";

pub const FEED_NEW: &str = "INSERT INTO actions_feed (action) VALUES (?)";

/// Compare-and-set: returns no row if another writer was first.
pub const CHANGE: &str = "UPDATE actions_action SET status = ?, outcome = ?, progress = ?, \
     owner = ?, incarnation = ?, started_at = coalesce(started_at, ?), finished_at = ?, \
     last_seen_at = ?, version = version + 1, log_entries = log_entries + ?, last_op = ? \
     WHERE uid = ? AND version = ? RETURNING number";

pub const FEED_MOVE: &str = "UPDATE actions_feed SET revision = \
     (SELECT max(revision) + 1 FROM actions_feed) WHERE action = ?";

pub const LOG: &str = "INSERT INTO actions_log (action, kind, version, at, status, outcome, \
     progress, owner, incarnation, op) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Reads all columns of one action.
pub static GET: LazyLock<String> = LazyLock::new(|| {
    let columns = Record::COLUMNS.join(", ");
    format!("SELECT {columns} FROM actions_action WHERE uid = ?")
});

pub static LIST: LazyLock<String> = LazyLock::new(|| {
    let columns = Record::COLUMNS.join(", ");
    format!("SELECT {columns} FROM actions_action ORDER BY number DESC LIMIT ?")
});

/// Operations of rusqlite on one schema.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Creates a database and opens it.
    pub make: fn(&Path) -> Connection,
    /// Must be called within an open transaction.
    pub create: fn(&Connection, &New),
    /// Must be called within an open transaction. Returns false if the version differs.
    pub change: fn(&Connection, Change, &Owner) -> bool,
    pub commit: fn(&Connection),
    /// Reads and decodes one action; returns its uid.
    pub read_one: fn(&Connection, Uuid) -> Uuid,
    /// Reads and decodes the newest actions; returns their number and the uid of the first.
    pub read_list: fn(&Connection, u16) -> (usize, Option<Uuid>),
    pub held: fn(&Path) -> Held,
}

/// The pinned schema.
pub const BARE: Layout = Layout {
    make,
    create,
    change,
    commit,
    read_one,
    read_list,
    held,
};

pub fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(BUSY).unwrap();
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
    connection
        .pragma_update(None, "synchronous", "FULL")
        .unwrap();
    let checkpoint = connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT);
    checkpoint.unwrap();
    connection.set_prepared_statement_cache_capacity(64);
    connection
}

/// Creates a database with the schema.
pub fn make(path: &Path) -> Connection {
    let connection = open(path);
    connection.execute_batch(SCHEMA).unwrap();
    connection
}

fn create(c: &Connection, new: &New) {
    let row = new.record(now());
    let number: i64 = c
        .prepare_cached(CREATE)
        .unwrap()
        .query_row(
            params![
                row.uid,
                row.source,
                row.name,
                row.object,
                row.tenant,
                row.digest,
                row.created_at,
                row.description,
                row.last_seen_at
            ],
            |row| row.get(0),
        )
        .unwrap();
    execute(c, TOUCH, params![row.object, number]);
    execute(c, FEED_NEW, params![number]);
    let none: Option<Vec<u8>> = None;
    let entry = params![
        number,
        0,
        1,
        row.created_at,
        0,
        None::<i64>,
        0,
        None::<String>,
        none,
        none
    ];
    execute(c, LOG, entry);
}

fn change(c: &Connection, change: Change, owner: &Owner) -> bool {
    let (now, op) = (now(), Uuid::now_v7());
    let (status, outcome, progress) = change.kind.state();
    let entry = change.kind.entry();
    let number: Option<i64> = c
        .prepare_cached(CHANGE)
        .unwrap()
        .query_row(
            params![
                status,
                outcome,
                progress,
                owner.name,
                owner.incarnation,
                now,
                outcome.map(|_| now),
                now,
                i64::from(entry.is_some()),
                op.as_bytes(),
                change.uid.as_bytes(),
                change.version
            ],
            |row| row.get(0),
        )
        .optional()
        .unwrap();
    let Some(number) = number else { return false };
    execute(c, FEED_MOVE, params![number]);
    if let Some(kind) = entry {
        let entry = params![
            number,
            kind,
            change.version + 1,
            now,
            status,
            outcome,
            progress,
            owner.name,
            owner.incarnation,
            op.as_bytes()
        ];
        execute(c, LOG, entry);
    }
    true
}

pub fn execute(c: &Connection, sql: &str, values: impl rusqlite::Params) {
    let changed = c.prepare_cached(sql).unwrap().execute(values).unwrap();
    assert_eq!(changed, 1, "{sql}");
}

pub fn begin(c: &Connection) {
    c.prepare_cached("BEGIN IMMEDIATE")
        .unwrap()
        .execute([])
        .unwrap();
}

pub fn commit(c: &Connection) {
    c.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
}

/// Writes completed actions on a separate connection.
pub fn fill(layout: &Layout, path: &Path, count: usize, owner: &Owner) -> Vec<Uuid> {
    let c = open(path);
    let mut uids = Vec::with_capacity(count);
    for begin_at in (0..count).step_by(1000) {
        begin(&c);
        for row in begin_at..count.min(begin_at + 1000) {
            let new = New::of(row as u64 % 100);
            (layout.create)(&c, &new);
            for step in life(new.uid) {
                assert!((layout.change)(&c, step, owner));
            }
            uids.push(new.uid);
        }
        (layout.commit)(&c);
    }
    uids
}

fn uid(record: &Record) -> Uuid {
    Uuid::from_slice(&record.uid).unwrap()
}

fn read_one(c: &Connection, wanted: Uuid) -> Uuid {
    let mut statement = c.prepare_cached(&GET).unwrap();
    let row = statement.query_row([wanted.as_bytes()], Record::from_rusqlite);
    uid(&row.unwrap())
}

fn read_list(c: &Connection, limit: u16) -> (usize, Option<Uuid>) {
    let mut statement = c.prepare_cached(&LIST).unwrap();
    let rows = statement.query_map([limit], Record::from_rusqlite);
    let records: Vec<Record> = rows.unwrap().map(Result::unwrap).collect();
    (records.len(), records.first().map(uid))
}

/// Reads all content of the file on a separate connection.
pub fn held(path: &Path) -> Held {
    let c = open(path);
    let sql = "SELECT uid, status, version FROM actions_action";
    let mut statement = c.prepare(sql).unwrap();
    let head = |row: &rusqlite::Row<'_>| {
        let uid: [u8; 16] = row.get(0)?;
        Ok(Head {
            uid: Uuid::from_bytes(uid),
            status: row.get(1)?,
            version: row.get(2)?,
        })
    };
    let heads: Vec<Head> = statement
        .query_map([], head)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let count = |sql: &str| c.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    // The feed has each action once, and each action refers to one object.
    let actions = i64::try_from(heads.len()).unwrap();
    assert_eq!(count("SELECT count(*) FROM actions_feed"), actions);
    assert_eq!(count("SELECT count(*) FROM actions_touch"), actions);
    let entries = usize::try_from(count("SELECT count(*) FROM actions_log")).unwrap();
    Held { heads, entries }
}
