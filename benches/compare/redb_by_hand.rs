//! Hand-written store with redb: records, log and indexes are tables of an embedded key-value
//! store. Each change is one write transaction, durable at its commit (redb's default), in
//! `spawn_blocking`. Records are JSON. The indexes are those of the SQL schema that have rows in
//! this benchmark.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use redb::{
    AccessGuard, Database, ReadTransaction, ReadableTable, StorageError, TableDefinition,
    WriteTransaction,
};
use serde::Serialize;
use uuid::Uuid;

use crate::contestant::{Change, Contestant, Head, Held, NAME, New, Owner, Record, life, now};
use crate::redb_file::RedbFile;

const RECORDS: TableDefinition<'_, i64, &[u8]> = TableDefinition::new("records");
const NUMBERS: TableDefinition<'_, u128, i64> = TableDefinition::new("numbers");
const UNFINISHED: TableDefinition<'_, i64, ()> = TableDefinition::new("unfinished");
const OWNERS: TableDefinition<'_, (&str, i64), ()> = TableDefinition::new("owners");
const NAMES: TableDefinition<'_, (&str, i64), ()> = TableDefinition::new("names");
const TOUCHES: TableDefinition<'_, (&str, i64), ()> = TableDefinition::new("touches");
const FEED: TableDefinition<'_, i64, i64> = TableDefinition::new("feed");
const REVISIONS: TableDefinition<'_, i64, i64> = TableDefinition::new("revisions");
const LOG: TableDefinition<'_, (i64, i64), &[u8]> = TableDefinition::new("log");

/// Log entry without its key, which is the action and the version.
#[derive(Serialize)]
pub struct Entry<'r> {
    kind: i64,
    at: i64,
    status: i64,
    outcome: Option<i64>,
    progress: i64,
    owner: Option<&'r str>,
    incarnation: Option<&'r [u8]>,
    op: Option<&'r [u8]>,
}

impl Entry<'_> {
    fn of(record: &Record, kind: i64) -> Entry<'_> {
        Entry {
            kind,
            at: record.last_seen_at,
            status: record.status,
            outcome: record.outcome,
            progress: record.progress,
            owner: record.owner.as_deref(),
            incarnation: record.incarnation.as_deref(),
            op: record.last_op.as_deref(),
        }
    }
}

pub struct Redb {
    file: RedbFile,
    owner: Arc<Owner>,
}

impl Redb {
    pub fn open(directory: &Path) -> Redb {
        let file = RedbFile::create(directory, |transaction| {
            transaction.open_table(RECORDS).unwrap();
            transaction.open_table(NUMBERS).unwrap();
            transaction.open_table(LOG).unwrap();
        });
        Redb {
            file,
            owner: Owner::new(),
        }
    }
}

fn create(transaction: &WriteTransaction, new: &New) {
    let mut record = new.record(now());
    let mut records = transaction.open_table(RECORDS).unwrap();
    record.number = records.last().unwrap().map_or(0, |last| last.0.value()) + 1;
    let number = record.number;
    let json = serde_json::to_vec(&record).unwrap();
    records.insert(number, json.as_slice()).unwrap();
    let mut numbers = transaction.open_table(NUMBERS).unwrap();
    numbers.insert(new.uid.as_u128(), number).unwrap();
    let mut unfinished = transaction.open_table(UNFINISHED).unwrap();
    unfinished.insert(number, ()).unwrap();
    let mut names = transaction.open_table(NAMES).unwrap();
    names.insert((NAME, number), ()).unwrap();
    let mut touches = transaction.open_table(TOUCHES).unwrap();
    touches.insert((new.object.as_str(), number), ()).unwrap();
    follow(transaction, &record, Some(0));
}

/// Writes the feed entry and the log entry of a change.
fn follow(transaction: &WriteTransaction, record: &Record, kind: Option<i64>) {
    let mut feed = transaction.open_table(FEED).unwrap();
    let mut revisions = transaction.open_table(REVISIONS).unwrap();
    let revision = feed.last().unwrap().map_or(0, |last| last.0.value()) + 1;
    let before = revisions.insert(record.number, revision).unwrap();
    if let Some(before) = before.map(|before| before.value()) {
        feed.remove(before).unwrap();
    }
    feed.insert(revision, record.number).unwrap();
    if let Some(kind) = kind {
        let mut log = transaction.open_table(LOG).unwrap();
        let entry = serde_json::to_vec(&Entry::of(record, kind)).unwrap();
        let key = (record.number, record.version);
        log.insert(key, entry.as_slice()).unwrap();
    }
}

