//! Shared code of the model tests: a store on a manual clock, and tables with the constraints of a
//! database.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use action_store::action::{LogEntryKind, Version};
use action_store::command::{ConflictReason, Effect, OpId};
use action_store::owner::{Owner, OwnerQuery};
use action_store::spi::{Key, ReadSet, TxnState, WriteSet, plan, read_set};
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, Change, Clock, Command, Done, Limits,
    LogEntry, LogQuery, MemoryStore, NewAction, OwnerRef, Rejection, Timestamp,
};

const LOG_ENTRIES: usize = Limits::LOG_ENTRIES as usize;

pub(crate) type Answer = Result<Done, Rejection>;

/// The memory store never waits, so its futures need no runtime.
pub(crate) fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the store in memory waits for nothing"),
    }
}

/// A memory store whose clock stands at 1000 s.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) store: MemoryStore,
    pub(crate) clock: Clock,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let clock = Clock::manual(Timestamp::from_seconds(1000));
        let store = MemoryStore::with_clock(clock.clone());
        Bench { store, clock }
    }

    pub(crate) fn write(&self, batch: Batch) -> Vec<Answer> {
        ready(self.store.write(batch)).unwrap()
    }

    pub(crate) fn each(&self, commands: Vec<Command>) -> Vec<Answer> {
        self.write(Batch::each(commands))
    }

    pub(crate) fn all(&self, commands: Vec<Command>) -> Vec<Answer> {
        self.write(Batch::all(commands))
    }

    pub(crate) fn one(&self, command: Command) -> Answer {
        self.each(vec![command]).pop().unwrap()
    }

    /// A living owner of that name.
    pub(crate) fn owner(&self, name: &str) -> OwnerRef {
        let owner = OwnerRef::new(name);
        assert_eq!(kind(&self.one(claim(&owner))), "applied");
        owner
    }

    pub(crate) fn create(&self, new: NewAction) -> ActionUid {
        let uid = new.uid;
        assert_eq!(kind(&self.one(create(new, None))), "applied");
        uid
    }

    /// An action that this owner has started.
    pub(crate) fn started(&self, owner: &OwnerRef) -> ActionUid {
        let uid = self.create(NewAction::task("t"));
        self.apply(uid, Change::Start, Some(owner)).unwrap();
        uid
    }

    pub(crate) fn apply(&self, uid: ActionUid, change: Change, by: Option<&OwnerRef>) -> Answer {
        self.one(apply(uid, change, by))
    }

    pub(crate) fn find(&self, uid: ActionUid) -> Option<Arc<Action>> {
        ready(self.store.get(&[uid])).unwrap().pop().unwrap()
    }

    pub(crate) fn action(&self, uid: ActionUid) -> Arc<Action> {
        self.find(uid).unwrap()
    }

    pub(crate) fn log(&self, uid: ActionUid) -> Vec<LogEntry> {
        let query = LogQuery::of(uid).with_limit(Limits::PAGE);
        ready(self.store.log(&query)).unwrap().items
    }

    pub(crate) fn owners(&self) -> Vec<Owner> {
        ready(self.store.all_owners(OwnerQuery::new())).unwrap()
    }
}

pub(crate) fn claim(owner: &OwnerRef) -> Command {
    let owner = owner.clone();
    let take_over = true;
    Command::claim(owner).with_take_over(take_over)
}

pub(crate) fn create(new: NewAction, by: Option<&OwnerRef>) -> Command {
    let (new, by) = (Arc::new(new), by.cloned());
    Command::create(new).by(by)
}

pub(crate) fn apply(uid: ActionUid, change: Change, by: Option<&OwnerRef>) -> Command {
    apply_as(OpId::new(), uid, change, by)
}

pub(crate) fn apply_as(op: OpId, uid: ActionUid, change: Change, by: Option<&OwnerRef>) -> Command {
    Command::apply(uid, change).by(by.cloned()).with_op(op)
}

pub(crate) fn at_version(version: u64, command: Command) -> Command {
    match command {
        Command::Apply {
            uid,
            op,
            change,
            by,
            ..
        } => Command::apply(uid, change)
            .by(by)
            .with_op(op)
            .if_version(Version::new(version).unwrap()),
        other => other,
    }
}

/// An answer in a word or two.
pub(crate) fn kind(answer: &Answer) -> String {
    let word = match answer {
        Ok(done) if done.effect == Effect::Applied => "applied",
        Ok(_) => "already",
        Err(Rejection::Invalid(invalid)) => return format!("invalid {}", invalid.field),
        Err(Rejection::NotFound(_)) => "not found",
        Err(Rejection::OwnerAlive(_)) => "owner alive",
        Err(Rejection::Fenced { .. }) => "fenced",
        Err(Rejection::Batch(index)) => return format!("batch {index}"),
        Err(Rejection::Conflict { reason, .. }) => match reason {
            ConflictReason::Uid => "uid",
            ConflictReason::Status { .. } => "status",
            ConflictReason::Version { .. } => "version",
            ConflictReason::NotOwner => "not owner",
            ConflictReason::Exclusive(_) => "exclusive",
            ConflictReason::IdempotencyKey => "idempotency key",
            ConflictReason::Pinned => "pinned",
            _ => "another reason",
        },
        Err(_) => "another refusal",
    };
    word.to_owned()
}

