//! Polls for commits of other processes while a call waits for a change.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::reader::Read;
use crate::spi::PositionWatch;

/// Number of waiting calls, which share each poll.
#[derive(Debug, Clone)]
pub(crate) struct Poll {
    waiting: watch::Sender<usize>,
    interval: Duration,
    hint: PollHint,
}

/// Makes the next poll come early.
#[derive(Debug, Clone, Default)]
pub(crate) struct PollHint(Arc<Notify>);

impl PollHint {
    /// Ends the pause before the next poll.
    #[allow(dead_code, reason = "not every database gives hints")]
    pub(crate) fn give(&self) {
        self.0.notify_one();
    }
}

/// Pause before a poll that comes early, so that many commits share it.
const EARLY: Duration = Duration::from_millis(1);

/// Guard that keeps the polling active.
pub(crate) struct Waiting<'p>(&'p Poll);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

impl Poll {
    pub(crate) fn new(interval: Duration) -> Poll {
        let waiting = watch::Sender::new(0);
        let hint = PollHint::default();
        Poll {
            waiting,
            interval,
            hint,
        }
    }

    /// Returns what makes the next poll come early.
    #[allow(dead_code, reason = "not every database gives hints")]
    pub(crate) fn hint(&self) -> PollHint {
        self.hint.clone()
    }

    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.waiting.send_modify(|waiting| *waiting += 1);
        Waiting(self)
    }

    /// Polls, announces and pauses, until the store is closed or dropped.
    pub(crate) async fn run(
        self,
        questions: mpsc::Sender<Read>,
        position_watch: Arc<PositionWatch>,
        mut closing: watch::Receiver<bool>,
    ) {
        let look = async {
            let mut waiting = self.waiting.subscribe();
            // This task holds a sender too, so the channel does not close before the task ends.
            while waiting.wait_for(|waiting| *waiting > 0).await.is_ok() {
                let (reply, answer) = oneshot::channel();
                if questions.send(Read::Position(reply)).await.is_err() {
                    return;
                }
                // The reader that polled has announced the position.
                if let Ok(Err(error)) = answer.await {
                    position_watch.fail(error);
                }
                tokio::select! {
                    () = tokio::time::sleep(self.interval) => {}
                    () = self.hint.0.notified() => tokio::time::sleep(EARLY).await,
                }
            }
        };
        tokio::select! {
            () = look => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
    }
}