/// Returns false if the version differs.
fn change(transaction: &WriteTransaction, change: Change, owner: &Owner) -> bool {
    let numbers = transaction.open_table(NUMBERS).unwrap();
    let number = numbers.get(change.uid.as_u128()).unwrap().unwrap().value();
    let mut records = transaction.open_table(RECORDS).unwrap();
    let mut record: Record = {
        let stored = records.get(number).unwrap().unwrap();
        serde_json::from_slice(stored.value()).unwrap()
    };
    if record.version != change.version {
        return false;
    }
    apply(&mut record, change, owner);
    let json = serde_json::to_vec(&record).unwrap();
    records.insert(number, json.as_slice()).unwrap();
    let mut owners = transaction.open_table(OWNERS).unwrap();
    if record.status == 2 {
        let mut unfinished = transaction.open_table(UNFINISHED).unwrap();
        unfinished.remove(number).unwrap();
        owners.remove((owner.name.as_str(), number)).unwrap();
    } else if record.version == 2 {
        owners.insert((owner.name.as_str(), number), ()).unwrap();
    }
    follow(transaction, &record, change.kind.entry());
    true
}

/// Returns the record after a change.
pub fn apply(record: &mut Record, change: Change, owner: &Owner) {
    let now = now();
    (record.status, record.outcome, record.progress) = change.kind.state();
    record.owner = Some(owner.name.clone());
    record.incarnation = Some(owner.incarnation.clone());
    record.started_at = record.started_at.or(Some(now));
    record.finished_at = record.outcome.map(|_| now);
    record.last_seen_at = now;
    record.version += 1;
    record.log_entries += i64::from(change.kind.entry().is_some());
    record.last_op = Some(Uuid::now_v7().as_bytes().to_vec());
}

#[async_trait]
impl Contestant for Redb {
    async fn create(&self, new: New) {
        let write = move |database: &Database| {
            let transaction = database.begin_write().unwrap();
            create(&transaction, &new);
            transaction.commit().unwrap();
        };
        self.file.call(write).await;
    }

    async fn change(&self, what: Change) {
        let owner = self.owner.clone();
        let write = move |database: &Database| {
            let transaction = database.begin_write().unwrap();
            let done = change(&transaction, what, &owner);
            transaction.commit().unwrap();
            done
        };
        let done = self.file.call(write).await;
        assert!(done, "nobody else changes this action");
    }

    async fn get(&self, uid: Uuid) -> Uuid {
        let read = move |transaction: &ReadTransaction| {
            let numbers = transaction.open_table(NUMBERS).unwrap();
            let number = numbers.get(uid.as_u128()).unwrap().unwrap().value();
            let records = transaction.open_table(RECORDS).unwrap();
            let stored = records.get(number).unwrap().unwrap();
            let record: Record = serde_json::from_slice(stored.value()).unwrap();
            Uuid::from_slice(&record.uid).unwrap()
        };
        self.file.read(read).await
    }

    async fn list(&self, limit: u16) -> (usize, Option<Uuid>) {
        let read = move |transaction: &ReadTransaction| {
            let records = transaction.open_table(RECORDS).unwrap();
            let newest = records.iter().unwrap().rev().take(usize::from(limit));
            let read = |row: Result<(_, AccessGuard<'_, &[u8]>), StorageError>| {
                serde_json::from_slice(row.unwrap().1.value()).unwrap()
            };
            let newest: Vec<Record> = newest.map(read).collect();
            let first = newest.first();
            let first = first.map(|record| Uuid::from_slice(&record.uid).unwrap());
            (newest.len(), first)
        };
        self.file.read(read).await
    }

    async fn fill(&self, count: usize) -> Vec<Uuid> {
        let owner = self.owner.clone();
        let fill = move |database: &Database| {
            let mut uids = Vec::with_capacity(count);
            for begin in (0..count).step_by(1000) {
                let transaction = database.begin_write().unwrap();
                for row in begin..count.min(begin + 1000) {
                    let new = New::of(row as u64 % 100);
                    create(&transaction, &new);
                    for step in life(new.uid) {
                        assert!(change(&transaction, step, &owner));
                    }
                    uids.push(new.uid);
                }
                transaction.commit().unwrap();
            }
            uids
        };
        self.file.call(fill).await
    }

    async fn held(&self) -> Held {
        let head = |stored: &[u8]| {
            let record: Record = serde_json::from_slice(stored).unwrap();
            Head {
                uid: Uuid::from_slice(&record.uid).unwrap(),
                status: record.status,
                version: record.version,
            }
        };
        self.file.held(RECORDS, LOG, head).await
    }

    async fn close(&self) {}
}
