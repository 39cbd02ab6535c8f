//! An untuned store over redb, written with what the library offers authors of stores: the model
//! plans ([`plan`]), the codec encodes, redb keeps. Each batch is one write transaction, durable at
//! its commit (redb's default), in `spawn_blocking`. Reads decode each row and check its checksum,
//! as the library's stores do.

use std::path::Path;
use std::sync::Arc;

use action_store::spi::{TxnState, WriteSet, codec, plan, read_set};
use action_store::{Action, Batch, Clock, Command, LogEntry, ObjectRef, OwnerRef, Status};
use async_trait::async_trait;
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, WriteTransaction,
};
use uuid::Uuid;

use crate::contestant::{Asked, Change, Contestant, Head, Held, New, life};
use crate::ours::{command, new_action, status};
use crate::redb_file::RedbFile;

const ACTIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("actions");
const NUMBERS: TableDefinition<'_, u128, u64> = TableDefinition::new("numbers");
const UNFINISHED: TableDefinition<'_, u64, ()> = TableDefinition::new("unfinished");
const OWNED: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("owned");
const NAMES: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("names");
const TOUCHES: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("touches");
const FEED: TableDefinition<'_, u64, u64> = TableDefinition::new("feed");
const REVISIONS: TableDefinition<'_, u64, u64> = TableDefinition::new("revisions");
const LOG: TableDefinition<'_, (u64, u64, bool), &[u8]> = TableDefinition::new("log");
const OWNERS: TableDefinition<'_, (&str, u128), &[u8]> = TableDefinition::new("owners");

pub struct RedbCodec {
    file: RedbFile,
    owner: OwnerRef,
}

impl RedbCodec {
    pub fn open(directory: &Path) -> RedbCodec {
        let owner = OwnerRef::new("bench");
        let claim = Batch::all(vec![Command::claim(owner.clone())]);
        // This opens all tables.
        let file = RedbFile::create(directory, |transaction| write_in(transaction, &claim));
        RedbCodec { file, owner }
    }

    async fn one(&self, command: Command) {
        self.file
            .call(move |database| write(database, &Batch::all(vec![command])))
            .await;
    }
}

fn write(database: &Database, batch: &Batch) {
    let transaction = database.begin_write().unwrap();
    write_in(&transaction, batch);
    transaction.commit().unwrap();
}

/// Carries out a batch. Each of its commands must be applied.
fn write_in(transaction: &WriteTransaction, batch: &Batch) {
    let read_set = read_set(batch).unwrap();
    let mut txn = TxnState::new();
    {
        let numbers = transaction.open_table(NUMBERS).unwrap();
        let actions = transaction.open_table(ACTIONS).unwrap();
        for uid in read_set.actions() {
            if let Some(number) = numbers.get(uid.as_uuid().as_u128()).unwrap() {
                let stored = actions.get(number.value()).unwrap().unwrap();
                let action: Action = codec::decode(stored.value()).unwrap();
                txn.put_action(Arc::new(action), false, false);
            }
        }
        let log = transaction.open_table(LOG).unwrap();
        for (uid, _) in read_set.ops() {
            if let Some(number) = numbers.get(uid.as_uuid().as_u128()).unwrap() {
                let number = number.value();
                for entry in log
                    .range((number, 0, false)..(number + 1, 0, false))
                    .unwrap()
                {
                    let entry: LogEntry = codec::decode(entry.unwrap().1.value()).unwrap();
                    entry.op.into_iter().for_each(|op| txn.put_op(*uid, op));
                }
            }
        }
        let owners = transaction.open_table(OWNERS).unwrap();
        for owner in read_set.owners() {
            let key = (&*owner.name, owner.incarnation.as_uuid().as_u128());
            if let Some(stored) = owners.get(key).unwrap() {
                txn.put_owner(codec::decode(stored.value()).unwrap());
            }
        }
    }
    for answer in plan(batch, &read_set, &mut txn, Clock::system().now()) {
        answer.expect("nobody else changes this action");
    }
    save(transaction, &txn.into_write_set());
}

