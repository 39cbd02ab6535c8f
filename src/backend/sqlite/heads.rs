//! What the writer remembers: where the store stands, the owners, and the unfinished actions it
//! has written itself.
//!
//! Most commands are about these, so most transactions need not load anything: one command to
//! SQLite's thread instead of two, and no wide rows to read back. Only the one writer of a store
//! opened exclusively may do that, and the transaction itself verifies that the store is still at
//! the revision all this is as of. Whatever goes wrong, it is forgotten and read anew.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;

use super::decode::{Columns, decode_owner};
use super::errors::{Phase, store_error};
use super::hot::Hot;
use super::lanes::Job;
use super::load::{self, Stored};
use super::rows::PACKED_OWNER;
use super::script::Script;
use crate::error::StoreError;
use crate::model::{Action, ActionUid, Changes, Command, Limits, Loaded, OpId, Owner, OwnerRef};

/// Most actions remembered, and about how much memory they take at most, in bytes. What does not
/// fit is loaded when it is needed.
const MOST_HEADS: usize = 65_536;
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// About what an action takes beside its long texts.
const HEAD_BYTES: usize = 1024;

#[derive(Debug)]
pub(super) struct Heads {
    /// Where the store stood when all this was so.
    pub(super) stored: Stored,
    owners: HashMap<Arc<str>, Vec<Owner>>,
    heads: HashMap<ActionUid, Head>,
    bytes: usize,
    /// The same actions, for those who look them up.
    hot: Arc<Hot>,
}

/// What is forgotten is not shown either.
impl Drop for Heads {
    fn drop(&mut self) {
        self.hot.clear();
    }
}

/// An unfinished action, with everything a plan looks at.
#[derive(Debug, Clone)]
struct Head {
    action: Arc<Action>,
    number: i64,
    /// The operations its log has an entry of, all of them.
    ops: Vec<OpId>,
    late: bool,
    pinned: bool,
}

/// What a group of batches needs, from memory.
pub(super) struct Remembered {
    pub(super) loaded: Loaded,
    pub(super) numbers: HashMap<ActionUid, i64>,
    /// Actions that are taken for new. True only if the plan enters them: then the database
    /// refuses the transaction should they be there.
    pub(super) assumed: HashSet<ActionUid>,
}

/// What is remembered since a transaction that was sent.
#[derive(Debug)]
pub(super) struct Applied {
    /// The actions it changes that are remembered.
    changed: Vec<Arc<Action>>,
    before: Before,
}

/// What was remembered of all that a transaction changes.
#[derive(Debug)]
struct Before {
    stored: Stored,
    bytes: usize,
    heads: Vec<(ActionUid, Option<Head>)>,
    owners: Vec<(Arc<str>, Vec<Owner>)>,
}

impl Heads {
    /// Reads where the store stands, and the owners.
    pub(super) async fn read(
        connection: &mut SqliteConnection,
        hot: Arc<Hot>,
    ) -> Result<Heads, StoreError> {
        let mut script = Script::new();
        script.push("BEGIN");
        script.push(load::POSITION);
        let owner = &*PACKED_OWNER;
        script.push(&format!("SELECT {owner} FROM actions_owner ORDER BY id"));
        script.push("COMMIT");
        let results = script.run(connection).await;
        let results = results.map_err(|f| store_error("write", Phase::Before, f.error))?;
        let mut results = results.into_iter().skip(1);
        let mut rows = || results.next().unwrap_or_default();
        let mut heads = Heads {
            stored: load::read_position(&rows())?,
            owners: HashMap::new(),
            heads: HashMap::new(),
            bytes: 0,
            hot,
        };
        for row in rows() {
            heads.set_owner(decode_owner(&mut Columns::new("write", &row)?)?);
        }
        Ok(heads)
    }

