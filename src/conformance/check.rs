//! The consistency check of a whole store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::failure::{Failure, Proof, Stop, holds, same};
use super::harness::{log_walk, uids, walk};
use crate::model::{
    Action, ActionUid, Filter, Limits, LogEntry, LogEntryKind, LogQuery, Order, Outcome,
    OwnerQuery, Query, Revision, Status, Version,
};
use crate::store::{ActionStore, ActionStoreExt};

/// Numbers of items that [`check_store`] read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Number of actions.
    pub actions: usize,
    /// Number of log entries.
    pub entries: usize,
}

/// Reads a whole store and checks that it is consistent.
///
/// It checks these rules:
///
/// - Every action satisfies its invariants and agrees with its log.
///
/// - The versions in a log have no gaps.
///
/// - Newest first, oldest first, feed and `get` return the same actions.
///
/// - The filters by status and outcome and the order of completion return the actions that they
///   should: what a store keeps for its filters agrees with the actions.
///
/// - No key has two holders.
///
/// - No owner name has two incarnations that are alive.
///
/// Call it at the end of a test, for example after a crash, a full disk or a load test.
/// There must be no writes during the check. Its memory use grows with the size of the
/// store. It also reports an imported log with fewer entries than its action counts.
///
/// # Errors
/// Returns [`Failure`] with the first inconsistency, or if a call to the store fails.
pub async fn check_store(store: &dyn ActionStore) -> Result<Checked, Failure> {
    match check(store).await {
        Ok(checked) => Ok(checked),
        Err(Stop::Failed(failure)) => Err(*failure),
        Err(Stop::NotApplicable(why)) => Err(Failure::new("a whole store", why)),
    }
}

async fn check(store: &dyn ActionStore) -> Proof<Checked> {
    let pages = |order| Query::new().with_order(order).with_limit(Limits::PAGE);
    let oldest = walk(store, pages(Order::Oldest)).await?;
    let mut newest = walk(store, pages(Order::Newest)).await?;
    newest.reverse();
    same(
        "oldest first is the reverse of newest first",
        uids(&newest),
        uids(&oldest),
    )?;
    same(
        "the same actions oldest first and newest first",
        &newest,
        &oldest,
    )?;
    let actions: BTreeMap<ActionUid, Arc<Action>> = oldest
        .iter()
        .map(|action| (action.uid, action.clone()))
        .collect();
    same("each action exactly once", actions.len(), oldest.len())?;
    check_feed(store, &actions).await?;
    let most = store.capabilities().max_commands.clamp(1, 500);
    for some in oldest.chunks(most) {
        let found = store.get(&uids(some)).await?;
        same("an answer for each uid", found.len(), some.len())?;
        let found: Vec<Arc<Action>> = found.into_iter().flatten().collect();
        same("every listed action is found by its uid", &found[..], some)?;
    }
    let at = store.list(&Query::new().with_limit(1)).await?.at;
    same("the number of actions", at.actions, oldest.len() as u64)?;
    check_filters(store, &oldest).await?;
    let mut logs: HashMap<ActionUid, Vec<LogEntry>> = HashMap::new();
    let all = log_walk(store, LogQuery::all().with_limit(Limits::PAGE)).await?;
    let entries = all.len();
    for entry in all {
        logs.entry(entry.uid).or_default().push(entry);
    }
    for action in &oldest {
        action.check()?;
        let own = log_walk(store, LogQuery::of(action.uid)).await?;
        let of_all = logs.remove(&action.uid).unwrap_or_default();
        same(
            "the global log has the same entries as the log of one action",
            &of_all,
            &own,
        )?;
        check_log(action, &own)?;
    }
    holds("no log of an unknown action", logs.is_empty(), &logs)?;
    check_keys(&oldest)?;
    let mut alive = BTreeSet::new();
    for owner in store
        .all_owners(OwnerQuery::new().with_limit(Limits::PAGE))
        .await?
    {
        let only = !owner.is_alive() || alive.insert(owner.owner.name.clone());
        holds("one living incarnation of each owner name", only, &owner)?;
    }
    Ok(Checked {
        actions: oldest.len(),
        entries,
    })
}

async fn check_filters(store: &dyn ActionStore, oldest: &[Arc<Action>]) -> Proof {
    let pages = |order| Query::new().with_order(order).with_limit(Limits::PAGE);
    let mut filters = vec![Filter::Unfinished];
    filters.extend(Status::ALL.iter().copied().map(Filter::Status));
    filters.extend(Outcome::ALL.iter().copied().map(Filter::Outcome));
    for filter in filters {
        let expected = oldest.iter().filter(|action| filter.matches(action));
        let expected: Vec<ActionUid> = expected.map(|action| action.uid).collect();
        let what = format!("the actions that match {filter:?}");
        let found = walk(store, pages(Order::Oldest).with_filter(filter)).await?;
        same(&what, uids(&found), expected)?;
    }
    let completed = oldest.iter().enumerate();
    let completed = completed.filter(|(_, action)| !action.is_unfinished());
    let mut completed: Vec<(usize, &Arc<Action>)> = completed.collect();
    completed.sort_by_key(|(number, action)| std::cmp::Reverse((action.finished_at, *number)));
    let expected: Vec<ActionUid> = completed.iter().map(|(_, action)| action.uid).collect();
    let found = walk(store, pages(Order::Finished)).await?;
    same("the order of completion", uids(&found), expected)
}

