//! Written by hand in memory: a map behind one lock, with ordered indexes beside it. Volatile.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// Kind, and the record as it was then: an entry shares what it can.
    log: BTreeMap<(i64, i64), (i64, Arc<Record>)>,
    revision: i64,
}

impl Tables {
    fn create(&mut self, new: &New) {
        let mut record = new.record(now());
        let number = self.order.last_key_value().map_or(0, |last| *last.0) + 1;
        record.number = number;
        self.order.insert(number, new.uid);
        self.unfinished.insert(number);
        self.names.insert((NAME, number));
        self.touches.insert((new.object.clone(), number));
        let record = Arc::new(record);
        self.revision += 1;
        self.feed.insert(self.revision, new.uid);
        self.log.insert((number, 1), (0, record.clone()));
        self.records.insert(new.uid, (record, self.revision));
    }

    fn change(&mut self, change: Change, owner: &Owner) -> bool {
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
        self.revision += 1;
        *revision = self.revision;
        self.feed.insert(self.revision, change.uid);
        if let Some(kind) = change.kind.entry() {
            self.log
                .insert((number, record.version), (kind, record.clone()));
        }
        true
    }
}

pub struct LockedMap {
    tables: Mutex<Tables>,
    owner: Arc<Owner>,
}

impl LockedMap {
    pub fn new() -> LockedMap {
        LockedMap {
            tables: Mutex::default(),
            owner: Owner::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap()
    }
}

#[async_trait]
impl Contestant for LockedMap {
    async fn create(&self, new: New) {
        self.lock().create(&new);
    }

    async fn change(&self, change: Change) {
        let done = self.lock().change(change, &self.owner);
        assert!(done, "nobody else changes this action");
    }

    async fn get(&self, uid: Uuid) -> Uuid {
        let record = self.lock().records[&uid].0.clone();
        Uuid::from_slice(&record.uid).unwrap()
    }

    async fn list(&self, limit: u16) -> (usize, Option<Uuid>) {
        let tables = self.lock();
        let newest = tables.order.values().rev().take(usize::from(limit));
        let newest: Vec<Arc<Record>> = newest.map(|uid| tables.records[uid].0.clone()).collect();
        let first = newest.first();
        (
            newest.len(),
            first.map(|record| Uuid::from_slice(&record.uid).unwrap()),
        )
    }

    async fn fill(&self, count: usize) -> Vec<Uuid> {
        let mut tables = self.lock();
        let rows = (0..count).map(|row| New::of(row as u64 % 100));
        rows.map(|new| {
            tables.create(&new);
            for step in life(new.uid) {
                assert!(tables.change(step, &self.owner));
            }
            new.uid
        })
        .collect()
    }

    async fn held(&self) -> Held {
        let tables = self.lock();
        let head = |(uid, (record, _)): (&Uuid, &(Arc<Record>, i64))| Head {
            uid: *uid,
            status: record.status,
            version: record.version,
        };
        let heads: Vec<Head> = tables.records.iter().map(head).collect();
        assert_eq!(tables.feed.len(), heads.len());
        Held {
            heads,
            entries: tables.log.len(),
        }
    }

    async fn close(&self) {}
}
