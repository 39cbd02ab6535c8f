//! Where batches wait for the writer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::ROOM_UNIT;
use super::writer::Answer;
use crate::model::{Batch, Command, Needs};

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
    /// True if all its commands are about owners.
    pub(super) about_owners: bool,
    pub(super) claim: Arc<Claim>,
    pub(super) reply: oneshot::Sender<Answer>,
    /// Its share of the queue's memory, given back when it is done.
    pub(super) room: OwnedSemaphorePermit,
}

/// Tells if all commands of a batch are about owners.
pub(super) fn about_owners(batch: &Batch) -> bool {
    let about_owners = |command: &Command| {
        matches!(
            command,
            Command::Claim { .. } | Command::Renew(_) | Command::Release(_) | Command::Fence { .. }
        )
    };
    batch.commands.iter().all(about_owners)
}

/// Batches of one kind, the oldest first.
struct Lane {
    /// Taken from the channel, but not from their callers. These come first.
    received: VecDeque<Job>,
    channel: mpsc::UnboundedReceiver<Job>,
}

impl Lane {
    fn new(channel: mpsc::UnboundedReceiver<Job>) -> Lane {
        let received = VecDeque::new();
        Lane { received, channel }
    }

    fn len(&self) -> usize {
        self.received.len() + self.channel.len()
    }

    fn try_next(&mut self) -> Option<Job> {
        let received = self.received.pop_front();
        received.or_else(|| self.channel.try_recv().ok())
    }
}

/// The two lanes: commands about owners overtake everything that waits, so that a queue full of
/// writes never lets a living owner lapse.
pub(super) struct Lanes {
    owners: Lane,
    actions: Lane,
    closing: watch::Receiver<bool>,
}

impl Lanes {
    pub(super) fn new(
        owners: mpsc::UnboundedReceiver<Job>,
        actions: mpsc::UnboundedReceiver<Job>,
        closing: watch::Receiver<bool>,
    ) -> Lanes {
        Lanes {
            owners: Lane::new(owners),
            actions: Lane::new(actions),
            closing,
        }
    }

    /// Waits for work. False once the store is closed, or dropped, and nothing waits any more.
    pub(super) async fn wait(&mut self) -> bool {
        self.len() > 0 || self.receive().await
    }