pub(crate) fn kinds(answers: &[Answer]) -> Vec<String> {
    answers.iter().map(kind).collect()
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) action: Arc<Action>,
    pub(crate) pinned: bool,
    pub(crate) log: Vec<LogEntry>,
}

/// Tables that take a transaction of several batches, and panic at whatever a database would
/// refuse: a doubled key, an update of what is not there, a hole in the versions.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tables {
    pub(crate) rows: BTreeMap<ActionUid, Row>,
    pub(crate) keys: BTreeMap<Key, ActionUid>,
    pub(crate) owners: BTreeMap<Arc<str>, Vec<Owner>>,
    /// In the order in which they were created.
    pub(crate) order: Vec<ActionUid>,
}

impl Tables {
    /// Writes batches as one transaction.
    pub(crate) fn write(&mut self, batches: &[Batch], now: Timestamp) -> Vec<Vec<Answer>> {
        let mut txn = TxnState::new();
        let mut answers = Vec::new();
        // Loaded batch by batch, so that what a batch names is put in when another one has
        // already changed it.
        for batch in batches {
            let read_set = read_set(batch).unwrap();
            self.load(&read_set, &mut txn);
            answers.push(plan(batch, &read_set, &mut txn, now));
        }
        self.save(txn.into_write_set());
        self.check();
        answers
    }

    fn load(&self, read_set: &ReadSet, txn: &mut TxnState) {
        let mut uids: BTreeSet<ActionUid> = read_set.actions().iter().copied().collect();
        for uid in read_set.parents_of() {
            let row = self.rows.get(uid);
            uids.extend(row.and_then(|row| row.action.parent));
        }
        for key in read_set.keys() {
            if let Some(holder) = self.keys.get(key) {
                txn.put_key(key.clone(), *holder);
                uids.insert(*holder);
            }
        }
        let mut owners: BTreeSet<OwnerRef> = read_set.owners().iter().cloned().collect();
        let named = |name: &Arc<str>| self.owners.get(name).into_iter().flatten();
        for owner in read_set.owners() {
            let living = named(&owner.name).filter(|known| known.is_alive());
            owners.extend(living.map(|known| known.owner.clone()));
        }
        for row in uids.iter().filter_map(|uid| self.rows.get(uid)) {
            owners.extend(row.action.owner.clone());
            let late = row.log.iter().any(LogEntry::is_late);
            txn.put_action(row.action.clone(), row.pinned, late);
        }
        for (uid, op) in read_set.ops() {
            let mut log = self.rows.get(uid).into_iter().flat_map(|row| &row.log);
            if log.any(|entry| entry.op == Some(*op)) {
                txn.put_op(*uid, *op);
            }
        }
        for owner in &owners {
            if let Some(known) = named(&owner.name).find(|known| known.owner == *owner) {
                txn.put_owner(known.clone());
            }
        }
        if read_set.claims() > 0 {
            let ended = self.owners.values().flatten().filter(|o| !o.is_alive());
            // Far fewer than are forgotten.
            txn.put_ended(ended.count(), Vec::new());
        }
    }

