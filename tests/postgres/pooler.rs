//! Two stores through a pooler in transaction mode, which gives each transaction another server
//! connection.

use std::sync::Arc;

use action_store::PostgresOptions;

use super::load::{Load, verify};
use super::server::Pooler;
use super::{Server, close_whole, new_schema, open};

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_changes_nothing() {
    let test = "a_pooler_in_transaction_mode_changes_nothing";
    let Some(server) = Server::shared(test) else {
        return;
    };
    let Some(pooler) = Pooler::start(server, test) else {
        return;
    };
    let schema = new_schema();
    let mut stores = Vec::new();
    for _ in 0..4 {
        let options = PostgresOptions::new().with_schema(&schema).with_readers(4);
        stores.push(Arc::new(options.connect(&pooler.url()).await.unwrap()));
    }
    let load = Load::start(&stores, 4);
    load.go_on(500).await;
    let ledger = load.stop().await;
    verify(&stores[1], &ledger).await;
    verify(&open(server, &schema).await, &ledger).await;
    for store in stores {
        close_whole(Arc::into_inner(store).unwrap()).await;
    }
}
