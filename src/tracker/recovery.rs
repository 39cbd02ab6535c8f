//! Settles the actions that an owner left unfinished.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;

use crate::error::{Error, StoreError, StoreErrorKind};
use crate::model::{
    Action, ActionUid, Batch, Change, Command, Filter, Finish, Order, Outcome, OwnerRef, Query,
    Rejection, Status,
};
use crate::store::ActionStoreExt;
use crate::telemetry::{self, Recovered};

use super::background::CHUNK;
use super::options::{LeftQueued, OrphanDecision};
use super::run::unless_it_panics;
use super::shared::Shared;

/// Maximum number of actions in each list of a report. All are counted.
pub(super) const MOST_NAMED: usize = 100;

/// The unfinished actions of ended owners, after settling them. When settling is retried, `lost` and
/// `interrupted` add up over all tries; the other fields are of the last try.
///
/// Each list holds at most 100 actions, the latest. The count beside it says how many there were,
/// so `lost - lost_actions.len()` are not named. [`TrackerOptions::with_on_settled`] tells of each.
///
/// [`TrackerOptions::with_on_settled`]: crate::TrackerOptions::with_on_settled
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Recovery {
    /// Actions that were executing and were completed as lost.
    pub lost: u64,
    /// The last 100 of these, in the order in which they were settled.
    pub lost_actions: Vec<ActionUid>,
    /// Actions that were never started and were completed as interrupted.
    pub interrupted: u64,
    /// The last 100 of these, in the order in which they were settled.
    pub interrupted_actions: Vec<ActionUid>,
    /// Actions that stay queued because of [`LeftQueued::Leave`].
    pub left_queued: u64,
    /// The last 100 of these.
    pub left_queued_actions: Vec<ActionUid>,
    /// Actions that stay unfinished because of the host's
    /// [decision](crate::TrackerOptions::decide).
    pub left_unfinished: u64,
    /// The last 100 of these.
    pub left_unfinished_actions: Vec<ActionUid>,
    /// Actions that could not be settled.
    pub unsettled: u64,
    /// The first 100 actions that could not be settled, each with its error.
    pub unsettled_actions: Vec<Unsettled>,
    /// The error that kept the store from listing all unfinished actions, or that stopped the
    /// settling early. The counts include everything done before it.
    pub unread: Option<StoreError>,
}

/// An action that could not be settled.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Unsettled {
    /// The uid of the action.
    pub uid: ActionUid,
    /// The reason why it could not be settled.
    pub error: Error,
}

impl Recovery {
    /// The report of a tracker that ended before its recovery ran.
    pub(super) fn none() -> Recovery {
        let message = "the tracker ended before its recovery finished";
        Recovery::unread(StoreError::new(StoreErrorKind::Closed, "recover", message))
    }

    /// Returns true if every unfinished action that should be settled was settled.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unsettled == 0 && self.unread.is_none()
    }

    /// Returns true if no action of the name is left unfinished.
    pub(super) fn leaves_nothing(&self) -> bool {
        self.is_complete() && self.left_queued == 0 && self.left_unfinished == 0
    }

    /// Combines this report with that of a later try.
    pub(super) fn then(&self, later: Recovery) -> Recovery {
        Recovery {
            lost: self.lost + later.lost,
            lost_actions: joined(self.lost_actions.clone(), &later.lost_actions),
            interrupted: self.interrupted + later.interrupted,
            interrupted_actions: joined(
                self.interrupted_actions.clone(),
                &later.interrupted_actions,
            ),
            ..later
        }
    }

    /// Adds the report of another name.
    pub(super) fn and(mut self, other: &Recovery) -> Recovery {
        self.lost += other.lost;
        self.interrupted += other.interrupted;
        self.left_queued += other.left_queued;
        self.left_unfinished += other.left_unfinished;
        self.lost_actions = joined(self.lost_actions, &other.lost_actions);
        self.interrupted_actions = joined(self.interrupted_actions, &other.interrupted_actions);
        self.left_queued_actions = joined(self.left_queued_actions, &other.left_queued_actions);
        let left = joined(self.left_unfinished_actions, &other.left_unfinished_actions);
        self.left_unfinished_actions = left;
        self.unsettled += other.unsettled;
        let room = MOST_NAMED.saturating_sub(self.unsettled_actions.len());
        let named = other.unsettled_actions.iter().take(room).cloned();
        self.unsettled_actions.extend(named);
        self.unread = self.unread.or_else(|| other.unread.clone());
        self
    }

    /// Creates a report that holds only an error.
    pub(super) fn unread(error: StoreError) -> Recovery {
        Recovery {
            unread: Some(error),
            ..Recovery::default()
        }
    }

    fn count(&mut self, action: &Action, answer: Result<(), Error>) {
        match (answer, action.status) {
            (Ok(()), Status::Queued) => {
                self.interrupted += 1;
                keep_latest(&mut self.interrupted_actions, action.uid);
            }
            (Ok(()), _) => {
                self.lost += 1;
                keep_latest(&mut self.lost_actions, action.uid);
            }
            // The action was settled, started or adopted by another process in the meantime.
            (Err(error), _)
                if error
                    .current()
                    .is_some_and(|now| !now.is_unfinished() || now.owner != action.owner) => {}
            (Err(error), _) => {
                self.unsettled += 1;
                if self.unsettled_actions.len() < MOST_NAMED {
                    let uid = action.uid;
                    self.unsettled_actions.push(Unsettled { uid, error });
                }
            }
        }
    }
}

