//! Queues of batches that wait for the writer.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::claim::Claim;
use super::deadline::deadline;
use crate::error::{StoreError, StoreErrorKind};
use crate::model::{Batch, Command, Done, ReadSet, Rejection};

/// The results of a batch.
pub(crate) type Answer = Result<Vec<Result<Done, Rejection>>, StoreError>;

/// The answers to the batches of a group: for each batch, one for each of its commands.
pub type Answers = Vec<Vec<Result<Done, Rejection>>>;

/// Bytes in one unit of queue memory.
const ROOM_UNIT: usize = 512;

/// Number of commands, and of their bytes, at which a transaction takes no further batch.
const GROUP_COMMANDS: usize = 2000;
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// Time after which a batch that was blocked is tried again.
const POSTPONED: Duration = Duration::from_millis(5);

/// Time that a call goes on after its time-out if the writer has its batch, and the pause between two
/// attempts to withdraw it.
const GRACE: Duration = Duration::from_millis(50);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A batch that waits to be written.
#[derive(Debug)]
pub(crate) struct WriteRequest {
    pub(crate) batch: Batch,
    pub(crate) read_set: ReadSet,
    /// True if all its commands are about owners.
    pub(crate) about_owners: bool,
    pub(crate) claim: Arc<Claim>,
    pub(crate) reply: oneshot::Sender<Answer>,
    /// Its share of the queue memory, released when the batch is done.
    pub(crate) room: OwnedSemaphorePermit,
}

impl WriteRequest {
    pub(crate) fn answer(self, answer: Answer) {
        // Released first, so that a caller that continues at once finds room.
        drop(self.room);
        // The caller may have gone away; the error is ignored.
        let _gone = self.reply.send(answer);
    }
}

/// The side of the callers: two queues, each with its own memory.
#[derive(Debug)]
pub(crate) struct WriteSender {
    owners: mpsc::UnboundedSender<WriteRequest>,
    actions: mpsc::UnboundedSender<WriteRequest>,
    /// Memory for the batches in each queue, in units of [`ROOM_UNIT`] bytes.
    owners_room: Arc<Semaphore>,
    actions_room: Arc<Semaphore>,
    /// Total number of these units in each queue.
    #[cfg_attr(not(feature = "_sql"), allow(dead_code))]
    units: usize,
    /// True once the tasks must finish the waiting work and end.
    closing: watch::Sender<bool>,
}

impl WriteSender {
    /// Creates two queues. Each holds batches of so many bytes.
    pub(crate) fn new(bytes: usize) -> (WriteSender, WriteQueue) {
        let (owners, owners_lane) = mpsc::unbounded_channel();
        let (actions, actions_lane) = mpsc::unbounded_channel();
        let closing = watch::Sender::new(false);
        let write_queue = WriteQueue::new(owners_lane, actions_lane, closing.subscribe());
        let units = bytes / ROOM_UNIT;
        let room = || Arc::new(Semaphore::new(units));
        let sender = WriteSender {
            owners,
            actions,
            owners_room: room(),
            actions_room: room(),
            units,
            closing,
        };
        (sender, write_queue)
    }

    /// Returns the memory of the waiting batches, in bytes.
    #[cfg_attr(not(feature = "_sql"), allow(dead_code))]
    pub(crate) fn queued_bytes(&self) -> usize {
        let rooms = [&self.owners_room, &self.actions_room];
        let taken = rooms.map(|room| self.units.saturating_sub(room.available_permits()));
        taken.iter().sum::<usize>() * ROOM_UNIT
    }

