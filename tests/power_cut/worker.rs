//! The children whose disk is recorded.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use action_store::{
    ActionStore, ActionUid, Batch, Change, Command, Done, Finish, NewAction, OwnerRef, Report,
    StoreError,
};

use super::disk::mark;
use super::ledger::{GONE, ack, begin};
use super::ways::{Opened, Way};
use super::{Dice, asked_for, ends};

/// A child with a store.
struct Worker {
    dir: PathBuf,
    opened: Opened,
    owner: OwnerRef,
    dice: Dice,
}

impl Worker {
    async fn open(path: &Path, way: Way, seed: u64) -> Worker {
        let dir = path.parent().unwrap().to_owned();
        let opened = ends(way.open(path)).await.unwrap();
        let durability = opened.store.capabilities().durability;
        mark(&dir, &format!("durability {durability:?}"));
        Worker {
            dir,
            opened,
            owner: OwnerRef::new("plane"),
            dice: Dice::seeded(seed),
        }
    }

    /// Becomes the owner of what it creates.
    async fn claimed(self) -> Worker {
        let claim = Command::claim(self.owner.clone());
        self.send(claim).await;
        self
    }

    /// Repeats a batch until it is answered, as a caller does who wants it done.
    async fn write(&self, batch: Batch) -> Vec<Done> {
        const TRIES: usize = 40;
        let mut last: Option<StoreError> = None;
        for _ in 0..TRIES {
            match ends(self.opened.store.write(batch.clone())).await {
                Ok(answers) => return answers.into_iter().map(Result::unwrap).collect(),
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not written in {TRIES} tries: {last:?}");
    }

    async fn send(&self, command: Command) -> Done {
        self.write(Batch::each(vec![command])).await.pop().unwrap()
    }

    /// Sends a change of an action, with marks around it.
    async fn step(&self, uid: ActionUid, version: u64, command: Command) {
        begin(&self.dir, uid, version);
        let done = self.send(command).await;
        let reached = done.action.map_or(GONE, |action| action.version.get());
        assert_eq!(reached, version);
        ack(&self.dir, uid, version);
    }

    fn new_action(&self) -> NewAction {
        let size = usize::try_from(self.dice.roll(3000)).unwrap();
        NewAction::task("work").with_description("d".repeat(size))
    }

    fn create(&self, new: NewAction) -> Command {
        Command::create(new).by(self.owner.clone())
    }

    fn apply(&self, uid: ActionUid, change: Change) -> Command {
        Command::apply(uid, change).by(self.owner.clone())
    }

    /// Runs one action: some are created and started together, some are removed at the end.
    async fn live(&self) {
        let new = self.new_action();
        let uid = new.uid;
        let (create, start) = (self.create(new), self.apply(uid, Change::Start));
        if self.dice.roll(3) == 0 {
            begin(&self.dir, uid, 2);
            self.write(Batch::all(vec![create, start])).await;
            ack(&self.dir, uid, 2);
        } else {
            self.step(uid, 1, create).await;
            self.step(uid, 2, start).await;
        }
        let report = Report::new().with_step("copy").with_description("busy");
        let report = self.apply(uid, Change::Report(report));
        self.step(uid, 3, report).await;
        let finish = self.apply(uid, Change::Finish(Finish::succeeded()));
        self.step(uid, 4, finish).await;
        if self.dice.roll(4) == 0 {
            let if_version = action_store::action::Version::new(4).unwrap();
            let remove = Command::remove(uid, if_version);
            self.step(uid, GONE, remove).await;
        }
    }

    /// Creates the action of [`named`].
    async fn create_named(&self, uid: &str) {
        let new = named(uid);
        let uid = new.uid;
        self.step(uid, 1, Command::create(new)).await;
    }

    /// Lets syncs fail: so many in a row, from a later one on.
    fn fail_syncs(&self, first: &str, times: &str) {
        const EIO: u32 = 5;
        mark(&self.dir, &format!("!fault sync {first} {times} {EIO}"));
    }

    /// A few callers at once.
    async fn live_together(self: Arc<Self>, lives: u64) {
        let callers = (0..4).map(|_| {
            let worker = self.clone();
            tokio::spawn(async move {
                for _ in 0..lives {
                    worker.live().await;
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
    }
}

/// Makes the same action in each process that gets this uid.
fn named(uid: &str) -> NewAction {
    let mut new = NewAction::task("repeated").with_description("d".repeat(2000));
    new.uid = uid.parse().unwrap();
    new
}

/// Opens a store, works, closes it; twice. The second time it ends without closing.
pub(crate) async fn work(path: &Path, more: &str) {
    let (way, seed) = more.split_once(' ').unwrap();
    let (way, seed) = (way.parse().unwrap(), seed.parse().unwrap());
    let lives = asked_for("POWER_CUT_LIVES", 3);
    let worker = Arc::new(Worker::open(path, way, seed).await.claimed().await);
    worker.clone().live_together(lives).await;
    let worker = Arc::into_inner(worker).unwrap();
    worker.opened.close().await.unwrap();
    let worker = Arc::new(Worker::open(path, way, seed + 1).await.claimed().await);
    worker.clone().live_together(lives).await;
    std::process::exit(0);
}

/// Works, and is ended by the disk before a sync while it creates an action.
pub(crate) async fn die(path: &Path, more: &str) {
    let words: Vec<&str> = more.split(' ').collect();
    let worker = Worker::open(path, words[0].parse().unwrap(), 1)
        .await
        .claimed()
        .await;
    worker.live().await;
    mark(&worker.dir, &format!("!die-at-sync {}", words[1]));
    worker.create_named(words[2]).await;
    std::process::exit(0);
}

/// Works, creates an action while a sync fails, and ends whatever comes of that.
pub(crate) async fn give_up(path: &Path, more: &str) {
    let words: Vec<&str> = more.split(' ').collect();
    let worker = Worker::open(path, words[0].parse().unwrap(), 1)
        .await
        .claimed()
        .await;
    worker.live().await;
    worker.fail_syncs(words[1], "1");
    let new = named(words[2]);
    begin(&worker.dir, new.uid, 1);
    let batch = Batch::each(vec![Command::create(new)]);
    // Not repeated here: that is for the next process.
    drop(ends(worker.opened.store.write(batch)).await);
    std::process::exit(0);
}

/// The next process, which repeats the create and is answered. It writes nothing before.
pub(crate) async fn repeat(path: &Path, more: &str) {
    let words: Vec<&str> = more.split(' ').collect();
    let worker = Worker::open(path, words[0].parse().unwrap(), 2).await;
    mark(&worker.dir, "repeating");
    worker.create_named(words[2]).await;
    std::process::exit(0);
}

/// Works while a few syncs in a row fail, repeating what is not answered, and some more.
pub(crate) async fn outlive_failed_syncs(path: &Path, more: &str) {
    let words: Vec<&str> = more.split(' ').collect();
    let worker = Worker::open(path, words[0].parse().unwrap(), 3)
        .await
        .claimed()
        .await;
    worker.live().await;
    worker.fail_syncs(words[2], words[1]);
    mark(&worker.dir, "failing");
    for _ in 0..3 {
        worker.live().await;
    }
    std::process::exit(0);
}
