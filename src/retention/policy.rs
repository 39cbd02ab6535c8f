//! Retention policy: which actions may be removed, and at what pace.

use std::time::Duration;

use crate::error::StoreError;
use crate::model::{Invalid, Limits, Outcome};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Retention policy: which completed actions may be removed, and at what pace.
///
/// - **Age** is counted from completion. The default is 30 days for succeeded actions and 90 days
///   for all other outcomes. A month covers questions about last week and the monthly report.
///   Failures are rare, and more people ask about them later.
///
/// - **The last actions of an object** are kept regardless of their age. The default is the last 10
///   created. So an object without activity for a year still has a history.
///
/// - **A cap** limits the number of completed actions. The default is 1,000,000 (about 1 GB in
///   SQLite). The actions completed last stay. The cap guards against a program that creates
///   actions in a loop, so it overrides the other two rules.
///
/// - **Pinned actions** stay, even beyond the cap.
///
/// - **Parts of an unfinished action** stay, and so do all **unfinished actions**.
///
/// Each rule can be unset. [`plan`](super::plan) shows what a policy would remove.
///
/// # The cutoff
///
/// An age is counted back from the newest completion that is not later than `now`, which the caller
/// provides. So a clock that runs behind removes less. A store without new completions removes
/// nothing more for age.
///
/// # Wrong clocks
///
/// The completion times of the 1,000 completed actions created last show how much time has passed.
///
/// - **A clock that was not set.** A completion before
///   [`Timestamp::MIN_PLAUSIBLE`](crate::Timestamp::MIN_PLAUSIBLE) has no age. Only the cap can
///   remove such an action.
///
/// - **A clock that jumps ahead** looks like a gap without completions. A gap counts for at most
///   half of an age. So one jump, however far, removes nothing younger than half of its maximum
///   age. This holds however many actions are completed after it. In a store that is rarely used,
///   actions stay longer than their age.
///
/// - **A background task** (`Retention::spawn`) limits its clock to the time that passes on the
///   system's monotonic clock. A later jump of the wall clock removes nothing. If the wall clock
///   was behind at the start, or the machine sleeps, the task stays behind until it is restarted.
///   It then removes less.
///
/// There are limits. A clock that jumps twice is believed. So is a clock that is ahead for more
/// than 1,000 completions before a task starts or [`prune`](super::prune()) is called. A completion
/// time that is too early, because the clock was behind, makes its action old too early.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Retention {
    /// Maximum age of succeeded actions, counted from completion. The default is 30 days; `None`
    /// keeps them for ever.
    pub succeeded: Option<Duration>,
    /// Maximum age of failed actions. The default is 90 days; `None` keeps them for ever.
    pub failed: Option<Duration>,
    /// Maximum age of cancelled actions. The default is 90 days; `None` keeps them for ever.
    pub cancelled: Option<Duration>,
    /// Maximum age of interrupted actions. The default is 90 days; `None` keeps them for ever.
    pub interrupted: Option<Duration>,
    /// Maximum age of lost actions. The default is 90 days; `None` keeps them for ever.
    pub lost: Option<Duration>,
    /// Number of actions per object that are kept regardless of their age: 0..=[`Limits::PAGE`].
    /// The default is 10.
    ///
    /// These are the completed actions created last with this object. Related objects do not count.
    pub keep_last: u16,
    /// Maximum number of completed actions, at least 1. The default is 1,000,000; `None` allows any
    /// number.
    ///
    /// The actions completed last stay, in the order in which the store recorded their completions.
    pub cap: Option<u64>,
    /// Maximum number of actions per transaction, 1..=[`Limits::PAGE`]. The default is 50. The
    /// store's own limit applies too.
    ///
    /// Other writers wait for at most one such transaction.
    pub batch: u16,
    /// Approximate size of the actions and logs removed per transaction, in bytes. The default is
    /// 256 KiB. A larger action is removed alone.
    pub batch_bytes: usize,
    /// Pause after each transaction, in which other writers use the store. The default is 5 ms.
    pub pause: Duration,
}

/// Default number of removals per transaction.
pub(super) const BATCH: u16 = 50;
/// Default number of bytes removed per transaction.
pub(super) const BATCH_BYTES: usize = 256 * 1024;
/// Default pause after each transaction.
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
    /// Creates the default policy.
    pub fn new() -> Retention {
        Retention::default()
    }

    /// Creates a policy that removes nothing, to which rules can be added.
    pub fn keep_all() -> Retention {
        let policy = Retention::default().with_keep_last(0).with_cap(None);
        let outcomes = Outcome::ALL.iter();
        outcomes.fold(policy, |policy, outcome| policy.with_age(*outcome, None))
    }

    /// Sets the maximum age of actions with this outcome; `None` keeps them for ever.
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

    /// Sets how many actions per object are kept regardless of their age. 0 turns this rule off.
    pub fn with_keep_last(mut self, actions: u16) -> Retention {
        self.keep_last = actions;
        self
    }

    /// Sets the maximum number of completed actions; `None` allows any number.
    pub fn with_cap(mut self, actions: Option<u64>) -> Retention {
        self.cap = actions;
        self
    }

    /// Sets the maximum number of actions removed per transaction.
    pub fn with_batch(mut self, actions: u16) -> Retention {
        self.batch = actions;
        self
    }

    /// Sets the approximate number of bytes removed per transaction.
    pub fn with_batch_bytes(mut self, bytes: usize) -> Retention {
        self.batch_bytes = bytes;
        self
    }

    /// Sets the pause after each transaction.
    pub fn with_pause(mut self, pause: Duration) -> Retention {
        self.pause = pause;
        self
    }

    /// Returns the maximum age of actions with this outcome; `None` if they are kept for ever.
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
        let rule = |holds: bool, field: &'static str, reason: String| {
            if holds {
                Ok(())
            } else {
                Err(invalid(Invalid::new(field, reason)))
            }
        };
        rule(
            self.keep_last <= Limits::PAGE,
            "keep_last",
            format!("is {}; the limit is {}", self.keep_last, Limits::PAGE),
        )?;
        rule(
            self.cap != Some(0),
            "cap",
            "is 0; must be at least 1. To remove everything, set the ages to zero".to_owned(),
        )?;
        check_batch(self.batch)
    }
}

pub(super) fn check_batch(batch: u16) -> Result<(), StoreError> {
    if !(1..=Limits::PAGE).contains(&batch) {
        let reason = format!("is {batch}; must be between 1 and {}", Limits::PAGE);
        return Err(invalid(Invalid::new("batch", reason)));
    }
    Ok(())
}

pub(super) fn invalid(invalid: Invalid) -> StoreError {
    StoreError::from_check("retention", invalid.into())
}