    /// Returns a receiver that is true once the sender is closed.
    #[cfg_attr(not(feature = "_sql"), allow(dead_code))]
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// Refuses further batches, and lets the writer finish those that wait.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Sends a batch to the writer and waits for the answer, but no longer than `timeout`. `bytes`
    /// is the size of the batch.
    pub(crate) async fn write(
        &self,
        batch: Batch,
        read_set: ReadSet,
        bytes: usize,
        timeout: Duration,
    ) -> Answer {
        let about_owners = about_owners(&batch);
        let (lane, room) = match about_owners {
            true => (&self.owners, &self.owners_room),
            false => (&self.actions, &self.actions_room),
        };
        let units = u32::try_from(bytes.div_ceil(ROOM_UNIT)).unwrap_or(u32::MAX);
        let claim = Arc::new(Claim::default());
        let (reply, answer) = oneshot::channel();
        let written = async {
            let closed = || StoreError::closed("write");
            let room = room.clone().acquire_many_owned(units);
            let room = room.await.map_err(|_| closed())?;
            let claim = claim.clone();
            let request = WriteRequest {
                batch,
                read_set,
                about_owners,
                claim,
                reply,
                room,
            };
            lane.send(request).map_err(|_| closed())?;
            answer.await.map_err(|_| closed())
        };
        let failed = |kind, message| Err(StoreError::new(kind, "write", message));
        let mut written = pin!(written);
        let mut ended = deadline(timeout, &mut written).await;
        // The writer may have it. It may answer now, or find it blocked and give it back.
        let begun = std::time::Instant::now();
        while ended.is_none() && !claim.withdraw() && !claim.is_sent() && begun.elapsed() < GRACE {
            ended = deadline(LOOK_AGAIN, &mut written).await;
        }
        match ended {
            Some(Ok(answer)) => answer,
            // The writer is gone: with the runtime, or because the store was closed.
            Some(Err(closed)) if claim.withdraw() || !claim.is_sent() => Err(closed),
            None if claim.is_withdrawn() => failed(
                StoreErrorKind::Unavailable,
                "the call timed out before the write began; nothing was applied",
            ),
            Some(Err(_)) => failed(
                StoreErrorKind::OutcomeUnknown,
                "the store's runtime ended after the commit was sent",
            ),
            None => failed(
                StoreErrorKind::OutcomeUnknown,
                "the call timed out after the write began",
            ),
        }
    }
}

/// Returns true if all commands of a batch are about owners.
fn about_owners(batch: &Batch) -> bool {
    let about_owners = |command: &Command| {
        matches!(
            command,
            Command::Claim { .. } | Command::Renew(_) | Command::Release(_) | Command::Fence { .. }
        )
    };
    batch.commands.iter().all(about_owners)
}

/// Batches of one kind, oldest first.
struct Lane {
    /// Received from the channel but not yet taken from their callers. These are first.
    received: VecDeque<WriteRequest>,
    channel: mpsc::UnboundedReceiver<WriteRequest>,
}

impl Lane {
    fn new(channel: mpsc::UnboundedReceiver<WriteRequest>) -> Lane {
        let received = VecDeque::new();
        Lane { received, channel }
    }

    fn len(&self) -> usize {
        self.received.len() + self.channel.len()
    }

    fn try_next(&mut self) -> Option<WriteRequest> {
        let received = self.received.pop_front();
        received.or_else(|| self.channel.try_recv().ok())
    }
}

/// The two queues. Commands about owners pass all other batches, so that a full queue of writes
/// never lets the lease of a living owner expire.
pub(crate) struct WriteQueue {
    owners: Lane,
    actions: Lane,
    closing: watch::Receiver<bool>,
    /// Batches that come back to their queues at this time.
    postponed: Option<(Instant, Vec<WriteRequest>)>,
}

impl WriteQueue {
    pub(crate) fn new(
        owners: mpsc::UnboundedReceiver<WriteRequest>,
        actions: mpsc::UnboundedReceiver<WriteRequest>,
        closing: watch::Receiver<bool>,
    ) -> WriteQueue {
        WriteQueue {
            owners: Lane::new(owners),
            actions: Lane::new(actions),
            closing,
            postponed: None,
        }
    }

    /// Waits for work. Returns false once the store is closed or dropped, and no batch waits.
    pub(crate) async fn wait(&mut self) -> bool {
        self.len() > 0 || self.receive().await
    }

