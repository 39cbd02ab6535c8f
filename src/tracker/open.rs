//! An action in work as this process knows it, and what is to be written of it.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::model::{
    Action, ActionUid, Cancel, Change, Command, Finish, OpId, Outcome, OwnerRef, Progress, Report,
};

/// An action in work, as this process knows it.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) uid: ActionUid,
    latest: Mutex<Arc<Action>>,
    /// The highest progress reported here and the highest known to be recorded, in hundredths.
    reported: AtomicU16,
    recorded: AtomicU16,
    /// Whether it stands on the board.
    pub(super) waiting: AtomicBool,
    /// Whether somebody here has taken it upon himself to end it.
    over: AtomicBool,
    /// That it is to be cancelled, once that is known.
    cancel: watch::Sender<Option<Cancel>>,
}

impl Open {
    pub(super) fn new(action: Arc<Action>) -> Open {
        let progress = action.progress.hundredths();
        Open {
            uid: action.uid,
            cancel: watch::Sender::new(action.cancel.clone()),
            latest: Mutex::new(action),
            reported: AtomicU16::new(progress),
            recorded: AtomicU16::new(progress),
            waiting: AtomicBool::new(false),
            over: AtomicBool::new(false),
        }
    }

    pub(super) fn latest(&self) -> Arc<Action> {
        lock(&self.latest).clone()
    }

    /// Takes note of the action as the store has answered it; answers may overtake each other.
    pub(super) fn seen(&self, action: &Arc<Action>) {
        let progress = action.progress.hundredths();
        self.recorded.fetch_max(progress, Ordering::AcqRel);
        self.tell_cancel(action.cancel.as_ref());
        let mut latest = lock(&self.latest);
        if latest.version < action.version {
            *latest = action.clone();
        }
    }

    /// Takes note of a cancel request; the first one counts.
    pub(super) fn tell_cancel(&self, cancel: Option<&Cancel>) {
        self.cancel.send_if_modified(|known| {
            let news = known.is_none() && cancel.is_some();
            if news {
                *known = cancel.cloned();
            }
            news
        });
    }

    pub(super) fn cancel(&self) -> watch::Receiver<Option<Cancel>> {
        self.cancel.subscribe()
    }

    /// Takes note of progress; says whether it is news.
    pub(super) fn advance(&self, progress: Progress) -> bool {
        let progress = progress.hundredths();
        self.reported.fetch_max(progress, Ordering::AcqRel) < progress
    }

    /// The progress that is not known to be recorded.
    pub(super) fn unrecorded(&self) -> Option<Progress> {
        let reported = self.reported.load(Ordering::Acquire);
        let news = reported > self.recorded.load(Ordering::Acquire);
        // In range, since it came from a `Progress`.
        news.then(|| Progress::from_hundredths(reported).unwrap_or_default())
    }

    /// Claims the right to end the action; false if somebody has it already.
    pub(super) fn end(&self) -> bool {
        !self.over.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// Something to be written in the owner's name.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) uid: ActionUid,
    /// None for an action that perhaps never came to be.
    pub(super) open: Option<Arc<Open>>,
    /// Written before the end, so that it is never lost to it.
    pub(super) progress: Option<Progress>,
    /// The end, under the operation id it keeps however often it is sent.
    pub(super) end: Option<(OpId, Finish)>,
}

impl Entry {
    pub(super) fn progress(open: Arc<Open>) -> Entry {
        Entry {
            uid: open.uid,
            progress: open.unrecorded(),
            open: Some(open),
            end: None,
        }
    }

    /// The end of an action. A success says by itself that all is done.
    pub(super) fn end(open: Arc<Open>, finish: Finish) -> Entry {
        let succeeded = finish.outcome == Outcome::Succeeded;
        let mut entry = Entry::progress(open);
        entry.progress = entry.progress.filter(|_| !succeeded);
        entry.end = Some((OpId::new(), finish));
        entry
    }

    /// The end of an action of which nobody knows whether it was started.
    pub(super) fn unknown(uid: ActionUid, finish: Finish) -> Entry {
        Entry {
            uid,
            open: None,
            progress: None,
            end: Some((OpId::new(), finish)),
        }
    }

    /// How many commands it takes.
    pub(super) fn len(&self) -> usize {
        usize::from(self.progress.is_some()) + usize::from(self.end.is_some())
    }

    /// What is to be written; the last command is the one that counts.
    pub(super) fn commands(&self, owner: &OwnerRef) -> Vec<Command> {
        let apply = |op, change| Command::Apply {
            uid: self.uid,
            op,
            change,
            by: Some(owner.clone()),
            if_version: None,
        };
        let report = |progress| {
            let report = Report::new().with_progress(progress);
            apply(OpId::new(), Change::Report(report))
        };
        let end = self.end.clone();
        let end = end.map(|(op, finish)| apply(op, Change::Finish(finish)));
        self.progress.map(report).into_iter().chain(end).collect()
    }
}

/// What these locks guard is whole whenever they are free.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
