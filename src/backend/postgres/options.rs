//! Options for opening a store.

use std::time::Duration;

use super::replica::ReplicaUrl;
use super::schema::Policy;
use crate::backend::sql::SqlOptions;
use crate::clock::Clock;

/// Options for opening a [`PostgresStore`](super::PostgresStore).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PostgresOptions {
    pub(super) schema: String,
    pub(super) sql: SqlOptions,
    pub(super) clock: Option<Clock>,
    pub(super) notify: bool,
    pub(super) replica: Option<ReplicaUrl>,
}

impl Default for PostgresOptions {
    fn default() -> PostgresOptions {
        PostgresOptions {
            schema: "actions".to_owned(),
            sql: SqlOptions::new(Duration::from_millis(50)),
            clock: None,
            notify: false,
            replica: None,
        }
    }
}

impl PostgresOptions {
    /// Returns the default options.
    #[must_use]
    pub fn new() -> PostgresOptions {
        PostgresOptions::default()
    }

    /// Name of the PostgreSQL schema with the store's tables: 1 to 31 lower-case letters, digits and
    /// underscores, `actions` by default. It is created if it does not exist. Two schemas of a
    /// database are two stores.
    #[must_use]
    pub fn with_schema(mut self, name: impl Into<String>) -> PostgresOptions {
        self.schema = name.into();
        self
    }

    /// Never creates or changes the schema, because the host's own tool does, with
    /// [`PostgresStore::schema`](super::PostgresStore::schema). If a part of the schema is missing or different, opening fails
    /// with `Incompatible` and names it. The role then needs no right to create anything.
    #[must_use]
    pub fn verify_schema(mut self) -> PostgresOptions {
        self.sql.verify_schema = true;
        self
    }

    /// Number of connections that read: 1 to 64, default 2. On a host's pool, the number of
    /// connections that reads may borrow at once.
    #[must_use]
    pub fn with_readers(mut self, readers: usize) -> PostgresOptions {
        self.sql.set_readers(readers);
        self
    }

    /// Maximum size in bytes of the batches that wait to be written: 8 MiB (one largest batch) to 4
    /// GiB, default 64 MiB. A write that finds no room waits for it until the call times out.
    #[must_use]
    pub fn with_queue_bytes(mut self, bytes: usize) -> PostgresOptions {
        self.sql.set_queue_bytes(bytes);
        self
    }

    /// Maximum duration of a call, default 30 seconds. A write that has not begun by then is
    /// withdrawn and fails with `Unavailable`. A write that has begun fails with `OutcomeUnknown`.
    /// The server ends a statement that takes longer.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> PostgresOptions {
        self.sql.timeout = timeout;
        self
    }

    /// Interval between polls for commits of other processes: 1 millisecond to 10 seconds, default
    /// 50 milliseconds. The store polls only while a call waits for a change.
    #[must_use]
    pub fn with_poll_interval(mut self, interval: Duration) -> PostgresOptions {
        self.sql.set_poll_interval(interval);
        self
    }

    /// Sends a notification (`NOTIFY`) with each commit, and listens for those of other processes.
    /// A call that waits for a change then returns without waiting for the next poll. Off by
    /// default. Let all processes of the store do it. They go on polling, because a notification
    /// can be lost; a longer [poll interval](PostgresOptions::with_poll_interval) saves queries.
    ///
    /// The store listens on one more connection, which stays open. It needs a session of the
    /// server: do not use this through a pooler in transaction mode. PostgreSQL lets commits with a
    /// notification take turns in the whole server, also with those of other databases.
    #[must_use]
    pub fn with_notify(mut self) -> PostgresOptions {
        self.notify = true;
        self
    }

    /// URL of a replica (a hot standby) of the database, for reads. Each reader takes one more
    /// connection, to the replica.
    ///
    /// `get`, `list`, `log` and `owners` read from it if it shows all commits that this store has
    /// seen, in answers to writes and in earlier reads. Otherwise, or if it does not answer within 2
    /// seconds, they read from the primary. So a caller always finds its own writes. Commits of
    /// other processes appear when the replica has replayed them. So do commits of the host's own
    /// transactions ([`write_in`](super::PostgresStore::write_in)), because the store does not see
    /// them. A waiting `changed` asks the primary.
    #[must_use]
    pub fn with_replica(mut self, url: impl Into<String>) -> PostgresOptions {
        self.replica = Some(ReplicaUrl(url.into()));
        self
    }

    /// Clock for the timestamps, instead of the server's. For tests.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> PostgresOptions {
        self.clock = Some(clock);
        self
    }

    pub(super) fn policy(&self) -> Policy {
        match self.sql.verify_schema {
            true => Policy::Verify,
            false => Policy::Apply,
        }
    }
}
