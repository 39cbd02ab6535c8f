//! The store in memory, as its users see it.

use action_store::{
    ActionStore, ActionStoreExt, Command, ErrorKind, Filter, Finish, MemoryStore, NewAction,
    ObjectRef, Order, OwnerRef, Progress, Query, Report, Status,
};

#[tokio::test]
async fn a_whole_life_is_recorded() {
    let store = MemoryStore::new();
    let owner = OwnerRef::new("plane");
    let claim = Command::claim(owner.clone());
    store.command(claim).await.unwrap();
    let new = NewAction::state_machine("SMCreateBDB", ObjectRef::bdb(1));
    let uid = store.create(new).await.unwrap().uid;
    store.start(uid, &owner).await.unwrap();
    let half = Progress::percent(50.0).unwrap();
    store
        .report(
            uid,
            Report::new().with_progress(half).with_step("load"),
            &owner,
        )
        .await
        .unwrap();
    let done = store
        .finish(uid, Finish::succeeded(), Some(&owner))
        .await
        .unwrap();
    assert_eq!(
        (done.status, done.version.get(), done.log_entries),
        (Status::Completed, 4, 4)
    );
    let again = store
        .finish(uid, Finish::succeeded(), Some(&owner))
        .await
        .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    assert_eq!(again.current(), Some(&done));
    let page = store
        .list(&Query::new().with_order(Order::Feed))
        .await
        .unwrap();
    assert_eq!(page.items, [done]);
    let unfinished = store
        .list(&Query::new().with_filter(Filter::Unfinished))
        .await
        .unwrap();
    assert!(unfinished.items.is_empty());
}
