//! What a store offers, and what fits into one write.

use crate::error::{ErrorKind, StoreError};
use crate::model::{Batch, Command};

/// What a store offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Whether other processes may use the same store at the same time.
    pub shared: bool,
    /// Most commands of a batch, and most uids of a `get`: at least 1. The conformance suite fills
    /// such batches, so it takes a store with at most 10,000.
    pub max_commands: usize,
    /// Largest batch, by [`Batch::bytes`].
    pub max_bytes: usize,
}

impl Capabilities {
    /// The limits both built-in stores have: 1000 commands and 8 MiB a batch.
    #[must_use]
    pub const fn new(durability: Durability) -> Capabilities {
        Capabilities {
            durability,
            shared: false,
            max_commands: 1000,
            max_bytes: 8 * 1024 * 1024,
        }
    }

    /// Checks a batch against the limits. Says how many [bytes](Batch::bytes) it has.
    ///
    /// # Errors
    /// `Invalid`, naming the limit.
    pub fn check(&self, batch: &Batch) -> Result<usize, StoreError> {
        self.check_count("write", batch.commands.len())?;
        let bytes = batch.bytes();
        if bytes > self.max_bytes {
            return Err(StoreError::new(
                ErrorKind::Invalid,
                "write",
                format!(
                    "the batch has {bytes} bytes, at most {} fit",
                    self.max_bytes
                ),
            ));
        }
        Ok(bytes)
    }

    /// Checks a count of commands or uids.
    ///
    /// # Errors
    /// `Invalid`, naming the limit.
    pub fn check_count(&self, operation: &'static str, count: usize) -> Result<(), StoreError> {
        if count > self.max_commands {
            return Err(StoreError::new(
                ErrorKind::Invalid,
                operation,
                format!("{count} at once, at most {} fit", self.max_commands),
            ));
        }
        Ok(())
    }

    /// The commands of the first groups that fit in one write of at most so many, and how many
    /// groups those are. The first is taken whatever its size: one that is too large even alone is
    /// for the store to refuse.
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

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing: it ends with the process.
    Volatile,
    /// The end of the process; the last writes may be lost in a power cut, never their order.
    Process,
    /// A power cut, on a disk that keeps what it says it has kept.
    Disk,
}
