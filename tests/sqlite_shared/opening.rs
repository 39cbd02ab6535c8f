//! Many processes open one new store at once, and one of them is killed. The database may be a
//! host's, with its own tables and migrations.

use std::path::Path;
use std::time::{Duration, Instant};

use action_store::conformance::check_store;
use action_store::{
    ActionStore, ActionStoreExt, ErrorKind, NewAction, SqliteOptions, StoreErrorKind,
};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
};
use sqlx_core::migrate::Migrator;

use super::children::{Child, say, told, until_let_go};
use super::{Dice, Place, asked_for, place, reopened_and_checked};

/// How many open at once.
const OPENERS: usize = 8;

/// Opens, creates one action, and keeps the store open until it is let go.
pub(crate) async fn open_when_told(path: &Path, way: &str) {
    say("ready");
    assert_eq!(told(), "go");
    let opened = match way {
        "shared" => SqliteOptions::new().shared().open(path).await,
        busy_timeout => {
            // The host's: it sets nothing that would stay with the database.
            let patience = Duration::from_millis(busy_timeout.parse().unwrap());
            let options = SqliteConnectOptions::new().filename(path);
            let pool = SqlitePoolOptions::new().max_connections(2);
            let pool = pool.connect_with(options.busy_timeout(patience)).await;
            SqliteOptions::new().on_pool(pool.unwrap()).await
        }
    };
    let store = match opened {
        Ok(store) => store,
        Err(error) => return say(&format!("failed: {error:?}")),
    };
    let new = NewAction::task("opened");
    let begun = Instant::now();
    let uid = loop {
        match store.create(new.clone()).await {
            Ok(action) => break action.uid,
            // An impatient pool, and seven others that write.
            Err(error) if begun.elapsed() < Duration::from_secs(20) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            }
            Err(error) => return say(&format!("failed: {error:?}")),
        }
    };
    let store_id = loop {
        match store.changed(None).await {
            Ok(position) => break position.store_id,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}"),
        }
    };
    say(&format!("open {store_id} {uid}"));
    until_let_go();
    match store.close().await {
        Ok(()) => say("closed"),
        Err(error) => say(&format!("failed: {error:?}")),
    }
}

/// Result of a round.
struct Round {
    /// How long it took from the word until the first one had opened.
    first: Duration,
    /// True if the killed process had not opened the store yet.
    killed_early: bool,
}

