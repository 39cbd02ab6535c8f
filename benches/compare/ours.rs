//! The library's stores as contestants, used through the public trait only.

use std::path::Path;

use action_store::action::Version;
use action_store::query::Revision;
use action_store::{
    ActionStore, ActionStoreExt, ActionUid, Batch, Change as StoreChange, Command, Cursor, Filter,
    Finish, LogQuery, MemoryStore, NewAction, ObjectRef, Order, OwnerRef, Progress, Query, Report,
    SqliteStore, Status,
};
use async_trait::async_trait;
use uuid::Uuid;

use crate::contestant::{Asked, Change, Contestant, Head, Held, Kind, NAME, New, life};

pub struct Ours {
    store: Box<dyn ActionStore>,
    owner: OwnerRef,
}

impl Ours {
    pub async fn memory() -> Ours {
        Ours::with(Box::new(MemoryStore::new()), "bench").await
    }

    /// The store with all defaults.
    pub async fn sqlite(directory: &Path) -> Ours {
        let store = SqliteStore::open(directory.join("actions.db")).await;
        Ours::with(Box::new(store.unwrap()), "bench").await
    }

    /// Opens a contestant that claims this owner name in the store.
    pub async fn with(store: Box<dyn ActionStore>, owner: &'static str) -> Ours {
        let owner = OwnerRef::new(owner);
        let claim = Command::claim(owner.clone());
        store.command(claim).await.unwrap();
        Ours { store, owner }
    }
}

/// Returns the library's command for a change.
pub fn command(change: Change, owner: &OwnerRef) -> Command {
    Command::apply(
        ActionUid::from_uuid(change.uid),
        match change.kind {
            Kind::Start => StoreChange::Start,
            Kind::Progress(progress) => {
                let progress = u16::try_from(progress).unwrap();
                let progress = Progress::from_hundredths(progress).unwrap();
                StoreChange::Report(Report::new().with_progress(progress))
            }
            Kind::Finish => StoreChange::Finish(Finish::succeeded()),
        },
    )
    .by(owner.clone())
    .if_version(Version::new(u64::try_from(change.version).unwrap()).unwrap())
}

pub fn status(status: Status) -> i64 {
    match status {
        Status::Queued => 0,
        Status::Executing => 1,
        Status::Completed => 2,
    }
}

pub fn new_action(new: &New) -> NewAction {
    let object: ObjectRef = new.object.parse().unwrap();
    NewAction::state_machine(NAME, object)
        .with_uid(ActionUid::from_uuid(new.uid))
        .with_description(new.description)
}

#[async_trait]
impl Contestant for Ours {
    async fn create(&self, new: New) {
        self.store.create(new_action(&new)).await.unwrap();
    }

    async fn change(&self, change: Change) {
        let action = self
            .store
            .command_on_action(command(change, &self.owner))
            .await;
        assert_eq!(action.unwrap().version.get() as i64, change.version + 1);
    }

    async fn get(&self, uid: Uuid) -> Uuid {
        let found = self.store.action(ActionUid::from_uuid(uid)).await.unwrap();
        *found.unwrap().uid.as_uuid()
    }

    async fn list(&self, limit: u16) -> (usize, Option<Uuid>) {
        let page = self.store.list(&Query::new().with_limit(limit)).await;
        let items = page.unwrap().items;
        (
            items.len(),
            items.first().map(|action| *action.uid.as_uuid()),
        )
    }

    async fn page(&self, asked: Asked, limit: u16) -> Option<usize> {
        let query = Query::new().with_limit(limit);
        let query = match asked {
            Asked::Newest => query,
            Asked::Object(object) => query.with_filter(Filter::Touches(ObjectRef::bdb(object))),
            Asked::Feed(per_mille) => {
                let at = self.store.changed(None).await.unwrap();
                let after = Revision::new(at.revision.get() * per_mille / 1000);
                let after = Some(Cursor::feed(at, after));
                query.with_order(Order::Feed).with_after(after)
            }
        };
        Some(self.store.list(&query).await.unwrap().items.len())
    }

    async fn fill(&self, count: usize) -> Vec<Uuid> {
        let mut uids = Vec::with_capacity(count);
        // A life is six commands; the limit is a thousand per batch.
        for begin in (0..count).step_by(150) {
            let mut commands = Vec::new();
            for row in begin..count.min(begin + 150) {
                let new = New::of(row as u64 % 100);
                uids.push(new.uid);
                commands.push(Command::create(new_action(&new)));
                commands.extend(life(new.uid).map(|change| command(change, &self.owner)));
            }
            for answer in self.store.write(Batch::each(commands)).await.unwrap() {
                answer.unwrap();
            }
        }
        uids
    }

    async fn held(&self) -> Held {
        let mut heads = Vec::new();
        let mut pages = self
            .store
            .pages(Query::new().with_order(Order::Oldest).with_limit(1000));
        while let Some(page) = pages.next().await.unwrap() {
            heads.extend(page.items.iter().map(|action| Head {
                uid: *action.uid.as_uuid(),
                status: status(action.status),
                version: action.version.get() as i64,
            }));
        }
        let mut entries = 0;
        let mut query = LogQuery::all().with_limit(1000);
        loop {
            let page = self.store.log(&query).await.unwrap();
            entries += page.items.len();
            query.after = page.next;
            if query.after.is_none() {
                return Held { heads, entries };
            }
        }
    }

    async fn close(&self) {
        self.store.close().await.unwrap();
    }
}
