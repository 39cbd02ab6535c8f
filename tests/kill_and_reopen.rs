//! The public kill test: it holds on the store in SQLite, and fails on stores that acknowledge before
//! they persist.
#![cfg(all(feature = "conformance", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use action_store::conformance::Failure;
use action_store::conformance::kill::{KillTest, Killed, Ledger, Note, work, work_until_killed};
use action_store::owner::{Owner, OwnerQuery};
use action_store::query::{Position, Revision};
use action_store::{
    Action, ActionStore, ActionUid, Batch, Capabilities, Done, Durability, LogEntry, LogQuery,
    MemoryStore, Page, Query, Rejection, SqliteOptions, SqliteStore, StoreError,
};
use async_trait::async_trait;
use tokio::sync::Mutex;

const KIND: &str = "KILL_TEST_KIND";
const PATH: &str = "KILL_TEST_PATH";

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exclusive,
    Shared,
    /// Says `Disk`, answers from memory, and persists every so many batches.
    Behind(usize),
    /// Opens a new file each time.
    Empties,
    /// Ends by itself.
    Ends,
}

const KINDS: [Kind; 6] = [
    Kind::Exclusive,
    Kind::Shared,
    Kind::Behind(1),
    Kind::Behind(50),
    Kind::Empties,
    Kind::Ends,
];

impl Kind {
    async fn open(self, mut path: PathBuf) -> Result<Opened, StoreError> {
        if self == Kind::Empties {
            path.set_file_name(ActionUid::new().to_string());
        }
        let options = SqliteOptions::new();
        let options = match self {
            Kind::Exclusive => options,
            _ => options.shared(),
        };
        let store = options.open(path).await?;
        Ok(match self {
            Kind::Behind(batches) => Opened::Behind(Box::new(Behind::new(store, batches).await?)),
            _ => Opened::Whole(Box::new(store)),
        })
    }
}

/// A store that answers from memory and persists later.
#[derive(Debug)]
struct Behind {
    /// Has the same batches as `file`, and answers at once.
    memory: SqliteStore,
    _dir: tempfile::TempDir,
    file: SqliteStore,
    batches: usize,
    waiting: Mutex<Vec<Batch>>,
}

impl Behind {
    async fn new(file: SqliteStore, batches: usize) -> Result<Behind, StoreError> {
        let dir = tempfile::tempdir().unwrap();
        // A copy of the content, so that it can go on where it was.
        let copy = dir.path().join("memory.db");
        file.backup_to(&copy).await?;
        let memory = SqliteStore::open(copy).await?;
        let waiting = Mutex::default();
        Ok(Behind {
            memory,
            _dir: dir,
            file,
            batches,
            waiting,
        })
    }

    async fn persist(&self, waiting: &mut Vec<Batch>) -> Result<(), StoreError> {
        for batch in waiting.drain(..) {
            self.file.write(batch).await?;
        }
        Ok(())
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        let mut waiting = self.waiting.lock().await;
        waiting.push(batch.clone());
        let answers = self.memory.write(batch).await?;
        if waiting.len() >= self.batches {
            self.persist(&mut waiting).await?;
        }
        Ok(answers)
    }
}

#[derive(Debug)]
enum Opened {
    Whole(Box<SqliteStore>),
    Behind(Box<Behind>),
}

impl Opened {
    fn inner(&self) -> &SqliteStore {
        match self {
            Opened::Whole(store) => store,
            Opened::Behind(behind) => &behind.memory,
        }
    }
}

#[async_trait]
impl ActionStore for Opened {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner().capabilities();
        capabilities.durability = Durability::Disk;
        capabilities
    }

    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        match self {
            Opened::Whole(store) => store.write(batch).await,
            Opened::Behind(behind) => behind.write(batch).await,
        }
    }

    async fn get(&self, uids: &[ActionUid]) -> Result<Vec<Option<Arc<Action>>>, StoreError> {
        self.inner().get(uids).await
    }

    async fn list(&self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        self.inner().list(query).await
    }

    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        self.inner().log(query).await
    }

    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        self.inner().owners(query).await
    }

    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        self.inner().changed(after).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        if let Opened::Behind(behind) = self {
            behind.persist(&mut *behind.waiting.lock().await).await?;
            behind.file.close().await?;
        }
        self.inner().close().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_child_process() {
    let (Ok(kind), Some(path)) = (std::env::var(KIND), std::env::var_os(PATH)) else {
        return;
    };
    let kind = KINDS[kind.parse::<usize>().unwrap()];
    let store = Arc::new(kind.open(path.into()).await.unwrap());
    if kind == Kind::Ends {
        work(store, 1, |_| Ok(())).await.unwrap();
        std::process::exit(3);
    }
    panic!("{}", work_until_killed(store).await);
}

async fn killed(test: KillTest, kind: Kind, path: &Path) -> Result<Killed, Failure> {
    let child = || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "in_a_child_process", "--nocapture"]);
        let index = KINDS.iter().position(|known| *known == kind);
        child.env(KIND, index.unwrap().to_string()).env(PATH, path);
        child
    };
    test.run(child, || kind.open(path.to_owned())).await
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("actions.db");
    (dir, path)
}