/// Lets eight open the store at a path, kills one, and checks that all the others have one and the
/// same store.
async fn open_at_once(place: &Place, way: &str, dice: &Dice, usual: Duration) -> Round {
    let mut openers: Vec<Child> = (0..OPENERS)
        .map(|_| Child::start("opener", &place.path, way))
        .collect();
    for opener in &mut openers {
        assert_eq!(opener.heard().as_deref(), Some("ready"));
    }
    for opener in &mut openers {
        opener.tell("go");
    }
    let begun = Instant::now();
    let killed = dice.roll(OPENERS as u64) as usize;
    let most = usual.as_micros() as u64 * 3 / 2 + 1;
    std::thread::sleep(Duration::from_micros(dice.roll(most)));
    openers[killed].kill();
    let mut first = None;
    let (mut lives, mut uids, mut killed_early) = (Vec::new(), Vec::new(), false);
    for (index, opener) in openers.iter_mut().enumerate() {
        let said = opener.heard();
        if index == killed && said.is_none() {
            killed_early = true;
            continue;
        }
        let said = said.expect("the others to go on");
        let words: Vec<&str> = said.split(' ').collect();
        assert_eq!(words[0], "open", "opener {index}, killed {killed}: {said}");
        first.get_or_insert_with(|| begun.elapsed());
        lives.push(words[1].to_owned());
        uids.push(words[2].parse().unwrap());
    }
    lives.dedup();
    assert_eq!(lives.len(), 1, "one store: {lives:?}");
    for opener in &mut openers {
        opener.let_go();
    }
    for (index, opener) in openers.iter_mut().enumerate() {
        if index != killed {
            assert_eq!(opener.heard().as_deref(), Some("closed"));
            assert!(opener.ended().success());
        }
    }
    drop(openers);
    let store = match way {
        "shared" => {
            let (store, _) = reopened_and_checked(&place.path).await;
            store
        }
        _ => {
            let pool = hosts_pool(&place.path).await;
            let options = SqliteOptions::new().verify_schema();
            let store = options.on_pool(pool).await.unwrap();
            check_store(&store).await.unwrap();
            store
        }
    };
    let found = store.get(&uids).await.unwrap();
    assert!(found.iter().all(Option::is_some), "{uids:?}: {found:?}");
    let first = first.unwrap();
    store.close().await.unwrap();
    Round {
        first,
        killed_early,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_that_share_a_new_store_have_one_though_one_is_killed() {
    let (dice, rounds) = (Dice::new(), asked_for("OPENING_ROUNDS", 25));
    let (mut usual, mut early) = (Duration::from_millis(40), 0);
    for _ in 0..rounds {
        let place = place();
        let round = open_at_once(&place, "shared", &dice, usual).await;
        usual = round.first;
        early += usize::from(round.killed_early);
        // Partial files of the killed process are removed, and the WAL is folded.
        assert_eq!(place.files(), ["plane.db", "plane.db.lock"]);
    }
    println!("{rounds} rounds, {early} killed before it had opened, the first after {usual:?}");
    assert!(early > 0, "all of them had opened before one was killed");
}

/// A pool as a host has it that has thoughts of its own about every setting.
async fn hosts_pool(path: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(path);
    let pool = SqlitePoolOptions::new().max_connections(1);
    pool.connect_with(options).await.unwrap()
}

/// The host's database before any table is created in it.
async fn founded(path: &Path, round: u64) -> (SqlitePool, SqliteJournalMode) {
    let mode = match round / 2 % 2 {
        0 => SqliteJournalMode::Wal,
        _ => SqliteJournalMode::Delete,
    };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .page_size(if round.is_multiple_of(3) { 8192 } else { 1024 })
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .pragma(
            "encoding",
            if round.is_multiple_of(4) {
                "'UTF-16le'"
            } else {
                "'UTF-8'"
            },
        )
        .journal_mode(mode);
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect_with(options).await.unwrap();
    for sql in [
        "PRAGMA user_version = 77",
        "PRAGMA application_id = 1234567",
    ] {
        sqlx::query(sql).execute(&pool).await.unwrap();
    }
    (pool, mode)
}

/// Everything about a database that is the host's, as text.
async fn hosts_own(pool: &SqlitePool) -> Vec<String> {
    let mut own = Vec::new();
    for pragma in [
        "journal_mode",
        "user_version",
        "application_id",
        "auto_vacuum",
        "page_size",
        "encoding",
    ] {
        let value: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}"
        )))
        .fetch_all(pool)
        .await
        .unwrap();
        assert_eq!(value.len(), 1, "{pragma}");
        own.push(format!("{pragma} {value:?}"));
    }
    let objects = "SELECT type || ' ' || name || ' ' || tbl_name || ' ' || coalesce(sql, '') \
         FROM sqlite_master WHERE tbl_name NOT LIKE 'actions\\_%' ESCAPE '\\' ORDER BY name";
    let objects: Vec<String> = sqlx::query_scalar(objects).fetch_all(pool).await.unwrap();
    let has_migrations = objects.iter().any(|o| o.contains("_sqlx_migrations"));
    own.extend(objects);
    if has_migrations {
        for rows in [
            "SELECT format('%s|%s|%s|%s|%s|%s', version, description, installed_on, success, \
             hex(checksum), execution_time) FROM _sqlx_migrations ORDER BY version",
            "SELECT format('%s|%s', id, name) FROM databases ORDER BY id",
        ] {
            let rows: Vec<String> = sqlx::query_scalar(rows).fetch_all(pool).await.unwrap();
            assert_eq!(rows.len(), 2);
            own.extend(rows);
        }
    }
    own
}

