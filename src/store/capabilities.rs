//! Capabilities of a store, and the limits of one write.

use crate::error::{StoreError, StoreErrorKind};
use crate::model::{Batch, Command};

/// The capabilities of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The failures that an acknowledged write survives.
    pub durability: Durability,
    /// True if other processes may use the same store at the same time.
    pub shared: bool,
    /// Maximum number of commands in a batch and of uids in a `get`; at least 1. The conformance
    /// suite fills such batches and supports at most 10,000.
    pub max_commands: usize,
    /// Maximum size of a batch in bytes, measured by [`Batch::bytes`].
    pub max_bytes: usize,
}

impl Capabilities {
    /// The limits of both built-in stores: 1000 commands and 8 MiB per batch.
    #[must_use]
    pub const fn new(durability: Durability) -> Capabilities {
        Capabilities {
            durability,
            shared: false,
            max_commands: 1000,
            max_bytes: 8 * 1024 * 1024,
        }
    }

    /// Checks a batch against the limits. Returns its size in [bytes](Batch::bytes).
    ///
    /// # Errors
    /// `Invalid`, naming the limit.
    pub fn check(&self, batch: &Batch) -> Result<usize, StoreError> {
        self.check_count("write", batch.commands.len())?;
        let bytes = batch.bytes();
        if bytes > self.max_bytes {
            return Err(StoreError::new(
                StoreErrorKind::Invalid,
                "write",
                format!(
                    "the batch has {bytes} bytes; the limit is {}",
                    self.max_bytes
                ),
            ));
        }
        Ok(bytes)
    }

    /// Checks a number of commands or uids against the limit.
    ///
    /// # Errors
    /// `Invalid`, naming the limit.
    pub fn check_count(&self, operation: &'static str, count: usize) -> Result<(), StoreError> {
        if count > self.max_commands {
            return Err(StoreError::new(
                StoreErrorKind::Invalid,
                operation,
                format!("{count} at once; the limit is {}", self.max_commands),
            ));
        }
        Ok(())
    }

    /// Fills one batch with the first groups that fit, up to `most` commands. Also returns how many
    /// groups it took. The first group is always taken: if it is too large, the store rejects it.
    pub(crate) fn fill(
        &self,
        groups: impl Iterator<Item = Vec<Command>>,
        most: usize,
    ) -> (Batch, usize) {
        let most = most.min(self.max_commands);
        let mut filled = Batch::each(Vec::new());
        let (mut bytes, mut count) = (0, 0);
        for group in groups {
            let group = Batch::each(group);
            bytes += group.bytes();
            let fits =
                filled.commands.len() + group.commands.len() <= most && bytes <= self.max_bytes;
            if count > 0 && !fits {
                break;
            }
            filled.commands.extend(group.commands);
            count += 1;
        }
        (filled, count)
    }
}

/// The failures that an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// None: the data ends with the process.
    Volatile,
    /// The end of the process. A power cut may lose the last writes, but never reorders writes.
    Process,
    /// A power cut, if the disk honours flushes.
    Disk,
    /// The loss of the machine: another one has the write, too.
    Replicated,
}
