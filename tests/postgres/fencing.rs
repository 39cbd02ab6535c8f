//! Zombies: owners that go on writing after they were fenced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use action_store::{
    ActionStore, ActionStoreExt, Batch, Change, Command, Filter, Finish, NewAction, Outcome,
    OwnerRef, PostgresStore, Query,
};

use super::{Server, asked_for, close_whole, new_schema, open_several};

/// Creates and starts actions as an owner until it hears that it is fenced.
async fn haunt(store: Arc<PostgresStore>, owner: OwnerRef, stop: Arc<AtomicBool>) -> u64 {
    let mut accepted = 0;
    while !stop.load(Ordering::Relaxed) {
        let new = NewAction::task("haunted");
        let uid = new.uid;
        let create = Command::create(new).by(owner.clone());
        let start = Command::apply(uid, Change::Start).by(owner.clone());
        let answers = store.write(Batch::each(vec![create, start])).await.unwrap();
        match answers.iter().all(Result::is_ok) {
            true => accepted += 1,
            false => break,
        }
    }
    accepted
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_executing_under_a_fenced_owner() {
    let Some(server) = Server::shared("nothing_stays_executing_under_a_fenced_owner") else {
        return;
    };
    let schema = new_schema();
    let stores = open_several(server, &schema, 4).await;
    let (mut accepted, mut escaped) = (0, 0);
    for _ in 0..asked_for("FENCES", 25) {
        let owner = OwnerRef::new("plane");
        let claim = Command::claim(owner.clone());
        stores[0].command(claim).await.unwrap();
        let stop = Arc::<AtomicBool>::default();
        let zombies: Vec<_> = (0..8)
            .map(|number| {
                let store = stores[number % stores.len()].clone();
                tokio::spawn(haunt(store, owner.clone(), stop.clone()))
            })
            .collect();
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        let heir = OwnerRef::new("plane");
        stores[0].command(Command::claim(heir)).await.unwrap();
        // The actions of the fenced owner are settled once, right after the fence.
        let left = Query::new().with_filter(Filter::Owner(owner.clone()));
        let left = left.with_filter(Filter::Unfinished).with_limit(1000);
        for page in [stores[1].pages(left.clone()).collect().await.unwrap()] {
            for action in page {
                let lost = Finish::new(Outcome::Lost);
                stores[1].finish(action.uid, lost, None).await.unwrap();
            }
        }
        for zombie in zombies {
            accepted += zombie.await.unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        let after = stores[2].pages(left).collect().await.unwrap();
        escaped += after.len();
    }
    println!("accepted {accepted}, left executing under a fenced owner {escaped}");
    assert!(accepted > 0);
    assert_eq!(escaped, 0);
    for store in stores {
        close_whole(Arc::into_inner(store).unwrap()).await;
    }
}
