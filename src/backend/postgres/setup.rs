//! How transactions begin: the settings that the store depends on, whatever the role, the database
//! or the host has set.

use std::sync::LazyLock;
use std::time::Duration;

use uuid::Uuid;

use super::schema::SchemaName;
use super::script::Script;

/// Maximum time that a statement waits for another writer.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Maximum time that the server lets a transaction of ours wait for us. A process that is stopped
/// in the middle of a transaction holds up all other writers; the server then ends the transaction.
const IDLE: Duration = Duration::from_secs(3);

/// The same with as many milliseconds for the actions ($1) of a transaction as they have kilobytes:
/// it takes time to read and to plan large ones.
pub(super) const MORE_TIME: &str = "SELECT actions_more_time($1)";

/// Maximum time that the server waits while we do not read its results, or do not receive them. The
/// time-out of an idle transaction begins only after the last of them.
const UNREAD: Duration = Duration::from_secs(4);

/// Maximum time in which the server sends nothing of a load. A wait for other writers is shorter.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// Settings that make the server find rows by an index, one after the other, whatever it knows about
/// the tables. By its statistics it would choose to read and sort whole tables: statistics may be
/// missing, or from a time when the store was small.
const PLANNER: [(&str, &str); 7] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    // Compiling takes longer than these statements.
    ("jit", "off"),
    ("max_parallel_workers_per_gather", "0"),
    // A plan that a function has kept from a time when the store was small may read whole tables.
    ("plan_cache_mode", "force_custom_plan"),
];

/// Keeps the host's own settings, until the end of its transaction.
static REMEMBER: LazyLock<String> = LazyLock::new(|| copy_settings("", "actions."));

static GIVE_BACK: LazyLock<String> = LazyLock::new(|| copy_settings("actions.", ""));

/// Returns the statement that copies settings between names with these prefixes.
fn copy_settings(from: &str, to: &str) -> String {
    let names = ["search_path", "bytea_output"].into_iter();
    let copies = names.chain(PLANNER.map(|(name, _)| name)).map(|name| {
        format!(
            "pg_catalog.set_config('{to}{name}', pg_catalog.current_setting('{from}{name}'), true)"
        )
    });
    let copies: Vec<String> = copies.collect();
    format!("SELECT {}", copies.join(", "))
}

/// The same as `PLANNER` for transactions that read pages, whose order an index has.
const PAGES: (&str, &str) = ("enable_sort", "off");

/// Number of actions that are no reason for more time.
pub(super) const FEW: usize = 50;

/// The statements that begin a transaction.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    /// One SELECT, because that is one message back.
    settings: String,
    /// The same for a transaction that reads.
    read_settings: String,
    /// The settings for a write in a host's transaction.
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
        settings.extend(PLANNER.map(|(name, value)| (name, value.to_owned())));
        if is_linux {
            // Other systems would log each time that they do not have it.
            settings.push(("tcp_user_timeout", millis(UNREAD).to_string()));
        }
        let all = settings.iter().map(|(name, value)| set(name, value));
        let all: Vec<String> = all.collect();
        let settings = format!("SELECT {}", all.join(", "));
        let (name, value) = PAGES;
        let planner = PLANNER.map(|(name, value)| set(name, value));
        Setup {
            names: format!("SELECT {}, {}", all[..2].join(", "), planner.join(", ")),
            schema: schema.quoted(),
            notices: notify.then(|| Notices {
                channel: format!("actions.{}", schema.as_str()),
                sender: Uuid::now_v7().to_string(),
            }),
            read_settings: format!("{settings}, {}", set(name, value)),
            settings,
        }
    }

    /// Begins a transaction that writes.
    pub(super) fn begin(&self, script: &mut Script) {
        script.push("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE");
        script.push(&self.settings);
    }

    /// Enters a host's transaction for one message: sets what names, values and plans depend on, and
    /// keeps the host's own settings.
    pub(super) fn enter(&self, script: &mut Script) {
        script.push(&REMEMBER);
        script.push(&self.names);
    }

    /// Gives the host's settings back.
    pub(super) fn leave(script: &mut Script) {
        script.push(&GIVE_BACK);
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
        script.push(&self.read_settings);
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
