//! How transactions begin: the settings that the store depends on, whatever the role, the database
//! or the host has set.

use std::time::Duration;

use super::schema::SchemaName;
use super::script::Script;
use crate::id_gen;

/// Maximum time that a statement waits for another writer.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Maximum time that the server lets a transaction of ours wait for us. A process that is stopped
/// in the middle of a transaction holds up all other writers; the server then ends the transaction.
const IDLE: Duration = Duration::from_secs(3);

/// The same with as many milliseconds for the actions ($1) of a transaction as they have kilobytes:
/// it takes time to read and to plan large ones.
pub(super) const MORE_TIME: &str = "SELECT set_config('idle_in_transaction_session_timeout', \
     (3000 + coalesce(sum(octet_length(a.body)), 0) / 1000)::bigint::text, true) \
     FROM actions_action AS a WHERE a.uid = ANY ($1)";

/// Maximum time that the server waits while we do not read its results, or do not receive them. The
/// time-out of an idle transaction begins only after the last of them.
const UNREAD: Duration = Duration::from_secs(4);

/// Maximum time in which the server sends nothing of a load. A wait for other writers is shorter.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// Number of actions that are no reason for more time.
pub(super) const FEW: usize = 50;

/// The statements that begin a transaction.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    /// One SELECT, because that is one message back.
    settings: String,
    /// The part of them on which the meaning of names and values depends.
    names: String,
    /// The PostgreSQL schema.
    pub(super) schema: String,
    /// How the store notifies other processes, if it does.
    pub(super) notices: Option<Notices>,
}

/// Notifications of a store's commits.
#[derive(Debug, Clone)]
pub(super) struct Notices {
    pub(super) channel: String,
    /// Identity of this opened store. It is the payload, so that the store can skip its own ones.
    pub(super) sender: String,
}

/// The value that a store sets for `synchronous_commit`: the one that was observed at opening, from
/// which the durability was concluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SynchronousCommit(pub(super) &'static str);

impl Setup {
    pub(super) fn new(
        schema: &SchemaName,
        statement: Duration,
        synchronous_commit: &SynchronousCommit,
        is_linux: bool,
        notify: bool,
    ) -> Setup {
        let mut settings = vec![
            // Other schemas cannot put anything before PostgreSQL's own names or ours.
            ("search_path", schema.search_path()),
            ("bytea_output", "hex".to_owned()),
            ("lock_timeout", millis(BUSY).to_string()),
            ("statement_timeout", millis(statement).to_string()),
            (
                "idle_in_transaction_session_timeout",
                millis(IDLE).to_string(),
            ),
            ("synchronous_commit", synchronous_commit.0.to_owned()),
        ];
        if is_linux {
            // Other systems would log each time that they do not have it.
            settings.push(("tcp_user_timeout", millis(UNREAD).to_string()));
        }
        let set = settings.iter().map(|(name, value)| set(name, value));
        let set: Vec<String> = set.collect();
        Setup {
            names: format!("SELECT {}", set[..2].join(", ")),
            schema: schema.quoted(),
            notices: notify.then(|| Notices {
                channel: format!("actions.{}", schema.as_str()),
                sender: id_gen::uuid().to_string(),
            }),
            settings: format!("SELECT {}", set.join(", ")),
        }
    }

    /// Begins a transaction that writes.
    pub(super) fn begin(&self, script: &mut Script) {
        script.push("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE");
        script.push(&self.settings);
    }

    /// Enters a host's transaction for one message: sets what names and values depend on, and keeps
    /// the host's own settings.
    pub(super) fn enter(&self, script: &mut Script) {
        script.push(
            "SELECT pg_catalog.set_config('actions.search_path', \
             pg_catalog.current_setting('search_path'), true), \
             pg_catalog.set_config('actions.bytea_output', \
             pg_catalog.current_setting('bytea_output'), true)",
        );
        script.push(&self.names);
    }

    /// Gives the host's settings back.
    pub(super) fn leave(script: &mut Script) {
        script.push(
            "SELECT pg_catalog.set_config('bytea_output', \
             pg_catalog.current_setting('actions.bytea_output'), true), \
             pg_catalog.set_config('search_path', \
             pg_catalog.current_setting('actions.search_path'), true)",
        );
    }

    /// Notifies other processes, once the transaction is committed.
    pub(super) fn notify(&self, script: &mut Script) {
        if let Some(Notices { channel, sender }) = &self.notices {
            push_notice(script, channel, sender);
        }
    }

    /// Notifies all processes once a host's transaction is committed. This one does not see that
    /// commit either.
    pub(super) fn notify_all(&self, script: &mut Script) {
        if let Some(Notices { channel, .. }) = &self.notices {
            push_notice(script, channel, "");
        }
    }

    /// Begins a transaction that reads one moment of the store.
    pub(super) fn begin_read(&self, script: &mut Script) {
        script.push("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY");
        script.push(&self.settings);
    }
}

fn push_notice(script: &mut Script, channel: &str, payload: &str) {
    let (channel, payload) = (script.bind_text(channel), script.bind_text(payload));
    script.push(&format!(
        "SELECT pg_catalog.pg_notify(${channel}, ${payload})"
    ));
}

fn millis(time: Duration) -> u128 {
    time.as_millis().clamp(1, 2_000_000_000)
}

/// Returns the SQL that sets a value until the end of the transaction.
fn set(name: &str, value: &str) -> String {
    // The values contain no quotes: a schema name has letters, digits and underscores.
    format!("pg_catalog.set_config('{name}', '{value}', true)")
}
