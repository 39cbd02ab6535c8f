//! Hosts' transactions of owners that are fenced.

use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::{
    ActionStoreExt, Batch, Change, Command, Filter, Finish, NewAction, Outcome, OwnerRef,
    PostgresStore, Query,
};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::{Server, asked_for, close_whole, new_schema, open, open_several, sql};

/// Creates and starts actions as an owner in the host's transactions, until it is fenced.
async fn haunt(url: String, store: Arc<PostgresStore>, owner: OwnerRef, pause: u64) -> (u64, u64) {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let (mut accepted, mut refused) = (0, 0);
    loop {
        let new = NewAction::task("haunted");
        let start = Command::apply(new.uid, Change::Start).by(owner.clone());
        let create = Command::create(new).by(owner.clone());
        let mut transaction = connection.begin().await.unwrap();
        let batch = Batch::each(vec![create, start]);
        let answers = store.write_in(&mut transaction, batch).await.unwrap();
        if !answers.iter().all(Result::is_ok) {
            return (accepted, refused);
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
        match transaction.commit().await {
            Ok(()) => accepted += 1,
            Err(error) => {
                assert!(error.to_string().contains("was fenced"), "{error}");
                refused += 1;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_host_stays_executing_under_a_fenced_owner() {
    let name = "nothing_of_a_host_stays_executing_under_a_fenced_owner";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let schema = new_schema();
    let stores = open_several(server, &schema, 2).await;
    let (mut accepted, mut refused, mut escaped) = (0, 0, 0);
    let mut longest = Duration::ZERO;
    for _ in 0..asked_for("FENCES", 20) {
        let owner = OwnerRef::new("plane");
        stores[0]
            .command(Command::claim(owner.clone()))
            .await
            .unwrap();
        let zombies: Vec<_> = (0..8)
            .map(|number| {
                let store = stores[number % 2].clone();
                let pause = [0, 0, 1, 20][number % 4];
                tokio::spawn(haunt(server.url(), store, owner.clone(), pause))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(60)).await;
        let begun = Instant::now();
        let heir = OwnerRef::new("plane");
        stores[0].command(Command::claim(heir)).await.unwrap();
        longest = longest.max(begun.elapsed());
        // The actions of the fenced owner are settled once, right after the fence.
        let left = Query::new().with_filter(Filter::Owner(owner.clone()));
        let left = left.with_filter(Filter::Unfinished).with_limit(1000);
        for action in stores[1].pages(left.clone()).collect().await.unwrap() {
            let lost = Finish::new(Outcome::Lost);
            stores[1].finish(action.uid, lost, None).await.unwrap();
        }
        for zombie in zombies {
            let (more, late) = zombie.await.unwrap();
            (accepted, refused) = (accepted + more, refused + late);
        }
        escaped += stores[1].pages(left).collect().await.unwrap().len();
    }
    println!(
        "accepted {accepted}, refused at the commit {refused}, escaped {escaped}, longest fence {longest:?}"
    );
    assert!(accepted > 0 && refused > 0);
    assert_eq!(escaped, 0);
    for store in stores {
        close_whole(Arc::into_inner(store).unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_waits_for_a_host_that_is_committing() {
    let Some(server) = Server::shared("a_fence_waits_for_a_host_that_is_committing") else {
        return;
    };
    let schema = new_schema();
    let store = open(server, &schema).await;
    // A check of the host's own that takes a while, at the commit.
    let slow = format!(
        "CREATE TABLE {schema}.host (name text);
         CREATE FUNCTION {schema}.slow() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_sleep(0.4); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON {schema}.host
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.slow()"
    );
    sql(&server.url(), slow).await.unwrap();
    let owner = OwnerRef::new("plane");
    store.command(Command::claim(owner.clone())).await.unwrap();
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let new = NewAction::task("inside");
    let uid = new.uid;
    let batch = Batch::each(vec![Command::create(new).by(owner.clone())]);
    let answers = store.write_in(&mut transaction, batch).await.unwrap();
    assert!(answers[0].is_ok());
    let insert = format!("INSERT INTO {schema}.host VALUES ('a')");
    let insert = sqlx::raw_sql(sqlx::AssertSqlSafe(insert));
    insert.execute(&mut *transaction).await.unwrap();
    let begun = Instant::now();
    let fence = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let heir = OwnerRef::new("plane");
        store.command(Command::claim(heir)).await.unwrap();
        // Nothing of the fenced owner appears after this.
        (store.action(uid).await.unwrap().is_some(), begun.elapsed())
    };
    let ((there, took), committed) = tokio::join!(fence, transaction.commit());
    committed.unwrap();
    assert!(there, "{took:?}");
    assert!(took >= Duration::from_millis(400), "{took:?}");
    close_whole(store).await;
}
