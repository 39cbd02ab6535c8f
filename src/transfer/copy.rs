//! Copies one store into another and verifies the copy.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::enter::{Entering, Imported, LISTED, same_origin};
use super::error::TransferError;
use super::walk::{PAGE, Walk, Whole, whole};
use crate::model::{Action, ActionUid, Cursor, CursorError, Filter};
use crate::store::ActionStore;

/// Copies all actions of a store and their logs into another store, then reads both and compares
/// them. See [`Copier`].
///
/// # Errors
/// As [`Copier::next`].
pub async fn copy<F, T>(from: &F, to: &T) -> Result<Copied, TransferError>
where
    F: ActionStore + ?Sized,
    T: ActionStore + ?Sized,
{
    Copier::new(from, to).run().await
}

/// Report of a [`Copier`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Results of writing the actions.
    pub entered: Imported,
    /// Number of actions that are the same in both stores, with their logs, byte for byte.
    pub verified: u64,
    /// Number of actions that differ. Refused actions are included, unless they are the same in
    /// both stores.
    pub different: u64,
    /// The first [`LISTED`] differences.
    pub differences: Vec<Difference>,
}

impl Copied {
    /// Returns true if no action was refused and all verified actions are the same in both stores.
    #[must_use]
    pub fn is_faithful(&self) -> bool {
        self.entered.refused == 0 && self.different == 0
    }
}

/// An action that is not the same in both stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The action.
    pub uid: ActionUid,
    /// How it differs.
    pub how: Differs,
}

/// How an action differs between two stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Differs {
    /// The second store does not have the action.
    Missing,
    /// The second store has an earlier state: the action changed in the first store since.
    Behind,
    /// The second store has a later state: the action changed there since.
    Ahead,
    /// The actions differ.
    Action,
    /// The actions are the same, but their logs differ.
    Log,
}

/// Position of a copy, from which another process can resume it.
///
/// It converts to text by `Display` and back by `FromStr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyPoint {
    stage: Stage,
    after: Option<Cursor>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Copying,
    Verifying,
    Done,
}

impl CopyPoint {
    /// Returns true if everything was copied and verified.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }
}

impl fmt::Display for CopyPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Copying => "copying",
            Stage::Verifying => "verifying",
            Stage::Done => "done",
        };
        match &self.after {
            Some(after) => write!(f, "{stage}:{after}"),
            None => f.write_str(stage),
        }
    }
}

impl FromStr for CopyPoint {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<CopyPoint, CursorError> {
        let (stage, after) = match text.split_once(':') {
            Some((stage, after)) => (stage, Some(after.parse()?)),
            None => (text, None),
        };
        let stage = match (stage, &after) {
            ("copying", _) => Stage::Copying,
            ("verifying", _) => Stage::Verifying,
            ("done", None) => Stage::Done,
            _ => return Err(CursorError),
        };
        Ok(CopyPoint { stage, after })
    }
}

/// Copies one store into another, page by page, then verifies the copy. Holds one page of actions
/// with their logs in memory.
///
/// If a copy stops, the copied actions stay. It is safe to run it again, from the beginning or from
/// a [`CopyPoint`].
///
/// If others write to the first store meanwhile, actions that change after they were copied are
/// reported as different. To move a store, stop its owners first.
#[derive(Debug)]
#[must_use = "a copy does nothing until it is run"]
pub struct Copier<'s, F: ActionStore + ?Sized, T: ActionStore + ?Sized> {
    from: &'s F,
    to: &'s T,
    filters: Vec<Filter>,
    page: u16,
    point: CopyPoint,
    walk: Option<Walk>,
    report: Copied,
}

