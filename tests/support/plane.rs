//! A store with a manual clock, and an owner that is alive.

#[cfg(all(unix, feature = "postgres"))]
#[path = "postgres.rs"]
#[allow(dead_code)]
mod server;

use std::sync::Arc;

use action_store::{
    ActionError, ActionStore, ActionStoreExt, ActionUid, Batch, CancelRequest, Change, Clock,
    Command, Finish, MemoryStore, NewAction, Outcome, OwnerRef, Timestamp,
};

/// Initial time of the clock, in seconds.
pub(crate) const ERA: i64 = 1_760_000_000;

pub(crate) struct Plane {
    pub(crate) store: Arc<dyn ActionStore>,
    pub(crate) clock: Clock,
    pub(crate) owner: OwnerRef,
    _dir: Option<tempfile::TempDir>,
}

impl Plane {
    async fn on(
        store: Arc<dyn ActionStore>,
        clock: Clock,
        dir: Option<tempfile::TempDir>,
    ) -> Plane {
        let owner = OwnerRef::new("plane");
        let claim = Command::claim(owner.clone());
        store.command(claim).await.unwrap();
        Plane {
            store,
            clock,
            owner,
            _dir: dir,
        }
    }

    pub(crate) async fn memory() -> Plane {
        let clock = Clock::manual(Timestamp::from_seconds(ERA));
        let store = Arc::new(MemoryStore::with_clock(clock.clone()));
        Plane::on(store, clock, None).await
    }

    #[cfg(feature = "sqlite")]
    pub(crate) async fn sqlite() -> Plane {
        use action_store::SqliteOptions;
        let clock = Clock::manual(Timestamp::from_seconds(ERA));
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new().with_clock(clock.clone());
        let store = options.open(dir.path().join("actions.db"));
        let store = Arc::new(store.await.unwrap());
        Plane::on(store, clock, Some(dir)).await
    }

    /// Returns a plane over PostgreSQL, if there is a server.
    #[cfg(all(unix, feature = "postgres"))]
    pub(crate) async fn postgres() -> Option<Plane> {
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        let server = server::Server::shared(&format!("{test} on PostgreSQL"))?;
        let clock = Clock::manual(Timestamp::from_seconds(ERA));
        let options = action_store::PostgresOptions::new()
            .with_schema(server::new_schema())
            .with_clock(clock.clone());
        let store = options.connect(&server.url()).await.unwrap();
        Some(Plane::on(Arc::new(store), clock, None).await)
    }

    /// Returns one plane for each kind of store.
    pub(crate) async fn each() -> Vec<Plane> {
        #[allow(unused_mut)]
        let mut planes = vec![Plane::memory().await];
        #[cfg(feature = "sqlite")]
        planes.push(Plane::sqlite().await);
        #[cfg(all(unix, feature = "postgres"))]
        planes.extend(Plane::postgres().await);
        planes
    }

    /// Creates, starts and completes actions, a hundred in one write.
    #[allow(dead_code)]
    pub(crate) async fn many(&self, count: usize) -> Vec<ActionUid> {
        let news: Vec<_> = (0..count).map(|_| NewAction::task("work")).collect();
        for some in news.chunks(100) {
            let life = |new: &NewAction| {
                let finish = Change::Finish(Finish::succeeded());
                let change = |change| Command::apply(new.uid, change).by(self.owner.clone());
                let create = Command::create(new.clone());
                [create, change(Change::Start), change(finish)]
            };
            let batch = Batch::each(some.iter().flat_map(life).collect());
            for answer in self.store.write(batch).await.unwrap() {
                answer.unwrap();
            }
        }
        news.iter().map(|new| new.uid).collect()
    }

    pub(crate) async fn end(&self, uid: ActionUid, outcome: Outcome) {
        let finish = match outcome {
            Outcome::Failed => Finish::failed(ActionError::new("disk_full", "no room")),
            outcome => Finish::new(outcome),
        };
        if outcome == Outcome::Cancelled {
            let request = CancelRequest::new();
            self.store.request_cancel(uid, request).await.unwrap();
        }
        let ended = self.store.finish(uid, finish, Some(&self.owner));
        ended.await.unwrap();
    }
}
