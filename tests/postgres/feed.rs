//! A reader that pages the feed as fast as it can beside writers in several stores.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use action_store::{ActionStore, ActionUid, Cursor, Order, PostgresStore, Query};

use super::load::{Load, verify};
use super::{Server, asked_for, close_whole, new_schema, open_several};

/// Reads the feed until `stop` is set and the end is reached. Returns the latest version that
/// it saw of each action.
pub(crate) async fn follow(
    store: Arc<PostgresStore>,
    stop: Arc<AtomicBool>,
) -> HashMap<ActionUid, u64> {
    let mut seen = HashMap::new();
    let mut query = Query::new().with_order(Order::Feed).with_limit(50);
    loop {
        let stopped = stop.load(Ordering::Relaxed);
        let page = store.list(&query).await.unwrap();
        for action in &page.items {
            seen.insert(action.uid, action.version.get());
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None if stopped => return seen,
            // The end of the feed: what comes later is above the position of this page.
            None => query.after = Some(Cursor::feed(page.at, page.at.revision)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_feed_misses_nothing_beside_eight_writers() {
    let name = "a_reader_of_the_feed_misses_nothing_beside_eight_writers";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let schema = new_schema();
    let stores = open_several(server, &schema, 4).await;
    let stop = Arc::<AtomicBool>::default();
    let readers: Vec<_> = stores[..2]
        .iter()
        .map(|store| tokio::spawn(follow(store.clone(), stop.clone())))
        .collect();
    let load = Load::start(&stores, 2);
    let seconds = asked_for("ACTIONS_RACE_SECONDS", 6);
    tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
    let ledger = load.stop().await;
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        let seen = reader.await.unwrap();
        let missed = |uids: &[ActionUid], version: u64| {
            let stale = |uid: &&ActionUid| seen.get(*uid).is_none_or(|seen| *seen < version);
            uids.iter().filter(stale).count()
        };
        let skipped = missed(&ledger.created, 1) + missed(&ledger.cancelled, 2);
        println!("the reader saw {} actions, skipped {skipped}", seen.len());
        assert_eq!(skipped, 0);
    }
    verify(&stores[3], &ledger).await;
    for store in stores {
        close_whole(Arc::into_inner(store).unwrap()).await;
    }
}
