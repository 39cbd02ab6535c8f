//! Checks in every run that the baseline stores the same data as the library.

use std::path::Path;

use action_store::spi::codec::{ActionField, Field as _};
use rusqlite::Connection;

use crate::contestant::{Contestant as _, Owner, Record};
use crate::ours::Ours;
use crate::{shipped, sql};

/// Checks that the hand-written schema stores every field that the library's stored form has, and
/// that the rusqlite contestant on the shipped schema writes what the library reads.
pub async fn check(directory: &Path) {
    check_columns();
    check_filled(directory).await;
}

fn check_columns() {
    let pinned = Connection::open_in_memory().unwrap();
    pinned.execute_batch(sql::SCHEMA).unwrap();
    let columns = "SELECT name FROM pragma_table_info('actions_action') ORDER BY cid";
    let mut statement = pinned.prepare(columns).unwrap();
    let columns = statement.query_map([], |row| row.get(0)).unwrap();
    let columns: Vec<String> = columns.map(Result::unwrap).collect();
    let fields = ActionField::ALL.iter().map(|field| field.name());
    let missing: Vec<&str> = fields
        .filter(|field| !columns.iter().any(|column| column == field))
        .collect();
    assert!(
        missing.is_empty(),
        "the baseline has no column for {missing:?}: the comparison would not be fair; bring \
         benches/compare/schema.sql (and its statements, if need be) along"
    );
    assert_eq!(columns, Record::COLUMNS);
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
