//! Queues of batches that wait for the writer.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::write_request::{ROOM_UNIT, WriteRequest};
use crate::error::StoreError;

/// Number of commands, and of their bytes, at which a transaction takes no further batch.
const GROUP_COMMANDS: usize = 2000;
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// Pause before the next attempt of a batch that was blocked: at first, and at most. It doubles each
/// time, because each attempt takes the lock of all writers.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

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
    /// Batches that were put off, each with the time at which it comes back to its queue.
    postponed: Vec<(Instant, WriteRequest)>,
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
            postponed: Vec::new(),
        }
    }

    /// Waits for work. Returns false once the store is closed or dropped, and no batch waits.
    pub(crate) async fn wait(&mut self) -> bool {
        self.len() > 0 || self.receive().await
    }

    /// Waits for one more batch. Returns false as above.
    async fn receive(&mut self) -> bool {
        let due_by = loop {
            // Each batch stays in its own queue: an action batch that was received first does not
            // pass a later owner batch.
            let (owners, actions) = (&mut self.owners, &mut self.actions);
            let due = self.postponed.iter().map(|(due, _)| *due).min();
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
                Received::Due => break Instant::now(),
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
            let Some(last) = self.postponed.iter().map(|(due, _)| *due).max() else {
                return false;
            };
            // The last attempt of the batches that were put off.
            break last;
        };
        self.bring_back(due_by);
        true
    }

    /// Puts batches off for a moment. Their callers may withdraw them meanwhile.
    ///
    /// A batch that was put off is not taken. It is dropped if its caller has gone away, and refused
    /// if the store is being closed. A host may block it for any time. A batch
    /// in doubt is tried until its outcome is known, or the store is closed.
    #[cfg_attr(not(feature = "_sql"), allow(dead_code))]
    pub(crate) fn postpone(&mut self, requests: Vec<WriteRequest>) {
        let (is_closing, now) = (self.is_closing(), Instant::now());
        for mut request in requests {
            request.claim.give_back();
            if is_closing {
                // From here on its caller no longer withdraws it, but waits for this answer.
                let _withdrawn = request.claim.withdraw();
                request.answer(Err(StoreError::closed("write")));
            } else if !(request.reply.is_closed() && request.claim.withdraw()) {
                request.pause = (request.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                self.postponed.push((now + request.pause, request));
            }
        }
    }

    /// Returns true if the store is being closed or was dropped.
    fn is_closing(&self) -> bool {
        *self.closing.borrow() || self.owners.channel.is_closed()
    }

    /// Returns the postponed batches that are due by this time to the front of their queues.
    fn bring_back(&mut self, time: Instant) {
        let due = self.postponed.extract_if(.., |(due, _)| *due <= time);
        let due: Vec<WriteRequest> = due.map(|(_, request)| request).collect();
        self.put_back(due);
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
        if !self.postponed.is_empty() {
            self.bring_back(Instant::now());
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
