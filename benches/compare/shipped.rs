//! rusqlite on the shipped schema, with its CHECKs, triggers and counters, and the columns that the
//! library's writer fills.
//!
//! It is the like-for-like upper bound: the library's work on the file, without the library. When
//! the schema changes, only this file of the benchmark changes with it.

use std::path::Path;

use action_store::SqliteStore;
use rusqlite::Connection;

use crate::contestant::Held;
use crate::sql::{self, Layout};

/// Store counters as of this commit: one row, however large the commit is.
const COUNTERS: &str = "UPDATE actions_store SET \
     revision = (SELECT max(revision) FROM actions_feed), \
     last_number = (SELECT max(number) FROM actions_action), \
     last_entry = (SELECT max(entry) FROM actions_log) WHERE id = 1";

/// The columns are those of the bare schema, so the same statements fill them.
pub const LAYOUT: Layout = Layout {
    make,
    commit,
    held,
    ..sql::BARE
};

fn make(path: &Path) -> Connection {
    let connection = sql::open(path);
    for step in SqliteStore::schema() {
        connection.execute_batch(step).unwrap();
    }
    connection
}

fn commit(connection: &Connection) {
    sql::execute(connection, COUNTERS, []);
    sql::commit(connection);
}

fn held(path: &Path) -> Held {
    let held = sql::held(path);
    let connection = sql::open(path);
    let stands = "SELECT revision, last_number, last_entry FROM actions_store";
    let stands: (i64, i64, i64) = connection
        .query_row(stands, [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    let (actions, entries) = (held.heads.len() as i64, held.entries as i64);
    let changes: i64 = held.heads.iter().map(|head| head.version).sum();
    assert_eq!(stands, (changes, actions, entries));
    held
}