fn save(transaction: &WriteTransaction, write_set: &WriteSet) {
    let mut owners = transaction.open_table(OWNERS).unwrap();
    for owner in &write_set.owners {
        let name = &owner.owner;
        let encoded = codec::encode(owner).unwrap();
        let key = (&*name.name, name.incarnation.as_uuid().as_u128());
        owners.insert(key, encoded.as_slice()).unwrap();
    }
    let mut actions = transaction.open_table(ACTIONS).unwrap();
    let mut numbers = transaction.open_table(NUMBERS).unwrap();
    let mut unfinished = transaction.open_table(UNFINISHED).unwrap();
    let mut owned = transaction.open_table(OWNED).unwrap();
    let mut names = transaction.open_table(NAMES).unwrap();
    let mut touches = transaction.open_table(TOUCHES).unwrap();
    let mut feed = transaction.open_table(FEED).unwrap();
    let mut revisions = transaction.open_table(REVISIONS).unwrap();
    let mut log = transaction.open_table(LOG).unwrap();
    let mut last = actions.last().unwrap().map_or(0, |last| last.0.value());
    let mut revision = feed.last().unwrap().map_or(0, |last| last.0.value());
    for action in &write_set.created {
        last += 1;
        numbers
            .insert(action.uid.as_uuid().as_u128(), last)
            .unwrap();
        names.insert((&*action.name, last), ()).unwrap();
        let related = action.related.iter().map(|related| &related.object);
        for object in action.object.iter().chain(related) {
            touches.insert((object.as_str(), last), ()).unwrap();
        }
    }
    for action in write_set.created.iter().chain(&write_set.updated) {
        let uid = action.uid.as_uuid().as_u128();
        let number = numbers.get(uid).unwrap().unwrap().value();
        let encoded = codec::encode(&**action).unwrap();
        actions.insert(number, encoded.as_slice()).unwrap();
        let owner = action.owner.as_ref().map_or("", |owner| &owner.name);
        if action.is_unfinished() {
            unfinished.insert(number, ()).unwrap();
            if action.status == Status::Executing {
                owned.insert((owner, number), ()).unwrap();
            }
        } else {
            unfinished.remove(number).unwrap();
            owned.remove((owner, number)).unwrap();
        }
        revision += 1;
        let before = revisions.insert(number, revision).unwrap();
        if let Some(before) = before.map(|before| before.value()) {
            feed.remove(before).unwrap();
        }
        feed.insert(revision, number).unwrap();
    }
    for entry in &write_set.log {
        let uid = entry.uid.as_uuid().as_u128();
        let number = numbers.get(uid).unwrap().unwrap().value();
        let key = (number, entry.version.get(), entry.is_late());
        let encoded = codec::encode(entry).unwrap();
        log.insert(key, encoded.as_slice()).unwrap();
    }
}

type Actions = ReadOnlyTable<u64, &'static [u8]>;

fn stored(actions: &Actions, number: u64) -> Action {
    codec::decode(actions.get(number).unwrap().unwrap().value()).unwrap()
}

fn page(transaction: &ReadTransaction, asked: Asked, limit: usize) -> Vec<Action> {
    let actions = transaction.open_table(ACTIONS).unwrap();
    match asked {
        Asked::Newest => {
            let newest = actions.iter().unwrap().rev().take(limit);
            newest
                .map(|row| codec::decode(row.unwrap().1.value()).unwrap())
                .collect()
        }
        Asked::Object(object) => {
            let object = ObjectRef::bdb(object);
            let of = object.as_str();
            let touches = transaction.open_table(TOUCHES).unwrap();
            let newest = touches.range((of, 0)..=(of, u64::MAX)).unwrap().rev();
            newest
                .take(limit)
                .map(|row| stored(&actions, row.unwrap().0.value().1))
                .collect()
        }
        Asked::Feed(per_mille) => {
            let feed = transaction.open_table(FEED).unwrap();
            let last = feed.last().unwrap().map_or(0, |last| last.0.value());
            let changes = feed.range(last * per_mille / 1000 + 1..).unwrap();
            changes
                .take(limit)
                .map(|row| stored(&actions, row.unwrap().1.value()))
                .collect()
        }
    }
}

#[async_trait]
impl Contestant for RedbCodec {
    async fn create(&self, new: New) {
        self.one(Command::create(new_action(&new))).await;
    }

    async fn change(&self, change: Change) {
        self.one(command(change, &self.owner)).await;
    }

    async fn get(&self, uid: Uuid) -> Uuid {
        let read = move |transaction: &ReadTransaction| {
            let numbers = transaction.open_table(NUMBERS).unwrap();
            let number = numbers.get(uid.as_u128()).unwrap().unwrap().value();
            *stored(&transaction.open_table(ACTIONS).unwrap(), number)
                .uid
                .as_uuid()
        };
        self.file.read(read).await
    }

    async fn list(&self, limit: u16) -> (usize, Option<Uuid>) {
        let read = move |transaction: &ReadTransaction| {
            let newest = page(transaction, Asked::Newest, usize::from(limit));
            let first = newest.first().map(|action| *action.uid.as_uuid());
            (newest.len(), first)
        };
        self.file.read(read).await
    }

    async fn page(&self, asked: Asked, limit: u16) -> Option<usize> {
        let read =
            move |transaction: &ReadTransaction| page(transaction, asked, usize::from(limit)).len();
        Some(self.file.read(read).await)
    }

    async fn fill(&self, count: usize) -> Vec<Uuid> {
        let owner = self.owner.clone();
        let fill = move |database: &Database| {
            let mut uids = Vec::with_capacity(count);
            for begin in (0..count).step_by(150) {
                let mut commands = Vec::new();
                for row in begin..count.min(begin + 150) {
                    let new = New::of(row as u64 % 100);
                    uids.push(new.uid);
                    commands.push(Command::create(new_action(&new)));
                    commands.extend(life(new.uid).map(|change| command(change, &owner)));
                }
                write(database, &Batch::all(commands));
            }
            uids
        };
        self.file.call(fill).await
    }

    async fn held(&self) -> Held {
        let head = |stored: &[u8]| {
            let action: Action = codec::decode(stored).unwrap();
            Head {
                uid: *action.uid.as_uuid(),
                status: status(action.status),
                version: action.version.get() as i64,
            }
        };
        self.file.held(ACTIONS, LOG, head).await
    }

    async fn close(&self) {}
}