    /// What the batches need, if all of it is remembered.
    pub(super) fn recall(&self, jobs: &[Job]) -> Option<Remembered> {
        let commands = || jobs.iter().flat_map(|job| &job.batch.commands);
        let created: HashSet<ActionUid> = commands()
            .filter_map(|command| match command {
                Command::Create { new, .. } => Some(new.uid),
                _ => None,
            })
            .collect();
        let mut recalled = Remembered {
            loaded: Loaded::new(),
            numbers: HashMap::new(),
            assumed: HashSet::new(),
        };
        for needs in jobs.iter().map(|job| &job.needs) {
            // Memory knows neither the holders of keys nor the owners that may be forgotten.
            if !needs.keys().is_empty() || needs.claims() > 0 {
                return None;
            }
            for owner in needs.owners() {
                self.recall_owner(owner, &mut recalled.loaded);
                if let Some(living) = self.named(&owner.name).find(|known| known.is_alive()) {
                    recalled.loaded.put_owner(living.clone());
                }
            }
            for uid in needs.actions() {
                match self.heads.get(uid) {
                    Some(head) => {
                        if let Some(owner) = &head.action.owner {
                            self.recall_owner(owner, &mut recalled.loaded);
                        }
                        recalled.numbers.insert(*uid, head.number);
                        let action = head.action.clone();
                        recalled.loaded.put_action(action, head.pinned, head.late);
                    }
                    None if created.contains(uid) => {
                        recalled.assumed.insert(*uid);
                    }
                    None => return None,
                }
            }
            for uid in needs.parents_of() {
                let head = self.heads.get(uid);
                if let Some(parent) = head.and_then(|head| head.action.parent) {
                    // The store may have a parent that is not remembered.
                    let head = self.heads.get(&parent)?;
                    let action = head.action.clone();
                    if let Some(owner) = &head.action.owner {
                        self.recall_owner(owner, &mut recalled.loaded);
                    }
                    recalled.numbers.insert(parent, head.number);
                    recalled.loaded.put_action(action, head.pinned, head.late);
                }
            }
            for (uid, op) in needs.ops() {
                if self
                    .heads
                    .get(uid)
                    .is_some_and(|head| head.ops.contains(op))
                {
                    recalled.loaded.put_op(*uid, *op);
                }
            }
        }
        Some(recalled)
    }

    /// The incarnations of a name, the last first.
    fn named(&self, name: &str) -> impl Iterator<Item = &Owner> {
        self.owners.get(name).into_iter().flatten().rev()
    }

    fn recall_owner(&self, owner: &OwnerRef, loaded: &mut Loaded) {
        if let Some(known) = self.named(&owner.name).find(|known| known.owner == *owner) {
            loaded.put_owner(known.clone());
        }
    }

    /// Shows nobody any more what is about to change. To be called before anything that may commit.
    pub(super) fn withhold(&self, changes: &Changes) {
        self.hot.withhold(changes);
    }

    /// Remembers what is saved, on the word that it will be committed.
    pub(super) fn apply(
        &mut self,
        changes: Changes,
        numbers: &HashMap<ActionUid, i64>,
        stored: Stored,
    ) -> Applied {
        let before = self.before(&changes);
        // It only grows, and what saves may have been made before the last removal was known.
        let removed_to = stored.removed_to.max(self.stored.removed_to);
        self.stored = Stored {
            removed_to,
            ..stored
        };
        let changed = changes.updated.iter().chain(&changes.created);
        let changed: Vec<ActionUid> = changed.map(|action| action.uid).collect();
        for action in changes.updated {
            let Some(head) = self.heads.get_mut(&action.uid) else {
                continue;
            };
            self.bytes = self.bytes + bytes(&action) - bytes(&head.action);
            head.action = action;
            if !head.action.is_unfinished() || self.bytes > MOST_BYTES {
                let uid = head.action.uid;
                self.forget(uid);
            }
        }
        for uid in changes.unpinned {
            self.set_pin(uid, false);
        }
        for action in changes.removed {
            self.forget(action.uid);
        }
        for action in changes.created {
            if let Some(number) = numbers.get(&action.uid) {
                self.remember(action, *number);
            }
        }
        for entry in changes.log {
            if let Some(head) = self.heads.get_mut(&entry.uid) {
                head.late |= entry.is_late();
                // As many as the log keeps entries; older ones would be found in neither. A late
                // report has none, and pushes nothing out of the log either.
                if let Some(op) = entry.op {
                    if head.ops.len() >= Limits::LOG_ENTRIES as usize {
                        head.ops.remove(0);
                    }
                    head.ops.push(op);
                }
            }
        }
        for uid in changes.pinned {
            self.set_pin(uid, true);
        }
        for owner in changes.owners {
            self.set_owner(owner);
        }
        for gone in changes.owners_forgotten {
            if let Some(named) = self.owners.get_mut(&gone.name) {
                named.retain(|known| known.owner != gone);
                if named.is_empty() {
                    self.owners.remove(&gone.name);
                }
            }
        }
        let heads = changed.iter().filter_map(|uid| self.heads.get(uid));
        let changed = heads.map(|head| head.action.clone()).collect();
        Applied { changed, before }
    }

