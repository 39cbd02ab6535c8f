//! Options for opening a store.

use std::time::Duration;

#[cfg(test)]
use super::faults::Faults;
use super::schema::Policy;
use crate::backend::sql::SqlOptions;
use crate::clock::Clock;

/// Default of [`SqliteOptions::with_check_bytes`].
const CHECK_BYTES: u64 = 4 * 1024 * 1024;

/// Options for opening a [`SqliteStore`](super::SqliteStore).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SqliteOptions {
    #[cfg(test)]
    pub(super) faults: Faults,
    pub(super) sql: SqlOptions,
    pub(super) max_bytes: Option<u64>,
    pub(super) check_bytes: u64,
    pub(super) clock: Clock,
    pub(super) shared: bool,
    pub(super) read_only: bool,
    pub(super) must_exist: bool,
    pub(super) allow_wal_reset_bug: bool,
}

impl Default for SqliteOptions {
    fn default() -> SqliteOptions {
        SqliteOptions {
            #[cfg(test)]
            faults: Default::default(),
            sql: SqlOptions::new(Duration::from_millis(20)),
            max_bytes: None,
            check_bytes: CHECK_BYTES,
            clock: Clock::system(),
            shared: false,
            read_only: false,
            must_exist: false,
            allow_wal_reset_bug: false,
        }
    }
}

impl SqliteOptions {
    /// Returns the default options.
    #[must_use]
    pub fn new() -> SqliteOptions {
        SqliteOptions::default()
    }

    /// Lets other processes open the same file; each of them must set this option. The file must be
    /// on a local disk.
    ///
    /// A write then reads all it needs instead of using a cache. It waits up to 5 seconds while
    /// another process writes. While a call to [`changed`](crate::ActionStore::changed) waits, the
    /// store polls for commits of other processes at this
    /// [interval](SqliteOptions::with_poll_interval).
    #[must_use]
    pub fn shared(mut self) -> SqliteOptions {
        self.shared = true;
        self
    }

    /// Opens the store for reading only, for example to inspect the history while another process
    /// writes. The store takes no lock, and creates and changes no file. Writes are `Unsupported`.
    /// The user needs permission to write the WAL index (`<path>-shm`), unless no other process has
    /// the store open.
    #[must_use]
    pub fn read_only(mut self) -> SqliteOptions {
        self.read_only = true;
        self
    }

    /// Does not create a missing store. A wrong path is then `Unavailable` instead of an empty
    /// history.
    #[must_use]
    pub fn must_exist(mut self) -> SqliteOptions {
        self.must_exist = true;
        self
    }

    /// Never creates or changes the schema, because the host's own tool does, with
    /// [`SqliteStore::schema`](super::SqliteStore::schema). If a table, index or trigger is missing, older or different,
    /// opening fails with `Incompatible` and names it.
    #[must_use]
    pub fn verify_schema(mut self) -> SqliteOptions {
        self.sql.verify_schema = true;
        self
    }

    /// Allows several writers (shared, or on a host's pool) even with a SQLite that can damage such
    /// a database. Affected are versions 3.7.0 to 3.51.2, except 3.44.6 and 3.50.7
    /// (sqlite.org/wal.html, section 11). The bundled SQLite is not affected; one that the host
    /// links may be. [`SqliteDiagnostics::wal_reset_bug`](super::SqliteDiagnostics::wal_reset_bug)
    /// tells.
    #[must_use]
    pub fn allow_wal_reset_bug(mut self) -> SqliteOptions {
        self.allow_wal_reset_bug = true;
        self
    }

    /// Number of connections that read: 1 to 64, default 2. Each has its own thread. On a host's
    /// pool, the number of connections that reads may borrow at once.
    #[must_use]
    pub fn with_readers(mut self, readers: usize) -> SqliteOptions {
        self.sql.set_readers(readers);
        self
    }

    /// Maximum size in bytes of the batches that wait to be written: 8 MiB (one largest batch) to 4
    /// GiB, default 64 MiB. A write that finds no room waits for it until the call times out.
    #[must_use]
    pub fn with_queue_bytes(mut self, bytes: usize) -> SqliteOptions {
        self.sql.set_queue_bytes(bytes);
        self
    }

    /// Maximum duration of a call, default 30 seconds. A write that has not begun by then is
    /// withdrawn and fails with `Unavailable`. A write that has begun fails with `OutcomeUnknown`.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> SqliteOptions {
        self.sql.timeout = timeout;
        self
    }

    /// Interval between polls for commits of other writers: 1 millisecond to 10 seconds, default 20
    /// milliseconds. The store polls only while a call waits for a change.
    #[must_use]
    pub fn with_poll_interval(mut self, interval: Duration) -> SqliteOptions {
        self.sql.set_poll_interval(interval);
        self
    }

    /// Maximum size of the file in bytes, rounded down to whole pages of 4 KiB. There is no limit
    /// by default. A write that needs more fails with `Unavailable`; reads and removals still work.
    /// Not available on a host's pool.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: u64) -> SqliteOptions {
        self.max_bytes = Some(bytes);
        self
    }

    /// Maximum size of a file that is checked for damage when the store is opened, in bytes. Default
    /// 4 MiB, about 6,000 completed actions, which takes about 75 milliseconds. 0 checks no file,
    /// [`u64::MAX`] every file. A check ends after 5 seconds, and then counts as not made.
    ///
    /// On a host's pool the size is that of the whole database, with the host's tables. The check
    /// reads the store's tables only. It takes one connection out of the pool and closes it; the pool
    /// opens another one.
    ///
    /// The store opens despite damage, and answers what it can: see [`SqliteStore::check`](super::SqliteStore::check).
    /// [`SqliteDiagnostics::damaged`](super::SqliteDiagnostics::damaged) counts what was found. In a
    /// larger file, damage of an index may shorten a list with filters or the log of an action,
    /// until [`SqliteStore::check`](super::SqliteStore::check) has run.
    #[must_use]
    pub fn with_check_bytes(mut self, bytes: u64) -> SqliteOptions {
        self.check_bytes = bytes;
        self
    }

    /// Clock for the timestamps; the system clock by default.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> SqliteOptions {
        self.clock = clock;
        self
    }

    pub(super) fn policy(&self) -> Policy {
        match (self.read_only, self.sql.verify_schema) {
            (true, _) => Policy::Read,
            (false, true) => Policy::Verify,
            (false, false) => Policy::Apply,
        }
    }
}
