//! Filters out actions that stay because they are parts of unfinished actions.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::StoreError;
use crate::model::{Action, ActionUid};
use crate::store::ActionStore;

/// Filters out the parts of unfinished actions. The store refuses to remove them anyway. The filter
/// keeps them out of the plan and avoids removals that must fail.
pub(super) async fn free<S>(
    store: &S,
    mut actions: Vec<Arc<Action>>,
) -> Result<Vec<Arc<Action>>, StoreError>
where
    S: ActionStore + ?Sized,
{
    let parents: BTreeSet<ActionUid> = actions.iter().filter_map(|action| action.parent).collect();
    let parents: Vec<ActionUid> = parents.into_iter().collect();
    let mut unfinished = BTreeSet::new();
    for parents in parents.chunks(store.capabilities().max_commands.max(1)) {
        let found = store.get(parents).await?.into_iter().flatten();
        let found = found.filter(|parent| parent.is_unfinished());
        unfinished.extend(found.map(|parent| parent.uid));
    }
    actions.retain(|action| action.parent.is_none_or(|uid| !unfinished.contains(&uid)));
    Ok(actions)
}
