//! Tests that a page reads the most selective index.

use std::sync::Arc;

use crate::backend::sql::{candidates, fewest, must_count};
use crate::backend::sqlite::list::{count_script, read_counts};
use crate::backend::sqlite::schema::{connect, connect_options};
use crate::model::{AccessPath, Batch, Command, Filter, Finish, NewAction, Outcome, Query};
use crate::store::ActionStore;
use crate::{ObjectRef, SqliteStore};

/// The index that a page of this store reads.
async fn chosen(path: &std::path::Path, filters: &[Filter]) -> (AccessPath, bool) {
    let mut query = Query::new();
    query.filters = filters.to_vec();
    let paths = candidates(&query);
    assert!(must_count(&query, &paths), "{paths:?}");
    let mut connection = connect(connect_options(path, true), None).await.unwrap();
    let script = count_script(&query, &paths).unwrap();
    let counts = script.run(&mut connection).await;
    let counts = counts.unwrap_or_else(|failed| panic!("{}", failed.error));
    let counts = read_counts(&paths, &counts).unwrap();
    fewest(paths, counts)
}

#[tokio::test]
async fn a_page_reads_the_index_with_the_fewest_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("actions.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let mut commands = Vec::new();
    for number in 0..1500 {
        let name = if number % 500 == 0 { "rare" } else { "common" };
        let new = Arc::new(NewAction::state_machine(name, ObjectRef::bdb(number % 2)));
        let uid = new.uid;
        commands.push(Command::Create { new, by: None });
        if number % 100 != 7 {
            let end = Finish::new(Outcome::Failed)
                .with_error(crate::ActionError::new("broken", "it broke"));
            commands.push(Command::Apply {
                uid,
                op: crate::model::OpId::new(),
                change: crate::Change::Finish(end),
                by: None,
                if_version: None,
            });
        }
    }
    for commands in commands.chunks(500) {
        let batch = Batch::all(commands.to_vec());
        for answer in store.write(batch).await.unwrap() {
            answer.unwrap();
        }
    }
    let failed = || Filter::Outcome(Outcome::Failed);
    let name = |name: &str| Filter::Name(name.into());
    let bdb = |id| Filter::Touches(ObjectRef::bdb(id));
    let rare = AccessPath::Name("rare".into());
    let found = chosen(&path, &[failed(), name("rare")]).await;
    assert_eq!(found, (rare.clone(), true));
    // Half of all actions touch an object.
    assert_eq!(chosen(&path, &[bdb(0), name("rare")]).await, (rare, true));
    let unfinished = chosen(&path, &[Filter::Unfinished, bdb(1)]).await;
    assert_eq!(unfinished, (AccessPath::Unfinished, true));
    // Both are large: the one that is usually the more selective.
    let found = chosen(&path, &[name("common"), failed()]).await;
    assert_eq!(found, (AccessPath::Ended(Outcome::Failed), false));
    let query = Query::new().with_filter(failed()).with_filter(name("rare"));
    assert_eq!(store.list(&query).await.unwrap().items.len(), 3);
    store.close().await.unwrap();
}