    /// Waits for one more batch; false as above.
    async fn receive(&mut self) -> bool {
        loop {
            // Each batch stays in its own lane: one about actions that was received first does not
            // come before an owner's that comes later.
            let (owners, actions) = (&mut self.owners, &mut self.actions);
            let (lane, job) = tokio::select! {
                biased;
                job = owners.channel.recv() => (owners, job),
                job = actions.channel.recv() => (actions, job),
                _ = self.closing.wait_for(|closing| *closing), if !owners.channel.is_closed() => {
                    owners.channel.close();
                    actions.channel.close();
                    continue;
                }
            };
            if let Some(job) = job {
                lane.received.push_back(job);
                return true;
            }
            // None from either lane: both senders live and die together.
            for lane in [&mut self.owners, &mut self.actions] {
                if let Ok(job) = lane.channel.try_recv() {
                    lane.received.push_back(job);
                    return true;
                }
            }
            return false;
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
        self.owners.len() + self.actions.len()
    }

    /// As much of what waits as one transaction may have, and so many batches at most; nothing if
    /// it was all withdrawn. Their callers may still withdraw them.
    pub(super) fn next_group(&mut self, most: usize) -> Vec<Job> {
        group(most, || {
            let owners = self.owners.try_next();
            owners.or_else(|| self.actions.try_next())
        })
    }

    /// As much of what waits about owners as one transaction may have; nothing if none waits.
    pub(super) fn next_owners(&mut self) -> Vec<Job> {
        group(usize::MAX, || self.owners.try_next())
    }

    /// These come first again, each in its own lane.
    pub(super) fn put_back(&mut self, jobs: Vec<Job>) {
        for job in jobs.into_iter().rev() {
            let lane = match job.about_owners {
                true => &mut self.owners,
                false => &mut self.actions,
            };
            lane.received.push_front(job);
        }
    }
}

fn group(most: usize, mut try_next: impl FnMut() -> Option<Job>) -> Vec<Job> {
    let (mut group, mut commands, mut bytes) = (Vec::new(), 0, 0);
    while let Some(job) = try_next() {
        if !job.claim.is_withdrawn() {
            commands += job.batch.commands.len();
            bytes += job.room.num_permits() * ROOM_UNIT;
            group.push(job);
        }
        if commands >= GROUP_COMMANDS || bytes >= GROUP_BYTES || group.len() >= most {
            break;
        }
    }
    group
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use tokio::sync::Semaphore;

    use super::*;
    use crate::model::{NewAction, OwnerRef, needs};

    /// Two lanes, and what fills them.
    struct Queue {
        owners: mpsc::UnboundedSender<Job>,
        actions: mpsc::UnboundedSender<Job>,
        room: Arc<Semaphore>,
        lanes: Lanes,
        _closing: watch::Sender<bool>,
    }

    impl Queue {
        fn new() -> Queue {
            let (owners, owners_lane) = mpsc::unbounded_channel();
            let (actions, actions_lane) = mpsc::unbounded_channel();
            let closing = watch::Sender::new(false);
            Queue {
                owners,
                actions,
                room: Arc::new(Semaphore::new(100_000)),
                lanes: Lanes::new(owners_lane, actions_lane, closing.subscribe()),
                _closing: closing,
            }
        }

        fn send(&self, command: Command) {
            let batch = Batch::each(vec![command]);
            let job = Job {
                needs: needs(&batch).unwrap(),
                about_owners: about_owners(&batch),
                batch,
                claim: Arc::default(),
                reply: oneshot::channel().0,
                room: self.room.clone().try_acquire_owned().unwrap(),
            };
            let lane = match job.about_owners {
                true => &self.owners,
                false => &self.actions,
            };
            lane.send(job).unwrap();
        }

        fn send_actions(&self, count: usize) {
            for _ in 0..count {
                let new = NewAction::task("a").into();
                self.send(Command::Create { new, by: None });
            }
        }

        fn send_renewal(&self, owner: &str) {
            self.send(Command::Renew(OwnerRef::new(owner)));
        }

        /// Gathers all that waits now, as the writer does while a transaction is under way.
        fn gather(&mut self) {
            let gathering = tokio::task::unconstrained(self.lanes.gather(|_| false));
            let mut gathering = std::pin::pin!(gathering);
            let mut context = Context::from_waker(Waker::noop());
            // It lets others have their turn after each batch.
            for _ in 0..100_000 {
                let polled = gathering.as_mut().poll(&mut context);
                assert_eq!(polled, Poll::Pending);
            }
        }
    }

    /// The renewals of a group: each with its place and its owner's name.
    fn renewed(group: &[Job]) -> Vec<(usize, &str)> {
        let jobs = group.iter().enumerate();
        let renewals = jobs.filter_map(|(place, job)| match &job.batch.commands[..] {
            [Command::Renew(owner)] => Some((place, &*owner.name)),
            _ => None,
        });
        renewals.collect()
    }

    #[test]
    fn a_renewal_is_in_the_next_transaction_whatever_has_been_gathered_before() {
        let mut queue = Queue::new();
        queue.send_actions(5000);
        queue.gather();
        assert_eq!(queue.lanes.len(), 5000);
        queue.send_renewal("a");
        queue.gather();
        queue.send_actions(5000);
        queue.send_renewal("b");
        let next = queue.lanes.next_group(usize::MAX);
        assert_eq!(renewed(&next), [(0, "a"), (1, "b")]);
        assert_eq!(next.len(), GROUP_COMMANDS);
        assert_eq!(queue.lanes.len(), 10_002 - GROUP_COMMANDS);
    }

    #[test]
    fn a_renewal_comes_before_batches_that_are_put_back() {
        let mut queue = Queue::new();
        queue.send_actions(GROUP_COMMANDS - 1);
        queue.send_renewal("a");
        let failed = queue.lanes.next_group(usize::MAX);
        assert_eq!(renewed(&failed), [(0, "a")]);
        queue.send_actions(1);
        queue.lanes.put_back(failed);
        queue.send_renewal("b");
        let next = queue.lanes.next_group(2);
        assert_eq!(renewed(&next), [(0, "a"), (1, "b")]);
        assert_eq!(queue.lanes.next_group(usize::MAX).len(), GROUP_COMMANDS);
    }

    #[test]
    fn only_what_is_about_owners_alone_overtakes() {
        let mut queue = Queue::new();
        queue.send_actions(2);
        let owner = || OwnerRef::new("a");
        for command in [
            Command::Release(owner()),
            Command::Fence {
                owner: owner(),
                if_renewals: 0,
            },
            Command::Claim {
                owner: owner(),
                take_over: true,
            },
            Command::Renew(owner()),
        ] {
            queue.send(command);
        }
        assert_eq!(queue.lanes.next_owners().len(), 4);
        assert_eq!(queue.lanes.next_owners().len(), 0);
        assert_eq!(queue.lanes.next_group(usize::MAX).len(), 2);
        let new = NewAction::task("a").into();
        let create = Command::Create { new, by: None };
        let mixed = Batch::each(vec![Command::Renew(owner()), create]);
        assert!(!about_owners(&mixed));
    }
}