/// The feed returns the same actions, each once, in ascending order of revision.
async fn check_feed(store: &dyn ActionStore, actions: &BTreeMap<ActionUid, Arc<Action>>) -> Proof {
    let mut left = actions.clone();
    let mut query = Query::new().with_order(Order::Feed).with_limit(100);
    let mut last = Revision::ZERO;
    loop {
        let page = store.list(&query).await?;
        for action in &page.items {
            let expected = left.remove(&action.uid);
            same(
                "the feed has each action once, in its current state",
                Some(action),
                expected.as_ref(),
            )?;
        }
        let Some(next) = page.next else { break };
        let at = Revision::new(next.position());
        let ascends = at > last && at <= page.at.revision;
        holds("ascending revisions", ascends, (last, at, page.at))?;
        last = at;
        query.after = Some(next);
    }
    holds("every action is in the feed", left.is_empty(), left.keys())
}

fn check_log(action: &Action, log: &[LogEntry]) -> Proof {
    let counted: Vec<&LogEntry> = log.iter().filter(|entry| !entry.is_late()).collect();
    let kept = action.log_entries.min(Limits::LOG_ENTRIES) as usize;
    let what = |what: &str| format!("{what} of action {}", action.uid);
    same(&what("the number of log entries"), counted.len(), kept)?;
    holds(&what("at most one late report"), log.len() <= kept + 1, log)?;
    let stamps = counted.is_sorted_by_key(|entry| entry.at)
        // A late report is not earlier than the entry before it, but the entry after it
        // may be earlier.
        && log.is_sorted_by(|before, after| before.is_late() || before.at <= after.at);
    holds(&what("ascending timestamps in the log"), stamps, log)?;
    for (before, after) in counted.iter().zip(counted.iter().skip(1)) {
        let forward = before.version < after.version
            && before.status <= after.status
            && before.progress <= after.progress
            && before.outcome.is_none();
        holds(
            &what("a log with increasing versions"),
            forward,
            (before, after),
        )?;
        let fits = match after.kind {
            LogEntryKind::Created | LogEntryKind::LateReport => false,
            LogEntryKind::Started => {
                (before.status, after.status) == (Status::Queued, Status::Executing)
            }
            LogEntryKind::Step | LogEntryKind::Noted => {
                (before.status, after.status) == (Status::Executing, Status::Executing)
                    && before.owner == after.owner
            }
            LogEntryKind::Adopted => {
                after.status == Status::Executing && before.owner != after.owner
            }
            LogEntryKind::CancelRequested => before.status == after.status,
            LogEntryKind::Finished => after.status == Status::Completed,
        };
        holds(&what("a log of legal transitions"), fits, (before, after))?;
    }
    if action.log_entries <= Limits::LOG_ENTRIES {
        let first = counted.first().map(|entry| (entry.kind, entry.version));
        let expected = Some((LogEntryKind::Created, Version::FIRST));
        same(&what("the first log entry"), first, expected)?;
    }
    let Some(last) = counted.last() else {
        return Ok(());
    };
    let found = (last.status, last.outcome, &last.step, &last.owner);
    let expected = (action.status, action.outcome, &action.step, &action.owner);
    same(&what("the state at the end of the log"), found, expected)?;
    let version = last.version <= action.version
        && (action.is_unfinished() || last.version == action.version);
    holds(
        &what("the version at the end of the log"),
        version,
        (last.version, action.version),
    )?;
    let last_op = action.last_op.filter(|_| last.version == action.version);
    let op = last.op.filter(|_| last.version == action.version);
    same(&what("the operation at the end of the log"), op, last_op)
}

fn check_keys(actions: &[Arc<Action>]) -> Proof {
    let (mut exclusive, mut idempotency) = (BTreeSet::new(), BTreeSet::new());
    for action in actions {
        if action.is_unfinished() {
            // An action may name the same key twice.
            for key in action.exclusive.iter().collect::<BTreeSet<_>>() {
                let free = exclusive.insert((&action.tenant, key));
                holds("one holder of an exclusive key", free, (action.uid, key))?;
            }
        }
        if let Some(key) = &action.idempotency_key {
            let free = idempotency.insert((&action.tenant, key));
            holds("one holder of an idempotency key", free, (action.uid, key))?;
        }
    }
    Ok(())
}
