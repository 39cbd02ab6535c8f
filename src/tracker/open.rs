//! An action in work as this process knows it, and what is to be written of it.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::board::Place;
use crate::model::{
    Action, ActionError, ActionUid, Batch, Cancel, Change, Command, Done, Finish, OpId, Outcome,
    OwnerRef, Progress, Refused, Report, Version,
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
    /// None for an action that nobody here works on.
    pub(super) open: Option<Arc<Open>>,
    what: What,
    /// Its place on the board, if it is an end and has found one.
    pub(super) place: Option<Place>,
}

#[derive(Debug)]
enum What {
    Progress(Option<Progress>),
    End {
        /// Written before the end, so that it is never lost to it.
        progress: Option<Progress>,
        /// Kept however often it is sent.
        op: OpId,
        finish: Finish,
        if_version: Option<Version>,
    },
    /// Nobody knows whether this took the action in hand.
    Taking {
        /// What was sent, under the operation id it was sent with.
        taking: Command,
        /// The operation id of the end.
        op: OpId,
        /// What was created with it.
        children: Vec<ActionUid>,
    },
}

impl Entry {
    pub(super) fn progress(open: Arc<Open>) -> Entry {
        let what = What::Progress(open.unrecorded());
        Entry::new(open.uid, Some(open), what)
    }

    /// The end of an action. A success says by itself that all is done.
    pub(super) fn end(open: Arc<Open>, finish: Finish) -> Entry {
        let succeeded = finish.outcome == Outcome::Succeeded;
        let what = What::End {
            progress: open.unrecorded().filter(|_| !succeeded),
            op: OpId::new(),
            finish,
            if_version: None,
        };
        Entry::new(open.uid, Some(open), what)
    }

    /// An action of which nobody knows whether it was taken in hand, and what was created with it.
    pub(super) fn taking(uid: ActionUid, taking: Command, children: Vec<ActionUid>) -> Entry {
        let what = What::Taking {
            taking,
            op: OpId::new(),
            children,
        };
        Entry::new(uid, None, what)
    }

    /// An end for want of anybody who works on the action, or in place of an end that could not
    /// be.
    fn interrupted(uid: ActionUid, finish: Finish, if_version: Option<Version>) -> Entry {
        let what = What::End {
            progress: None,
            op: OpId::new(),
            finish,
            if_version,
        };
        Entry::new(uid, None, what)
    }

    fn new(uid: ActionUid, open: Option<Arc<Open>>, what: What) -> Entry {
        Entry {
            uid,
            open,
            what,
            place: None,
        }
    }

    /// Whether an action does not come to its end if this is not written.
    pub(super) fn ends(&self) -> bool {
        !matches!(self.what, What::Progress(_))
    }

    /// What is to be written once this was carried out: what was created with an action that nobody
    /// works on is interrupted, unless somebody has started it by its uid meanwhile.
    pub(super) fn then(&self) -> Vec<Entry> {
        let What::Taking { children, .. } = &self.what else {
            return Vec::new();
        };
        let untouched = Some(Version::FIRST);
        let interrupted = || Finish::new(Outcome::Interrupted);
        let children = children.iter();
        let children = children.map(|uid| Entry::interrupted(*uid, interrupted(), untouched));
        children.collect()
    }

    /// What is to be written if this was refused for good: the action must come to an end all the
    /// same.
    pub(super) fn instead(&self, refused: &Refused) -> Option<Entry> {
        let What::End { finish, .. } = &self.what else {
            return None;
        };
        let impossible = matches!(refused, Refused::Invalid(_) | Refused::OwnerAlive(_));
        if !impossible || finish.outcome == Outcome::Interrupted {
            return None;
        }
        let message = "it is over, but how it ended could not be recorded";
        let error = ActionError::new(ActionError::INTERRUPTED, message).with_source(refused);
        let finish = Finish::new(Outcome::Interrupted).with_error(error);
        let mut entry = Entry::interrupted(self.uid, finish, None);
        entry.open = self.open.clone();
        Some(entry)
    }

    /// About how much memory its commands take.
    pub(super) fn bytes(&self, owner: &OwnerRef) -> usize {
        Batch::each(self.commands(owner)).bytes()
    }

    /// Leaves out what is large about an end. The outcome stays.
    pub(super) fn reduce(&mut self) {
        self.open = None;
        if let What::End { finish, .. } = &mut self.what {
            finish.reduce("too many ends wait for the store");
        }
    }

    /// How many commands it takes.
    pub(super) fn len(&self) -> usize {
        match &self.what {
            What::Progress(progress) => usize::from(progress.is_some()),
            What::End { progress, .. } => 1 + usize::from(progress.is_some()),
            What::Taking { .. } => 2,
        }
    }

    /// Whether it is written as a whole or not at all: an action is interrupted only if it was
    /// this owner's unknown command that took it in hand. If it was another one, which somebody here
    /// may work on, the unknown one is refused when it is sent again, and the end with it.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.what, What::Taking { .. })
    }

    /// The answer that counts, of those to its commands.
    pub(super) fn answer(
        &self,
        answers: impl Iterator<Item = Result<Done, Refused>>,
    ) -> Option<Result<Done, Refused>> {
        answers
            .filter(|answer| !matches!(answer, Err(Refused::Batch(_))))
            .last()
    }

    /// What is to be written.
    pub(super) fn commands(&self, owner: &OwnerRef) -> Vec<Command> {
        let apply = |op, change, if_version| Command::Apply {
            uid: self.uid,
            op,
            change,
            by: Some(owner.clone()),
            if_version,
        };
        let report = |progress: Option<Progress>| {
            let report = Report::new().with_progress(progress?);
            Some(apply(OpId::new(), Change::Report(report), None))
        };
        match &self.what {
            What::Progress(progress) => report(*progress).into_iter().collect(),
            What::End {
                progress,
                op,
                finish,
                if_version,
            } => {
                let end = apply(*op, Change::Finish(finish.clone()), *if_version);
                report(*progress).into_iter().chain([end]).collect()
            }
            What::Taking { taking, op, .. } => {
                let finish = Finish::new(Outcome::Interrupted);
                vec![taking.clone(), apply(*op, Change::Finish(finish), None)]
            }
        }
    }
}

/// What these locks guard is whole whenever they are free.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
