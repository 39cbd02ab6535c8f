//! A batch that waits for the writer, and its answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::claim::Claim;
use crate::error::{StoreError, StoreErrorKind};
use crate::model::{Batch, Done, ReadSet, Rejection};

/// The results of a batch.
pub(crate) type Answer = Result<Vec<Result<Done, Rejection>>, StoreError>;

/// The answers to the batches of a group: for each batch, one for each of its commands.
pub type Answers = Vec<Vec<Result<Done, Rejection>>>;

/// Bytes in one unit of queue memory.
pub(super) const ROOM_UNIT: usize = 512;

/// A batch that waits to be written.
#[derive(Debug)]
pub(crate) struct WriteRequest {
    pub(crate) batch: Batch,
    pub(crate) read_set: ReadSet,
    /// True if all its commands are about owners.
    pub(crate) about_owners: bool,
    pub(crate) claim: Arc<Claim>,
    pub(crate) reply: oneshot::Sender<Answer>,
    /// Pause before the latest attempt, if it was blocked before.
    pub(crate) pause: Duration,
    /// Its share of the queue memory, released when the batch is done.
    pub(crate) room: OwnedSemaphorePermit,
}

impl WriteRequest {
    /// Answers the caller. After an attempt that may have been applied, an error of a later attempt
    /// does not say that nothing was applied: it becomes `OutcomeUnknown`.
    pub(crate) fn answer(self, answer: Answer) {
        let answer = match self.claim.is_in_doubt() {
            true => answer.map_err(|error| error.with_kind(StoreErrorKind::OutcomeUnknown)),
            false => answer,
        };
        // Released first, so that a caller that continues at once finds room.
        drop(self.room);
        // The caller may have gone away; the error is ignored.
        let _gone = self.reply.send(answer);
    }
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