    /// Waits for one more batch. Returns false as above.
    async fn receive(&mut self) -> bool {
        loop {
            // Each batch stays in its own queue: an action batch that was received first does not
            // pass a later owner batch.
            let (owners, actions) = (&mut self.owners, &mut self.actions);
            let due = self.postponed.as_ref().map(|(due, _)| *due);
            let mut brought_back = pin!(until(due));
            let mut closing = pin!(self.closing.wait_for(|closing| *closing));
            let received = poll_fn(|context| {
                if brought_back.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Received::Due);
                }
                if let Poll::Ready(request) = owners.channel.poll_recv(context) {
                    return Poll::Ready(Received::Owners(request));
                }
                if let Poll::Ready(request) = actions.channel.poll_recv(context) {
                    return Poll::Ready(Received::Actions(request));
                }
                if owners.channel.is_closed() {
                    return Poll::Pending;
                }
                closing.as_mut().poll(context).map(|_| Received::Closing)
            });
            let received = received.await;
            let (lane, request) = match received {
                Received::Due => break,
                Received::Owners(request) => (owners, request),
                Received::Actions(request) => (actions, request),
                Received::Closing => {
                    owners.channel.close();
                    actions.channel.close();
                    continue;
                }
            };
            if let Some(request) = request {
                lane.received.push_back(request);
                return true;
            }
            // `None` from either queue: both senders are dropped together.
            for lane in [&mut self.owners, &mut self.actions] {
                if let Ok(request) = lane.channel.try_recv() {
                    lane.received.push_back(request);
                    return true;
                }
            }
            if due.is_none() {
                return false;
            }
            until(due).await;
            break;
        }
        self.bring_back();
        true
    }

    /// Puts batches off for a moment. Their callers may withdraw them meanwhile.
    #[cfg_attr(not(feature = "_sql"), allow(dead_code))]
    pub(crate) fn postpone(&mut self, requests: Vec<WriteRequest>) {
        if requests.is_empty() {
            return;
        }
        requests
            .iter()
            .for_each(|request| request.claim.give_back());
        let due = Instant::now() + POSTPONED;
        let (_, postponed) = self.postponed.get_or_insert((due, Vec::new()));
        postponed.extend(requests);
    }

    /// Returns postponed batches to the front of their queues.
    fn bring_back(&mut self) {
        if let Some((_, requests)) = self.postponed.take() {
            self.put_back(requests);
        }
    }

    /// Waits until enough batches wait, or for ever if the store is closed first.
    #[cfg_attr(not(feature = "_sql"), allow(dead_code))]
    pub(crate) async fn gather(&mut self, enough: impl Fn(usize) -> bool) {
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

    /// Lets callers that are ready now add their batches.
    pub(crate) async fn settle(&mut self) {
        let mut waiting = 0;
        while waiting < self.len() {
            waiting = self.len();
            tokio::task::yield_now().await;
        }
    }

    /// Returns the number of waiting batches.
    pub(crate) fn len(&self) -> usize {
        self.owners.len() + self.actions.len()
    }

    /// Returns the waiting batches that fit into one transaction, up to a number of batches. Empty
    /// if all were withdrawn. Callers may still withdraw them.
    pub(crate) fn next_group(&mut self, most: usize) -> Vec<WriteRequest> {
        let due = self.postponed.as_ref().map(|(due, _)| *due);
        if due.is_some_and(|due| due <= Instant::now()) {
            self.bring_back();
        }
        group(most, || {
            let owners = self.owners.try_next();
            owners.or_else(|| self.actions.try_next())
        })
    }

    /// Returns the waiting owner batches that fit into one transaction; empty if none waits.
    pub(crate) fn next_owners(&mut self) -> Vec<WriteRequest> {
        group(usize::MAX, || self.owners.try_next())
    }

    /// Puts batches back at the front, each in its own queue.
    pub(crate) fn put_back(&mut self, requests: Vec<WriteRequest>) {
        for request in requests.into_iter().rev() {
            let lane = match request.about_owners {
                true => &mut self.owners,
                false => &mut self.actions,
            };
            lane.received.push_front(request);
        }
    }
}

/// Reasons why a wait of the queue ends.
enum Received {
    Due,
    Owners(Option<WriteRequest>),
    Actions(Option<WriteRequest>),
    Closing,
}

