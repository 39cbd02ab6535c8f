//! An action in work: reporting on it, ending it.

use std::sync::Arc;

use super::failure;
use super::open::{Entry, Open};
use super::shared::Core;
use crate::error::Error;
use crate::model::{
    Action, ActionError, ActionUid, Batch, Cancel, Change, Finish, Json, Outcome, Progress, Report,
};
use crate::store::ActionStoreExt;

/// Reports on an action in work. Cheap to clone; cannot end the action.
///
/// Reporting on an action that is over is refused as a conflict, or as `Closed` once the tracker
/// was shut down; progress is then ignored.
#[derive(Debug, Clone)]
pub struct Reporter {
    pub(super) core: Arc<Core>,
    open: Arc<Open>,
}

impl Reporter {
    /// Which action.
    #[must_use]
    pub fn uid(&self) -> ActionUid {
        self.open.uid
    }

    /// The action as this process last saw it: after the last report that was written. Progress
    /// reported since is not in it yet.
    #[must_use]
    pub fn action(&self) -> Arc<Action> {
        self.open.latest()
    }

    /// Takes note of the action as the store has it.
    pub(super) fn seen(&self, action: &Arc<Action>) {
        self.open.seen(action);
    }

    /// Whether the tracker is the action's owner, as far as it knows: it has renewed within two
    /// thirds of its lease. Work that is dangerous to do twice stops when it is not. Whatever
    /// this says, what is reported counts only if the store still sees the owner alive.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.core.shared.is_owner()
    }

    /// Resolves once the tracker is no longer the action's owner, as far as it knows: it has been
    /// fenced or shut down, its store is closed, or it has not renewed for two thirds of its lease. For `select!` in work that must not
    /// be done twice: stop, and leave the action to whoever settles or adopts it.
    pub async fn ownership_lost(&self) {
        self.core.shared.ownership_lost().await;
    }

    /// Resolves once somebody has asked for the action to be cancelled, in whatever process, and
    /// says who and why; at once if that has happened. It hears of a request with the next look at
    /// the store, which comes 20 ms after the last one, or ten times as long as that took, and after
    /// a second at most. Nothing happens by itself: work that stops
    /// for it ends with [`ActionError::cancelled`], other work goes on.
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

    /// Goes on to another step, and returns when that is recorded, with the progress reported
    /// before. A name that is no label is recorded as far as it fits, with a warning on the action:
    /// see [`Report`].
    ///
    /// # Errors
    /// `Closed` if the tracker was shut down, `Fenced` if others have fenced it, `Conflict` if the
    /// action is over, and the store's errors.
    pub async fn step(&self, name: impl Into<Arc<str>>) -> Result<Arc<Action>, Error> {
        self.report(Report::new().with_step(name)).await
    }

    /// Says how far the action has come. Never waits and never fails: only the highest value
    /// counts, and it is written in the background, at most once in
    /// [`flush_interval`](crate::TrackerOptions::flush_interval) for all actions together, and
    /// always before the action's end. 100 % is recorded as
    /// [`Progress::MAX_UNFINISHED`] until the action has succeeded.
    pub fn progress(&self, progress: Progress) {
        if self.open.advance(progress.min(Progress::MAX_UNFINISHED)) {
            self.core.shared.put_progress(&self.open);
        }
    }

    /// Adds a warning, prose; a text that is too long is cut, visibly.
    ///
    /// # Errors
    /// As [`step`](Reporter::step).
    pub async fn warn(&self, text: impl Into<Arc<str>>) -> Result<Arc<Action>, Error> {
        self.report(Report::new().with_warning(text)).await
    }

    /// Reports anything a [`Report`] can say, and returns when that is recorded, with the
    /// progress reported before. An empty one is a sign of life.
    ///
    /// # Errors
    /// As [`step`](Reporter::step).
    pub async fn report(&self, mut report: Report) -> Result<Arc<Action>, Error> {
        let shared = &self.core.shared;
        // Cut here as well, so that waiting commands take little memory.
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
            Err(Error::Refused(refused)) => shared.note(refused),
            Err(Error::Store(_)) => {}
        }
        answer.map_err(|error| shared.explained("report", error))
    }
}

