//! Handles of an executing action: reporting on it and ending it.

use std::sync::Arc;

use super::core::Core;
use super::failure;
use super::in_flight::{Entry, InFlight};
use crate::error::Error;
use crate::model::{
    Action, ActionError, ActionUid, Batch, Cancel, Change, Finish, Json, Outcome, Progress, Report,
};
use crate::store::ActionStoreExt;

/// Reports on an executing action. Cheap to clone. It cannot end the action.
///
/// A report on a completed action returns `Conflict`, or `Closed` once the tracker was shut down.
/// [`progress`](Reporter::progress) is ignored then.
#[derive(Debug, Clone)]
pub struct Reporter {
    pub(super) core: Arc<Core>,
    open: Arc<InFlight>,
}

impl Reporter {
    /// Returns the uid of the action.
    #[must_use]
    pub fn uid(&self) -> ActionUid {
        self.open.uid
    }

    /// Returns the action as this process last saw it: after the last report that was written. It
    /// does not include progress reported since then.
    #[must_use]
    pub fn action(&self) -> Arc<Action> {
        self.open.latest()
    }

    /// Updates the cached action with one that the store returned.
    pub(super) fn seen(&self, action: &Arc<Action>) {
        self.open.seen(action);
    }

    /// Returns true if the tracker owns the action, as far as this process knows: it has renewed
    /// within two thirds of its lease.
    ///
    /// Stop work that must not be done twice when this is false. The store decides in any case: it
    /// rejects reports of an owner that is not alive.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.core.shared.is_owner()
    }

    /// Resolves once the tracker may no longer own the action, as far as this process knows.
    ///
    /// That is so after a fence, after the shutdown, if the store is closed, or after two thirds of
    /// the lease without a renewal. Use it in `select!` for work that must not be done twice. Stop
    /// the work and leave the action to the process that settles or adopts it.
    pub async fn ownership_lost(&self) {
        self.core.shared.ownership_lost().await;
    }

    /// Waits for a cancel request, from any process, and returns who asked and why. Returns at once
    /// if there is one already.
    ///
    /// The tracker polls the store for requests when it changes. The pause between two polls is ten
    /// times the duration of the last poll, at least 20 ms and at most 1 s. A request does not stop
    /// the work. Work that stops because of it returns [`ActionError::cancelled`]; other work
    /// continues.
    pub async fn cancel_requested(&self) -> Cancel {
        let mut cancel = self.open.cancel();
        loop {
            if let Ok(known) = cancel.wait_for(Option::is_some).await
                && let Some(known) = known.as_ref()
            {
                return known.clone();
            }
        }
    }

    /// Sets the current step. Returns once it is recorded, together with the progress reported
    /// before.
    ///
    /// A name that is not a label is shortened until it fits, and the action gets a warning. See
    /// [`Report`].
    ///
    /// # Errors
    /// `Closed` if the tracker was shut down, `Fenced` if another process has fenced it, `Conflict`
    /// if the action is completed, and the store's errors.
    pub async fn step(&self, name: impl Into<Arc<str>>) -> Result<Arc<Action>, Error> {
        self.report(Report::new().with_step(name)).await
    }

    /// Reports progress. Never waits and never fails.
    ///
    /// Only the highest value counts. A background task writes it, at most once per
    /// [`flush_interval`](crate::TrackerOptions::flush_interval) for all actions together. The last
    /// value is always written before the action's end. 100 % is recorded as
    /// [`Progress::MAX_UNFINISHED`] until the action has succeeded.
    pub fn progress(&self, progress: Progress) {
        if self.open.advance(progress.min(Progress::MAX_UNFINISHED)) {
            self.core.shared.put_progress(&self.open);
        }
    }

    /// Adds a warning: a text for people. A text that is too long is truncated with a mark.
    ///
    /// # Errors
    /// As [`step`](Reporter::step).
    pub async fn warn(&self, text: impl Into<Arc<str>>) -> Result<Arc<Action>, Error> {
        self.report(Report::new().with_warning(text)).await
    }

    /// Writes a [`Report`]. Returns once it is recorded, together with the progress reported
    /// before. An empty report only shows that the work is alive.
    ///
    /// # Errors
    /// As [`step`](Reporter::step).
    pub async fn report(&self, mut report: Report) -> Result<Arc<Action>, Error> {
        let shared = &self.core.shared;
        // Truncate before queueing too, so that waiting commands take little memory.
        report.fit();
        if let Some(progress) = report.progress {
            self.open.advance(progress.min(Progress::MAX_UNFINISHED));
        }
        report.progress = report.progress.max(self.open.unrecorded());
        let change = Change::Report(report);
        let answer = shared
            .store
            .apply(self.open.uid, change, Some(&shared.owner))
            .await;
        match &answer {
            Ok(action) => self.open.seen(action),
            Err(Error::Rejected(refused)) => shared.note(refused),
            Err(Error::Store(_) | Error::Found(_)) => {}
        }
        answer.map_err(|error| shared.explained("report", error))
    }
}

