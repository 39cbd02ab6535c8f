//! The writer's loop: takes all waiting batches, plans them, writes them as one transaction, then
//! answers.
//!
//! Callers wait for an answer, never for a statement, so a dropped future cannot interrupt a
//! transaction. The same queue makes group commit possible.

use std::time::Duration;

use super::engine::Engine;
use super::write_queue::WriteQueue;
use super::write_request::{WriteRequest, answer_all};
use super::writer::Writer;

/// Pause between two attempts to make a store in doubt durable.
const AGAIN: Duration = Duration::from_millis(100);

impl<E: Engine> Writer<E> {
    /// Works until the store is closed and all waiting work is done. Returns true if all readers
    /// ended without a panic.
    pub(super) async fn run(mut self, mut write_queue: WriteQueue) -> bool {
        while self.wait(&mut write_queue).await {
            // Opens the connection first, which may take time, and then takes the batches. Until
            // then callers can withdraw them and know that nothing was applied.
            let ready = self.engine.ready().await;
            let mut group = match &ready {
                Ok(()) if self.engine.plans_from_memory() => {
                    self.run_pipeline(&mut write_queue).await
                }
                _ => {
                    // Callers that were answered together come back together.
                    write_queue.settle().await;
                    write_queue.next_group(usize::MAX)
                }
            };
            group.retain(|request| request.claim.take());
            match ready {
                Ok(()) if group.is_empty() => self.engine.rest(),
                Ok(()) => {
                    self.write_group(group, &mut write_queue).await;
                    write_queue.postpone(std::mem::take(&mut self.blocked));
                    self.engine.give_way().await;
                }
                Err(error) => answer_all(group, &error),
            }
        }
        let mut whole = true;
        for reader in self.readers.drain(..) {
            whole &= reader.await.is_ok();
        }
        let Writer {
            engine,
            // Both end only now: the cache serves readers, and positions are announced until here.
            position_watch: _position_watch,
            write_cache: _write_cache,
            ..
        } = self;
        engine.close().await;
        whole
    }

    /// Waits for work. Returns false once the store is closed and no batch waits. Meanwhile makes a
    /// store in doubt durable, so that its readers can answer again.
    async fn wait(&mut self, write_queue: &mut WriteQueue) -> bool {
        while self.engine.is_in_doubt() {
            tokio::select! {
                biased;
                more = write_queue.wait() => return more,
                () = tokio::time::sleep(AGAIN) => {}
            }
            if let Ok(connection) = self.engine.connection().await {
                self.engine.hand_back(connection);
            }
        }
        write_queue.wait().await
    }

    /// Writes the batches of a group in one transaction. If that fails and one batch may be the
    /// cause, writes each one alone. Owner commands that arrive meanwhile do not wait for all of
    /// these.
    async fn write_group(&mut self, requests: Vec<WriteRequest>, write_queue: &mut WriteQueue) {
        for request in self.write_together(requests).await {
            let owners = write_queue.next_owners();
            for request in self.write_together(owners).await {
                self.write_together(vec![request]).await;
            }
            self.write_together(vec![request]).await;
        }
    }
}
