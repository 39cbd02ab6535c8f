//! The options that all SQL stores have.

use std::time::Duration;

use super::store::Settings;
use crate::store::Capabilities;

/// Options that do not depend on the database. The stores document them.
#[derive(Debug, Clone)]
pub(crate) struct SqlOptions {
    #[cfg(test)]
    pub(crate) always_parts: bool,
    pub(crate) readers: usize,
    queue_bytes: usize,
    pub(crate) timeout: Duration,
    poll_interval: Duration,
    pub(crate) verify_schema: bool,
}

impl SqlOptions {
    /// Returns the default options.
    pub(crate) const fn new(poll_interval: Duration) -> SqlOptions {
        SqlOptions {
            #[cfg(test)]
            always_parts: false,
            readers: 2,
            queue_bytes: 64 * 1024 * 1024,
            timeout: Duration::from_secs(30),
            poll_interval,
            verify_schema: false,
        }
    }

    pub(crate) fn set_readers(&mut self, readers: usize) {
        self.readers = readers.clamp(1, 64);
    }

    pub(crate) fn set_queue_bytes(&mut self, bytes: usize) {
        const MEBI: u64 = 1024 * 1024;
        // Saturates on targets whose address space is smaller.
        let [least, most] =
            [8 * MEBI, 4096 * MEBI].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        self.queue_bytes = bytes.clamp(least, most);
    }

    pub(crate) fn set_poll_interval(&mut self, interval: Duration) {
        self.poll_interval = interval.clamp(Duration::from_millis(1), Duration::from_secs(10));
    }

    /// Returns the settings of a store. It polls if there may be other writers.
    pub(crate) fn settings(&self, capabilities: Capabilities) -> Settings {
        Settings {
            capabilities,
            timeout: self.timeout,
            queue_bytes: self.queue_bytes,
            poll_interval: capabilities.shared.then_some(self.poll_interval),
            #[cfg(test)]
            always_parts: self.always_parts,
        }
    }
}
