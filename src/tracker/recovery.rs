//! Bringing to an end what an owner left unfinished.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, StoreError};
use crate::model::{
    Action, ActionUid, Batch, Change, Command, Finish, OpId, Order, Outcome, OwnerRef, Query,
    Refused, Status, Term,
};
use crate::store::ActionStoreExt;

use super::keeper::CHUNK;
use super::options::{LeftQueued, Orphan};
use super::run::unless_it_panics;
use super::shared::Shared;

/// Most rows a report names; it counts them all.
const MOST_NAMED: usize = 100;

/// What became of the actions that incarnations which are not alive had left unfinished. Once it was
/// tried again, the counts of what was settled are of all tries, and the others of the last one.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Recovery {
    /// How many were executing and are now lost.
    pub lost: u64,
    /// How many had never been started and are now interrupted.
    pub interrupted: u64,
    /// How many are still queued, because [`LeftQueued::Leave`] says so.
    pub left_queued: u64,
    /// How many are as they were, because the host's [decision](crate::TrackerOptions::decide)
    /// said so.
    pub left_unfinished: u64,
    /// How many could not be settled.
    pub unsettled: u64,
    /// The first hundred of those, with what stood in the way.
    pub unsettled_actions: Vec<Unsettled>,
    /// What kept the store from telling all unfinished actions, or stopped the settling before
    /// its end; the counts say what was done by then.
    pub unread: Option<StoreError>,
}

/// An action that could not be settled.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Unsettled {
    /// Which.
    pub uid: ActionUid,
    /// Why not.
    pub error: Error,
}

impl Recovery {
    /// One of a tracker that has ended before it came to that.
    pub(super) fn none() -> Recovery {
        let message = "the tracker ended before it had settled what was left";
        Recovery::unread(StoreError::new(ErrorKind::Closed, "recover", message))
    }

    /// Whether nothing unfinished is left that should have been settled.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unsettled == 0 && self.unread.is_none()
    }

    /// Whether there is nothing to be said of what is not settled.
    pub(super) fn leaves_nothing(&self) -> bool {
        self.is_complete() && self.left_queued == 0 && self.left_unfinished == 0
    }

    /// What it comes to after another try.
    pub(super) fn then(&self, later: Recovery) -> Recovery {
        Recovery {
            lost: self.lost + later.lost,
            interrupted: self.interrupted + later.interrupted,
            ..later
        }
    }

    /// What it comes to with what is known of another name.
    pub(super) fn and(mut self, other: &Recovery) -> Recovery {
        self.lost += other.lost;
        self.interrupted += other.interrupted;
        self.left_queued += other.left_queued;
        self.left_unfinished += other.left_unfinished;
        self.unsettled += other.unsettled;
        let room = MOST_NAMED.saturating_sub(self.unsettled_actions.len());
        let named = other.unsettled_actions.iter().take(room).cloned();
        self.unsettled_actions.extend(named);
        self.unread = self.unread.or_else(|| other.unread.clone());
        self
    }

    /// One that says only what stood in the way.
    pub(super) fn unread(error: StoreError) -> Recovery {
        Recovery {
            unread: Some(error),
            ..Recovery::default()
        }
    }

    fn count(&mut self, action: &Action, answer: Result<(), Error>) {
        match (answer, action.status) {
            (Ok(()), Status::Queued) => self.interrupted += 1,
            (Ok(()), _) => self.lost += 1,
            // Somebody else has settled it meanwhile, or started or adopted it.
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

/// Whose unfinished actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose<'w> {
    /// Those of all incarnations of a name but the living one. Nobody knows how far they came.
    Earlier {
        name: &'w Arc<str>,
        but: Option<&'w OwnerRef>,
    },
    /// Those of this incarnation, which is about to end.
    Own,
}

/// Settles what the incarnations of a name left, but for the living one. What stops it in the
/// middle is told beside what was done by then.
pub(super) async fn settle_earlier(
    shared: &Shared,
    name: &Arc<str>,
    but: Option<&OwnerRef>,
) -> Recovery {
    let mut recovery = Recovery::default();
    let settled = settle(shared, Whose::Earlier { name, but }, &mut recovery);
    if let Err(error) = unless_it_panics("recover", settled).await {
        recovery.unread = Some(match error {
            Error::Store(error) => error,
            Error::Refused(refused) => {
                let message = "the owner was fenced meanwhile";
                StoreError::new(ErrorKind::Unavailable, "recover", message).with_source(refused)
            }
        });
    }
    recovery
}

/// Settles what an owner left. A row that cannot be settled does not stop the others.
///
/// # Errors
/// The store cannot be read or written at all, or this incarnation has been fenced itself.
pub(super) async fn settle(
    shared: &Shared,
    whose: Whose<'_>,
    recovery: &mut Recovery,
) -> Result<(), Error> {
    let mut met = HashSet::new();
    walk(shared, whose, Order::Oldest, &mut met, recovery).await?;
    if recovery.unread.is_some() {
        // There is a row that cannot be read: what lies behind it can be reached from the other
        // end, up to where the first walk has come.
        walk(shared, whose, Order::Newest, &mut met, recovery).await?;
    }
    Ok(())
}

/// Walks through what an owner left, and through no row that an earlier walk from the other end has
/// `met`: the last of those that it left as they were.
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
        .with_term(Term::OwnerName(name.clone()))
        .with_term(Term::Unfinished)
        .with_order(order)
        .with_limit(u16::try_from(CHUNK.min(capabilities.max_commands)).unwrap_or(1));
    loop {
        let page = match shared.store.list(&query).await {
            Ok(page) => page,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                if query.limit > 1 {
                    // Comes as close to the damage as can be.
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
                continue;
            }
            if !own {
                match shared.options.decide.on(&action) {
                    Ok(Orphan::Settle) => {}
                    Ok(Orphan::Leave) => {
                        recovery.left_unfinished += 1;
                        continue;
                    }
                    Err(error) => {
                        recovery.count(&action, Err(error.into()));
                        continue;
                    }
                }
            }
            let outcome = match own || queued {
                false => Outcome::Lost,
                true => Outcome::Interrupted,
            };
            let command = Command::Apply {
                uid: action.uid,
                op: OpId::new(),
                change: Change::Finish(Finish::new(outcome)),
                by: Some(shared.owner.clone()),
                // A queued one may be started meanwhile, by this very owner, who could then end it.
                if_version: (queued && !own).then_some(action.version),
            };
            settled.push((action, command));
        }
        write(shared, settled, &mut kept, recovery).await?;
        // Bounded by a page, and never of a page that left nothing to be met.
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
        // One row may have spoilt it for the others.
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            for (action, command) in rows {
                let answer = shared.store.command(command).await.map(|_| ());
                judge(shared, &action, answer, kept, recovery)?;
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Counts an answer, unless it says something about all of them.
fn judge(
    shared: &Shared,
    action: &Action,
    answer: Result<(), Error>,
    kept: &mut HashSet<ActionUid>,
    recovery: &mut Recovery,
) -> Result<(), Error> {
    if answer.is_ok() {
        kept.remove(&action.uid);
    }
    if let Err(Error::Refused(refused @ Refused::Fenced { owner, .. })) = &answer
        && *owner == shared.owner
    {
        shared.note(refused);
        return Err(refused.clone().into());
    }
    recovery.count(action, answer);
    Ok(())
}
