//! Over SQLite.

use std::sync::Arc;

use action_store::{ActionStore, SqliteStore};

#[tokio::test]
async fn handles_dropped_at_once_all_end_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path().join("actions.db"));
    let store = Arc::new(store.await.unwrap());
    // More than the background once kept.
    super::handles_of_many_callers_dropped_at_once(store.clone(), 4_500).await;
    store.close().await.unwrap();
}