/// The host's own migrations, by sqlx's own migrator.
async fn migrator(place: &Place) -> Migrator {
    let migrations = place.dir.path().join("migrations");
    std::fs::create_dir(&migrations).unwrap();
    for (name, sql) in [
        (
            "1_databases.sql",
            "CREATE TABLE databases (id INTEGER PRIMARY KEY, name TEXT NOT NULL); \
             CREATE UNIQUE INDEX databases_name ON databases (name);",
        ),
        (
            "2_rows.sql",
            "INSERT INTO databases (name) VALUES ('orders'), ('users'); \
             CREATE TRIGGER keep_databases BEFORE DELETE ON databases \
             BEGIN SELECT RAISE(ABORT, 'kept'); END;",
        ),
    ] {
        std::fs::write(migrations.join(name), sql).unwrap();
    }
    let migrator = Migrator::new(migrations.as_path()).await.unwrap();
    std::fs::remove_dir_all(migrations).unwrap();
    migrator
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_on_a_hosts_database_leave_it_as_it_is_though_one_is_killed() {
    let (dice, rounds) = (Dice::new(), asked_for("OPENING_ROUNDS", 25));
    let (mut usual, mut early) = (Duration::from_millis(40), 0);
    for round in 0..rounds {
        let place = place();
        let (pool, mode) = founded(&place.path, round).await;
        let host = migrator(&place).await;
        let hosts_first = round.is_multiple_of(2);
        if hosts_first {
            host.run(&pool).await.unwrap();
        }
        let before = hosts_own(&pool).await;
        pool.close().await;

        // Some hosts give up at once when another connection writes.
        let patience = ["5000", "50", "5000"][dice.roll(3) as usize];
        let opened = open_at_once(&place, patience, &dice, usual).await;
        usual = opened.first;
        early += usize::from(opened.killed_early);

        let pool = hosts_pool(&place.path).await;
        assert_eq!(hosts_own(&pool).await, before, "round {round}, {mode:?}");
        // The other order, or a repeat: the host's tool finds what it left, and nothing else.
        host.run(&pool).await.unwrap();
        let migrated = hosts_own(&pool).await;
        match hosts_first {
            true => assert_eq!(migrated, before),
            false => assert_eq!(migrated[..6], before[..6]),
        }
        let store = SqliteOptions::new().verify_schema();
        let store = store.on_pool(pool.clone()).await.unwrap();
        store.create(NewAction::task("after")).await.unwrap();
        store.close().await.unwrap();
        assert_eq!(hosts_own(&pool).await, migrated);
        pool.close().await;
        let mut files = place.files();
        files.retain(|file| !file.ends_with("-wal") && !file.ends_with("-shm"));
        assert_eq!(files, ["plane.db", "plane.db.lock"], "round {round}");
    }
    println!("{rounds} rounds, {early} killed before it had opened, the first after {usual:?}");
    assert!(early > 0, "all of them had opened before one was killed");
}

/// Holds the database exclusively, as a long commit does, until the receiver hears of an opener that
/// has met it.
fn held_exclusively(path: &Path, time: Duration) -> std::thread::JoinHandle<()> {
    let (began, begun) = std::sync::mpsc::channel();
    let path = path.to_owned();
    let holder = std::thread::spawn(move || {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
        began.send(()).unwrap();
        std::thread::sleep(time);
        connection.execute_batch("COMMIT").unwrap();
    });
    begun.recv().unwrap();
    holder
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impatient_pool_opens_once_another_connection_lets_the_database_go() {
    for (round, options) in [
        SqliteOptions::new(),
        SqliteOptions::new().verify_schema(),
        SqliteOptions::new().read_only(),
    ]
    .into_iter()
    .enumerate()
    {
        // With a rollback journal, one that commits keeps readers out as well.
        let place = place();
        let (pool, _) = founded(&place.path, 2).await;
        if round > 0 {
            let store = SqliteOptions::new().on_pool(pool.clone()).await.unwrap();
            store.close().await.unwrap();
        }
        pool.close().await;
        let connect = SqliteConnectOptions::new().filename(&place.path);
        let connect = connect.busy_timeout(Duration::ZERO);
        let pool = SqlitePoolOptions::new().max_connections(2);
        let pool = pool.connect_with(connect).await.unwrap();
        let holder = held_exclusively(&place.path, Duration::from_millis(300));
        let store = options.on_pool(pool.clone()).await.expect("to wait");
        holder.join().unwrap();
        check_store(&store).await.unwrap();
        store.close().await.unwrap();
        pool.close().await;
    }
}
