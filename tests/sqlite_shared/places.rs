//! Requirements on a file, a schema or a pool, and which other processes may open it.

use std::path::Path;

use std::sync::Arc;

use action_store::conformance::check_store;
use action_store::sqlite::SqliteAccess;
use action_store::{
    ActionStore, ActionStoreExt, Batch, Durability, NewAction, SqliteOptions, SqliteStore,
    StoreError, StoreErrorKind,
};
use sqlx::Connection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::children::{Child, say, told, until_let_go};
use super::{creating, ends, place, pool, raw, run, shared};

/// Keeps an exclusive store open, and creates an action on each request.
pub(crate) async fn hold_until_let_go(path: &Path, _more: &str) {
    let store = SqliteStore::open(path).await.unwrap();
    say("open");
    while told() == "create" {
        let action = store.create(NewAction::task("held")).await.unwrap();
        say(&format!("created {}", action.uid));
    }
    store.close().await.unwrap();
    say("closed");
    until_let_go();
}

fn refused(kind: StoreErrorKind, opened: Result<SqliteStore, StoreError>) -> String {
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), kind, "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_store_that_must_exist_is_not_made() {
    let place = place();
    for options in [
        SqliteOptions::new().must_exist(),
        SqliteOptions::new().must_exist().shared(),
        SqliteOptions::new().read_only(),
        SqliteOptions::new().verify_schema(),
        SqliteOptions::new().verify_schema().shared(),
    ] {
        refused(StoreErrorKind::Unavailable, options.open(&place.path).await);
        let mut files = place.files();
        files.retain(|file| !file.ends_with(".lock"));
        assert_eq!(files, Vec::<String>::new());
    }
    SqliteStore::open(&place.path)
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    let options = SqliteOptions::new().must_exist().shared();
    options
        .open(&place.path)
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_only_reads_sees_what_an_exclusive_writer_in_another_process_commits() {
    let place = place();
    let mut child = Child::start("holder", &place.path, "");
    assert_eq!(child.heard().unwrap(), "open");
    let beside = SqliteOptions::new().shared().open(&place.path);
    refused(StoreErrorKind::Unavailable, beside.await);

    let store = SqliteOptions::new()
        .read_only()
        .open(&place.path)
        .await
        .unwrap();
    assert_eq!(
        store.diagnostics().await.unwrap().access,
        SqliteAccess::ReadOnly
    );
    assert!(store.capabilities().shared);
    let write = store.write(creating(NewAction::task("a"))).await;
    assert_eq!(write.unwrap_err().kind(), StoreErrorKind::Unsupported);
    for _ in 0..5 {
        let at = store.changed(None).await.unwrap().revision;
        let wait = store.changed(Some(at));
        child.tell("create");
        let said = child.heard().unwrap();
        let uid = said.strip_prefix("created ").unwrap().parse().unwrap();
        assert!(ends(wait).await.unwrap().revision > at);
        assert!(store.action(uid).await.unwrap().is_some());
    }
    check_store(&store).await.unwrap();
    child.tell("end");
    assert_eq!(child.heard().unwrap(), "closed");
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_ledger_says_who_may_read_and_who_may_write() {
    let place = place();
    SqliteStore::open(&place.path)
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    let newer = |min_reader: i64, min_writer: i64| {
        format!(
            "INSERT OR REPLACE INTO actions_schema (version, min_reader, min_writer, applied_at) \
             VALUES (1000, {min_reader}, {min_writer}, 0)"
        )
    };
    for (min_reader, min_writer, reads, writes) in [
        (1, 1000, true, false),
        (1000, 1000, false, false),
        (1, 1, true, true),
    ] {
        let mut other = raw(&place.path).await;
        run(&mut other, &newer(min_reader, min_writer)).await;
        other.close().await.unwrap();
        let options = SqliteOptions::new();
        let read_only = options.clone().read_only().open(&place.path).await;
        match reads {
            true => read_only.unwrap().close().await.unwrap(),
            false => {
                let words = refused(StoreErrorKind::Incompatible, read_only);
                assert!(words.contains("1000"), "{words}");
            }
        }
        let pool = pool(&place.path, 1).await;
        for way in 0..3 {
            let options = options.clone();
            let opened = match way {
                0 => options.open(&place.path).await,
                1 => options.shared().open(&place.path).await,
                _ => options.on_pool(pool.clone()).await,
            };
            match writes {
                true => {
                    let store = opened.unwrap();
                    store.create(NewAction::task("a")).await.unwrap();
                    store.close().await.unwrap();
                }
                false => {
                    let words = refused(StoreErrorKind::Incompatible, opened);
                    assert!(words.contains("1000"), "{words}");
                }
            }
        }
        pool.close().await;
    }
}

/// A host's own tool: it splits the text at its statements, and lays it out anew.
async fn applied_by_the_host(pool: &SqlitePool) {
    for text in SqliteStore::schema() {
        let mut statement = String::new();
        for line in text.lines() {
            let code = line.split("--").next().unwrap();
            statement.push_str(code.trim());
            statement.push_str("\n    ");
            let begins = statement.contains("CREATE TRIGGER");
            let ends = match begins {
                true => code.trim_end().ends_with("END;"),
                false => code.trim_end().ends_with(';'),
            };
            if ends {
                let sql = std::mem::take(&mut statement);
                let sql = sqlx::AssertSqlSafe(sql);
                sqlx::query(sql).execute(pool).await.unwrap();
            }
        }
        assert_eq!(statement.trim(), "");
    }
}

#[tokio::test]
async fn a_schema_that_the_hosts_own_tool_applied_is_verified_to_the_last_trigger() {
    let place = place();
    let pool = pool(&place.path, 2).await;
    let verify = SqliteOptions::new().verify_schema();
    let words = refused(
        StoreErrorKind::Incompatible,
        verify.clone().on_pool(pool.clone()).await,
    );
    assert!(words.contains("is missing"), "{words}");
    let tables = "SELECT count(*) FROM sqlite_master";
    let count: i64 = sqlx::query_scalar(tables).fetch_one(&pool).await.unwrap();
    assert_eq!(count, 0, "only looked at");

    applied_by_the_host(&pool).await;
    let store = verify.clone().on_pool(pool.clone()).await.unwrap();
    store.create(NewAction::task("a")).await.unwrap();
    store.close().await.unwrap();

    let objects = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL \
         AND type IN ('index', 'trigger') ORDER BY name";
    let objects: Vec<(String, String, String)> =
        sqlx::query_as(objects).fetch_all(&pool).await.unwrap();
    assert!(objects.len() > 10, "{}", objects.len());
    let mut host = raw(&place.path).await;
    for (kind, name, sql) in &objects {
        run(&mut host, &format!("DROP {kind} {name}")).await;
        let words = refused(
            StoreErrorKind::Incompatible,
            verify.clone().on_pool(pool.clone()).await,
        );
        assert!(
            words.contains(&format!("{kind} {name} is missing")),
            "{words}"
        );
        if kind == "trigger" {
            // There, but toothless.
            let toothless = sql.replacen("BEGIN", "BEGIN SELECT 1;", 1);
            assert_ne!(toothless, *sql);
            run(&mut host, &toothless).await;
            let opened = verify.clone().on_pool(pool.clone()).await;
            let words = refused(StoreErrorKind::Incompatible, opened);
            assert!(
                words.contains(&format!("{name} differs from the one")),
                "{words}"
            );
            run(&mut host, &format!("DROP TRIGGER {name}")).await;
        }
        run(&mut host, sql).await;
        let store = verify.clone().on_pool(pool.clone()).await.unwrap();
        store.close().await.unwrap();
    }
    run(&mut host, "DROP TABLE actions_pin").await;
    let words = refused(
        StoreErrorKind::Incompatible,
        verify.clone().on_pool(pool.clone()).await,
    );
    assert!(words.contains("table actions_pin is missing"), "{words}");
    host.close().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let shared = || SqliteOptions::new().shared();
    let place = super::place();
    std::fs::write(&place.path, b"").unwrap();
    refused(StoreErrorKind::Corrupt, shared().open(&place.path).await);
    std::fs::write(&place.path, vec![7; 8192]).unwrap();
    refused(StoreErrorKind::Corrupt, shared().open(&place.path).await);
    assert_eq!(std::fs::read(&place.path).unwrap(), vec![7; 8192]);
    std::fs::remove_file(&place.path).unwrap();
    let mut theirs = SqliteConnectOptions::new()
        .filename(&place.path)
        .create_if_missing(true);
    theirs = theirs.pragma("journal_mode", "DELETE");
    let mut theirs = sqlx::ConnectOptions::connect(&theirs).await.unwrap();
    run(&mut theirs, "CREATE TABLE theirs (name TEXT)").await;
    theirs.close().await.unwrap();
    let before = std::fs::read(&place.path).unwrap();
    for options in [
        shared(),
        shared().must_exist(),
        shared().verify_schema(),
        SqliteOptions::new().read_only(),
    ] {
        refused(
            StoreErrorKind::Incompatible,
            options.open(&place.path).await,
        );
        assert_eq!(std::fs::read(&place.path).unwrap(), before);
    }
}

#[tokio::test]
async fn an_exclusive_store_cannot_be_opened_in_any_other_way() {
    let place = place();
    let alone = SqliteStore::open(&place.path).await.unwrap();
    let pool = pool(&place.path, 1).await;
    let (by_path, on_pool) = tokio::join!(
        SqliteOptions::new().shared().open(&place.path),
        SqliteOptions::new().on_pool(pool.clone())
    );
    refused(StoreErrorKind::Unavailable, by_path);
    refused(StoreErrorKind::Unavailable, on_pool);
    alone.close().await.unwrap();
    let on_pool = SqliteOptions::new().on_pool(pool).await.unwrap();
    let by_path = shared(&place.path).await;
    refused(
        StoreErrorKind::Unavailable,
        SqliteStore::open(&place.path).await,
    );
    on_pool.close().await.unwrap();
    by_path.close().await.unwrap();
}

async fn pool_with(options: SqliteConnectOptions) -> SqlitePool {
    let pool = SqlitePoolOptions::new().max_connections(1);
    pool.connect_with(options.create_if_missing(true))
        .await
        .unwrap()
}

/// SQLite opens a file for reading only when it cannot open it for writing just then.
#[tokio::test]
async fn a_connection_of_the_pool_that_cannot_write_is_replaced() {
    let place = place();
    let file = SqliteConnectOptions::new()
        .filename(&place.path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = pool_with(file.clone()).await;
    let only_reads = async || {
        pool.set_connect_options(
            SqliteConnectOptions::new()
                .filename(&place.path)
                .read_only(true),
        );
        pool.acquire().await.unwrap().close().await.unwrap();
        let connection = pool.acquire().await.unwrap();
        pool.set_connect_options(file.clone());
        drop(connection);
    };
    SqliteStore::on_pool(pool.clone())
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    only_reads().await;
    let store = SqliteStore::on_pool(pool.clone()).await.unwrap();
    store.create(NewAction::task("a")).await.unwrap();
    only_reads().await;
    store.create(NewAction::task("b")).await.unwrap();
    store.close().await.unwrap();
    pool.close().await;
}

#[tokio::test]
async fn a_pool_is_taken_for_what_it_is() {
    let in_memory = pool_with(SqliteConnectOptions::new().in_memory(true)).await;
    refused(
        StoreErrorKind::Invalid,
        SqliteStore::on_pool(in_memory).await,
    );
    let place = place();
    let file = || SqliteConnectOptions::new().filename(&place.path);
    for mode in [SqliteJournalMode::Memory, SqliteJournalMode::Off] {
        let pool = pool_with(file().journal_mode(mode)).await;
        refused(
            StoreErrorKind::Invalid,
            SqliteStore::on_pool(pool.clone()).await,
        );
        let tables = sqlx::query_scalar("SELECT count(*) FROM sqlite_master");
        let tables: i64 = tables.fetch_one(&pool).await.unwrap();
        assert_eq!(tables, 0);
        pool.close().await;
    }
    // Disk where SQLite syncs what makes a commit a commit: the log, or the journal's end. In mode
    // DELETE that is the directory, which only EXTRA syncs.
    use Durability::{Disk, Process};
    for (mode, name, durabilities) in [
        (
            SqliteJournalMode::Wal,
            "wal",
            [Process, Process, Disk, Disk],
        ),
        (
            SqliteJournalMode::Truncate,
            "truncate",
            [Process, Process, Disk, Disk],
        ),
        (
            SqliteJournalMode::Persist,
            "persist",
            [Process, Process, Disk, Disk],
        ),
        (
            SqliteJournalMode::Delete,
            "delete",
            [Process, Process, Process, Disk],
        ),
    ] {
        let levels = [
            SqliteSynchronous::Off,
            SqliteSynchronous::Normal,
            SqliteSynchronous::Full,
            SqliteSynchronous::Extra,
        ];
        for (level, (synchronous, durability)) in levels.into_iter().zip(durabilities).enumerate() {
            let options = file().journal_mode(mode).synchronous(synchronous);
            let pool = pool_with(options.pragma("busy_timeout", "1234")).await;
            let store = SqliteStore::on_pool(pool.clone()).await.unwrap();
            assert_eq!(
                store.capabilities().durability,
                durability,
                "{name}/{level}"
            );
            store.create(NewAction::task("a")).await.unwrap();
            let said = store.diagnostics().await.unwrap();
            assert_eq!(said.journal_mode, name);
            assert_eq!(usize::from(said.synchronous), level);
            assert_eq!(said.access, SqliteAccess::HostPool);
            assert_eq!(said.busy_timeout.as_millis(), 1234);
            store.close().await.unwrap();
            pool.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_store_opens_beside_a_busy_writer() {
    let place = place();
    let busy = Arc::new(shared(&place.path).await);
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let busy = busy.clone();
            tokio::spawn(async move {
                loop {
                    // Nearly all of the time the lock is held.
                    let batch = (0..200).map(|_| NewAction::task("busy"));
                    let batch = batch.flat_map(|new| creating(new).commands).collect();
                    busy.write(Batch::each(batch)).await.unwrap();
                }
            })
        })
        .collect();
    for _ in 0..20 {
        shared(&place.path).await.close().await.unwrap();
    }
    for writer in writers {
        writer.abort();
        drop(writer.await);
    }
    busy.close().await.unwrap();
}
