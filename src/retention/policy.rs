//! What may go, and how gently.

use std::time::Duration;

use crate::error::StoreError;
use crate::model::{Invalid, Limits, Outcome};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Which completed actions may be removed, and at what pace.
///
/// - **Age**, by outcome, counted from completion: 30 days for succeeded, 90 for all others unless
///   set. A month answers "what ran last week?" and the monthly report; what went wrong is asked
///   about later, by more people, and is rare enough to keep for a quarter.
/// - **The last of an object** are kept whatever their age: the last 10 created that are about it
///   unless set, so that "what ever happened to node 7?" has an answer for a node that is left in
///   peace for a year.
/// - **A cap** on completed actions: 1,000,000 unless set (about 1 GB in SQLite). Those completed
///   last stay. It is there for the day on which something begins actions in a loop, so it
///   overrides what is kept for its age or its object.
/// - **Pinned actions stay**, even beyond the cap, and so do the **parts of an unfinished action**;
///   **unfinished ones are never touched**.
///
/// Each of the rules can be unset. See [`plan`](super::plan) for what a policy would remove.
///
/// # The cutoff
///
/// An age is counted back from the newest completion that is not later than `now`, which the caller
/// gives. So a clock that runs behind removes less, and a store in which nothing is completed any
/// more stands still.
///
/// # Wrong clocks
///
/// The evidence for how much time has passed is the stamps of the 1,000 completed actions that were
/// created last.
///
/// - **A clock that was not set.** A completion stamped before
///   [`Timestamp::MIN_PLAUSIBLE`](crate::Timestamp::MIN_PLAUSIBLE) gives no age. Such an action goes for the cap alone.
/// - **A clock that jumps ahead** looks like a silence, a time in which nothing is completed. A
///   silence counts for at most half of an age. So one jump, however far, removes nothing that is
///   younger than half of its age, however many actions are completed after it. In a store that is
///   rarely used, actions stay longer than their age.
/// - **A running task** (`Retention::keep`) lets its clock advance by no more than the time that
///   passes on the system's monotonic clock. A later jump of the wall clock removes
///   nothing. If the wall clock was behind when the task began, or the machine sleeps, the task
///   stays behind until it is started again: it removes less.
///
/// This does not hold: a clock that jumps twice, or that is ahead for more than 1,000 completions
/// before a task begins or [`prune`](super::prune()) is called, is believed. A completion
/// stamped too early, because the clock was behind by then, makes its action old too early.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Retention {
    /// How long succeeded actions are kept; for ever if none.
    pub succeeded: Option<Duration>,
    /// How long failed actions are kept; for ever if none.
    pub failed: Option<Duration>,
    /// How long cancelled actions are kept; for ever if none.
    pub cancelled: Option<Duration>,
    /// How long interrupted actions are kept; for ever if none.
    pub interrupted: Option<Duration>,
    /// How long lost actions are kept; for ever if none.
    pub lost: Option<Duration>,
    /// How many of an object are kept whatever their age: 0..=[`Limits::PAGE`]. The last created
    /// of those completed that have it as their object (related ones do not count).
    pub keep_last: u16,
    /// Most completed actions, at least 1; any number if none. Those completed last stay, in the
    /// order in which the store recorded it.
    pub cap: Option<u64>,
    /// How many are removed in one transaction, 1..=[`Limits::PAGE`]: 50 unless set, and never
    /// more than the store takes. Whoever writes meanwhile waits behind at most one of them.
    pub batch: u16,
    /// About how many bytes of actions and their logs are removed in one transaction: 256 KiB
    /// unless set. An action that is larger goes alone.
    pub batch_bytes: usize,
    /// How long to pause after each transaction: 5 ms unless set, in which the store belongs to
    /// whoever writes.
    pub pause: Duration,
}

/// Removals in one transaction, unless set.
pub(super) const BATCH: u16 = 50;
/// Bytes removed in one transaction, unless set.
pub(super) const BATCH_BYTES: usize = 256 * 1024;
/// The pause after each, unless set.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

impl Default for Retention {
    fn default() -> Retention {
        let quarter = Some(90 * DAY);
        Retention {
            succeeded: Some(30 * DAY),
            failed: quarter,
            cancelled: quarter,
            interrupted: quarter,
            lost: quarter,
            keep_last: 10,
            cap: Some(1_000_000),
            batch: BATCH,
            batch_bytes: BATCH_BYTES,
            pause: PAUSE,
        }
    }
}

impl Retention {
    /// The defaults.
    pub fn new() -> Retention {
        Retention::default()
    }

    /// A policy that removes nothing: to set only the rules one wants.
    pub fn keep_all() -> Retention {
        let policy = Retention::default().with_keep_last(0).with_cap(None);
        let outcomes = Outcome::ALL.iter();
        outcomes.fold(policy, |policy, outcome| policy.with_age(*outcome, None))
    }

    /// Sets how long actions that ended so are kept; `None` keeps them for ever.
    pub fn with_age(mut self, outcome: Outcome, age: Option<Duration>) -> Retention {
        match outcome {
            Outcome::Succeeded => self.succeeded = age,
            Outcome::Failed => self.failed = age,
            Outcome::Cancelled => self.cancelled = age,
            Outcome::Interrupted => self.interrupted = age,
            Outcome::Lost => self.lost = age,
        }
        self
    }

    /// Sets how many of an object are kept whatever their age; 0 keeps none.
    pub fn with_keep_last(mut self, actions: u16) -> Retention {
        self.keep_last = actions;
        self
    }

    /// Sets how many completed actions there may be; `None` allows any number.
    pub fn with_cap(mut self, actions: Option<u64>) -> Retention {
        self.cap = actions;
        self
    }

    /// Sets how many are removed in one transaction.
    pub fn with_batch(mut self, actions: u16) -> Retention {
        self.batch = actions;
        self
    }

    /// Sets about how many bytes are removed in one transaction.
    pub fn with_batch_bytes(mut self, bytes: usize) -> Retention {
        self.batch_bytes = bytes;
        self
    }

    /// Sets how long to pause after each transaction.
    pub fn with_pause(mut self, pause: Duration) -> Retention {
        self.pause = pause;
        self
    }

    /// How long actions that ended so are kept.
    #[must_use]
    pub fn age(&self, outcome: Outcome) -> Option<Duration> {
        match outcome {
            Outcome::Succeeded => self.succeeded,
            Outcome::Failed => self.failed,
            Outcome::Cancelled => self.cancelled,
            Outcome::Interrupted => self.interrupted,
            Outcome::Lost => self.lost,
        }
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        let rule = |holds: bool, field: &'static str, reason: String| match holds {
            true => Ok(()),
            false => Err(invalid(Invalid::new(field, reason))),
        };
        rule(
            self.keep_last <= Limits::PAGE,
            "keep_last",
            format!(
                "is {}, at most {} can be kept",
                self.keep_last,
                Limits::PAGE
            ),
        )?;
        rule(
            self.cap != Some(0),
            "cap",
            "is 0: to remove everything, set the ages to zero".to_owned(),
        )?;
        check_batch(self.batch)
    }
}

pub(super) fn check_batch(batch: u16) -> Result<(), StoreError> {
    if !(1..=Limits::PAGE).contains(&batch) {
        let reason = format!("is {batch}, not between 1 and {}", Limits::PAGE);
        return Err(invalid(Invalid::new("batch", reason)));
    }
    Ok(())
}

pub(super) fn invalid(invalid: Invalid) -> StoreError {
    StoreError::from_check("retention", invalid.into())
}
