//! Over PostgreSQL, in real time. Without a server each test is skipped, and says so.

#[path = "../support/postgres.rs"]
#[allow(dead_code)]
mod server;

use std::sync::Arc;
use std::time::Duration;

use action_store::conformance::check_store;
use action_store::{ActionStore, PostgresOptions};

use self::server::{Server, new_schema};
use super::Inner;

/// Runs a test on a new store, which must be whole afterwards.
async fn on_postgres<F: Future<Output = ()>>(test: impl FnOnce(Inner) -> F) {
    let name = std::thread::current().name().unwrap().to_owned();
    let Some(server) = Server::shared(&name) else {
        return;
    };
    let options = PostgresOptions::new().with_schema(new_schema());
    let store = Arc::new(options.connect(&server.url()).await.unwrap());
    test(store.clone()).await;
    check_store(&*store).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_is_tried_under_one_operation_id_until_it_is_recorded_once() {
    // The caller tries three times; the fourth try is in the background.
    on_postgres(|store| super::an_end_is_tried_under_one_operation_id(store, 4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_is_never_answered_is_in_the_store_or_at_the_next_start() {
    let patience = Duration::from_secs(1);
    on_postgres(|store| super::an_end_that_is_never_answered(store, patience)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_though_writes_fail_after_they_were_done() {
    on_postgres(|store| super::lives(store, super::unknown_but_done(), 8, 25)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_whatever_becomes_of_a_write() {
    on_postgres(|store| super::lives(store, super::anything(), 8, 10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handles_dropped_at_once_all_end_while_writes_fail_at_random() {
    on_postgres(|store| super::handles_dropped_at_once(store, 500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handles_of_many_callers_dropped_at_once_all_end() {
    on_postgres(|store| super::handles_of_many_callers_dropped_at_once(store, 4_500)).await;
}