/// Adds an action to a list that holds the latest.
fn keep_latest(list: &mut Vec<ActionUid>, uid: ActionUid) {
    if list.len() >= MOST_NAMED {
        list.remove(0);
    }
    list.push(uid);
}

/// Joins two lists and keeps the latest.
fn joined(mut earlier: Vec<ActionUid>, later: &[ActionUid]) -> Vec<ActionUid> {
    earlier.extend(later);
    let surplus = earlier.len().saturating_sub(MOST_NAMED);
    earlier.drain(..surplus);
    earlier
}

/// Selects the unfinished actions to settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose<'w> {
    /// Actions of all incarnations of a name except the live one, `but`. Their progress is unknown.
    Earlier {
        name: &'w Arc<str>,
        but: Option<&'w OwnerRef>,
    },
    /// Actions of this incarnation, which is about to end.
    Own,
}

/// Settles the actions of all incarnations of a name except the live one. An error on the way is
/// reported in `unread`, beside the counts so far.
pub(super) async fn settle_earlier(
    shared: &Shared,
    name: &Arc<str>,
    but: Option<&OwnerRef>,
) -> Recovery {
    let work = settle_all_earlier(shared, name, but);
    telemetry::recovering(work, |recovery| Recovered {
        is_complete: recovery.is_complete(),
        lost: recovery.lost,
        interrupted: recovery.interrupted,
        left: recovery.left_queued + recovery.left_unfinished,
        unsettled: recovery.unsettled,
    })
    .await
}

async fn settle_all_earlier(shared: &Shared, name: &Arc<str>, but: Option<&OwnerRef>) -> Recovery {
    let mut recovery = Recovery::default();
    let settled = settle(shared, Whose::Earlier { name, but }, &mut recovery);
    if let Err(error) = unless_it_panics("recover", settled).await {
        recovery.unread = Some(match error {
            Error::Store(error) => error,
            found @ Error::Found(_) => {
                let message = "the store's answer does not fit the command";
                StoreError::new(StoreErrorKind::Corrupt, "recover", message).with_source(found)
            }
            Error::Rejected(refused) => {
                let message = "this owner was fenced during the recovery";
                StoreError::new(StoreErrorKind::Unavailable, "recover", message)
                    .with_source(refused)
            }
        });
    }
    recovery
}

/// Settles the unfinished actions of an owner. An action that cannot be settled does not stop the
/// others.
///
/// # Errors
/// The store cannot be read or written at all, or this incarnation was fenced.
pub(super) async fn settle(
    shared: &Shared,
    whose: Whose<'_>,
    recovery: &mut Recovery,
) -> Result<(), Error> {
    let mut met = HashSet::new();
    walk(shared, whose, Order::Oldest, &mut met, recovery).await?;
    if recovery.unread.is_some() {
        // A row cannot be read. The rows behind it can be reached from the other end, up to where
        // the first walk stopped.
        walk(shared, whose, Order::Newest, &mut met, recovery).await?;
    }
    Ok(())
}

