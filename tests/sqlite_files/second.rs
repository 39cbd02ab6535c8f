//! A second opener reaches the file by another way than the path of the first.

use std::path::{Path, PathBuf};
use std::process::Command;

use action_store::{
    ActionStore, ActionStoreExt, ErrorKind, NewAction, Query, SqliteOptions, SqliteStore,
    StoreErrorKind,
};

use super::children::{Child, say, told};
use super::{Place, beside, ends, place, pool, raw, run, shared};

/// Opens a store as it was told and reports the result, then waits to be let go.
pub(crate) async fn open_as_told(path: &Path, how: &str) {
    let opened = match how {
        "shared" => SqliteOptions::new().shared().open(path).await,
        "pool" => SqliteStore::on_pool(pool(path).await).await,
        _ => SqliteStore::open(path).await,
    };
    match opened {
        Ok(store) => {
            say("opened");
            told();
            store.close().await.unwrap();
        }
        Err(error) => say(&format!("{:?}", error.kind())),
    }
}

/// Opens a path in another process, and returns its report.
async fn heard(path: &Path, how: &'static str) -> String {
    let path = path.to_owned();
    let child = tokio::task::spawn_blocking(move || {
        let mut child = Child::start("opener", &path, how);
        let heard = child.heard();
        child.let_go();
        assert!(child.ended().success());
        heard.unwrap()
    });
    ends(child).await.unwrap()
}

/// Opens a path in this process, which must fail.
async fn refused(path: &Path, how: &str) -> StoreErrorKind {
    let opened = match how {
        "shared" => SqliteOptions::new().shared().open(path).await,
        _ => SqliteStore::open(path).await,
    };
    opened.map(drop).unwrap_err().kind()
}

async fn written(how: &str) -> (Place, SqliteStore) {
    let place = place();
    let store = match how {
        "shared" => shared(&place.path).await,
        _ => SqliteStore::open(&place.path).await.unwrap(),
    };
    store.create(NewAction::task("a")).await.unwrap();
    (place, store)
}

/// That nothing happened to a store, and that it lets go of its file.
async fn is_sound(store: SqliteStore) {
    let path = store.path().to_owned();
    store.create(NewAction::task("a")).await.unwrap();
    store.close().await.unwrap();
    let again = SqliteStore::open(&path).await.unwrap();
    let page = again.list(&Query::new()).await.unwrap();
    assert_eq!(page.items.len(), 2);
    again.close().await.unwrap();
}

