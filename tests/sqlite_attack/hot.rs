//! Reads from memory are neither behind nor ahead of the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use action_store::conformance::check_store;
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Command, Finish, NewAction, Order, OwnerRef,
    Progress, Query, Report, SqliteOptions,
};

use super::{Dice, ends, place};

/// Actions of each writer, and how often each is changed before it ends.
const ACTIONS: usize = 6;
const CHANGES: u16 = 40;

/// The newest version of each action that a caller has read or had acknowledged: later reads return
/// no older version. Also the newest requested version: no read returns a later one.
struct Known {
    places: HashMap<ActionUid, usize>,
    seen: Vec<AtomicU64>,
    asked: Vec<AtomicU64>,
    compared: AtomicU64,
}

impl Known {
    fn new(actions: &[Arc<Action>]) -> Known {
        let places = actions.iter().map(|action| action.uid).zip(0..).collect();
        let versions = || actions.iter().map(|action| action.version.get());
        Known {
            places,
            seen: versions().map(AtomicU64::new).collect(),
            asked: versions().map(AtomicU64::new).collect(),
            compared: AtomicU64::new(0),
        }
    }

    fn seen(&self) -> Vec<u64> {
        let seen = self.seen.iter();
        seen.map(|seen| seen.load(Ordering::SeqCst)).collect()
    }

    fn ask(&self, uid: ActionUid) {
        self.asked[self.places[&uid]].fetch_add(1, Ordering::SeqCst);
    }

    /// `before`: what was seen before the question.
    fn see(&self, how: &str, before: &[u64], action: &Action) {
        let (place, version) = (self.places[&action.uid], action.version.get());
        assert!(
            version >= before[place],
            "{how}: {version} after {}",
            before[place]
        );
        let asked = self.asked[place].load(Ordering::SeqCst);
        assert!(
            version <= asked,
            "{how}: {version}, but only {asked} was asked for"
        );
        self.seen[place].fetch_max(version, Ordering::SeqCst);
        self.compared.fetch_add(1, Ordering::SeqCst);
    }
}

async fn change(
    store: Arc<dyn ActionStore>,
    known: Arc<Known>,
    mine: Vec<ActionUid>,
    by: OwnerRef,
) {
    for step in 1..=CHANGES {
        for uid in &mine {
            known.ask(*uid);
            let changed = match step {
                CHANGES => store.finish(*uid, Finish::succeeded(), Some(&by)).await,
                step => {
                    let progress = Progress::from_hundredths(step).unwrap();
                    let report = Report::new().with_progress(progress);
                    let report = match step % 3 {
                        0 => report.with_step(format!("step {step}")),
                        _ => report,
                    };
                    store.report(*uid, report, &by).await
                }
            };
            let before = known.seen();
            // It is at least as new as every version seen during the writes, so it is the newest.
            known.see("write", &before, &changed.unwrap());
        }
    }
}

async fn observe(
    store: Arc<dyn ActionStore>,
    known: Arc<Known>,
    rolls: Vec<u64>,
    over: Arc<AtomicBool>,
) {
    let uids: Vec<ActionUid> = known.places.keys().copied().collect();
    let (mut rolls, mut after) = (rolls.into_iter().cycle(), None);
    let mut roll = || usize::try_from(rolls.next().unwrap()).unwrap();
    while !over.load(Ordering::SeqCst) {
        let one = uids[roll() % uids.len()];
        let before = known.seen();
        match roll() % 4 {
            0 => {
                let found = store.get(&[one]).await.unwrap();
                known.see("get", &before, found[0].as_ref().unwrap());
            }
            1 => {
                let some = &uids[roll() % uids.len()..];
                for found in store.get(some).await.unwrap() {
                    known.see("get of many", &before, &found.unwrap());
                }
            }
            2 => {
                let page = store.list(&Query::new().with_limit(100)).await.unwrap();
                assert_eq!(page.items.len(), uids.len());
                for action in page.items {
                    known.see("list", &before, &action);
                }
            }
            _ => {
                let mut query = Query::new().with_order(Order::Feed).with_limit(5);
                query.after = after;
                let page = store.list(&query).await.unwrap();
                for action in &page.items {
                    known.see("feed", &before, action);
                }
                after = page.next.or(after);
            }
        }
        // Also read at once an action that a page has just shown, or that a concurrent reader has seen.
        let before = known.seen();
        let found = store.action(one).await.unwrap().unwrap();
        known.see("get at once", &before, &found);
    }
}

async fn nobodys_view_goes_back(options: SqliteOptions) {
    let (dice, place) = (Dice::new(), place());
    let store: Arc<dyn ActionStore> = Arc::new(options.open(&place.path).await.unwrap());
    let owner = OwnerRef::new("plane");
    let claim = Command::claim(owner.clone());
    store.command(claim).await.unwrap();
    let mut actions = Vec::new();
    for _ in 0..4 * ACTIONS {
        let uid = store.create(NewAction::task("hot")).await.unwrap().uid;
        actions.push(store.start(uid, &owner).await.unwrap());
    }
    let known = Arc::new(Known::new(&actions));
    let over = Arc::new(AtomicBool::new(false));
    let observers: Vec<_> = (0..8)
        .map(|_| {
            let rolls = (0..997).map(|_| dice.roll(1 << 20)).collect();
            tokio::spawn(observe(store.clone(), known.clone(), rolls, over.clone()))
        })
        .collect();
    let writers: Vec<_> = actions
        .chunks(ACTIONS)
        .map(|mine| {
            let mine = mine.iter().map(|action| action.uid).collect();
            tokio::spawn(change(store.clone(), known.clone(), mine, owner.clone()))
        })
        .collect();
    for writer in writers {
        ends(writer).await.unwrap();
    }
    over.store(true, Ordering::SeqCst);
    for observer in observers {
        ends(observer).await.unwrap();
    }
    assert_eq!(known.seen(), vec![2 + u64::from(CHANGES); actions.len()]);
    let compared = known.compared.load(Ordering::SeqCst);
    assert!(compared > 1000, "{compared} views");
    println!("{compared} views");
    assert_eq!(check_store(&*store).await.unwrap().actions, actions.len());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_an_exclusive_store_never_go_back() {
    nobodys_view_goes_back(SqliteOptions::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_a_shared_store_never_go_back() {
    nobodys_view_goes_back(SqliteOptions::new().shared()).await;
}
