//! Sends one request again and again, for a profiler.

use std::path::Path;
use std::sync::Arc;

use action_store::http::{AllowAll, router};
use action_store::{MemoryStore, SqliteStore};

use crate::ask;
use crate::dataset::{Load, fill};

pub async fn run(path: &str, requests: usize, sqlite: bool, size: usize, scratch: &Path) {
    let app = if sqlite {
        let store = SqliteStore::open(scratch.join("alone.db")).await.unwrap();
        fill(&store, size, Load::Plain).await;
        router(Arc::new(store), AllowAll)
    } else {
        let store = MemoryStore::new();
        fill(&store, size, Load::Plain).await;
        router(Arc::new(store), AllowAll)
    };
    for _ in 0..requests {
        let (status, _, body) = ask(&app, path).await;
        assert_eq!(status, 200);
        assert!(!body.is_empty());
    }
}
