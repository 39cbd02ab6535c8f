//! Finds the actions that a policy would remove, one page at a time.

use std::collections::HashSet;
use std::sync::Arc;

use super::age::Ages;
use super::keep_last::Kept;
use super::parts;
use super::policy::Retention;
use crate::error::{StoreError, StoreErrorKind};
use crate::model::{
    Action, ActionUid, Cursor, Detail, Filter, Order, Outcome, Page, Query, Revision, Status,
    Timestamp,
};
use crate::store::ActionStore;

/// Reason why the policy removes an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The action exceeds the maximum age for its outcome, and is not among the last actions of its
    /// object.
    Aged,
    /// There are more completed actions than the cap allows, and this one was completed before
    /// those that stay.
    OverCap,
}

/// Number of actions by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Actions that exceed the maximum age.
    pub aged: u64,
    /// Actions over the cap.
    pub over_cap: u64,
}

impl Counts {
    /// Number of actions for all reasons together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.aged + self.over_cap
    }

    pub(super) fn add(&mut self, reason: Reason) {
        match reason {
            Reason::Aged => self.aged += 1,
            Reason::OverCap => self.over_cap += 1,
        }
    }
}

/// Actions per page.
pub(super) const PAGE: u16 = 500;
/// Attempts to restart an expired feed before the call fails.
const TRIES: u32 = 32;

/// Scan for the actions that a policy would remove: first those that are too old, by outcome, then
/// those over the cap.
///
/// Removing found actions during the scan does not change its further results.
#[derive(Debug)]
pub(super) struct Due {
    policy: Retention,
    now: Timestamp,
    kept: Kept,
    stage: Stage,
    ages: Ages,
    /// The time before which a completion is too old, for each outcome in [`Outcome::ALL`].
    old_before: [Option<Timestamp>; Outcome::ALL.len()],
    /// Pages that were counted for the cap.
    blocks: Vec<Block>,
}

#[derive(Debug, Clone)]
enum Stage {
    /// Samples the completion times of the newest actions.
    Ages(Option<Cursor>),
    /// Scans the old actions of one outcome, given by its index in [`Outcome::ALL`].
    Aged(usize, Option<Cursor>),
    /// Counts the completed actions that are not too old, in the order of completion. Stops at the
    /// revision that the store had when counting began, so new completions cannot prolong it.
    Counting(Option<Cursor>, Option<Revision>),
    /// Finds the first action that stays under the cap.
    Bounding,
    OverCap(Boundary, Option<Cursor>),
    Over,
}

/// Summary of a counted page: a few bytes per [`PAGE`] actions.
#[derive(Debug, Clone, Copy)]
struct Block {
    after: Option<Cursor>,
    /// Revision at the end of the page, or a later one before the next block.
    end: Revision,
    /// Number of actions on the page.
    ///
    /// `counted` is the number of these that count for the cap.
    shown: usize,
    counted: u64,
    last: ActionUid,
}

/// Position of the first actions that stay under the cap.
#[derive(Debug, Clone)]
struct Boundary {
    /// The first actions, in order of completion, that stay.
    first: HashSet<ActionUid>,
    /// Revision of the last of these actions.
    end: Revision,
}

impl Due {
    pub(super) fn new(policy: Retention, now: Timestamp) -> Due {
        Due {
            kept: Kept::new(policy.keep_last),
            policy,
            now,
            stage: Stage::Ages(None),
            ages: Ages::default(),
            old_before: [None; Outcome::ALL.len()],
            blocks: Vec::new(),
        }
    }

