//! The local state of an executing action, and the entries that are written for it.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::outbox::Place;
use crate::model::{
    Action, ActionError, ActionUid, Batch, Cancel, Change, Command, Done, Finish, Key, KeyKind,
    NewAction, OpId, Outcome, OwnerRef, Progress, Rejection, Report, Version,
};

/// Returns the idempotency key by which a caller may repeat a begin.
pub(super) fn key_of(new: &NewAction) -> Option<Key> {
    let key = new.idempotency_key.clone()?;
    let (tenant, kind) = (new.tenant.clone(), KeyKind::Idempotency);
    Some(Key { tenant, kind, key })
}

/// The local state of an action with a handle in this process.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) uid: ActionUid,
    latest: Mutex<Arc<Action>>,
    /// The highest progress reported here, and the highest known to be recorded, in hundredths of a
    /// percent.
    reported: AtomicU16,
    recorded: AtomicU16,
    /// True while the outbox holds its progress.
    pub(super) waiting: AtomicBool,
    /// True once a caller in this process has claimed the right to end it.
    over: AtomicBool,
    /// The cancel request, once known.
    cancel: watch::Sender<Option<Cancel>>,
}

impl InFlight {
    pub(super) fn new(action: Arc<Action>) -> InFlight {
        let progress = action.progress.hundredths();
        InFlight {
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

    /// Updates the state from a store answer. Answers may arrive out of order.
    pub(super) fn seen(&self, action: &Arc<Action>) {
        let progress = action.progress.hundredths();
        self.recorded.fetch_max(progress, Ordering::AcqRel);
        self.tell_cancel(action.cancel.as_ref());
        let mut latest = lock(&self.latest);
        if latest.version < action.version {
            *latest = action.clone();
        }
    }

    /// Records a cancel request. Only the first one counts.
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

    /// Records progress. Returns true if it is higher than before.
    pub(super) fn advance(&self, progress: Progress) -> bool {
        let progress = progress.hundredths();
        self.reported.fetch_max(progress, Ordering::AcqRel) < progress
    }

    /// Returns the progress that is not known to be recorded.
    pub(super) fn unrecorded(&self) -> Option<Progress> {
        let reported = self.reported.load(Ordering::Acquire);
        let news = reported > self.recorded.load(Ordering::Acquire);
        // In range, because it came from a `Progress`.
        news.then(|| Progress::from_hundredths(reported).unwrap_or_default())
    }

    /// Claims the right to end the action. Returns false if it is claimed already.
    pub(super) fn end(&self) -> bool {
        !self.over.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// A write that waits, under the owner's name.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) uid: ActionUid,
    /// `None` for an action without a handle in this process.
    pub(super) open: Option<Arc<InFlight>>,
    what: What,
    /// Counts the entry in the outbox, if it is an end that waits there.
    pub(super) place: Option<Place>,
}

#[derive(Debug)]
enum What {
    Progress(Option<Progress>),
    End {
        /// Written before the end, so that the end does not lose it.
        progress: Option<Progress>,
        /// Stays the same for all retries.
        op: OpId,
        finish: Finish,
        if_version: Option<Version>,
    },
    /// A start or adoption with an unknown outcome.
    Taking {
        /// The idempotency key by which a caller may repeat it.
        key: Option<Key>,
        /// The command that was sent, with its operation id.
        taking: Command,
        /// The operation id of the end.
        op: OpId,
        /// The children created in the same commit.
        children: Vec<ActionUid>,
    },
}

impl Entry {
    pub(super) fn progress(open: Arc<InFlight>) -> Entry {
        let what = What::Progress(open.unrecorded());
        Entry::new(open.uid, Some(open), what)
    }

    /// Creates the entry that ends an action. A success implies full progress, so it writes none.
    pub(super) fn end(open: Arc<InFlight>, finish: Finish) -> Entry {
        let succeeded = finish.outcome == Outcome::Succeeded;
        let what = What::End {
            progress: open.unrecorded().filter(|_| !succeeded),
            op: OpId::new(),
            finish,
            if_version: None,
        };
        Entry::new(open.uid, Some(open), what)
    }

    /// Creates the entry for a start or adoption with an unknown outcome, and the children created
    /// with it.
    pub(super) fn taking(
        uid: ActionUid,
        key: Option<Key>,
        taking: Command,
        children: Vec<ActionUid>,
    ) -> Entry {
        let what = What::Taking {
            key,
            taking,
            op: OpId::new(),
            children,
        };
        Entry::new(uid, None, what)
    }

    /// Returns the command of a start or adoption with an unknown outcome.
    pub(super) fn taking_command(&self) -> Option<&Command> {
        match &self.what {
            What::Taking { taking, .. } => Some(taking),
            _ => None,
        }
    }

    /// Returns the idempotency key of a start or adoption with an unknown outcome.
    pub(super) fn key(&self) -> Option<&Key> {
        match &self.what {
            What::Taking { key, .. } => key.as_ref(),
            _ => None,
        }
    }

    /// Creates an entry that interrupts an action without work, or whose own end was impossible.
    fn interrupted(uid: ActionUid, finish: Finish, if_version: Option<Version>) -> Entry {
        let what = What::End {
            progress: None,
            op: OpId::new(),
            finish,
            if_version,
        };
        Entry::new(uid, None, what)
    }

    fn new(uid: ActionUid, open: Option<Arc<InFlight>>, what: What) -> Entry {
        Entry {
            uid,
            open,
            what,
            place: None,
        }
    }

    /// Returns true if the action stays unfinished unless this is written.
    pub(super) fn ends(&self) -> bool {
        !matches!(self.what, What::Progress(_))
    }

    /// Returns the entries to write after this one. They interrupt the children of an action that
    /// has no work. A child that was started by its uid in the meantime is not touched.
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

    /// Returns the entry to write if this one was refused for good, so that the action still ends.
    pub(super) fn instead(&self, refused: &Rejection) -> Option<Entry> {
        let What::End { finish, .. } = &self.what else {
            return None;
        };
        let impossible = matches!(refused, Rejection::Invalid(_) | Rejection::OwnerAlive(_));
        if !impossible || finish.outcome == Outcome::Interrupted {
            return None;
        }
        let message = "the action ended, but its result could not be recorded";
        let error = ActionError::new(ActionError::INTERRUPTED, message).with_source(refused);
        let finish = Finish::new(Outcome::Interrupted).with_error(error);
        let mut entry = Entry::interrupted(self.uid, finish, None);
        entry.open = self.open.clone();
        Some(entry)
    }

    /// Estimates the memory its commands use, in bytes.
    pub(super) fn bytes(&self, owner: &OwnerRef) -> usize {
        Batch::each(self.commands(owner)).bytes()
    }

    /// Drops the large details of an end. The outcome stays.
    pub(super) fn reduce(&mut self) {
        self.open = None;
        if let What::End { finish, .. } = &mut self.what {
            finish.reduce("too many ends wait for the store");
        }
    }

    /// Returns the number of commands.
    pub(super) fn len(&self) -> usize {
        match &self.what {
            What::Progress(progress) => usize::from(progress.is_some()),
            What::End { progress, .. } => 1 + usize::from(progress.is_some()),
            What::Taking { .. } => 2,
        }
    }

    /// Returns true if all its commands must be applied together. The action may be interrupted
    /// only if the unknown command of this owner started it. If another call started it, the store
    /// refuses the repeated command, and the end with it.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.what, What::Taking { .. })
    }

    /// Returns the answer that decides, among the answers to its commands.
    pub(super) fn answer(
        &self,
        answers: impl Iterator<Item = Result<Done, Rejection>>,
    ) -> Option<Result<Done, Rejection>> {
        answers
            .filter(|answer| !matches!(answer, Err(Rejection::Batch(_))))
            .last()
    }

    /// Returns the commands to write.
    pub(super) fn commands(&self, owner: &OwnerRef) -> Vec<Command> {
        let apply = |op, change, if_version| {
            Command::apply(self.uid, change)
                .by(owner.clone())
                .with_op(op)
                .if_version(if_version)
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

/// Locks a mutex and ignores poisoning: the guarded data is consistent whenever the lock is free.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
