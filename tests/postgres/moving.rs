//! Moving house: from one kind of store to another.

use action_store::{ActionStore, MemoryStore, PostgresOptions, transfer};

use super::{Server, new_schema, open};

const GOLDEN: &str = include_str!("../fixtures/transfer_v1.ndjson");

/// The lines of the actions in a store, with their logs.
async fn lines(store: &dyn ActionStore) -> Vec<String> {
    let mut text = Vec::new();
    transfer::export(store, &mut text).await.unwrap();
    let text = String::from_utf8(text).unwrap();
    let actions = text.lines().filter(|line| line.starts_with("{\"action\":"));
    actions.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_moves_to_postgresql_and_back_byte_for_byte() {
    let Some(server) = Server::shared("a_store_moves_to_postgresql_and_back") else {
        return;
    };
    let before = MemoryStore::new();
    transfer::import(&before, &mut GOLDEN.as_bytes())
        .await
        .unwrap();
    let expected = lines(&before).await;
    assert!(expected.len() > 10);
    let schema = new_schema();
    let store = open(server, &schema).await;
    let copied = transfer::copy(&before, &store).await.unwrap();
    assert!(copied.is_faithful(), "{copied:?}");
    assert_eq!(lines(&store).await, expected);
    // A second copy finds everything there.
    let again = transfer::copy(&before, &store).await.unwrap();
    assert!(again.is_faithful(), "{again:?}");
    let other = PostgresOptions::new().with_schema(new_schema());
    let other = other.connect(&server.url()).await.unwrap();
    let copied = transfer::copy(&store, &other).await.unwrap();
    assert!(copied.is_faithful(), "{copied:?}");
    let after = MemoryStore::new();
    let copied = transfer::copy(&other, &after).await.unwrap();
    assert!(copied.is_faithful(), "{copied:?}");
    assert_eq!(lines(&after).await, expected);
    // Not `close_whole`: the actions of the file were written by hand.
    other.close().await.unwrap();
    store.close().await.unwrap();
}