/// Waits until a time, or for ever.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn group(most: usize, mut try_next: impl FnMut() -> Option<WriteRequest>) -> Vec<WriteRequest> {
    let (mut group, mut commands, mut bytes) = (Vec::new(), 0, 0);
    while let Some(request) = try_next() {
        if !request.claim.is_withdrawn() {
            commands += request.batch.commands.len();
            bytes += request.room.num_permits() * ROOM_UNIT;
            group.push(request);
        }
        if commands >= GROUP_COMMANDS || bytes >= GROUP_BYTES || group.len() >= most {
            break;
        }
    }
    group
}

pub(crate) fn answer_each(requests: Vec<WriteRequest>, answers: Answers) {
    for (request, answer) in requests.into_iter().zip(answers) {
        request.answer(Ok(answer));
    }
}

pub(crate) fn answer_all(requests: Vec<WriteRequest>, error: &StoreError) {
    for request in requests {
        request.answer(Err(error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use tokio::sync::Semaphore;

    use super::*;
    use crate::model::{NewAction, OwnerRef, read_set};

    /// Two queues and their senders.
    struct Queue {
        owners: mpsc::UnboundedSender<WriteRequest>,
        actions: mpsc::UnboundedSender<WriteRequest>,
        room: Arc<Semaphore>,
        write_queue: WriteQueue,
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
                write_queue: WriteQueue::new(owners_lane, actions_lane, closing.subscribe()),
                _closing: closing,
            }
        }

        fn send(&self, command: Command) {
            let batch = Batch::each(vec![command]);
            let request = WriteRequest {
                read_set: read_set(&batch).unwrap(),
                about_owners: about_owners(&batch),
                batch,
                claim: Arc::default(),
                reply: oneshot::channel().0,
                room: self.room.clone().try_acquire_owned().unwrap(),
            };
            let lane = match request.about_owners {
                true => &self.owners,
                false => &self.actions,
            };
            lane.send(request).unwrap();
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

        /// Collects all waiting batches, as the writer does while a transaction runs.
        fn gather(&mut self) {
            let gathering = tokio::task::unconstrained(self.write_queue.gather(|_| false));
            let mut gathering = std::pin::pin!(gathering);
            let mut context = Context::from_waker(Waker::noop());
            // Each received batch yields to other tasks.
            for _ in 0..100_000 {
                let polled = gathering.as_mut().poll(&mut context);
                assert_eq!(polled, Poll::Pending);
            }
        }
    }

    /// Returns the renewals of a group: each with its place and its owner's name.
    fn renewed(group: &[WriteRequest]) -> Vec<(usize, &str)> {
        let requests = group.iter().enumerate();
        let renewals = requests.filter_map(|(place, request)| match &request.batch.commands[..] {
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
        assert_eq!(queue.write_queue.len(), 5000);
        queue.send_renewal("a");
        queue.gather();
        queue.send_actions(5000);
        queue.send_renewal("b");
        let next = queue.write_queue.next_group(usize::MAX);
        assert_eq!(renewed(&next), [(0, "a"), (1, "b")]);
        assert_eq!(next.len(), GROUP_COMMANDS);
        assert_eq!(queue.write_queue.len(), 10_002 - GROUP_COMMANDS);
    }

    #[test]
    fn a_renewal_comes_before_batches_that_are_put_back() {
        let mut queue = Queue::new();
        queue.send_actions(GROUP_COMMANDS - 1);
        queue.send_renewal("a");
        let failed = queue.write_queue.next_group(usize::MAX);
        assert_eq!(renewed(&failed), [(0, "a")]);
        queue.send_actions(1);
        queue.write_queue.put_back(failed);
        queue.send_renewal("b");
        let next = queue.write_queue.next_group(2);
        assert_eq!(renewed(&next), [(0, "a"), (1, "b")]);
        assert_eq!(
            queue.write_queue.next_group(usize::MAX).len(),
            GROUP_COMMANDS
        );
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
        assert_eq!(queue.write_queue.next_owners().len(), 4);
        assert_eq!(queue.write_queue.next_owners().len(), 0);
        assert_eq!(queue.write_queue.next_group(usize::MAX).len(), 2);
        let new = NewAction::task("a").into();
        let create = Command::Create { new, by: None };
        let mixed = Batch::each(vec![Command::Renew(owner()), create]);
        assert!(!about_owners(&mixed));
    }
}