    fn save(&mut self, changes: WriteSet) {
        for action in changes.updated {
            let row = self.rows.get_mut(&action.uid).expect("updated: not there");
            assert!(row.action.version < action.version, "updated: no newer");
            row.action = action;
        }
        for uid in changes.unpinned {
            let row = self.rows.get_mut(&uid).expect("unpin of nothing");
            assert!(std::mem::take(&mut row.pinned), "unpinned: was not pinned");
        }
        for action in &changes.removed {
            let gone = self.rows.remove(&action.uid).expect("removed: not there");
            assert_eq!(gone.action, *action, "removed: as it was by then");
            assert!(!action.is_unfinished() && !gone.pinned, "removed: kept");
            self.order.retain(|uid| *uid != action.uid);
        }
        for key in &changes.keys_freed {
            self.keys.remove(key).expect("freed: nobody holds it");
        }
        for action in changes.created {
            self.order.push(action.uid);
            let row = Row {
                action: action.clone(),
                pinned: false,
                log: Vec::new(),
            };
            let before = self.rows.insert(action.uid, row);
            assert!(before.is_none(), "created: is there");
        }
        for entry in changes.log {
            let row = self.rows.get_mut(&entry.uid).expect("log of nothing");
            row.log.push(entry);
        }
        for uid in changes.trim {
            let log = &mut self.rows.get_mut(&uid).expect("trim of nothing").log;
            // The oldest steps and notes first, then the oldest adoptions, never the newest entry.
            let newest = log.iter().rfind(|entry| !entry.is_late()).unwrap();
            let newest = newest.version;
            let rank = |entry: &LogEntry| match entry.kind {
                _ if entry.version == newest => None,
                LogEntryKind::Step | LogEntryKind::Noted => Some((0, entry.version)),
                LogEntryKind::Adopted => Some((1, entry.version)),
                _ => None,
            };
            while log.iter().filter(|entry| !entry.is_late()).count() > LOG_ENTRIES {
                let goes = log.iter().filter_map(rank).min().expect("nothing can go");
                log.retain(|entry| rank(entry) != Some(goes));
            }
        }
        for (key, uid) in changes.keys_taken {
            assert!(self.rows.contains_key(&uid), "taken: by nobody");
            assert!(self.keys.insert(key, uid).is_none(), "taken: it is held");
        }
        for uid in changes.pinned {
            let row = self.rows.get_mut(&uid).expect("pin of nothing");
            assert!(!std::mem::replace(&mut row.pinned, true), "pinned: was");
        }
        for owner in changes.owners {
            let named = self.owners.entry(owner.owner.name.clone()).or_default();
            match named.iter_mut().find(|known| known.owner == owner.owner) {
                Some(known) => *known = owner,
                None => named.push(owner),
            }
        }
        for gone in changes.owners_forgotten {
            let named = self.owners.entry(gone.name.clone()).or_default();
            named.retain(|known| known.owner != gone);
        }
    }

    /// Checks the invariants between two transactions.
    pub(crate) fn check(&self) {
        let mut held = BTreeMap::new();
        for (uid, row) in &self.rows {
            row.action.check().unwrap();
            for key in row.action.exclusive.iter() {
                if row.action.is_unfinished() {
                    let before = held.insert((row.action.tenant.clone(), 0, key.clone()), *uid);
                    assert!(before.is_none(), "two hold {key}");
                }
            }
            if let Some(key) = &row.action.idempotency_key {
                let before = held.insert((row.action.tenant.clone(), 1, key.clone()), *uid);
                assert!(before.is_none(), "two have {key}");
            }
            check_log(&row.action, &row.log);
        }
        let keys = self.keys.iter();
        let kept =
            keys.map(|(key, uid)| ((key.tenant.clone(), key.kind.code(), key.key.clone()), *uid));
        assert_eq!(kept.collect::<BTreeMap<_, _>>(), held, "keys and holders");
        for (name, named) in &self.owners {
            let alive = named.iter().filter(|owner| owner.is_alive()).count();
            assert!(alive <= 1, "{alive} living incarnations of {name}");
            assert!(named.iter().all(|o| o.is_alive() == o.ended_at.is_none()));
        }
    }
}

/// A log describes one action from its create on, only forward, and ends in the action's state.
pub(crate) fn check_log(action: &Action, log: &[LogEntry]) {
    use action_store::Status;
    let own: Vec<&LogEntry> = log.iter().filter(|entry| !entry.is_late()).collect();
    assert!(log.len() - own.len() <= 1, "more than one late report");
    let whole = action.log_entries as usize;
    assert_eq!(own.len(), whole.min(LOG_ENTRIES));
    let last = own.last().expect("a log is never empty");
    assert_eq!(
        (last.status, last.outcome, &last.step, &last.owner),
        (action.status, action.outcome, &action.step, &action.owner),
    );
    for entry in log {
        assert!(entry.version <= action.version, "beyond the action");
        assert!(entry.at >= action.created_at);
    }
    // The create is never dropped.
    assert_eq!(
        (own[0].kind, own[0].version.get()),
        (LogEntryKind::Created, 1)
    );
    for pair in own.windows(2) {
        let (before, entry) = (pair[0], pair[1]);
        assert!(before.version < entry.version && before.at <= entry.at);
        assert!(before.progress <= entry.progress, "progress went down");
        let legal = match (before.status, entry.kind) {
            (Status::Queued, LogEntryKind::Started) => entry.status == Status::Executing,
            (Status::Queued, LogEntryKind::CancelRequested) => entry.status == Status::Queued,
            (Status::Queued, LogEntryKind::Finished) => entry.status == Status::Completed,
            (Status::Executing, LogEntryKind::Finished) => entry.status == Status::Completed,
            (
                Status::Executing,
                LogEntryKind::Step
                | LogEntryKind::Noted
                | LogEntryKind::CancelRequested
                | LogEntryKind::Adopted,
            ) => entry.status == Status::Executing,
            _ => false,
        };
        assert!(legal, "{:?} after {:?}", entry.kind, before.status);
    }
}