fn link(place: &Place) -> PathBuf {
    let link = place.dir.path().join("link.db");
    std::fs::hard_link(&place.path, &link).unwrap();
    link
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_hard_link_does_not_let_a_second_opener_in() {
    for (first, others) in [
        ("alone", ["alone", "shared"]),
        ("shared", ["alone", "shared"]),
    ] {
        let (place, store) = written(first).await;
        let link = link(&place);
        for how in others {
            assert_eq!(heard(&link, how).await, "Unavailable", "{first}, {how}");
            assert_eq!(
                refused(&link, how).await,
                StoreErrorKind::Unavailable,
                "{how}"
            );
        }
        assert!(!beside(&link, "-wal").exists());
        assert_eq!(heard(&link, "pool").await, "Unavailable", "{first}");
        is_sound(store).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_lock_file_does_not_let_a_second_opener_in() {
    let (place, store) = written("alone").await;
    for how in ["alone", "shared", "pool"] {
        std::fs::remove_file(beside(&place.path, ".lock")).unwrap();
        assert_eq!(heard(&place.path, how).await, "Unavailable", "{how}");
    }
    assert_eq!(
        refused(&place.path, "alone").await,
        StoreErrorKind::Unavailable
    );
    is_sound(store).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_bind_mount_does_not_let_a_second_opener_in() {
    let (place, store) = written("alone").await;
    let mounted = place.dir.path().join("mounted");
    std::fs::create_dir(&mounted).unwrap();
    // The directory twice; the side file would be seen there, too, so the file alone as well.
    let file = mounted.join("actions.db");
    drop(std::fs::File::create(&file).unwrap());
    let mount = Command::new("mount")
        .arg("--bind")
        .arg(&place.path)
        .arg(&file)
        .output();
    match mount {
        Ok(done) if done.status.success() => {}
        // For root alone, and not in every container.
        failed => {
            println!("skipped: a file cannot be mounted here: {failed:?}");
            return store.close().await.unwrap();
        }
    }
    let heard = heard(&file, "alone").await;
    let here = SqliteStore::open(&file).await.map(drop);
    let unmounted = Command::new("umount")
        .arg("--lazy")
        .arg(&file)
        .status()
        .unwrap();
    assert!(unmounted.success());
    assert_eq!(heard, "Unavailable");
    assert_eq!(here.unwrap_err().kind(), StoreErrorKind::Unavailable);
    is_sound(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_store_is_told_when_a_second_opens_the_emptied_directory() {
    let (place, store) = written("alone").await;
    for file in place.files() {
        std::fs::remove_file(place.dir.path().join(file)).unwrap();
    }
    // The new file is another store.
    let second = SqliteStore::open(&place.path).await.unwrap();
    let told = store.create(NewAction::task("a")).await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Unavailable, "{told}");
    store.close().await.unwrap();
    second.create(NewAction::task("a")).await.unwrap();
    assert_eq!(heard(&place.path, "alone").await, "Unavailable");
    second.close().await.unwrap();
}

/// A process that closes any descriptor of a file loses the locks that SQLite has on it.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_comes_and_goes_leaves_the_locks_of_others_in_the_process() {
    let (place, first) = written("shared").await;
    let mut host = raw(&place.path).await;
    run(&mut host, "CREATE TABLE theirs (value)").await;
    for how in ["refused", "came and went"] {
        run(&mut host, "BEGIN").await;
        // A store that opens needs the right to write, one that is refused does not come so far.
        let holds = match how {
            "refused" => "INSERT INTO theirs VALUES (1)",
            _ => "SELECT * FROM theirs",
        };
        run(&mut host, holds).await;
        match how {
            "refused" => drop(SqliteStore::open(&place.path).await.unwrap_err()),
            _ => shared(&place.path).await.close().await.unwrap(),
        }
        let locks = locks_on(&place.path);
        assert!(locks > 0, "{how}: {locks} of SQLite's locks are left");
        run(&mut host, "COMMIT").await;
    }
    first.close().await.unwrap();
    // SQLite keeps a lock on a file in WAL mode as long as a connection is open.
    let count = "SELECT count(*) FROM theirs";
    let _: i64 = sqlx::query_scalar(count)
        .fetch_one(&mut host)
        .await
        .unwrap();
    assert!(locks_on(&place.path) > 0, "after the last store");
    sqlx::Connection::close(host).await.unwrap();
    // And the descriptor that was kept for the host goes with the next store that ends.
    let other = super::place();
    SqliteStore::open(&other.path)
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    assert_eq!(descriptors_of(&place.path), 0);
}

/// How many of SQLite's locks this process has on a file.
#[cfg(target_os = "linux")]
fn locks_on(path: &Path) -> usize {
    use std::os::unix::fs::MetadataExt;
    let inode = format!(":{} ", std::fs::metadata(path).unwrap().ino());
    let process = format!(" {} ", std::process::id());
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let ours =
        |line: &&str| line.contains("POSIX") && line.contains(&inode) && line.contains(&process);
    locks.lines().filter(ours).count()
}

#[cfg(target_os = "linux")]
fn descriptors_of(path: &Path) -> usize {
    let path = path.canonicalize().unwrap();
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let is_it = |d: &std::io::Result<std::fs::DirEntry>| {
        std::fs::read_link(d.as_ref().unwrap().path()).is_ok_and(|to| to == path)
    };
    descriptors.filter(is_it).count()
}
