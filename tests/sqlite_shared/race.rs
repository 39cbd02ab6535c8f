//! Two processes race for the same actions and are killed again and again, while others read.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use action_store::{
    Action, ActionStore, ActionStoreExt as _, ActionUid, Clock, Cursor, LogEntry, LogQuery,
    NewAction, Order, Query, SqliteOptions, SqliteStore, StoreErrorKind, Timestamp,
};
use uuid::Uuid;

use super::children::Child;
use super::tally::{Tally, UnderWay};
use super::verified::{Verified, is_legal, torn_now};
use super::{Dice, Place, asked_for, ends, place, raw, reopened_and_checked, run, shared};

/// Versions that the readers have seen.
#[derive(Debug, Default)]
struct Seen {
    pages: u64,
    logs: u64,
    looks: u64,
    busy: u64,
    /// Logs that were not legal, or did not go on from what they had been.
    illegal: u64,
    torn: u64,
    /// Actions that the feed showed at an earlier version than before.
    backwards: u64,
}

/// The last version of each action that a follower of the feed was shown, and its cursor.
#[derive(Default)]
struct Shown {
    actions: HashMap<ActionUid, Arc<Action>>,
    after: Option<Cursor>,
}

/// Follows the feed until told to end and there is no more of it.
async fn follow(store: Arc<SqliteStore>, end: Arc<AtomicBool>, mut shown: Shown) -> (Shown, Seen) {
    let mut seen = Seen::default();
    let query = Query::new().with_order(Order::Feed).with_limit(50);
    loop {
        // Asked before: what was written by then is on the page.
        let last = end.load(Ordering::Acquire);
        let page = match store.list(&query.clone().with_after(shown.after)).await {
            Ok(page) => page,
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
                seen.busy += 1;
                continue;
            }
        };
        seen.pages += 1;
        for action in page.items {
            if let Some(before) = shown.actions.insert(action.uid, action.clone()) {
                seen.backwards += u64::from(before.version > action.version);
            }
        }
        let revision = page.at.revision;
        shown.after = page.next.or(Some(Cursor::feed(page.at, revision)));
        if page.next.is_some() {
            continue;
        }
        if last {
            return (shown, seen);
        }
        let news = tokio::time::timeout(Duration::from_secs(1), store.changed(Some(revision)));
        match news.await {
            Ok(Ok(at)) => assert!(at.revision > revision),
            Ok(Err(error)) => {
                assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
                seen.busy += 1;
            }
            // No process writes while both are restarted, or at the end.
            Err(_) => {}
        }
    }
}

/// Takes snapshots of logs, and of heads with their logs, until told to end.
async fn snapshots(store: Arc<SqliteStore>, path: &Path, end: Arc<AtomicBool>) -> Seen {
    let (dice, mut seen) = (Dice::new(), Seen::default());
    let mut other = super::raw(path).await;
    let mut before: HashMap<ActionUid, Vec<LogEntry>> = HashMap::new();
    while !end.load(Ordering::Acquire) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let newest = Query::new().with_limit(300);
        let Ok(page) = store.list(&newest).await else {
            seen.busy += 1;
            continue;
        };
        if page.items.is_empty() {
            continue;
        }
        for _ in 0..10 {
            let head = dice.one_of(&page.items);
            let Ok(log) = store.log(&LogQuery::of(head.uid).with_limit(300)).await else {
                seen.busy += 1;
                continue;
            };
            seen.logs += 1;
            // But for a late report, which stands where it came in.
            let log = log.items.into_iter().filter(|entry| !entry.is_late());
            let log: Vec<LogEntry> = log.collect();
            let goes_on = before
                .get(&head.uid)
                .is_none_or(|before| log.starts_with(before));
            // The log was read after the head, so it has come at least as far.
            let as_far = log.last().is_some_and(|last| match head.is_unfinished() {
                true => last.status >= head.status,
                false => last.version == head.version && last.outcome == head.outcome,
            });
            seen.illegal += u64::from(!goes_on || !as_far || !is_legal(&log));
            before.insert(head.uid, log);
        }
        seen.torn += torn_now(&mut other).await;
        seen.looks += 1;
    }
    seen
}

/// A racer, and who listens to it.
struct Running {
    child: Child,
    listener: std::thread::JoinHandle<bool>,
}

fn start(
    place: &Place,
    name: &'static str,
    way: &str,
    race: Uuid,
    dice: &Dice,
    tally: &Arc<Mutex<Tally>>,
) -> Running {
    let more = format!("{name} {way} {race} {}", dice.roll(u64::MAX));
    let mut child = Child::start("racer", &place.path, &more);
    let (lines, tally) = (child.listen(), tally.clone());
    let label = format!("{name} ({way})");
    let listener = std::thread::spawn(move || {
        let (mut under_way, mut whole) = (UnderWay::new(), true);
        for line in lines {
            if line.starts_with("broken") {
                println!("{label}: {line}");
                whole = false;
                break;
            }
            tally.lock().unwrap().hear(&label, &mut under_way, &line);
        }
        // Killed: what came of these is not known.
        let mut tally = tally.lock().unwrap();
        under_way
            .into_values()
            .for_each(|uids| tally.nobody_knows(uids));
        whole
    });
    Running { child, listener }
}

