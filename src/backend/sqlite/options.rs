//! How a store is opened.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::SqlitePool;

use super::SqliteStore;
use super::schema::Policy;
use crate::clock::Clock;
use crate::error::StoreError;

/// How a [`SqliteStore`] is opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SqliteOptions {
    #[cfg(test)]
    pub(super) always_parts: bool,
    #[cfg(test)]
    pub(super) faults: super::faults::Faults,
    pub(super) readers: usize,
    pub(super) queue_bytes: usize,
    pub(super) timeout: Duration,
    pub(super) poll_interval: Duration,
    pub(super) max_bytes: Option<u64>,
    pub(super) clock: Clock,
    pub(super) shared: bool,
    pub(super) read_only: bool,
    pub(super) must_exist: bool,
    pub(super) verify_schema: bool,
    pub(super) allow_wal_reset_bug: bool,
}

impl Default for SqliteOptions {
    fn default() -> SqliteOptions {
        SqliteOptions {
            #[cfg(test)]
            always_parts: false,
            #[cfg(test)]
            faults: Default::default(),
            readers: 2,
            queue_bytes: 64 * 1024 * 1024,
            timeout: Duration::from_secs(30),
            poll_interval: Duration::from_millis(20),
            max_bytes: None,
            clock: Clock::system(),
            shared: false,
            read_only: false,
            must_exist: false,
            verify_schema: false,
            allow_wal_reset_bug: false,
        }
    }
}

impl SqliteOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> SqliteOptions {
        SqliteOptions::default()
    }

    /// Lets other processes open the same file, each with this option. The file must be on a local
    /// disk. A write then reads all it needs instead of remembering it, and waits up to 5 seconds
    /// while another process writes; [`changed`](crate::ActionStore::changed) looks for other
    /// processes' commits in an [interval](SqliteOptions::with_poll_interval) while somebody waits.
    #[must_use]
    pub fn shared(mut self) -> SqliteOptions {
        self.shared = true;
        self
    }

    /// Opens for reading alone, beside whoever writes: for a tool that looks at the history of a
    /// plane that runs. It takes no lock, makes no file and changes none; writes are
    /// `Unsupported`. The user needs the right to write the log file's index (`<path>-shm`), or
    /// nobody may have the store open.
    #[must_use]
    pub fn read_only(mut self) -> SqliteOptions {
        self.read_only = true;
        self
    }

    /// Refuses to make a new store where there is none: a wrong path is then `Unavailable` instead
    /// of an empty history.
    #[must_use]
    pub fn must_exist(mut self) -> SqliteOptions {
        self.must_exist = true;
        self
    }

    /// Never makes or changes the schema: the host's own tool does, with
    /// [`SqliteStore::schema`]. What is missing, older or different, to the last trigger, is
    /// `Incompatible` and named.
    #[must_use]
    pub fn verify_schema(mut self) -> SqliteOptions {
        self.verify_schema = true;
        self
    }

    /// Opens for several writers (shared, or on a host's pool) even with a SQLite that can damage
    /// such a database: 3.7.0 to 3.51.2 but for 3.44.6 and 3.50.7 (sqlite.org/wal.html, section
    /// 11). The bundled one is not affected; one that the host links may be.
    /// [`SqliteDiagnostics::wal_reset_bug`](super::SqliteDiagnostics::wal_reset_bug) tells.
    #[must_use]
    pub fn allow_wal_reset_bug(mut self) -> SqliteOptions {
        self.allow_wal_reset_bug = true;
        self
    }

    /// How many connections read; 1 to 64, 2 unless set. Each has a thread of its own. On a host's
    /// pool, how many of its connections reads may borrow at once.
    #[must_use]
    pub fn with_readers(mut self, readers: usize) -> SqliteOptions {
        self.readers = readers.clamp(1, 64);
        self
    }

    /// How many bytes of batches may wait to be written; 8 MiB (one largest batch) to 4 GiB, 64
    /// MiB unless set. A write that finds no room waits for it until its time is up.
    #[must_use]
    pub fn with_queue_bytes(mut self, bytes: usize) -> SqliteOptions {
        const MEBI: u64 = 1024 * 1024;
        // Where memory cannot have that much, all there can be.
        let [least, most] =
            [8 * MEBI, 4096 * MEBI].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        self.queue_bytes = bytes.clamp(least, most);
        self
    }

    /// How long a call may take; 30 seconds unless set. A write that was not begun by then is
    /// withdrawn and `Unavailable`; one that was is `OutcomeUnknown`.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> SqliteOptions {
        self.timeout = timeout;
        self
    }

    /// How often a store that is not alone looks for others' commits, while somebody waits for
    /// one; 1 millisecond to 10 seconds, 20 milliseconds unless set.
    #[must_use]
    pub fn with_poll_interval(mut self, interval: Duration) -> SqliteOptions {
        self.poll_interval = interval.clamp(Duration::from_millis(1), Duration::from_secs(10));
        self
    }

    /// How large the file may grow, in bytes, rounded down to whole pages of 4 KiB; no limit unless
    /// set. A write that would need more is `Unavailable`; reads and removals go on. Not on a
    /// host's pool.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: u64) -> SqliteOptions {
        self.max_bytes = Some(bytes);
        self
    }

    /// The clock that stamps; the system's unless set.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> SqliteOptions {
        self.clock = clock;
        self
    }

    /// Opens the store at a path, or makes a new one there.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open(self, path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        super::open::at_path(path.as_ref(), self).await
    }

    /// Opens the store in the database of a host's pool, or makes one there beside the host's own
    /// tables.
    ///
    /// # Errors
    /// As [`SqliteStore::on_pool`].
    pub async fn on_pool(self, pool: SqlitePool) -> Result<SqliteStore, StoreError> {
        super::open::on_pool(pool, self).await
    }

    pub(super) fn policy(&self) -> Policy {
        match (self.read_only, self.verify_schema) {
            (true, _) => Policy::Read,
            (false, true) => Policy::Verify,
            (false, false) => Policy::Apply,
        }
    }
}
