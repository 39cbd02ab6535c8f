//! Determines which actions are kept because they are the last of their object.

use std::collections::{HashMap, HashSet};

use super::scan::query;
use crate::error::StoreError;
use crate::model::{Action, ActionUid, Filter, ObjectRef, Order, Status};
use crate::store::ActionStore;

/// Maximum number of uids in the cache. When it is exceeded, the cache is cleared.
const REMEMBERED: usize = 200_000;

/// Cache of the last actions of each object, in bounded memory.
#[derive(Debug)]
pub(super) struct Kept {
    last: u16,
    of: HashMap<ObjectRef, HashSet<ActionUid>>,
    uids: usize,
}

impl Kept {
    pub(super) fn new(last: u16) -> Kept {
        Kept {
            last,
            of: HashMap::new(),
            uids: 0,
        }
    }

    /// Returns true if a completed action is among the last of its object.
    ///
    /// Cached results stay valid for the whole scan: later completions only push more actions out.
    pub(super) async fn holds<S>(&mut self, store: &S, action: &Action) -> Result<bool, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let Some(object) = action.object.as_ref().filter(|_| self.last > 0) else {
            return Ok(false);
        };
        if let Some(uids) = self.of.get(object) {
            return Ok(uids.contains(&action.uid));
        }
        let last = usize::from(self.last);
        let mut uids = HashSet::new();
        let mut query = query(Order::Newest, None)
            .with_filter(Filter::Object(object.clone()))
            .with_filter(Filter::Status(Status::Completed))
            .with_limit(self.last);
        loop {
            let page = store.list(&query).await?;
            let missing = last - uids.len();
            uids.extend(page.items.iter().take(missing).map(|action| action.uid));
            query.after = page.next;
            if uids.len() >= last || page.next.is_none() {
                break;
            }
        }
        if self.uids + uids.len() > REMEMBERED {
            self.of.clear();
            self.uids = 0;
        }
        self.uids += uids.len();
        let holds = uids.contains(&action.uid);
        self.of.insert(object.clone(), uids);
        Ok(holds)
    }
}