impl Running {
    /// Kills it and hears it out; false if it had broken by itself.
    fn killed(mut self) -> bool {
        self.child.kill();
        self.child.ended();
        self.listener.join().unwrap()
    }
}

async fn race(ways: [&'static str; 2], seconds: u64) {
    let (place, dice) = (place(), Dice::new());
    let race = Uuid::now_v7();
    let tally = Arc::new(Mutex::new(Tally::default()));
    // The store is created first for processes that use a pool.
    let store = Arc::new(shared(&place.path).await);
    let looker = SqliteOptions::new().read_only().open(&place.path).await;
    let looker = Arc::new(looker.unwrap());
    let end = Arc::new(AtomicBool::new(false));
    let followers = [&store, &looker]
        .map(|store| tokio::spawn(follow(store.clone(), end.clone(), Shown::default())));
    let snapshots = tokio::spawn({
        let (store, path, end) = (store.clone(), place.path.clone(), end.clone());
        async move { snapshots(store, &path, end).await }
    });

    let names = ["A", "B"];
    let begin = |who: usize| start(&place, names[who], ways[who], race, &dice, &tally);
    let mut running = [Some(begin(0)), Some(begin(1))];
    let (begun, mut kills) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let pause = Duration::from_millis(300 + dice.roll(1200));
        tokio::time::sleep(pause).await;
        let who = dice.roll(2) as usize;
        assert!(running[who].take().unwrap().killed(), "it broke by itself");
        kills += 1;
        running[who] = Some(begin(who));
    }
    for racer in running {
        assert!(racer.unwrap().killed(), "it broke by itself");
        kills += 1;
    }
    end.store(true, Ordering::Release);
    let mut shown = Vec::new();
    let mut seen = super::ends(snapshots).await.unwrap();
    for follower in followers {
        let (last, more) = super::ends(follower).await.unwrap();
        shown.push(last);
        seen.pages += more.pages;
        seen.busy += more.busy;
        seen.backwards += more.backwards;
    }
    store.close().await.unwrap();
    looker.close().await.unwrap();
    drop((store, looker));

    let (store, checked) = reopened_and_checked(&place.path).await;
    let store = Arc::new(store);
    let (mut last_shown, mut found_late) = (Vec::new(), 0);
    for shown in shown {
        // The last killed process may have died between its commit and the announcement of it. Its
        // frames were in the WAL and were found when all others had closed the file.
        let before = shown.actions.clone();
        let (shown, _) = super::ends(follow(store.clone(), end.clone(), shown)).await;
        let is_new = |(uid, action): &(&ActionUid, &Arc<Action>)| before.get(*uid) != Some(*action);
        found_late += shown.actions.iter().filter(is_new).count();
        last_shown.push(shown.actions);
    }
    // All that listened have ended.
    let mut tally = std::mem::take(&mut *tally.lock().unwrap());
    let verified = Verified::of(&store, &tally, &last_shown).await;
    println!(
        "{ways:?}, {seconds} s: {} batches, {} commands answered, {} accepted, {} refused; \
         {kills} kills, {} unknown, {} unavailable, {} rolled back by the host, {} changes without \
         an answer; {} actions, {} log entries; {} feed pages, {} logs, {} looks, {} reads busy, \
         {found_late} shown after the last kill's commit was found",
        tally.batches,
        tally.commands,
        tally.accepted,
        tally.refused,
        tally.unknown,
        tally.unavailable,
        tally.rolled_back,
        tally.unknown_changes.values().sum::<u64>(),
        checked.actions,
        checked.entries,
        seen.pages,
        seen.logs,
        seen.looks,
        seen.busy,
    );
    for line in tally.latencies() {
        println!("{line}");
    }
    println!("{seen:?}\n{verified:?}");
    let found = (seen.illegal, seen.torn, seen.backwards, tally.twice);
    assert_eq!(found, (0, 0, 0, 0), "illegal, torn, backwards, twice");
    assert_eq!(verified, Verified::default());
    assert!(tally.accepted > 100 && tally.refused > 100, "hardly a race");
    assert!(seen.pages > 20 && seen.logs > 20, "hardly read");
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_by_path_race_for_the_same_actions() {
    race(["shared", "shared"], asked_for("ACTIONS_RACE_SECONDS", 6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_by_path_and_one_on_a_pool_race_for_the_same_actions() {
    race(["shared", "pool"], asked_for("ACTIONS_RACE_SECONDS", 6)).await;
}

/// Others have stamped meanwhile: what was decided after them must not look as if it came before.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_waits_for_the_file_takes_its_timestamp_after_the_wait() {
    let place = place();
    let clock = Clock::manual(Timestamp::from_seconds(1_700_000_000));
    let options = SqliteOptions::new().shared().with_clock(clock.clone());
    let store = Arc::new(options.open(&place.path).await.unwrap());
    let mut other = raw(&place.path).await;
    run(&mut other, "BEGIN IMMEDIATE").await;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.create(NewAction::task("waits")).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    clock.advance(Duration::from_secs(5));
    run(&mut other, "COMMIT").await;
    assert_eq!(ends(waiting).await.unwrap().created_at, clock.now());
    store.close().await.unwrap();
}