impl<'s, F: ActionStore + ?Sized, T: ActionStore + ?Sized> Copier<'s, F, T> {
    /// Creates a copier for all actions.
    pub fn new(from: &'s F, to: &'s T) -> Copier<'s, F, T> {
        Copier {
            from,
            to,
            filters: Vec::new(),
            page: PAGE,
            point: CopyPoint {
                stage: Stage::Copying,
                after: None,
            },
            walk: None,
            report: Copied::default(),
        }
    }

    /// Copies only the actions that match. May be called several times; an action must match all
    /// terms.
    pub fn with_filter(mut self, filter: Filter) -> Copier<'s, F, T> {
        self.filters.push(filter);
        self
    }

    /// Sets the number of actions per page, 1..=[`Limits::PAGE`](crate::Limits::PAGE). The default
    /// is 100.
    pub fn with_page(mut self, actions: u16) -> Copier<'s, F, T> {
        self.page = actions;
        self
    }

    /// Resumes an earlier copy of the same stores with the same terms. The report starts empty.
    pub fn with_point(mut self, point: CopyPoint) -> Copier<'s, F, T> {
        self.point = point;
        self
    }

    /// Returns the report so far.
    #[must_use]
    pub fn report(&self) -> &Copied {
        &self.report
    }

    /// Copies or verifies one page, and returns the new position. After an error, call it again to
    /// repeat the page.
    ///
    /// # Errors
    /// [`TransferError::Store`], with the store that failed: as [`ActionStore::list`],
    /// [`ActionStore::log`], [`ActionStore::get`] and [`ActionStore::write`]. `Unavailable` also if
    /// the full log of an action gained entries during each of 32 attempts to read it.
    pub async fn next(&mut self) -> Result<CopyPoint, TransferError> {
        let stage = self.point.stage;
        if stage == Stage::Done {
            return Ok(self.point);
        }
        // The state is stored only after the page, so a failed page can be repeated.
        let mut walk = match &self.walk {
            Some(walk) => walk.clone(),
            None => {
                let query = Walk::query(self.filters.clone(), self.page);
                let mut walk = Walk::new(query, self.point.after);
                walk.begin(self.from).await.map_err(TransferError::from)?;
                self.walk.insert(walk).clone()
            }
        };
        let heads = walk.next(self.from).await.map_err(TransferError::from)?;
        let Some(heads) = heads else {
            self.walk = None;
            self.point = CopyPoint {
                stage: match stage {
                    Stage::Copying => Stage::Verifying,
                    _ => Stage::Done,
                },
                after: None,
            };
            return Ok(self.point);
        };
        let mut wholes = VecDeque::new();
        for head in heads.items {
            let whole = whole(self.from, head).await.map_err(TransferError::from)?;
            wholes.extend(whole);
        }
        match stage {
            Stage::Copying => self.enter(wholes).await?,
            _ => self.verify(wholes.into()).await?,
        }
        // At the end of a pass the position stays at the start of the last page. A resumed copy
        // repeats that page.
        self.point.after = heads.next.or(self.point.after);
        self.walk = Some(walk);
        Ok(self.point)
    }

    /// Copies and verifies all remaining pages.
    ///
    /// # Errors
    /// As [`Copier::next`].
    pub async fn run(mut self) -> Result<Copied, TransferError> {
        while !self.next().await?.is_done() {}
        Ok(self.report)
    }

    async fn enter(&mut self, wholes: VecDeque<Whole>) -> Result<(), TransferError> {
        let entering = |whole: Whole| Entering {
            line: None,
            action: whole.action,
            log: whole.log,
        };
        let mut queue = wholes.into_iter().map(entering).collect();
        // Count only after the whole page: a page that fails half-way is written again.
        let mut entered = self.report.entered.clone();
        let done = entered.enter(self.to, &mut queue).await;
        done.map_err(TransferError::to)?;
        self.report.entered = entered;
        Ok(())
    }

    async fn verify(&mut self, wholes: Vec<Whole>) -> Result<(), TransferError> {
        let most = self.to.capabilities().max_commands.max(1);
        let mut found = Vec::with_capacity(wholes.len());
        for some in wholes.chunks(most) {
            let uids: Vec<ActionUid> = some.iter().map(|whole| whole.action.uid).collect();
            let there = self.to.get(&uids).await.map_err(TransferError::to)?;
            for (whole, there) in some.iter().zip(there) {
                let how = self.difference(whole, there).await?;
                found.push((whole.action.uid, how));
            }
        }
        // Count only after the whole page: a page that fails half-way is verified again.
        for (uid, how) in found {
            let Some(how) = how else {
                self.report.verified += 1;
                continue;
            };
            self.report.different += 1;
            if self.report.differences.len() < LISTED {
                self.report.differences.push(Difference { uid, how });
            }
        }
        Ok(())
    }

    async fn difference(
        &self,
        here: &Whole,
        there: Option<Arc<Action>>,
    ) -> Result<Option<Differs>, TransferError> {
        let Some(there) = there else {
            return Ok(Some(Differs::Missing));
        };
        let there = whole(self.to, there).await.map_err(TransferError::to)?;
        let Some(there) = there else {
            return Ok(Some(Differs::Missing));
        };
        let (one, other) = (&here.action, &there.action);
        Ok(match one.version.cmp(&other.version) {
            Ordering::Greater if same_origin(one, other) => Some(Differs::Behind),
            Ordering::Less if same_origin(one, other) => Some(Differs::Ahead),
            _ if one != other => Some(Differs::Action),
            _ if here.log != there.log => Some(Differs::Log),
            _ => None,
        })
    }
}