    /// Returns the time from which ages are counted back, once it is known.
    pub(super) fn cutoff(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Ages(_) => None,
            _ => self.ages.newest(),
        }
    }

    /// Takes one step. Returns some actions to remove, possibly none; `None` at the end.
    ///
    /// The state changes only after the step, so a failed or cancelled step can be repeated.
    pub(super) async fn next<S>(
        &mut self,
        store: &S,
    ) -> Result<Option<Vec<(Arc<Action>, Reason)>>, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let (found, stage) = match self.stage.clone() {
            Stage::Ages(after) => {
                self.policy.check()?;
                let next = self.ages.read(store, after, self.now).await?;
                if let Some(next) = next {
                    (Vec::new(), Stage::Ages(Some(next)))
                } else {
                    for (before, outcome) in self.old_before.iter_mut().zip(Outcome::ALL) {
                        let age = self.policy.age(*outcome);
                        let old = age.and_then(|age| self.ages.old_before(age));
                        *before = old.filter(|old| old.is_plausible());
                    }
                    (Vec::new(), Stage::Aged(0, None))
                }
            }
            Stage::Aged(outcome, after) => self.aged(store, outcome, after).await?,
            Stage::Counting(after, until) => (Vec::new(), self.count(store, after, until).await?),
            Stage::Bounding => (Vec::new(), self.bound(store).await?),
            Stage::OverCap(boundary, after) => self.over_cap(store, boundary, after).await?,
            Stage::Over => return Ok(None),
        };
        self.stage = stage;
        Ok(Some(found))
    }

    async fn aged<S>(
        &mut self,
        store: &S,
        place: usize,
        after: Option<Cursor>,
    ) -> Result<(Vec<(Arc<Action>, Reason)>, Stage), StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let mut found = Vec::new();
        let places = Outcome::ALL.get(place).zip(self.old_before.get(place));
        let Some((outcome, before)) = places else {
            return Ok((found, Stage::Counting(None, None)));
        };
        let Some(before) = *before else {
            return Ok((found, Stage::Aged(place + 1, None)));
        };
        let query = query(Order::Oldest, after)
            .with_filter(Filter::Outcome(*outcome))
            .with_filter(Filter::FinishedFrom(Timestamp::MIN_PLAUSIBLE))
            .with_filter(Filter::FinishedBefore(before));
        let page = store.list(&query).await?;
        for action in parts::free(store, page.items).await? {
            if !self.kept.holds(store, &action).await? {
                found.push((action, Reason::Aged));
            }
        }
        let stage = match page.next {
            Some(next) => Stage::Aged(place, Some(next)),
            None => Stage::Aged(place + 1, None),
        };
        Ok((found, stage))
    }

    /// Returns true if the action is removed for its age. Such an action does not count for the
    /// cap.
    async fn is_aged<S>(&mut self, store: &S, action: &Action) -> Result<bool, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let place = Outcome::ALL.iter().position(|o| action.outcome == Some(*o));
        let before = place.and_then(|place| *self.old_before.get(place)?);
        let finished = action.finished_at.filter(|at| at.is_plausible());
        let old = before.zip(finished).is_some_and(|(b, at)| at < b);
        Ok(old && !self.kept.holds(store, action).await?)
    }

    /// Returns the actions that are not removed for their age.
    async fn young<S>(
        &mut self,
        store: &S,
        actions: &[Arc<Action>],
    ) -> Result<Vec<Arc<Action>>, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let mut young = Vec::with_capacity(actions.len());
        for action in actions {
            if !self.is_aged(store, action).await? {
                young.push(action.clone());
            }
        }
        Ok(young)
    }

    async fn count<S>(
        &mut self,
        store: &S,
        after: Option<Cursor>,
        until: Option<Revision>,
    ) -> Result<Stage, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let Some(cap) = self.policy.cap else {
            return Ok(Stage::Over);
        };
        let (page, next) = by_completion(store, after).await?;
        if page.at.actions <= cap {
            return Ok(Stage::Over);
        }
        let until = until.unwrap_or(page.at.revision);
        let end = next.map_or(page.at.revision, |next| Revision::new(next.position()));
        let counted = self.young(store, &page.items).await?.len() as u64;
        if let Some(last) = page.items.last() {
            self.blocks.push(Block {
                after,
                end,
                shown: page.items.len(),
                counted,
                last: last.uid,
            });
        }
        Ok(match next {
            Some(next) if end < until => Stage::Counting(Some(next), Some(until)),
            _ => Stage::Bounding,
        })
    }

    async fn bound<S>(&mut self, store: &S) -> Result<Stage, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let total: u64 = self.blocks.iter().map(|block| block.counted).sum();
        let mut excess = total.saturating_sub(self.policy.cap.unwrap_or(u64::MAX));
        if excess == 0 {
            return Ok(Stage::Over);
        }
        let mut blocks = self.blocks.iter();
        let begin = blocks.find(|block| {
            let begins = excess < block.counted;
            excess -= if begins { 0 } else { block.counted };
            begins
        });
        Ok(match begin.copied() {
            Some(block) => Stage::OverCap(self.boundary(store, block, excess).await?, None),
            None => Stage::Over,
        })
    }

    /// Finds the first actions that stay, within a counted page: the first `excess` go.
    async fn boundary<S>(
        &mut self,
        store: &S,
        block: Block,
        excess: u64,
    ) -> Result<Boundary, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let (page, _) = by_completion(store, block.after).await?;
        let same = page.items.get(block.shown - 1);
        let same = same.is_some_and(|action| action.uid == block.last);
        // If others removed actions of this page, the counted places no longer apply: the whole
        // page stays until the next run.
        let (actions, skip, end) = if same {
            (page.items.get(..block.shown), excess, block.end)
        } else {
            (
                None,
                0,
                block
                    .after
                    .map_or(Revision::ZERO, |after| Revision::new(after.position())),
            )
        };
        let young = self.young(store, actions.unwrap_or(&page.items)).await?;
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let first = young.iter().skip(skip).map(|action| action.uid).collect();
        Ok(Boundary { first, end })
    }

    async fn over_cap<S>(
        &mut self,
        store: &S,
        boundary: Boundary,
        after: Option<Cursor>,
    ) -> Result<(Vec<(Arc<Action>, Reason)>, Stage), StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let (page, next) = by_completion(store, after).await?;
        let stays = |action: &Arc<Action>| boundary.first.contains(&action.uid);
        let place = page.items.iter().position(stays);
        let beyond = next.is_none_or(|next| Revision::new(next.position()) > boundary.end);
        let (before, stage) = match (place, next) {
            (Some(place), _) => (page.items.get(..place), Stage::Over),
            // Others removed the boundary actions, so their position is unknown.
            (None, _) if beyond => (None, Stage::Over),
            (None, next) => (Some(&page.items[..]), Stage::OverCap(boundary, next)),
        };
        let young = self.young(store, before.unwrap_or_default()).await?;
        let young = parts::free(store, young).await?;
        let found = young.into_iter().map(|action| (action, Reason::OverCap));
        Ok((found.collect(), stage))
    }
}

