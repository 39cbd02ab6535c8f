//! The library's store, opened several times over the same tables.

use action_store::PostgresOptions;
use async_trait::async_trait;
use uuid::Uuid;

use crate::contestant::{Change, Contestant, Held, New};
use crate::ours::Ours;

/// Stores with a writer each, as in several processes. Each action belongs to one of them.
pub struct Shared(Vec<Ours>);

impl Shared {
    pub async fn open(url: &str, schema: &str, stores: usize) -> Shared {
        const OWNERS: [&str; 4] = ["bench@1", "bench@2", "bench@3", "bench@4"];
        let mut opened = Vec::new();
        for owner in &OWNERS[..stores] {
            let options = PostgresOptions::new().with_schema(schema);
            let store = options.connect(url).await.unwrap();
            opened.push(Ours::with(Box::new(store), owner).await);
        }
        Shared(opened)
    }

    fn of(&self, uid: Uuid) -> &Ours {
        let number = usize::from(uid.as_bytes()[15]);
        &self.0[number % self.0.len()]
    }
}

#[async_trait]
impl Contestant for Shared {
    async fn create(&self, new: New) {
        self.of(new.uid).create(new).await;
    }

    async fn change(&self, change: Change) {
        self.of(change.uid).change(change).await;
    }

    async fn get(&self, uid: Uuid) -> Uuid {
        self.of(uid).get(uid).await
    }

    async fn list(&self, limit: u16) -> (usize, Option<Uuid>) {
        self.0[0].list(limit).await
    }

    async fn fill(&self, count: usize) -> Vec<Uuid> {
        self.0[0].fill(count).await
    }

    async fn held(&self) -> Held {
        self.0[0].held().await
    }

    async fn close(&self) {
        for store in &self.0 {
            store.close().await;
        }
    }
}
