//! Checks of a database that also has tables of the host.

use std::path::Path;
use std::time::Duration;

use action_store::{ActionStore, Batch, Command, Filter, NewAction, Query, SqliteOptions};

use super::attack::{raw, run};
use super::damage::{damaged, without_three};
use super::{place, pool};

const PAGE: usize = 4096;

/// Creates a table of the host whose index lacks the entry of row 3.
async fn with_damaged_table_of_the_host(path: &Path) {
    let mut other = raw(path).await;
    run(
        &mut other,
        "CREATE TABLE host_row (id INTEGER PRIMARY KEY, name TEXT)",
    )
    .await;
    run(
        &mut other,
        "INSERT INTO host_row (name) VALUES ('a'), ('b'), ('c')",
    )
    .await;
    run(&mut other, "CREATE INDEX host_row_name ON host_row (name)").await;
    let damage = without_three("host_row_name", "host_row (name)", "id");
    for statement in damage.split(';') {
        run(&mut other, statement).await;
    }
    sqlx::Connection::close(other).await.unwrap();
}

#[tokio::test]
async fn damage_of_the_hosts_tables_is_not_damage_of_the_store() {
    let place = place();
    damaged(&place.path, "SELECT 1").await;
    with_damaged_table_of_the_host(&place.path).await;
    let pool = pool(&place.path).await;
    let store = SqliteOptions::new().on_pool(pool.clone()).await.unwrap();
    assert_eq!(store.diagnostics().await.unwrap().damaged, 0);
    let check = store.check().await.unwrap();
    assert_eq!((check.damaged, &*check.findings), (0, &[][..]));
    store.close().await.unwrap();
    pool.close().await;
    // Without a host, every table of the file is the store's concern.
    let store = SqliteOptions::new().open(&place.path).await.unwrap();
    assert!(store.check().await.unwrap().damaged > 0);
    store.close().await.unwrap();
}

#[tokio::test]
async fn damage_of_the_stores_tables_is_found_in_a_hosts_database() {
    for (index, on, column) in [
        (
            "actions_action_name",
            "actions_action (name, number)",
            "number",
        ),
        (
            "actions_log_action",
            "actions_log (action, version, (kind = 7))",
            "action",
        ),
    ] {
        let place = place();
        damaged(&place.path, &without_three(index, on, column)).await;
        let pool = pool(&place.path).await;
        let store = SqliteOptions::new().on_pool(pool.clone()).await.unwrap();
        assert!(store.diagnostics().await.unwrap().damaged > 0, "{index}");
        let check = store.check().await.unwrap();
        assert!(check.findings[0].contains(index), "{check:?}");
        let named = Query::new().with_filter(Filter::Name("backup".into()));
        assert_eq!(store.list(&named).await.unwrap().items.len(), 10);
        store.close().await.unwrap();
        pool.close().await;
    }
}

/// Overwrites the second half of the leaves of a table by its first leaf, whose keys are low.
fn repeat_first_leaf(file: &mut [u8], root: usize) {
    let page = |number: usize| (number - 1) * PAGE..number * PAGE;
    let short = |at: usize| usize::from(u16::from_be_bytes([file[at], file[at + 1]]));
    let begin = page(root).start;
    assert_eq!(
        file[begin], 5,
        "an inner page, with 12 bytes before its cells"
    );
    let leaves: Vec<usize> = (0..short(begin + 3))
        .map(|cell| begin + short(begin + 12 + 2 * cell))
        .map(|cell| u32::from_be_bytes(file[cell..cell + 4].try_into().unwrap()) as usize)
        .collect();
    let first = file[page(leaves[0])].to_vec();
    assert_eq!(first[0], 13, "a leaf");
    for leaf in &leaves[leaves.len() / 2..] {
        file[page(*leaf)].copy_from_slice(&first);
    }
}

#[tokio::test]
async fn a_check_ends_although_the_keys_of_its_rows_do_not_ascend() {
    let place = place();
    let store = SqliteOptions::new().open(&place.path).await.unwrap();
    for _ in 0..4 {
        let new = || Command::create(NewAction::task("backup"));
        let answers = store.write(Batch::all((0..1000).map(|_| new()).collect()));
        assert!(answers.await.unwrap().iter().all(Result::is_ok));
    }
    store.close().await.unwrap();
    let mut other = raw(&place.path).await;
    let root = "SELECT rootpage FROM sqlite_master WHERE name = 'actions_action'";
    let root: i64 = sqlx::query_scalar(root)
        .fetch_one(&mut other)
        .await
        .unwrap();
    sqlx::Connection::close(other).await.unwrap();
    let mut file = std::fs::read(&place.path).unwrap();
    repeat_first_leaf(&mut file, root as usize);
    std::fs::write(&place.path, file).unwrap();

    let pool = pool(&place.path).await;
    let opening = SqliteOptions::new().on_pool(pool.clone());
    let store = tokio::time::timeout(Duration::from_secs(30), opening).await;
    let store = store.expect("the check ends").unwrap();
    assert!(store.diagnostics().await.unwrap().damaged > 0);
    let check = store.check().await.unwrap();
    assert!(check.findings[0].contains("out of order"), "{check:?}");
    store.close().await.unwrap();
    pool.close().await;
}

#[tokio::test]
async fn a_check_at_opening_ends_although_a_statement_of_it_does_not() {
    let place = place();
    damaged(&place.path, "SELECT 1").await;
    let mut other = raw(&place.path).await;
    run(&mut other, "DROP TABLE actions_pin").await;
    let endless = "CREATE VIEW actions_pin (action) AS WITH RECURSIVE n (action) AS \
                   (SELECT 99 UNION ALL SELECT action + 1 FROM n) SELECT action FROM n";
    run(&mut other, endless).await;
    sqlx::Connection::close(other).await.unwrap();
    let pool = pool(&place.path).await;
    let opening = SqliteOptions::new().on_pool(pool.clone());
    let store = tokio::time::timeout(Duration::from_secs(60), opening).await;
    let store = store.expect("the check ends").unwrap();
    let found = store.list(&Query::new().with_limit(5)).await.unwrap();
    assert_eq!(found.items.len(), 5);
    store.close().await.unwrap();
    pool.close().await;
    let opening = SqliteOptions::new().open(&place.path);
    let store = tokio::time::timeout(Duration::from_secs(60), opening).await;
    store
        .expect("the check ends")
        .unwrap()
        .close()
        .await
        .unwrap();
}