/// Walks through the unfinished actions of an owner in one order. Stops at an action that the
/// earlier walk from the other end has `met`. `met` holds the last actions that this walk left
/// unfinished.
async fn walk(
    shared: &Shared,
    whose: Whose<'_>,
    order: Order,
    met: &mut HashSet<ActionUid>,
    recovery: &mut Recovery,
) -> Result<(), Error> {
    let met_before = std::mem::take(met);
    let capabilities = shared.store.capabilities();
    let (name, own) = match whose {
        Whose::Earlier { name, .. } => (name, false),
        Whose::Own => (&shared.owner.name, true),
    };
    let concerns = |action: &Action| match whose {
        Whose::Earlier { but, .. } => action.owner.as_ref() != but,
        Whose::Own => action.owner.as_ref() == Some(&shared.owner),
    };
    let mut query = Query::new()
        .with_filter(Filter::OwnerName(name.clone()))
        .with_filter(Filter::Unfinished)
        .with_order(order)
        .with_limit(u16::try_from(CHUNK.min(capabilities.max_commands)).unwrap_or(1));
    loop {
        let page = match shared.store.list(&query).await {
            Ok(page) => page,
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                if query.limit > 1 {
                    // Smaller pages get closer to the damaged row.
                    query.limit /= 2;
                    continue;
                }
                recovery.unread = Some(error);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let mut settled = Vec::with_capacity(page.items.len());
        let mut kept = HashSet::new();
        let mut through = page.next.is_none();
        for action in page.items {
            if met_before.contains(&action.uid) {
                through = true;
                break;
            }
            kept.insert(action.uid);
            if !concerns(&action) {
                continue;
            }
            let queued = action.status == Status::Queued;
            if queued && shared.options.left_queued == LeftQueued::Leave {
                recovery.left_queued += 1;
                keep_latest(&mut recovery.left_queued_actions, action.uid);
                continue;
            }
            if !own {
                match shared.options.decide.on(&action) {
                    Ok(OrphanDecision::Settle) => {}
                    Ok(OrphanDecision::Leave) => {
                        recovery.left_unfinished += 1;
                        keep_latest(&mut recovery.left_unfinished_actions, action.uid);
                        continue;
                    }
                    Err(error) => {
                        recovery.count(&action, Err(error.into()));
                        continue;
                    }
                }
            }
            let outcome = if own || queued {
                Outcome::Interrupted
            } else {
                Outcome::Lost
            };
            // This owner may start a queued action at the same time, and the end would then apply
            // to it.
            let if_version = (queued && !own).then_some(action.version);
            let command = Command::apply(action.uid, Change::Finish(Finish::new(outcome)))
                .by(shared.owner.clone())
                .if_version(if_version);
            settled.push((action, command));
        }
        write(shared, settled, &mut kept, recovery).await?;
        // Holds one page at most, and skips pages that left no action to meet.
        if !kept.is_empty() {
            *met = kept;
        }
        if through {
            return Ok(());
        }
        query.after = page.next;
    }
}

async fn write(
    shared: &Shared,
    rows: Vec<(Arc<Action>, Command)>,
    kept: &mut HashSet<ActionUid>,
    recovery: &mut Recovery,
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let commands = rows.iter().map(|(_, command)| command.clone()).collect();
    match shared.store.write_repeating(Batch::each(commands)).await {
        Ok(answers) => {
            for ((action, _), answer) in rows.iter().zip(answers) {
                let answer = answer.map(|_| ()).map_err(Error::from);
                judge(shared, action, answer, kept, recovery)?;
            }
        }
        // One row may have made the whole batch fail.
        Err(error) if error.kind() == StoreErrorKind::Corrupt => {
            for (action, command) in rows {
                let answer = shared.store.command(command).await.map(|_| ());
                judge(shared, &action, answer, kept, recovery)?;
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Counts an answer. A fence of this owner is an error instead, since it concerns all actions.
fn judge(
    shared: &Shared,
    action: &Action,
    answer: Result<(), Error>,
    kept: &mut HashSet<ActionUid>,
    recovery: &mut Recovery,
) -> Result<(), Error> {
    if answer.is_ok() {
        kept.remove(&action.uid);
        shared.tell_settled(action.uid);
    }
    if let Err(Error::Rejected(refused @ Rejection::Fenced { owner, .. })) = &answer
        && *owner == shared.owner
    {
        shared.note(refused);
        return Err(refused.clone().into());
    }
    recovery.count(action, answer);
    Ok(())
}
