//! Hand-written store in memory: a map with ordered indexes. It has either one lock, or several
//! shards with a lock each. Volatile.
//!
//! With shards, the uid of an action selects its shard, and all shards share the counters for
//! numbers and revisions. A list merges the newest actions of each shard. The price: no reader sees
//! all shards as of one moment, and a revision may become readable before a lower one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use uuid::Uuid;

use crate::contestant::{Change, Contestant, Head, Held, NAME, New, Owner, Record, life, now};
use crate::redb_by_hand::apply;

#[derive(Default)]
struct Tables {
    records: HashMap<Uuid, (Arc<Record>, i64)>,
    order: BTreeMap<i64, Uuid>,
    unfinished: BTreeSet<i64>,
    owners: BTreeSet<(String, i64)>,
    names: BTreeSet<(&'static str, i64)>,
    touches: BTreeSet<(String, i64)>,
    feed: BTreeMap<i64, Uuid>,
    /// Kind and record of a log entry, which shares memory where it can.
    log: BTreeMap<(i64, i64), (i64, Arc<Record>)>,
}

impl Tables {
    fn create(&mut self, new: &New, number: i64, next: i64) {
        let mut record = new.record(now());
        record.number = number;
        self.order.insert(number, new.uid);
        self.unfinished.insert(number);
        self.names.insert((NAME, number));
        self.touches.insert((new.object.clone(), number));
        let record = Arc::new(record);
        self.feed.insert(next, new.uid);
        self.log.insert((number, 1), (0, record.clone()));
        self.records.insert(new.uid, (record, next));
    }

    fn change(&mut self, change: Change, owner: &Owner, next: i64) -> bool {
        let Some((record, revision)) = self.records.get_mut(&change.uid) else {
            return false;
        };
        if record.version != change.version {
            return false;
        }
        apply(Arc::make_mut(record), change, owner);
        let number = record.number;
        if record.status == 2 {
            self.unfinished.remove(&number);
            self.owners.remove(&(owner.name.clone(), number));
        } else if record.version == 2 {
            self.owners.insert((owner.name.clone(), number));
        }
        self.feed.remove(revision);
        *revision = next;
        self.feed.insert(next, change.uid);
        if let Some(kind) = change.kind.entry() {
            self.log
                .insert((number, record.version), (kind, record.clone()));
        }
        true
    }
}

pub struct LockedMap {
    shards: Vec<Mutex<Tables>>,
    number: AtomicI64,
    revision: AtomicI64,
    owner: Arc<Owner>,
}

impl LockedMap {
    pub fn new(shards: usize) -> LockedMap {
        LockedMap {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            number: AtomicI64::new(0),
            revision: AtomicI64::new(0),
            owner: Owner::new(),
        }
    }

    fn lock(&self, uid: Uuid) -> MutexGuard<'_, Tables> {
        // The low bits of a version 7 uid are random.
        let shard = uid.as_u128() as usize % self.shards.len();
        self.shards[shard].lock().unwrap()
    }

    fn all(&self) -> impl Iterator<Item = MutexGuard<'_, Tables>> {
        self.shards.iter().map(|shard| shard.lock().unwrap())
    }

    fn next(counter: &AtomicI64) -> i64 {
        counter.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn write(&self, new: &New) {
        let mut tables = self.lock(new.uid);
        tables.create(
            new,
            LockedMap::next(&self.number),
            LockedMap::next(&self.revision),
        );
    }

    fn alter(&self, change: Change) {
        let mut tables = self.lock(change.uid);
        let next = LockedMap::next(&self.revision);
        let done = tables.change(change, &self.owner, next);
        assert!(done, "nobody else changes this action");
    }
}

#[async_trait]
impl Contestant for LockedMap {
    async fn create(&self, new: New) {
        self.write(&new);
    }

    async fn change(&self, change: Change) {
        self.alter(change);
    }

    async fn get(&self, uid: Uuid) -> Uuid {
        let record = self.lock(uid).records[&uid].0.clone();
        Uuid::from_slice(&record.uid).unwrap()
    }

    async fn list(&self, limit: u16) -> (usize, Option<Uuid>) {
        let limit = usize::from(limit);
        let mut newest: Vec<Arc<Record>> = Vec::with_capacity(limit * self.shards.len());
        for tables in self.all() {
            let uids = tables.order.values().rev().take(limit);
            newest.extend(uids.map(|uid| tables.records[uid].0.clone()));
        }
        newest.sort_unstable_by_key(|record| std::cmp::Reverse(record.number));
        newest.truncate(limit);
        let first = newest.first();
        (
            newest.len(),
            first.map(|record| Uuid::from_slice(&record.uid).unwrap()),
        )
    }

    async fn fill(&self, count: usize) -> Vec<Uuid> {
        let rows = (0..count).map(|row| New::of(row as u64 % 100));
        rows.map(|new| {
            self.write(&new);
            life(new.uid).for_each(|step| self.alter(step));
            new.uid
        })
        .collect()
    }

    async fn held(&self) -> Held {
        let (mut heads, mut entries) = (Vec::new(), 0);
        for tables in self.all() {
            let head = |(uid, (record, _)): (&Uuid, &(Arc<Record>, i64))| Head {
                uid: *uid,
                status: record.status,
                version: record.version,
            };
            assert_eq!(tables.feed.len(), tables.records.len());
            heads.extend(tables.records.iter().map(head));
            entries += tables.log.len();
        }
        Held { heads, entries }
    }

    async fn close(&self) {}
}