#[tokio::test]
async fn a_killed_sqlite_store_has_every_acknowledged_write() {
    for kind in [Kind::Exclusive, Kind::Shared] {
        let (_dir, path) = place();
        let test = KillTest::new().with_kills(3).with_writes(40);
        let killed = killed(test, kind, &path).await.unwrap();
        assert_eq!(killed.kills, 3);
        assert!(killed.acknowledged >= 3 * 40, "{killed:?}");
        assert!(killed.checked.actions >= 3 * 40 / 6 / 2, "{killed:?}");
    }
}

#[tokio::test]
async fn a_store_that_persists_before_it_answers_passes() {
    let (_dir, path) = place();
    let test = KillTest::new().with_kills(2).with_writes(30);
    killed(test, Kind::Behind(1), &path).await.unwrap();
}

#[tokio::test]
async fn a_store_that_says_disk_and_persists_later_fails() {
    let (_dir, path) = place();
    let failure = killed(KillTest::new(), Kind::Behind(50), &path).await;
    let failure = failure.unwrap_err();
    assert!(failure.expected.contains("acknowledged: "), "{failure}");
    let case = "a_killed_store_has_every_acknowledged_write";
    assert_eq!(failure.case, case);
    assert_eq!(failure.at.file(), file!());
}

#[tokio::test]
async fn a_store_that_is_empty_after_the_kill_fails() {
    let (_dir, path) = place();
    let failure = killed(KillTest::new().with_writes(10), Kind::Empties, &path).await;
    let failure = failure.unwrap_err();
    assert!(failure.found.contains("no such action"), "{failure}");
}

#[tokio::test]
async fn a_child_that_ends_by_itself_fails() {
    let (_dir, path) = place();
    let failure = killed(KillTest::new(), Kind::Ends, &path).await;
    let failure = failure.unwrap_err();
    assert!(failure.expected.contains("until it is killed"), "{failure}");
    assert!(failure.found.contains("exit status: 3"), "{failure}");
}

#[tokio::test]
async fn a_volatile_store_cannot_be_tested() {
    let (_dir, path) = place();
    let child = || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "in_a_child_process", "--nocapture"]);
        child.env(KIND, "0").env(PATH, &path);
        child
    };
    let memory = || async { Ok(MemoryStore::new()) };
    let failure = KillTest::new().with_writes(1).run(child, memory).await;
    assert_eq!(failure.unwrap_err().found, "Volatile");
}

/// Notes of work on a store in memory.
async fn noted(store: &Arc<MemoryStore>, lives: u64) -> Vec<Note> {
    let notes = Arc::new(std::sync::Mutex::new(Vec::new()));
    let note = {
        let notes = notes.clone();
        move |note: &Note| {
            notes.lock().unwrap().push(*note);
            Ok(())
        }
    };
    work(store.clone(), lives, note).await.unwrap();
    std::mem::take(&mut *notes.lock().unwrap())
}

fn ledger<'n>(notes: impl IntoIterator<Item = &'n Note>) -> Ledger {
    let mut ledger = Ledger::new();
    notes.into_iter().for_each(|note| ledger.note(note));
    ledger
}

#[tokio::test]
async fn a_ledger_finds_what_was_lost_and_what_was_never_written() {
    let store = Arc::new(MemoryStore::new());
    let mut notes = noted(&store, 6).await;
    let checked = ledger(&notes).verify(&*store).await.unwrap();
    assert!(checked.actions > 12, "{checked:?}");
    for note in &notes {
        assert_eq!(note.to_string().parse(), Ok(*note));
    }
    // A write that was sent, and neither answered nor applied.
    let mut sent = notes.clone();
    let unknown = "begin 01a2215d-130f-7876-a9b6-e7b098f5404c 1";
    sent.push(unknown.parse().unwrap());
    ledger(&sent).verify(&*store).await.unwrap();
    // The same write, acknowledged.
    let mut lost = sent.clone();
    lost.push(unknown.replace("begin", "ack").parse().unwrap());
    let failure = ledger(&lost).verify(&*store).await.unwrap_err();
    assert!(failure.found.contains("no such action"), "{failure}");
    assert_eq!(failure.at.file(), file!());
    // An action without notes.
    let there = |note: &&Note| notes.iter().all(|n| n.uid != note.uid || n.version <= 5);
    let kept = notes.iter().find(there).unwrap().uid;
    notes.retain(|note| note.uid != kept);
    let failure = ledger(&notes).verify(&*store).await.unwrap_err();
    let removed = failure.expected.contains("except the written ones");
    assert!(removed, "{failure}");
}

#[tokio::test]
async fn a_ledger_requires_what_it_has_found_once() {
    let (store, empty) = (Arc::new(MemoryStore::new()), MemoryStore::new());
    let notes = noted(&store, 2).await;
    // None of the writes was acknowledged: an empty store is right, too.
    let sent: Vec<&Note> = notes.iter().filter(|note| !note.acknowledged).collect();
    ledger(sent.iter().copied()).verify(&empty).await.unwrap();
    let mut found = ledger(sent);
    found.verify(&*store).await.unwrap();
    found.verify(&*store).await.unwrap();
    assert!(found.verify(&empty).await.is_err());
}