/// An action in work, in the hands of whoever does the work. Reports as a [`Reporter`] does, and
/// ends the action.
///
/// Ending it uses the handle up. One that is dropped instead, by a panic too, has its action
/// recorded as interrupted in the background; this needs no runtime where it happens, and what
/// cannot be written any more is settled by the shutdown or the next start of a tracker of the
/// same name.
///
/// An end that the store fails to take is an error here and is tried again in the background, as
/// long as the tracker lives.
#[derive(Debug)]
#[must_use = "dropping it interrupts the action"]
pub struct ActionHandle {
    reporter: Reporter,
}

impl ActionHandle {
    pub(super) fn new(core: Arc<Core>, action: Arc<Action>) -> ActionHandle {
        let open = Arc::new(Open::new(action));
        core.shared.register(&open);
        ActionHandle {
            reporter: Reporter { core, open },
        }
    }

    /// What reports on the action, to be given to the work.
    #[must_use]
    pub fn reporter(&self) -> Reporter {
        self.reporter.clone()
    }

    /// Ends the action: it did what it was for.
    ///
    /// # Errors
    /// As [`finish`](ActionHandle::finish).
    pub async fn succeed(self) -> Result<Arc<Action>, Error> {
        self.finish(Finish::succeeded()).await
    }

    /// Ends the action: it did what it was for, and this is what it brought about. Takes what
    /// [`Finish::with_result`] takes: `succeed_with(Json::of(&value))`, without `?`. A result that
    /// breaks a limit is left out, and a warning on the action says so.
    ///
    /// # Errors
    /// As [`finish`](ActionHandle::finish).
    pub async fn succeed_with(
        self,
        result: impl TryInto<Json, Error: std::fmt::Display>,
    ) -> Result<Arc<Action>, Error> {
        self.finish(Finish::succeeded().with_result(result)).await
    }

    /// Ends the action: it failed.
    ///
    /// # Errors
    /// As [`finish`](ActionHandle::finish).
    pub async fn fail(self, error: impl Into<ActionError>) -> Result<Arc<Action>, Error> {
        self.finish(Finish::failed(error.into())).await
    }

    /// Ends the action: it was given up because somebody asked for that.
    ///
    /// # Errors
    /// As [`finish`](ActionHandle::finish).
    pub async fn cancelled(self) -> Result<Arc<Action>, Error> {
        self.finish(Finish::new(Outcome::Cancelled)).await
    }

    /// Ends the action, with the progress reported before. Texts that are too long are cut,
    /// visibly. Once this is first polled the end is written even if the future is dropped.
    ///
    /// # Errors
    /// `Closed` if the tracker was shut down, `Fenced` if others have fenced it (either way the end
    /// is kept once in the action's log, though the action has ended otherwise),
    /// `Conflict` if the action is over already, `Invalid` or `OwnerAlive` for an end that an owner
    /// cannot give (a failure without an error, `Lost`): the action is then recorded as
    /// interrupted. And what the store may say; then this end is tried again in the background.
    pub async fn finish(self, mut finish: Finish) -> Result<Arc<Action>, Error> {
        // Cut here as well, so that waiting commands take little memory.
        finish.fit();
        let Reporter { core, open } = self.reporter.clone();
        // From here on the drop of this handle means nothing.
        open.end();
        core.shared.retire(open.uid);
        let shared = core.shared.clone();
        let counted = shared.finishing();
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

/// A handle reports, too.
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
        core.shared.retire(open.uid);
        let mut finish = Finish::new(Outcome::Interrupted);
        if std::thread::panicking() {
            finish = finish.with_error(failure::stopped_by_panic());
        }
        core.shared.put_end(Entry::end(open.clone(), finish));
    }
}
