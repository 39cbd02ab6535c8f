//! Compares the stored actions with the answers that callers and readers received.

use std::collections::HashMap;
use std::sync::Arc;

use action_store::action::{LogEntryKind, Version};
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Limits, LogEntry, LogQuery, Order, Query,
    SqliteStore, Status,
};
use sqlx::sqlite::SqliteConnection;

use super::tally::Tally;

/// How much was not as it has to be: all 0.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Logs with an edge that is not legal.
    illegal: u64,
    /// Actions that were completed more than once.
    completed_twice: u64,
    /// Changes that a caller was told of, and that are not there.
    lost: u64,
    /// Callers who were told of another outcome than the recorded one.
    other_outcome: u64,
    /// Versions that no caller can have made.
    holes: u64,
    /// Actions whose last state a follower of the feed was not shown.
    not_shown: u64,
    /// Actions that a follower was shown and that are not there.
    invented: u64,
}

impl Verified {
    pub(crate) async fn of(
        store: &SqliteStore,
        tally: &Tally,
        shown: &[HashMap<ActionUid, Arc<Action>>],
    ) -> Verified {
        let mut verified = Verified::default();
        let all = Query::new()
            .with_order(Order::Oldest)
            .with_limit(Limits::PAGE);
        let actions = store.pages(all).collect().await.unwrap();
        let actions: HashMap<ActionUid, Arc<Action>> = actions
            .into_iter()
            .map(|action| (action.uid, action))
            .collect();
        let mut logs: HashMap<ActionUid, Vec<LogEntry>> = HashMap::new();
        let mut query = LogQuery::all().with_limit(Limits::PAGE);
        loop {
            let page = store.log(&query).await.unwrap();
            for entry in page.items {
                logs.entry(entry.uid).or_default().push(entry);
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        for log in logs.values() {
            verified.illegal += u64::from(!is_legal(log));
            let finished = log.iter().filter(|e| e.kind == LogEntryKind::Finished);
            verified.completed_twice += u64::from(finished.count() > 1);
        }
        for (uid, told) in &tally.told {
            let Some(action) = actions.get(uid) else {
                verified.lost += told.len() as u64;
                continue;
            };
            for (version, told) in told {
                let outcome = told.outcome.is_some() && told.outcome != action.outcome;
                verified.other_outcome += u64::from(outcome);
                let entry = logs[uid]
                    .iter()
                    .find(|entry| entry.version == *version && !entry.is_late());
                // Progress alone makes no entry.
                let other = entry.is_some_and(|entry| entry.op != told.op);
                let ended = told.outcome.is_some() && entry.is_none();
                verified.lost += u64::from(*version > action.version || other || ended);
            }
        }
        for (uid, outcomes) in &tally.seen {
            let recorded = actions.get(uid).and_then(|action| action.outcome);
            let other = outcomes.iter().filter(|seen| Some(**seen) != recorded);
            verified.other_outcome += other.count() as u64;
        }
        for (uid, action) in &actions {
            let told = tally.told.get(uid).map_or(0, |told| told.len() as u64);
            let unknown = tally.unknown_changes.get(uid).copied().unwrap_or(0);
            let holes = action.version.get().saturating_sub(told + unknown);
            verified.holes += holes;
        }
        for shown in shown {
            let missed =
                |(uid, action): &(&ActionUid, &Arc<Action>)| shown.get(*uid) != Some(*action);
            for (uid, action) in actions.iter().filter(missed) {
                println!(
                    "recorded {action:?}\nbut shown {:?}\n{:?}",
                    shown.get(uid),
                    logs[uid]
                );
                verified.not_shown += 1;
            }
            let invented = shown.keys().filter(|uid| !actions.contains_key(*uid));
            verified.invented += invented.count() as u64;
        }
        verified
    }
}

/// Returns true if a log has only legal transitions, in order, and at most one end. The rules are
/// written by hand, separately from the library's own table.
pub(crate) fn is_legal(log: &[LogEntry]) -> bool {
    let entries: Vec<&LogEntry> = log.iter().filter(|entry| !entry.is_late()).collect();
    let Some(first) = entries.first() else {
        return false;
    };
    let mut legal = first.kind == LogEntryKind::Created
        && first.version == Version::FIRST
        && first.status == Status::Queued;
    for pair in entries.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        use LogEntryKind as Kind;
        use Status::{Completed, Executing, Queued};
        legal &= before.version < after.version && before.progress <= after.progress;
        legal &= match (before.status, after.kind, after.status) {
            (Queued, Kind::Started, Executing) => after.owner.is_some(),
            (Queued | Executing, Kind::Finished, Completed) => after.outcome.is_some(),
            (Executing, Kind::Step | Kind::Noted, Executing) => before.owner == after.owner,
            (Executing, Kind::Adopted, Executing) => before.owner != after.owner,
            (Queued, Kind::CancelRequested, Queued)
            | (Executing, Kind::CancelRequested, Executing) => before.owner == after.owner,
            _ => false,
        };
    }
    legal
}

/// How many of the newest actions disagree with their logs, as one statement sees both.
pub(crate) async fn torn_now(connection: &mut SqliteConnection) -> u64 {
    let torn = "SELECT count(*) FROM actions_action AS a \
         LEFT JOIN actions_log AS l ON l.action = a.number AND l.kind <> 7 AND l.version = (\
         SELECT max(version) FROM actions_log WHERE action = a.number AND kind <> 7) \
         WHERE a.number > (SELECT max(number) FROM actions_action) - 500 AND (\
         l.version IS NULL OR l.version > a.version OR l.status IS NOT a.status \
         OR l.outcome IS NOT a.outcome OR l.owner IS NOT a.owner \
         OR l.incarnation IS NOT a.incarnation \
         OR (a.status = 2 AND l.version IS NOT a.version))";
    let torn: i64 = sqlx::query_scalar(torn)
        .fetch_one(connection)
        .await
        .unwrap();
    u64::try_from(torn).unwrap()
}