/// The handle of an executing action. Reports as a [`Reporter`] does, and ends the action.
///
/// Ending the action consumes the handle. If the handle is dropped instead, also by a panic, the
/// action is recorded as interrupted in the background. The drop needs no runtime. If that end
/// cannot be written any more, the shutdown or the next start of a tracker with the same name
/// settles the action.
///
/// If the store fails to record an end, the call returns the error. The end is then retried in the
/// background as long as the tracker lives.
#[derive(Debug)]
#[must_use = "dropping it interrupts the action"]
pub struct ActionHandle {
    reporter: Reporter,
}

impl ActionHandle {
    pub(super) fn new(core: Arc<Core>, action: Arc<Action>) -> ActionHandle {
        let open = Arc::new(InFlight::new(action));
        core.shared.register(&open);
        ActionHandle {
            reporter: Reporter { core, open },
        }
    }

    /// Returns a [`Reporter`] for this action, to pass to the work.
    #[must_use]
    pub fn reporter(&self) -> Reporter {
        self.reporter.clone()
    }

    /// Ends the action as succeeded.
    ///
    /// # Errors
    /// As [`finish`](ActionHandle::finish).
    pub async fn succeed(self) -> Result<Arc<Action>, Error> {
        self.finish(Finish::succeeded()).await
    }

    /// Ends the action as succeeded, with a result.
    ///
    /// Takes the same argument as [`Finish::with_result`]: `succeed_with(Json::of(&value))`,
    /// without `?`. A result that breaks a limit is left out, and the action gets a warning.
    ///
    /// # Errors
    /// As [`finish`](ActionHandle::finish).
    pub async fn succeed_with(
        self,
        result: impl TryInto<Json, Error: std::fmt::Display>,
    ) -> Result<Arc<Action>, Error> {
        self.finish(Finish::succeeded().with_result(result)).await
    }

    /// Ends the action as failed.
    ///
    /// # Errors
    /// As [`finish`](ActionHandle::finish).
    pub async fn fail(self, error: impl Into<ActionError>) -> Result<Arc<Action>, Error> {
        self.finish(Finish::failed(error.into())).await
    }

    /// Ends the action as cancelled: its work stopped because of a cancel request.
    ///
    /// # Errors
    /// As [`finish`](ActionHandle::finish).
    pub async fn cancelled(self) -> Result<Arc<Action>, Error> {
        self.finish(Finish::new(Outcome::Cancelled)).await
    }

    /// Ends the action, together with the progress reported before. Texts that are too long are
    /// truncated with a mark. Once first polled, the end is written even if the future is dropped.
    ///
    /// # Errors
    ///
    /// - `Closed` if the tracker was shut down, and `Fenced` if another process has fenced it. The
    ///   action has then ended differently, and this end is kept once in the action's log.
    ///
    /// - `Conflict` if the action is completed already.
    ///
    /// - `Invalid` or `OwnerAlive` for an end that an owner cannot give: a failure without an
    ///   error, or `Lost`. The action is then recorded as interrupted.
    ///
    /// - The store's errors. The end is then retried in the background.
    pub async fn finish(self, mut finish: Finish) -> Result<Arc<Action>, Error> {
        // Truncate before queueing too, so that waiting commands take little memory.
        finish.fit();
        let Reporter { core, open } = self.reporter.clone();
        // After this, dropping the handle does not interrupt the action.
        open.end();
        let shared = core.shared.clone();
        // Counted before it is retired, so that a drain sees it in one place at least.
        let counted = shared.finishing();
        shared.retire(open.uid);
        let work = async move {
            let _counted = counted;
            let _gate = core.gate.read().await;
            let entry = Entry::end(open, finish);
            let commands = entry.commands(&shared.owner);
            match shared.store.write_repeating(Batch::each(commands)).await {
                Ok(answers) => {
                    let answer = shared.settled(&entry, answers.into_iter().last());
                    answer.map_err(|error| shared.explained("finish", error))
                }
                Err(error) => {
                    shared.put_end(entry);
                    Err(error.into())
                }
            }
        };
        self.reporter.core.drive("finish", work).await
    }
}

/// Gives the handle the methods of [`Reporter`].
impl std::ops::Deref for ActionHandle {
    type Target = Reporter;

    fn deref(&self) -> &Reporter {
        &self.reporter
    }
}

impl Drop for ActionHandle {
    fn drop(&mut self) {
        let Reporter { core, open } = &self.reporter;
        if !open.end() {
            return;
        }
        let mut finish = Finish::new(Outcome::Interrupted);
        if std::thread::panicking() {
            finish = finish.with_error(failure::stopped_by_panic());
        }
        core.shared.put_end(Entry::end(open.clone(), finish));
        core.shared.retire(open.uid);
    }
}