    /// It was committed: shows it. To be called before anybody is answered.
    pub(super) fn landed(&mut self, applied: Applied, removed_to: i64) {
        self.stored.removed_to = self.stored.removed_to.max(removed_to);
        self.hot.publish(applied.changed.into_iter());
    }

    /// It was rolled back: all is again as it was before.
    pub(super) fn undo(&mut self, applied: Applied) {
        let before = applied.before;
        self.stored = before.stored;
        self.bytes = before.bytes;
        self.owners.extend(before.owners);
        for (uid, head) in before.heads {
            match head {
                Some(head) => {
                    self.hot.publish(std::iter::once(head.action.clone()));
                    self.heads.insert(uid, head);
                }
                None => drop(self.heads.remove(&uid)),
            }
        }
    }

    fn before(&self, changes: &Changes) -> Before {
        let actions = [&changes.updated, &changes.created, &changes.removed];
        let actions = actions.into_iter().flatten().map(|action| action.uid);
        let pins = changes.unpinned.iter().chain(&changes.pinned).copied();
        // What else makes an entry changes the action, too.
        let late = changes.log.iter().filter(|entry| entry.is_late());
        let touched = actions.chain(pins).chain(late.map(|entry| entry.uid));
        let owners = changes.owners.iter().map(|owner| &owner.owner);
        let named = owners.chain(&changes.owners_forgotten).map(|o| &o.name);
        let incarnations = |name| self.owners.get(name).cloned().unwrap_or_default();
        Before {
            stored: self.stored,
            bytes: self.bytes,
            heads: touched
                .map(|uid| (uid, self.heads.get(&uid).cloned()))
                .collect(),
            owners: named
                .map(|name| (name.clone(), incarnations(name)))
                .collect(),
        }
    }

    fn remember(&mut self, action: Arc<Action>, number: i64) {
        let bytes = bytes(&action);
        let fits = self.heads.len() < MOST_HEADS && self.bytes + bytes <= MOST_BYTES;
        if action.is_unfinished() && fits {
            self.bytes += bytes;
            let head = Head {
                action,
                number,
                ops: Vec::new(),
                late: false,
                pinned: false,
            };
            self.heads.insert(head.action.uid, head);
        }
    }

    fn forget(&mut self, uid: ActionUid) {
        if let Some(head) = self.heads.remove(&uid) {
            self.bytes -= bytes(&head.action);
        }
    }

    fn set_pin(&mut self, uid: ActionUid, pinned: bool) {
        if let Some(head) = self.heads.get_mut(&uid) {
            head.pinned = pinned;
        }
    }

    fn set_owner(&mut self, owner: Owner) {
        let named = self.owners.entry(owner.owner.name.clone()).or_default();
        match named.iter_mut().find(|known| known.owner == owner.owner) {
            Some(known) => *known = owner,
            None => named.push(owner),
        }
    }
}

/// About how much memory an action takes, with its operations.
fn bytes(action: &Action) -> usize {
    let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
    let attributes = action.attributes.as_ref().map_or(0, |a| a.as_str().len());
    let warnings: usize = action.warnings.iter().map(|text| text.len()).sum();
    let lists = action.related.len() * 128 + action.exclusive.len() * 64;
    let ops = (action.log_entries.min(Limits::LOG_ENTRIES) as usize) * 16;
    HEAD_BYTES + text(&action.description) + attributes + warnings + lists + ops
}