pub(super) fn query(order: Order, after: Option<Cursor>) -> Query {
    Query::new()
        .with_order(order)
        .with_after(after)
        .with_limit(PAGE)
        .with_detail(Detail::Summary)
}

/// Returns a page of completed actions in the order of completion, and the cursor of the next page.
/// It reads the feed, in which a completed action never moves again.
///
/// A feed expires when removals may have hidden changes. That does not matter here, so the scan
/// restarts the feed at the same position.
async fn by_completion<S>(
    store: &S,
    after: Option<Cursor>,
) -> Result<(Page<Arc<Action>>, Option<Cursor>), StoreError>
where
    S: ActionStore + ?Sized,
{
    let mut after = after;
    for _ in 0..TRIES {
        let query = query(Order::Feed, after).with_filter(Filter::Status(Status::Completed));
        let (expired, at) = match store.list(&query).await {
            Ok(page) => {
                let next = page
                    .next
                    .map(|next| Cursor::feed_after(Revision::new(next.position()), None, page.at));
                return Ok((page, next));
            }
            Err(error) if error.kind() == StoreErrorKind::CursorExpired => (error, after),
            Err(error) => return Err(error),
        };
        let Some(cursor) = at else {
            return Err(expired);
        };
        let now = store.changed(None).await?;
        let place = Revision::new(cursor.position());
        after = Some(Cursor::feed_after(place, None, now));
    }
    Err(StoreError::new(
        StoreErrorKind::Unavailable,
        "list",
        "actions are removed faster than the feed can be read",
    ))
}
