//! The callers' side of the write queues: sends a batch and waits for its answer.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::claim::Claim;
use super::deadline::deadline;
use super::write_queue::WriteQueue;
use super::write_request::{Answer, ROOM_UNIT, WriteRequest};
use crate::error::{StoreError, StoreErrorKind};
use crate::model::{Batch, Command, ReadSet};

/// Time that a call goes on after its time-out if the writer has its batch, and the pause between two
/// attempts to withdraw it.
const GRACE: Duration = Duration::from_millis(50);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

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
                pause: Duration::ZERO,
                room,
            };
            lane.send(request).map_err(|_| closed())?;
            answer.await.map_err(|_| closed())
        };
        let failed = |kind, message| Err(StoreError::new(kind, "write", message));
        let mut written = pin!(written);
        let mut ended = deadline(timeout, &mut written).await;
        // The writer may have it. It may answer now, or give it back: it found it blocked, or the
        // commit was refused.
        let begun = std::time::Instant::now();
        while ended.is_none() && !claim.withdraw() && begun.elapsed() < GRACE {
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
pub(super) fn about_owners(batch: &Batch) -> bool {
    let about_owners = |command: &Command| {
        matches!(
            command,
            Command::Claim { .. } | Command::Renew(_) | Command::Release(_) | Command::Fence { .. }
        )
    };
    batch.commands.iter().all(about_owners)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NewAction, read_set};

    #[tokio::test]
    async fn an_answer_just_after_the_time_out_is_still_heard() {
        let timeout = Duration::from_millis(20);
        let (sender, mut queue) = WriteSender::new(1024 * 1024);
        let batch = Batch::each(vec![Command::create(NewAction::task("a"))]);
        let read_set = read_set(&batch).unwrap();
        let mut write = pin!(sender.write(batch, read_set, 1, timeout));
        tokio::select! {
            biased;
            answer = &mut write => panic!("{answer:?}"),
            more = queue.wait() => assert!(more),
        }
        let request = queue.next_group(1).pop().unwrap();
        assert!(request.claim.take());
        request.claim.send();
        std::thread::sleep(timeout);
        tokio::select! {
            biased;
            answer = &mut write => panic!("{answer:?}"),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        request.answer(Ok(Vec::new()));
        assert_eq!(write.await.unwrap().len(), 0);
    }
}
