//! Logs that are too long.

use action_store::{
    ActionStore, Batch, Change, Command, Limits, NewAction, OwnerRef, Report, SqliteStore,
};
use sqlx::Connection as _;

use super::{place, raw, run};

/// The triggers repeat which entries a full log may lose.
#[tokio::test]
async fn another_program_can_delete_only_the_oldest_steps_of_a_full_log() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    let owner = OwnerRef::new("plane");
    let claim = Command::claim(owner.clone());
    let new = NewAction::task("resize");
    let uid = new.uid;
    let create = Command::create(new);
    let apply = |change| Command::apply(uid, change).by(owner.clone());
    let step = |n: u32| apply(Change::Report(Report::new().with_step(format!("step {n}"))));
    let mut commands = vec![claim, create, apply(Change::Start)];
    commands.extend((3..=Limits::LOG_ENTRIES).map(step));
    let answers = store.write(Batch::all(commands)).await.unwrap();
    assert!(answers.iter().all(Result::is_ok));
    store.close().await.unwrap();

    let mut other = raw(&place.path).await;
    let delete = |version: u32| format!("DELETE FROM actions_log WHERE version = {version}");
    // The log is full, so nothing may go.
    for version in [1, 2, 3, 4, Limits::LOG_ENTRIES] {
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(delete(version)));
        assert!(refused.execute(&mut other).await.is_err(), "{version}");
    }
    let more = "INSERT INTO actions_log (action, kind, version, at, status, progress, body) \
                VALUES (1, 2, 257, 0, 1, 0, x'00')";
    assert_eq!(run(&mut other, more).await, 1);
    for version in [1, 2, 4, 257] {
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(delete(version)));
        assert!(refused.execute(&mut other).await.is_err(), "{version}");
    }
    // The oldest step may go, once.
    assert_eq!(run(&mut other, &delete(3)).await, 1);
    let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(delete(4)));
    assert!(refused.execute(&mut other).await.is_err());
    other.close().await.unwrap();
}
