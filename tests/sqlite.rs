//! The store in one SQLite file, as its users see it.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use action_store::owner::OwnerQuery;
use action_store::{
    ActionStore, ActionStoreExt, ActionUid, Batch, Command, ErrorKind, Filter, Finish, LogQuery,
    NewAction, ObjectRef, Order, Outcome, OwnerRef, Progress, Query, RelatedObject, Report,
    SqliteOptions, SqliteStore, Status, StoreError, StoreErrorKind,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("actions.db");
    Place { _dir: dir, path }
}

/// Another program's connection to the same file.
async fn raw(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true);
    options.connect().await.unwrap()
}

async fn run(connection: &mut SqliteConnection, sql: &str) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(done.rows_affected())
}

async fn refused_open(path: &Path) -> StoreError {
    match SqliteStore::open(path).await {
        Err(error) => error,
        Ok(store) => panic!("{store:?} was opened"),
    }
}

async fn claim(store: &SqliteStore, name: &str) -> OwnerRef {
    let owner = OwnerRef::new(name);
    let claim = Command::claim(owner.clone());
    store.command(claim).await.unwrap();
    owner
}

/// A completed action.
async fn completed(store: &SqliteStore, owner: &OwnerRef) -> ActionUid {
    let uid = executing(store, owner).await;
    let end = Finish::succeeded();
    store.finish(uid, end, Some(owner)).await.unwrap();
    uid
}

/// An executing action.
async fn executing(store: &SqliteStore, owner: &OwnerRef) -> ActionUid {
    let new = NewAction::state_machine("SMCreateBDB", ObjectRef::bdb(1));
    let uid = store.create(new).await.unwrap().uid;
    store.start(uid, owner).await.unwrap();
    uid
}

#[tokio::test]
async fn a_whole_life_is_there_after_a_restart() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    let owner = claim(&store, "plane").await;
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
    let counted = (done.status, done.version.get(), done.log_entries);
    assert_eq!(counted, (Status::Completed, 4, 4));
    let before = store.changed(None).await.unwrap();
    store.close().await.unwrap();

    let store = SqliteStore::open(&place.path).await.unwrap();
    assert_eq!(store.changed(None).await.unwrap(), before);
    assert_eq!(store.action(uid).await.unwrap().as_ref(), Some(&done));
    let again = store
        .finish(uid, Finish::succeeded(), Some(&owner))
        .await
        .unwrap_err();
    // Its owner ended with the store that it claimed its name in.
    assert_eq!(again.kind(), ErrorKind::Fenced);
    assert_eq!(again.current(), Some(&done));
    let queries = [
        Query::new(),
        Query::new().with_order(Order::Feed),
        Query::new().with_order(Order::Oldest),
        Query::new().with_filter(Filter::Touches(ObjectRef::node(2))),
        Query::new().with_filter(Filter::Object(ObjectRef::bdb(1))),
    ];
    for query in queries {
        let page = store.list(&query).await.unwrap();
        assert_eq!(page.items, std::slice::from_ref(&done), "{query:?}");
    }
    let unfinished = Query::new().with_filter(Filter::Unfinished);
    assert!(store.list(&unfinished).await.unwrap().items.is_empty());
    // With the late report.
    assert_eq!(store.log(&LogQuery::of(uid)).await.unwrap().items.len(), 5);
    assert_eq!(store.all_owners(OwnerQuery::new()).await.unwrap().len(), 1);
    store.close().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_of_a_store_can_be_read_only_by_their_owner() {
    use std::os::unix::fs::PermissionsExt;
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    store.create(NewAction::task("a")).await.unwrap();
    let mut seen = 0;
    for file in std::fs::read_dir(place.path.parent().unwrap()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.file_name());
        seen += 1;
    }
    // The database, its log and shared memory, and the lock.
    assert_eq!(seen, 4);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_closes() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    let error = refused_open(&place.path).await;
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("open already"), "{error}");
    store.close().await.unwrap();
    SqliteStore::open(&place.path)
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_file_that_is_not_a_store_is_refused_and_left_unchanged() {
    let place = place();
    for (content, kind) in [
        (&b""[..], StoreErrorKind::Corrupt),
        (
            &b"this is not a database, but long enough to be looked at as one. It is a text."[..],
            StoreErrorKind::Corrupt,
        ),
    ] {
        std::fs::write(&place.path, content).unwrap();
        let error = refused_open(&place.path).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(std::fs::read(&place.path).unwrap(), content);
    }
    std::fs::remove_file(&place.path).unwrap();

    let mut other = raw(&place.path).await;
    run(&mut other, "CREATE TABLE theirs (id INTEGER)")
        .await
        .unwrap();
    other.close().await.unwrap();
    let theirs = std::fs::read(&place.path).unwrap();
    let error = refused_open(&place.path).await;
    assert_eq!(error.kind(), StoreErrorKind::Incompatible, "{error}");
    // Not even its journal mode.
    assert_eq!(std::fs::read(&place.path).unwrap(), theirs);
}

