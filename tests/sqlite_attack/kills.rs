//! Processes that die in the middle, and many that open at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::{
    ActionStore, ActionStoreExt, ActionUid, Batch, Change, Command, Finish, NewAction, ObjectRef,
    OwnerRef, Report, SqliteStore,
};

use super::children::{Child, say, told, until_let_go};
use super::{Dice, beside, place, reopened_and_checked};

pub(crate) async fn open_when_told(path: &Path) {
    told();
    match SqliteStore::open(path).await {
        Ok(store) => {
            let uid = store.create(NewAction::task("won")).await.unwrap().uid;
            say(&format!("won {uid}"));
            until_let_go();
            store.close().await.unwrap();
        }
        Err(error) => say(&format!("{:?}", error.kind())),
    }
}

/// Eight tasks write, each in its own way, and say what was acknowledged.
pub(crate) async fn write_until_killed(path: &Path) {
    let store = Arc::new(SqliteStore::open(path).await.unwrap());
    let owner = OwnerRef::new("plane");
    let claim = Command::claim(owner.clone());
    store.command(claim).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (store, owner) = (store.clone(), owner.clone());
            tokio::spawn(async move {
                loop {
                    live(&store, &owner, task).await;
                }
            })
        })
        .collect();
    // They never end; should one panic, this tells.
    #[allow(clippy::never_loop)]
    for task in tasks {
        task.await.unwrap();
    }
}

async fn live(store: &SqliteStore, owner: &OwnerRef, task: usize) {
    let new = NewAction::state_machine(format!("SM{task}"), ObjectRef::bdb(1))
        .with_exclusive(format!("task:{task}:{}", ActionUid::new()))
        .with_description("d".repeat(task * 500));
    let uid = new.uid;
    let by = Some(owner.clone());
    let apply = |change: Change| Command::apply(uid, change).by(owner.clone());
    let create = Command::create(new).by(by);
    if task.is_multiple_of(2) {
        let both = Batch::all(vec![create, apply(Change::Start)]);
        let answers = store.write(both).await.unwrap();
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    } else {
        store.command(create).await.unwrap();
        say(&format!("ack {uid} 1"));
        store.command(apply(Change::Start)).await.unwrap();
    }
    say(&format!("ack {uid} 2"));
    let report = Report::new().with_step("load").with_description("busy");
    store.command(apply(Change::Report(report))).await.unwrap();
    say(&format!("ack {uid} 3"));
    let done = apply(Change::Finish(Finish::succeeded()));
    let done = store.command(done).await.unwrap().action.unwrap();
    say(&format!("ack {uid} {}", done.version));
    if task == 7 {
        let if_version = done.version;
        store
            .command(Command::remove(uid, if_version))
            .await
            .unwrap();
        say(&format!("gone {uid}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_twenty_kills() {
    let (dice, place) = (Dice::new(), place());
    let mut acknowledged: BTreeMap<ActionUid, u64> = BTreeMap::new();
    let mut gone = Vec::new();
    for round in 0..20 {
        let mut child = Child::start("writer", &place.path, "");
        let mut left = 20 + dice.roll(150);
        while let Some(said) = child.heard() {
            let words: Vec<&str> = said.split(' ').collect();
            let uid: ActionUid = words[1].parse().unwrap();
            match words[0] {
                "ack" => {
                    acknowledged.insert(uid, words[2].parse().unwrap());
                }
                _ => gone.push(uid),
            }
            left = left.saturating_sub(1);
            // Output between the kill and the end of the process counts as well.
            if left == 0 {
                child.kill();
            }
        }
        assert_eq!(left, 0, "round {round}: it ended by itself");
        child.ended();

        let (store, checked) = reopened_and_checked(&place.path).await;
        for uid in gone.drain(..) {
            acknowledged.remove(&uid);
            assert!(store.action(uid).await.unwrap().is_none(), "{uid} is back");
        }
        let uids: Vec<ActionUid> = acknowledged.keys().copied().collect();
        let mut missing = Vec::new();
        for some in uids.chunks(1000) {
            let found = store.get(some).await.unwrap();
            for (uid, found) in some.iter().zip(found) {
                let version = found.map_or(0, |found| found.version.get());
                let removing = version == 0 && acknowledged[uid] == 4;
                if version < acknowledged[uid] && !removing {
                    missing.push((*uid, version, acknowledged[uid]));
                }
                if removing {
                    // Removed, and killed before it said so: once a round at most.
                    gone.push(*uid);
                }
            }
        }
        assert_eq!(missing, [], "round {round}: lost");
        assert!(gone.len() <= 1, "round {round}: {gone:?} are gone");
        for uid in gone.drain(..) {
            acknowledged.remove(&uid);
        }
        assert!(checked.actions >= acknowledged.len());
        store.close().await.unwrap();
    }
    assert!(acknowledged.len() > 100, "{} only", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opener_killed_anywhere_leaves_no_store_or_a_whole_one() {
    let dice = Dice::new();
    let (mut none, mut whole) = (0, 0);
    for round in 0..30 {
        let place = place();
        let mut child = Child::start("opener", &place.path, "");
        child.tell("go");
        // The moments of an opening show as files; some time after one of them it dies.
        let moments = [".lock", ".new", ".new-journal", ".new-wal", ""];
        let moment = beside(&place.path, moments[round % moments.len()]);
        let begun = Instant::now();
        while !moment.exists() && begun.elapsed() < Duration::from_secs(20) {
            // Some are too short to be seen; then it is the end of the opening that counts.
            if place.path.exists() {
                break;
            }
            std::hint::spin_loop();
        }
        std::thread::sleep(Duration::from_micros(dice.roll(4000)));
        child.kill();
        child.ended();
        match place.path.exists() {
            true => whole += 1,
            false => none += 1,
        }
        let left = place.files();
        let (store, _) = reopened_and_checked(&place.path).await;
        store.create(NewAction::task("after")).await.unwrap();
        store.close().await.unwrap();
        let (store, checked) = reopened_and_checked(&place.path).await;
        assert!(checked.actions >= 1);
        store.close().await.unwrap();
        let files = place.files();
        let expected = ["actions.db", "actions.db.lock"];
        assert_eq!(files, expected, "round {round}: after {left:?}");
    }
    println!("{none} left none, {whole} a whole one");
    assert!(none > 0, "all of them were through before they died");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eight_processes_that_open_a_new_store_one_wins() {
    for round in 0..5 {
        let place = place();
        let start = |_| Child::start("opener", &place.path, "");
        let mut children: Vec<Child> = (0..8).map(start).collect();
        for child in &mut children {
            child.tell("go");
        }
        let said: Vec<_> = children.iter_mut().map(|c| c.heard().unwrap()).collect();
        let told = said.iter().filter(|said| *said == "Unavailable").count();
        let won: Vec<&str> = said.iter().filter_map(|s| s.strip_prefix("won ")).collect();
        assert_eq!((won.len(), told), (1, 7), "round {round}: {said:?}");
        for child in &mut children {
            child.let_go();
            assert!(child.ended().success());
        }
        let (store, checked) = reopened_and_checked(&place.path).await;
        assert_eq!(checked.actions, 1);
        let uid = won[0].parse().unwrap();
        assert!(store.action(uid).await.unwrap().is_some());
        store.close().await.unwrap();
    }
}
