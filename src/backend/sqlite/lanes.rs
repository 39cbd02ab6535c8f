//! Where batches wait for the writer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::ROOM_UNIT;
use super::writer::Answer;
use crate::model::{Batch, Needs};

/// Commands, and bytes of them, after which a transaction takes no further batch.
const GROUP_COMMANDS: usize = 2000;
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// Whether a caller may still take a batch back.
#[derive(Debug, Default)]
pub(super) struct Claim(AtomicU8);

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;
const SENT: u8 = 3;

impl Claim {
    /// The writer takes the batch, if it has not done so yet; false if it was withdrawn.
    pub(super) fn take(&self) -> bool {
        let taken = self
            .0
            .compare_exchange(WAITING, TAKEN, Ordering::AcqRel, Ordering::Acquire);
        match taken {
            Ok(_) | Err(TAKEN) => true,
            // It was sent, and certainly not applied: the writer has it again.
            Err(SENT) => {
                self.0.store(TAKEN, Ordering::Release);
                true
            }
            Err(_) => false,
        }
    }

    /// The database is asked to commit the batch: from now on nobody knows until it answers.
    pub(super) fn send(&self) {
        self.0.store(SENT, Ordering::Release);
    }

    /// Whether the database was asked to commit the batch.
    pub(super) fn is_sent(&self) -> bool {
        self.0.load(Ordering::Acquire) == SENT
    }

    fn is_withdrawn(&self) -> bool {
        self.0.load(Ordering::Acquire) == WITHDRAWN
    }

    /// The caller takes the batch back; false if the writer has it.
    pub(super) fn withdraw(&self) -> bool {
        self.0
            .compare_exchange(WAITING, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// A batch that waits to be written.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) batch: Batch,
    pub(super) needs: Needs,
    pub(super) claim: Arc<Claim>,
    pub(super) reply: oneshot::Sender<Answer>,
    /// Its share of the queue's memory, given back when it is done.
    pub(super) room: OwnedSemaphorePermit,
}

/// The two lanes: commands about owners overtake everything, so that a queue full of writes never
/// lets a living owner lapse.
pub(super) struct Lanes {
    owners: mpsc::UnboundedReceiver<Job>,
    actions: mpsc::UnboundedReceiver<Job>,
    closing: watch::Receiver<bool>,
    /// Taken from a lane, but not from their callers.
    next: VecDeque<Job>,
}

impl Lanes {
    pub(super) fn new(
        owners: mpsc::UnboundedReceiver<Job>,
        actions: mpsc::UnboundedReceiver<Job>,
        closing: watch::Receiver<bool>,
    ) -> Lanes {
        Lanes {
            owners,
            actions,
            closing,
            next: VecDeque::new(),
        }
    }

    /// Waits for work. False once the store is closed, or dropped, and nothing waits any more.
    pub(super) async fn wait(&mut self) -> bool {
        !self.next.is_empty() || self.receive().await
    }

    /// Waits for one more batch; false as above.
    async fn receive(&mut self) -> bool {
        loop {
            let next = tokio::select! {
                biased;
                job = self.owners.recv() => job,
                job = self.actions.recv() => job,
                _ = self.closing.wait_for(|closing| *closing), if !self.owners.is_closed() => {
                    self.owners.close();
                    self.actions.close();
                    continue;
                }
            };
            // None from either lane: both senders live and die together.
            match next.or_else(|| self.take_waiting()) {
                Some(job) => self.next.push_back(job),
                None => return false,
            }
            return true;
        }
    }

    /// Waits until batches wait, and enough of them; for ever, should the store be closed before.
    pub(super) async fn gather(&mut self, enough: impl Fn(usize) -> bool) {
        loop {
            self.settle().await;
            if self.len() > 0 && enough(self.len()) {
                return;
            }
            if !self.receive().await {
                return std::future::pending().await;
            }
        }
    }

    /// Waits until what comes at this moment has come.
    pub(super) async fn settle(&mut self) {
        let mut waiting = 0;
        while waiting < self.len() {
            waiting = self.len();
            tokio::task::yield_now().await;
        }
    }

    /// How many batches wait.
    pub(super) fn len(&self) -> usize {
        self.next.len() + self.owners.len() + self.actions.len()
    }

    /// As much of what waits as one transaction may have, and so many batches at most; nothing if
    /// it was all withdrawn. Their callers may still withdraw them.
    pub(super) fn next_group(&mut self, most: usize) -> Vec<Job> {
        let (mut group, mut commands, mut bytes) = (Vec::new(), 0, 0);
        let mut next = self.try_next();
        while let Some(job) = next {
            if !job.claim.is_withdrawn() {
                commands += job.batch.commands.len();
                bytes += job.room.num_permits() * ROOM_UNIT;
                group.push(job);
            }
            next = match commands < GROUP_COMMANDS && bytes < GROUP_BYTES && group.len() < most {
                true => self.try_next(),
                false => None,
            };
        }
        group
    }

    fn try_next(&mut self) -> Option<Job> {
        self.next.pop_front().or_else(|| self.take_waiting())
    }

    fn take_waiting(&mut self) -> Option<Job> {
        let owners = self.owners.try_recv();
        owners.or_else(|_| self.actions.try_recv()).ok()
    }

    /// These come first again.
    pub(super) fn put_back(&mut self, jobs: Vec<Job>) {
        for job in jobs.into_iter().rev() {
            self.next.push_front(job);
        }
    }
}