#[cfg(unix)]
#[tokio::test]
async fn another_name_of_the_same_file_is_the_same_store() {
    let place = place();
    let link = place.path.with_file_name("link.db");
    let store = SqliteStore::open(&place.path).await.unwrap();
    std::os::unix::fs::symlink(&place.path, &link).unwrap();
    let error = refused_open(&link).await;
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_unpolled_call_does_not_prevent_closing() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    let (query, new) = (Query::new(), Arc::new(NewAction::task("a")));
    let mut read = Box::pin(store.list(&query));
    let mut write = Box::pin(store.write(Batch::each(vec![Command::create(new)])));
    let mut context = Context::from_waker(Waker::noop());
    assert!(read.as_mut().poll(&mut context).is_pending());
    assert!(write.as_mut().poll(&mut context).is_pending());
    store.close().await.unwrap();
    // Both were taken before, so both are answered.
    assert!(read.await.is_ok());
    assert!(write.await.is_ok());
}

#[tokio::test]
async fn a_path_with_a_special_meaning_in_sqlite_is_refused() {
    for path in ["", ":memory:", "file:actions.db?mode=memory", "a\0b", ".."] {
        let error = refused_open(Path::new(path)).await;
        assert_eq!(error.kind(), StoreErrorKind::Invalid, "{path:?}: {error}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_directory_that_cannot_be_written_is_unavailable() {
    // Where even root cannot create a file.
    let error = refused_open(Path::new("/proc/self/actions.db")).await;
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    assert!(std::error::Error::source(&error).is_some());
    let error = refused_open(Path::new("/nowhere/at/all/actions.db")).await;
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn files_left_by_a_killed_opener_are_removed() {
    let place = place();
    let left = place.path.with_extension("db.new");
    std::fs::write(&left, b"half a store").unwrap();
    let store = SqliteStore::open(&place.path).await.unwrap();
    store.create(NewAction::task("a")).await.unwrap();
    store.close().await.unwrap();
    assert!(!left.exists());
}

#[tokio::test]
async fn a_full_store_refuses_writes_and_goes_on_once_there_is_room() {
    let place = place();
    let options = SqliteOptions::new().with_max_bytes(512 * 1024);
    let store = options.open(&place.path).await.unwrap();
    let long = "x".repeat(4000);
    let mut over = Vec::new();
    for _ in 0..20 {
        let new = NewAction::task("a").with_description(long.clone());
        let uid = store.create(new).await.unwrap().uid;
        let end = Finish::new(action_store::Outcome::Cancelled);
        over.push(store.finish(uid, end, None).await.unwrap());
    }
    let mut kept = over.clone();
    let full = loop {
        let new = NewAction::task("a").with_description(long.clone());
        match store.create(new).await {
            Ok(action) => kept.push(action),
            Err(error) => break error,
        }
        assert!(kept.len() < 1000, "it never got full");
    };
    assert_eq!(full.kind(), ErrorKind::Unavailable, "{full}");
    assert!(full.to_string().contains("full"), "{full}");
    // Reads go on, and nothing that was acknowledged is missing.
    let all = Query::new().with_order(Order::Oldest);
    assert_eq!(store.pages(all).collect().await.unwrap(), kept);
    // Removing completed actions frees space without reopening the store.
    for action in over {
        let (uid, if_version) = (action.uid, action.version);
        store
            .command(Command::remove(uid, if_version))
            .await
            .unwrap();
    }
    let new = NewAction::task("a").with_description(long);
    store.create(new).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn no_other_program_can_break_the_rules() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    let owner = claim(&store, "plane").await;
    completed(&store, &owner).await;
    let busy = executing(&store, &owner).await;
    let half = Progress::percent(50.0).unwrap();
    store
        .report(busy, Report::new().with_progress(half), &owner)
        .await
        .unwrap();
    store.create(NewAction::task("queued")).await.unwrap();
    let part = NewAction::task("part").with_parent(busy);
    let part = store.create(part).await.unwrap().uid;
    let cancelled = Finish::new(Outcome::Cancelled);
    store.finish(part, cancelled, None).await.unwrap();
    store.close().await.unwrap();

    let mut other = raw(&place.path).await;
    for sql in [
        // Completed actions and log entries cannot change.
        "UPDATE actions_action SET outcome = 1, flags = flags | 4, version = 9 WHERE number = 1",
        "UPDATE actions_action SET body = x'00', version = 9 WHERE number = 1",
        "UPDATE actions_log SET at = 0 WHERE entry = 1",
        "DELETE FROM actions_log WHERE entry = 1",
        "INSERT OR REPLACE INTO actions_log (entry, action, kind, version, at, status, progress, \
         body) VALUES (1, 1, 0, 1, 0, 0, 0, x'00')",
        "INSERT OR REPLACE INTO actions_log (entry, action, kind, version, at, status, progress, \
         body) VALUES (99, 1, 0, 1, 0, 0, 0, x'00')",
        "INSERT OR REPLACE INTO actions_action SELECT * FROM actions_action WHERE number = 1",
        // An unfinished action cannot be removed, and cannot go back.
        "DELETE FROM actions_action WHERE number = 2",
        "DELETE FROM actions_action WHERE number = 3",
        // A part of an unfinished action cannot be removed either.
        "DELETE FROM actions_action WHERE number = 4",
        "UPDATE actions_action SET status = 0, flags = 0, version = 9 WHERE number = 2",
        "UPDATE actions_action SET progress = 1, version = 9 WHERE number = 2",
        "UPDATE actions_action SET flags = 0, version = 9 WHERE number = 2",
        "UPDATE actions_action SET body = x'00' WHERE number = 2",
        "UPDATE actions_action SET name = 'x', version = 9 WHERE number = 2",
        // Each status requires some columns and forbids others.
        "UPDATE actions_action SET status = 1, version = 9 WHERE number = 3",
        "UPDATE actions_action SET status = 2, version = 9 WHERE number = 2",
        "UPDATE actions_action SET owner = NULL, incarnation = NULL, version = 9 WHERE number = 2",
        "UPDATE actions_action SET status = 2, outcome = 0, finished_at = 1, version = 9 \
         WHERE number = 3",
        "UPDATE actions_action SET status = 2, outcome = 4, finished_at = 1, version = 9, \
         flags = flags | 4 WHERE number = 2",
        "UPDATE actions_action SET progress = 10001, version = 9 WHERE number = 2",
        "UPDATE actions_action SET progress = 10000, version = 9 WHERE number = 2",
        "UPDATE actions_action SET body = x'', version = 9 WHERE number = 2",
        "UPDATE actions_action SET status = 'two', version = 9 WHERE number = 2",
        // Two alive under one name; one come back.
        "INSERT INTO actions_owner (name, incarnation, state, renewals, claimed_at, renewed_at, \
         body) VALUES ('plane', zeroblob(16), 0, 0, 0, 0, x'00')",
    ] {
        let refused = run(&mut other, sql).await;
        assert!(refused.is_err(), "{sql}");
    }
    let fence = "UPDATE actions_owner SET state = 1, ended_at = 0";
    assert_eq!(run(&mut other, fence).await.unwrap(), 1);
    let back = "UPDATE actions_owner SET state = 0, ended_at = NULL";
    assert!(run(&mut other, back).await.is_err());
    // Legal changes are still possible.
    let progress = "UPDATE actions_action SET progress = 6000, version = 9 WHERE number = 2";
    assert_eq!(run(&mut other, progress).await.unwrap(), 1);
    let remove = "DELETE FROM actions_action WHERE number = 1";
    assert_eq!(run(&mut other, remove).await.unwrap(), 1);
    let left = "DELETE FROM actions_log WHERE action = 1";
    assert_eq!(
        run(&mut other, left).await.unwrap(),
        0,
        "its log went with it"
    );
    other.close().await.unwrap();

    // The changed columns contradict the stored form, and the store says so.
    let store = SqliteStore::open(&place.path).await.unwrap();
    let check = store.check().await.unwrap();
    let found: Vec<&str> = check.findings.iter().map(String::as_str).collect();
    assert_eq!((check.actions, check.damaged), (3, 3), "{found:?}");
    assert!(
        found[0].contains("progress contradicts its body"),
        "{found:?}"
    );
    let owner = found[1].contains("owner 1: ") && found[1].contains("checksum");
    assert!(owner, "{found:?}");
    assert_eq!(found[2], "1 objects without an action", "{found:?}");
    // The store remembers the findings of the check.
    assert_eq!(store.diagnostics().await.unwrap().damaged, 3);
    store.close().await.unwrap();
}

#[tokio::test]
async fn people_read_the_actions_and_their_logs_through_views() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    let owner = claim(&store, "plane").await;
    let uid = executing(&store, &owner).await;
    let end = Finish::new(Outcome::Interrupted);
    let end = end.with_error(action_store::ActionError::new("stopped", "it was stopped"));
    let done = store.finish(uid, end, Some(&owner)).await.unwrap();
    let queued = store.create(NewAction::task("queued")).await.unwrap();
    let log = store.log(&action_store::LogQuery::all()).await.unwrap();
    store.close().await.unwrap();
    let mut other = raw(&place.path).await;
    let rows: Vec<(String, String, String, Option<String>)> =
        sqlx::query_as("SELECT uid, source, status, outcome FROM actions_overview ORDER BY number")
            .fetch_all(&mut other)
            .await
            .unwrap();
    let expected = [done, queued].map(|action| {
        (
            action.uid.to_string(),
            action.source.as_str().to_owned(),
            action.status.as_str().to_owned(),
            action.outcome.map(|outcome| outcome.as_str().to_owned()),
        )
    });
    assert_eq!(rows, expected);
    let kinds: Vec<String> = sqlx::query_scalar("SELECT kind FROM actions_history ORDER BY entry")
        .fetch_all(&mut other)
        .await
        .unwrap();
    let expected: Vec<&str> = log.items.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(kinds, expected);
    assert_eq!(kinds, ["created", "started", "finished", "created"]);
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_check_finds_rows_that_contradict_each_other() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    let owner = claim(&store, "plane").await;
    completed(&store, &owner).await;
    let object = NewAction::task("a").with_object(action_store::ObjectRef::bdb(1));
    store
        .create(object.with_label("region", "eu-1"))
        .await
        .unwrap();
    assert_eq!(store.check().await.unwrap().damaged, 0);
    store.close().await.unwrap();
    for (sql, found) in [
        (
            "DROP TRIGGER actions_action_identity; DROP TRIGGER actions_action_forward; \
             UPDATE actions_action SET correlation = 'x' WHERE number = 2",
            "column correlation contradicts",
        ),
        (
            "DROP TRIGGER actions_action_identity; DROP TRIGGER actions_action_forward; \
             UPDATE actions_action SET parent = zeroblob(16) WHERE number = 2",
            "column parent contradicts",
        ),
        (
            "DELETE FROM actions_feed WHERE action = 1",
            "without a place in the feed",
        ),
        (
            "INSERT INTO actions_feed VALUES (99, 99)",
            "places in the feed without",
        ),
        ("DELETE FROM actions_touch", "not found by their object"),
        (
            "DELETE FROM actions_label WHERE label = 'region'",
            "1 labels of actions that are not found",
        ),
        (
            "INSERT INTO actions_label VALUES ('region', 99)",
            "labels without",
        ),
        (
            "INSERT INTO actions_touch VALUES ('bdb:2', 99)",
            "objects without",
        ),
        (
            "INSERT INTO actions_key VALUES ('default', 0, 'k', 99)",
            "keys without",
        ),
        ("INSERT INTO actions_pin VALUES (99)", "pins without"),
        (
            "UPDATE actions_block SET finished_max = finished_min - 1",
            "outside the times",
        ),
        (
            "UPDATE actions_store SET actions = actions + 5",
            "5 actions more or fewer",
        ),
        (
            "INSERT INTO actions_log SELECT 99, 99, kind, version, at, status, outcome, progress, \
             step, owner, incarnation, by, op, note, body FROM actions_log WHERE entry = 1",
            "log entry 99",
        ),
    ] {
        let copy = place.path.with_file_name("copy.db");
        std::fs::copy(&place.path, &copy).unwrap();
        let mut other = raw(&copy).await;
        run(&mut other, sql).await.unwrap();
        other.close().await.unwrap();
        let damaged = SqliteStore::open(&copy).await.unwrap();
        let check = damaged.check().await.unwrap();
        let findings = check.findings.join("; ");
        assert!(findings.contains(found), "{sql}: {findings}");
        damaged.close().await.unwrap();
    }
}

#[tokio::test]
async fn damage_is_reported_as_corrupt_for_the_damaged_action_only() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    let owner = claim(&store, "plane").await;
    let sound = executing(&store, &owner).await;
    let broken = executing(&store, &owner).await;
    store.close().await.unwrap();
    let mut other = raw(&place.path).await;
    run(&mut other, "PRAGMA ignore_check_constraints = ON")
        .await
        .unwrap();
    let damage = "UPDATE actions_action SET body = x'ff0aff', version = 9 WHERE number = 2";
    assert_eq!(run(&mut other, damage).await.unwrap(), 1);
    other.close().await.unwrap();

    let store = Arc::new(SqliteStore::open(&place.path).await.unwrap());
    assert!(store.action(sound).await.unwrap().is_some());
    assert_eq!(
        store.action(broken).await.unwrap_err().kind(),
        StoreErrorKind::Corrupt
    );
    assert_eq!(
        store.list(&Query::new()).await.unwrap_err().kind(),
        StoreErrorKind::Corrupt
    );
    // A caller that shares the read is not affected either.
    for _ in 0..20 {
        let (good, bad, again) = tokio::join!(
            store.action(sound),
            store.action(broken),
            store.action(sound)
        );
        assert!(good.unwrap().is_some() && again.unwrap().is_some());
        assert_eq!(bad.unwrap_err().kind(), StoreErrorKind::Corrupt);
    }
    // The owner ended with the store: a new one takes over.
    let owner = claim(&store, "plane").await;
    let adopt = Command::apply(sound, action_store::Change::Adopt).by(owner.clone());
    store.command(adopt).await.unwrap();
    // Both wait in one group. The damage does not affect the other caller of the transaction.
    for _ in 0..20 {
        let (good, bad) = tokio::join!(
            store.report(sound, Report::new(), &owner),
            store.report(broken, Report::new(), &owner),
        );
        good.unwrap();
        assert_eq!(bad.unwrap_err().kind(), ErrorKind::Corrupt);
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_write_is_withdrawn_or_unknown_when_its_time_is_up() {
    let place = place();
    let options = SqliteOptions::new().with_timeout(Duration::from_millis(300));
    let store = options.open(&place.path).await.unwrap();
    let mut other = raw(&place.path).await;
    run(&mut other, "BEGIN IMMEDIATE").await.unwrap();
    let (first, second) = (NewAction::task("first"), NewAction::task("second"));
    let (taken, withdrawn) = (first.uid, second.uid);
    let create = |new: NewAction| store.write(Batch::each(vec![Command::create(new)]));
    let (first, second) = tokio::join!(create(first), async {
        // The writer has the first one by now and waits for the lock.
        tokio::time::sleep(Duration::from_millis(100)).await;
        create(second).await
    });
    assert_eq!(first.unwrap_err().kind(), StoreErrorKind::OutcomeUnknown);
    assert_eq!(second.unwrap_err().kind(), StoreErrorKind::Unavailable);
    run(&mut other, "ROLLBACK").await.unwrap();
    other.close().await.unwrap();
    // The first may come in now; the second never does.
    for _ in 0..50 {
        if store.action(taken).await.unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(store.action(taken).await.unwrap().is_some());
    assert!(store.action(withdrawn).await.unwrap().is_none());
    store.close().await.unwrap();
}

#[tokio::test]
async fn another_connections_lock_makes_a_write_unavailable_in_the_end() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    let mut other = raw(&place.path).await;
    run(&mut other, "BEGIN IMMEDIATE").await.unwrap();
    let new = NewAction::task("a");
    let uid = new.uid;
    let error = store.create(new).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    run(&mut other, "ROLLBACK").await.unwrap();
    other.close().await.unwrap();
    assert!(store.action(uid).await.unwrap().is_none());
    store.create(NewAction::task("b")).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_pauses_tokios_clock_finds_nothing_timed_out() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    for _ in 0..20 {
        let uid = store.create(NewAction::task("a")).await.unwrap().uid;
        assert!(store.action(uid).await.unwrap().is_some());
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn dropped_futures_leave_each_batch_whole_or_absent() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    let owner = claim(&store, "plane").await;
    let mut uids = Vec::new();
    for round in 0..200 {
        let new = NewAction::task("a");
        let uid = new.uid;
        uids.push(uid);
        let start = Command::apply(uid, action_store::Change::Start).by(owner.clone());
        let create = Command::create(new).by(owner.clone());
        let mut write = Box::pin(store.write(Batch::all(vec![create, start])));
        // Polled a different number of times in each round, then dropped.
        for _ in 0..round % 5 {
            let mut context = Context::from_waker(Waker::noop());
            if write.as_mut().poll(&mut context).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(write);
        let query = Query::new().with_limit(1);
        let mut read = Box::pin(store.list(&query));
        for _ in 0..round % 3 {
            let mut context = Context::from_waker(Waker::noop());
            if read.as_mut().poll(&mut context).is_ready() {
                break;
            }
        }
        drop(read);
    }
    // Behind all of them in the queue.
    store.create(NewAction::task("last")).await.unwrap();
    let mut there = 0;
    for found in store.get(&uids).await.unwrap().into_iter().flatten() {
        there += 1;
        assert_eq!((found.status, found.version.get()), (Status::Executing, 2));
        assert_eq!(
            store
                .log(&LogQuery::of(found.uid))
                .await
                .unwrap()
                .items
                .len(),
            2
        );
    }
    assert!((100..=200).contains(&there), "{there} of 200");
    store.close().await.unwrap();
}

#[test]
fn it_outlives_its_runtime_without_a_panic_or_a_hang() {
    let place = place();
    let first = tokio::runtime::Runtime::new().unwrap();
    let store = first.block_on(SqliteStore::open(&place.path)).unwrap();
    first.block_on(store.create(NewAction::task("a"))).unwrap();
    drop(first);
    let second = tokio::runtime::Runtime::new().unwrap();
    let write = second.block_on(store.create(NewAction::task("b")));
    assert_eq!(write.unwrap_err().kind(), ErrorKind::Closed);
    let read = second.block_on(store.list(&Query::new()));
    assert_eq!(read.unwrap_err().kind(), StoreErrorKind::Closed);
    drop(second);
    // Outside any runtime.
    drop(store);
    let third = tokio::runtime::Runtime::new().unwrap();
    third.block_on(async {
        // The old connections end on threads of their own; the lock went with the tasks.
        let store = SqliteStore::open(&place.path).await.unwrap();
        assert_eq!(store.list(&Query::new()).await.unwrap().items.len(), 1);
        store.close().await.unwrap();
    });
}

#[tokio::test]
async fn closing_finishes_what_was_taken() {
    let place = place();
    let store = Arc::new(SqliteStore::open(&place.path).await.unwrap());
    let writes: Vec<_> = (0..100)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.create(NewAction::task("a")).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await.unwrap();
    store.close().await.unwrap();
    let mut acknowledged = Vec::new();
    for write in writes {
        match write.await.unwrap() {
            Ok(action) => acknowledged.push(action.uid),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
        }
    }
    let store = SqliteStore::open(&place.path).await.unwrap();
    let found = store.get(&acknowledged).await.unwrap();
    assert!(found.iter().all(Option::is_some));
    assert_eq!(
        store.list(&Query::new()).await.unwrap().items.len(),
        acknowledged.len()
    );
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_store_sees_writes_of_another_program() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    let owner = claim(&store, "plane").await;
    let uid = executing(&store, &owner).await;
    // The other program works in a copy, and brings its rows over as a well-behaved one would: the
    // action, its log, the store's row.
    let copy = place.path.with_file_name("copy.db");
    store.backup_to(&copy).await.unwrap();
    let theirs = SqliteOptions::new().shared().open(&copy).await.unwrap();
    let mut other = raw(&place.path).await;
    let attach = format!("ATTACH '{}' AS theirs", copy.display());
    run(&mut other, &attach).await.unwrap();
    for step in 1..=3 {
        let text = format!("theirs {step}");
        let report = Report::new().with_step(&*text);
        theirs.report(uid, report, &owner).await.unwrap();
        let sql = "BEGIN IMMEDIATE; \
             UPDATE actions_action SET (version, body) = (SELECT version, body \
             FROM theirs.actions_action WHERE number = 1) WHERE number = 1; \
             INSERT INTO main.actions_log SELECT * FROM theirs.actions_log \
             WHERE entry > (SELECT last_entry FROM main.actions_store); \
             UPDATE main.actions_store SET revision = revision + 1, last_entry = last_entry + 1; \
             UPDATE main.actions_feed SET revision = (SELECT revision FROM main.actions_store); \
             COMMIT";
        sqlx::raw_sql(sql).execute(&mut other).await.unwrap();
        let seen = store.report(uid, Report::new(), &owner).await.unwrap();
        assert_eq!(seen.step.as_deref(), Some(&*text));
        assert_eq!(seen.version.get(), 2 + 2 * step);
        theirs.report(uid, Report::new(), &owner).await.unwrap();
    }
    theirs.close().await.unwrap();
    other.close().await.unwrap();
    let done = store
        .finish(uid, Finish::succeeded(), Some(&owner))
        .await
        .unwrap();
    assert_eq!((done.version.get(), done.log_entries), (9, 6));
    store.close().await.unwrap();
}

#[test]
fn opening_outside_a_runtime_is_an_error_and_no_panic() {
    let place = place();
    let mut open = Box::pin(SqliteStore::open(&place.path));
    let mut context = Context::from_waker(Waker::noop());
    match open.as_mut().poll(&mut context) {
        std::task::Poll::Ready(Err(error)) => assert_eq!(error.kind(), StoreErrorKind::Closed),
        other => panic!("{other:?}"),
    }
}

#[cfg(feature = "tracker")]
#[tokio::test]
async fn diagnostics_and_health_are_serialized_for_a_health_page() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(dir.path().join("a.db")).await.unwrap());
    let diagnostics = serde_json::to_value(store.diagnostics().await.unwrap()).unwrap();
    assert_eq!(diagnostics["access"], "exclusive");
    assert_eq!(diagnostics["file"], "same");
    assert_eq!(diagnostics["busy_timeout"], 5.0);
    assert_eq!(diagnostics["position"]["revision"], 0);

    let tracker = action_store::Tracker::start(store.clone(), "plane")
        .await
        .unwrap();
    let health = serde_json::to_value(tracker.health()).unwrap();
    assert_eq!(health["lease"], 30.0);
    assert_eq!(health["is_owner"], true);
    assert_eq!(health["swept"]["lost"], 0);
    tracker.shutdown().await.unwrap();
    store.close().await.unwrap();
}
