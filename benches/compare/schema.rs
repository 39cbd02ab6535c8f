//! Checks in every run that the baseline stores the same data as the library.

use std::path::Path;

use action_store::{ActionStore, SqliteStore};
use rusqlite::Connection;

use crate::contestant::{Contestant as _, Owner, Record};
use crate::ours::Ours;
use crate::{shipped, sql};

const TABLES: [&str; 4] = [
    "actions_action",
    "actions_touch",
    "actions_feed",
    "actions_log",
];

/// Returns the columns and indexes of the tables that both schemas have.
fn shape(connection: &Connection) -> Vec<String> {
    let rows = |sql: &str, table: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([table], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let mut shape = Vec::new();
    for table in TABLES {
        let columns = rows("SELECT name FROM pragma_table_info(?1) ORDER BY cid", table);
        shape.push(format!("{table} ({})", columns.join(", ")));
        let indexes = "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?1 \
                       AND sql IS NOT NULL ORDER BY name";
        let words = |sql: String| sql.split_whitespace().collect::<Vec<_>>().join(" ");
        shape.extend(rows(indexes, table).into_iter().map(words));
    }
    shape
}

/// Compares the pinned schema with the shipped one.
pub async fn check(directory: &Path) {
    let path = directory.join("shape.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.close().await.unwrap();
    let shipped = shape(&sql::open(&path));
    let pinned = Connection::open_in_memory().unwrap();
    pinned.execute_batch(sql::SCHEMA).unwrap();
    let pinned = shape(&pinned);
    let only = |these: &[String], others: &[String]| -> Vec<String> {
        let missing = these.iter().filter(|line| !others.contains(line));
        missing.cloned().collect()
    };
    assert_eq!(
        (only(&shipped, &pinned), only(&pinned, &shipped)),
        (Vec::new(), Vec::new()),
        "what the library keeps and what the baseline keeps differ: the comparison would not be \
         fair; bring benches/compare/schema.sql (and its statements, if need be) along"
    );
    check_filled(directory).await;
    let columns = format!("actions_action ({})", Record::COLUMNS.join(", "));
    assert_eq!(pinned.first(), Some(&columns));
}

/// Checks that the library reads the rows that the rusqlite contestant writes under the shipped
/// schema.
async fn check_filled(directory: &Path) {
    let directory = directory.join("shipped");
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("actions.db");
    drop((shipped::LAYOUT.make)(&path));
    let uids = sql::fill(&shipped::LAYOUT, &path, 20, &Owner::new());
    let written = (shipped::LAYOUT.held)(&path);
    let store = Ours::sqlite(&directory).await;
    let mut read = store.held().await;
    read.heads.sort();
    let mut heads = written.heads;
    heads.sort();
    assert_eq!((read.heads, read.entries), (heads, written.entries));
    assert_eq!(uids.len() * 3, written.entries);
    for uid in uids {
        assert_eq!(store.get(uid).await, uid);
    }
    store.close().await;
}
