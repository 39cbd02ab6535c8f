//! Tests of the order in which the queues hand out batches.

use std::sync::Arc;
use std::task::{Context, Waker};

use tokio::sync::{Semaphore, oneshot};

use super::*;
use crate::model::{Batch, Command, NewAction, OwnerRef, read_set};
use crate::spi::write_request::Answer;
use crate::spi::write_sender::about_owners;

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
        self.send_to(command, oneshot::channel().0);
    }

    /// Sends a batch whose caller waits for the answer.
    fn send_and_wait(&self) -> oneshot::Receiver<Answer> {
        let (reply, answer) = oneshot::channel();
        let new = NewAction::task("a").into();
        self.send_to(Command::Create { new, by: None }, reply);
        answer
    }

    fn send_to(&self, command: Command, reply: oneshot::Sender<Answer>) {
        let batch = Batch::each(vec![command]);
        let request = WriteRequest {
            read_set: read_set(&batch).unwrap(),
            about_owners: about_owners(&batch),
            batch,
            claim: Arc::default(),
            reply,
            pause: Duration::ZERO,
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

/// Takes the waiting batches and finds them blocked. Returns the time until they come back, in
/// milliseconds.
async fn blocked_for(queue: &mut WriteQueue) -> u128 {
    let group = queue.next_group(usize::MAX);
    assert!(group.iter().all(|request| request.claim.take()));
    queue.postpone(group);
    let begun = Instant::now();
    assert!(queue.wait().await);
    begun.elapsed().as_millis()
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_blocked_again_waits_longer() {
    let mut queue = Queue::new();
    let _first = queue.send_and_wait();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        pauses.push(blocked_for(&mut queue.write_queue).await);
    }
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 200, 200]);
    // Another batch is tried soon, and does not wait with it.
    let group = queue.write_queue.next_group(usize::MAX);
    assert!(group.iter().all(|request| request.claim.take()));
    queue.write_queue.postpone(group);
    let _second = queue.send_and_wait();
    assert_eq!(blocked_for(&mut queue.write_queue).await, 5);
    assert_eq!(queue.write_queue.len(), 1);
}
