//! Record of the acknowledged writes of a workload, and the check that the store has
//! them.

use std::collections::HashMap;

use crate::conformance::failure::{Failure, Proof, holds, same};
use crate::model::{Action, ActionUid, Limits, LogQuery, Order, Query, Status, Version};
use crate::store::ActionStore;

/// Expected state of an acknowledged action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) status: Status,
    pub(super) version: Version,
    /// Number of entries in its log.
    pub(super) entries: u32,
}

/// The actions that a workload wrote and removed, as acknowledged by the store.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    written: HashMap<ActionUid, Standing>,
    removed: Vec<ActionUid>,
}

impl Ledger {
    pub(super) fn rows(&self) -> u64 {
        self.written.len() as u64
    }

    pub(super) fn removed(&self) -> u64 {
        self.removed.len() as u64
    }

    /// Returns the completed actions among these, with their versions.
    pub(super) fn completed(&self, uids: &[ActionUid]) -> Vec<(ActionUid, Version)> {
        let standing = |uid: &ActionUid| Some((*uid, *self.written.get(uid)?));
        uids.iter()
            .filter_map(standing)
            .filter(|(_, standing)| standing.status == Status::Completed)
            .map(|(uid, standing)| (uid, standing.version))
            .collect()
    }

    pub(super) fn write(&mut self, uid: ActionUid, standing: Standing) {
        self.written.insert(uid, standing);
    }

    pub(super) fn remove(&mut self, uid: ActionUid) {
        self.written.remove(&uid);
        self.removed.push(uid);
    }

    /// Requires that the store has exactly these actions and logs. Reads them by uid, in
    /// lists, in the feed and in the global log.
    pub(super) async fn verify(&self, store: &dyn ActionStore) -> Proof {
        let most = store.capabilities().max_commands.clamp(1, 1000);
        let uids: Vec<ActionUid> = self.written.keys().copied().collect();
        for some in uids.chunks(most) {
            let found = store.get(some).await?;
            same("an answer for each uid", found.len(), some.len())?;
            for (uid, action) in some.iter().zip(found) {
                match action {
                    Some(action) if action.uid == *uid => self.check(&action)?,
                    other => return lost(*uid, "get", &other),
                }
            }
        }
        for some in self.removed.chunks(most) {
            let found = store.get(some).await?;
            same("an answer for each uid", found.len(), some.len())?;
            let gone = found.iter().all(Option::is_none);
            holds("removed actions stay removed", gone, &found)?;
        }
        for order in [Order::Oldest, Order::Newest, Order::Feed] {
            self.verify_list(store, order).await?;
        }
        self.verify_log(store).await
    }

    fn check(&self, action: &Action) -> Proof {
        let Some(expected) = self.written.get(&action.uid) else {
            return Err(
                Failure::new("no action except the written ones", action.uid.to_string()).into(),
            );
        };
        let found = Standing {
            status: action.status,
            version: action.version,
            entries: action.log_entries,
        };
        let what = "the state of an acknowledged action";
        same(what, (action.uid, found), (action.uid, *expected))
    }

    async fn verify_list(&self, store: &dyn ActionStore, order: Order) -> Proof {
        let mut left = self.written.clone();
        let mut query = Query::new().with_order(order).with_limit(Limits::PAGE);
        // A page that is not the last shows an action or has scanned as many rows as a
        // page may.
        for _ in 0..=self.written.len() {
            let page = store.list(&query).await?;
            for action in &page.items {
                self.check(action)?;
                let once = left.remove(&action.uid).is_some();
                holds("each action once in a list", once, (order, action.uid))?;
            }
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        match left.keys().next() {
            None => Ok(()),
            Some(uid) => lost(*uid, "a walk", &order),
        }
    }

    async fn verify_log(&self, store: &dyn ActionStore) -> Proof {
        let mut left: HashMap<ActionUid, u32> = HashMap::with_capacity(self.written.len());
        left.extend(self.written.iter().map(|(uid, at)| (*uid, at.entries)));
        let most: u64 = left.values().copied().map(u64::from).sum();
        let mut query = LogQuery::all().with_limit(Limits::PAGE);
        for _ in 0..=most {
            let page = store.log(&query).await?;
            for entry in &page.items {
                match left.get_mut(&entry.uid) {
                    Some(count) if *count > 0 => *count -= 1,
                    _ => {
                        let what = "no log entries except those of the written actions";
                        return Err(Failure::new(what, format!("{entry:?}")).into());
                    }
                }
            }
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        match left.iter().find(|(_, count)| **count > 0) {
            None => Ok(()),
            Some((uid, count)) => lost(*uid, "the log", count),
        }
    }
}

fn lost(uid: ActionUid, wherein: &str, found: &impl std::fmt::Debug) -> Proof {
    let expected = format!("the acknowledged action {uid} in {wherein}");
    Err(Failure::new(expected, format!("{found:?}")).into())
}
