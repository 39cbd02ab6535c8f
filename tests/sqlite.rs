//! The store in one SQLite file, as its users see it.

use action_store::{
    ActionStore, ActionStoreExt, Command, ErrorKind, Finish, LogQuery, NewAction, ObjectRef, Order,
    OwnerRef, Progress, Query, RelatedObject, Report, SqliteStore, Status, Term,
};

#[tokio::test]
async fn a_whole_life_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("actions.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let owner = OwnerRef::new("plane");
    let claim = Command::Claim {
        owner: owner.clone(),
        take_over: true,
    };
    store.command(claim).await.unwrap();
    let new = NewAction::state_machine("SMCreateBDB", ObjectRef::bdb(1))
        .with_exclusive("bdb:1")
        .with_idempotency_key("k")
        .with_related(RelatedObject::new("host", ObjectRef::node(2)).with_name("n2"));
    let uid = store.create(new).await.unwrap().uid;
    store.start(uid, &owner).await.unwrap();
    let half = Progress::percent(50.0).unwrap();
    let report = Report::new().with_progress(half).with_step("load");
    store.report(uid, report, &owner).await.unwrap();
    let done = store
        .finish(uid, Finish::succeeded(), Some(&owner))
        .await
        .unwrap();
    assert_eq!(
        (done.status, done.version.get(), done.log_entries),
        (Status::Completed, 4, 4)
    );
    store.close().await.unwrap();

    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.action(uid).await.unwrap(), Some(done.clone()));
    let again = store
        .finish(uid, Finish::succeeded(), Some(&owner))
        .await
        .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    assert_eq!(again.current(), Some(&done));
    let queries = [
        Query::new(),
        Query::new().with_order(Order::Feed),
        Query::new().with_order(Order::Oldest),
        Query::new().with_term(Term::Touches(ObjectRef::node(2))),
        Query::new().with_term(Term::Object(ObjectRef::bdb(1))),
    ];
    for query in queries {
        let page = store.list(&query).await.unwrap();
        assert_eq!(page.items, [done.clone()]);
    }
    let unfinished = store
        .list(&Query::new().with_term(Term::Unfinished))
        .await
        .unwrap();
    assert!(unfinished.items.is_empty());
    let log = store.log(&LogQuery::of(uid)).await.unwrap();
    assert_eq!(log.items.len(), 4);
    assert_eq!(store.owners().await.unwrap().len(), 1);
    store.close().await.unwrap();
}
