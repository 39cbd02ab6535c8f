//! A host that cancels its own calls on the pool that it shares with the store.

use std::sync::Arc;
use std::task::{Context, Waker};

use action_store::{ActionStore, PostgresOptions};
use sqlx::postgres::PgPoolOptions;

use super::load::{Load, verify};
use super::{Server, close_whole, new_schema};

/// Drops the future of `pool.begin()` while its statement is under way. In sqlx 0.9 the connection
/// then goes back to the pool with an open transaction. A plain INSERT on it is acknowledged and
/// never committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cancels_its_begin_hides_no_write_of_the_store() {
    let name = "a_host_that_cancels_its_begin_hides_no_write_of_the_store";
    let Some(server) = Server::shared(name) else {
        return;
    };
    for connections in [1, 2, 10] {
        let schema = new_schema();
        let pool = PgPoolOptions::new().max_connections(connections);
        let pool = pool.connect(&server.url()).await.unwrap();
        let options = PostgresOptions::new().with_schema(&schema);
        let store = Arc::new(options.on_pool(pool.clone()).await.unwrap());
        let load = Load::start(std::slice::from_ref(&store), 4);
        let mut cancelled = 0;
        for polls in (1..8).cycle() {
            let mut begin = Box::pin(pool.begin());
            let mut over = false;
            for _ in 0..polls {
                let mut context = Context::from_waker(Waker::noop());
                if begin.as_mut().poll(&mut context).is_ready() {
                    over = true;
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_micros(100)).await;
            }
            drop(begin);
            cancelled += usize::from(!over);
            if cancelled == 200 {
                break;
            }
        }
        load.go_on(50).await;
        let ledger = load.stop().await;
        // Seen by another session.
        let options = PostgresOptions::new().with_schema(&schema);
        let other = options.connect(&server.url()).await.unwrap();
        verify(&other, &ledger).await;
        other.close().await.unwrap();
        close_whole(Arc::into_inner(store).unwrap()).await;
        pool.close().await;
    }
}
