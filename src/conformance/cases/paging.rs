//! Pages of every size while other tasks write.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::Semaphore;

use super::*;

/// Number of actions that do not change, and number of writes for each walk.
const STAY: usize = 12;
const TURNS: usize = 3;

/// Writers that write only when they are given permits. So they cannot outrun the walk
/// that reads.
struct Writers {
    turns: Arc<Semaphore>,
    given: usize,
    written: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<Proof>>,
}

impl Writers {
    fn start(s: &Subject) -> Writers {
        let turns = Arc::new(Semaphore::new(0));
        let written = Arc::new(AtomicUsize::new(0));
        let work = |number: usize| {
            let (store, turns, written) = (s.store.clone(), turns.clone(), written.clone());
            tokio::spawn(async move {
                while let Ok(turn) = turns.acquire().await {
                    turn.forget();
                    let name = format!("writer {number}");
                    let rounds = walks::churn(store.clone(), name, 1).await?;
                    written.fetch_add(rounds, Relaxed);
                }
                Ok(())
            })
        };
        Writers {
            tasks: (0..4).map(work).collect(),
            turns,
            given: 0,
            written,
        }
    }

    fn turn(&mut self) {
        self.given += TURNS;
        self.turns.add_permits(TURNS);
    }

    /// Waits until the writers have used all permits. Returns the number of actions that
    /// they wrote.
    #[track_caller]
    fn end(self) -> impl Future<Output = Proof<usize>> {
        at_call(async move {
            let working = || self.tasks.iter().any(|task| !task.is_finished());
            let done = async {
                // A task that has already ended has failed. The join below reports it.
                while self.written.load(Relaxed) < self.given && working() {
                    tokio::task::yield_now().await;
                }
            };
            in_time("the writers' last writes", done).await?;
            self.turns.close();
            for task in self.tasks {
                joined("the writers' end", task).await?;
            }
            Ok(self.written.load(Relaxed))
        })
    }
}

/// Every page size up to two more than the number of unchanging actions, and the largest
/// page size.
fn sizes() -> impl Iterator<Item = u16> {
    (1..=STAY as u16 + 2).chain([Limits::PAGE])
}

#[track_caller]
fn staying(s: &Subject) -> impl Future<Output = Proof<Vec<ActionUid>>> {
    at_call(async move {
        let owner = s.claim("plane").await?;
        let mut staying = Vec::new();
        for number in 0..STAY {
            staying.push(match number % 2 {
                0 => s.executing(&owner).await?.uid,
                _ => s.completed(&owner).await?.uid,
            });
        }
        Ok(staying)
    })
}

pub(super) async fn pages_of_every_size_are_complete_during_writes(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let staying = staying(&s).await?;
    let backward: Vec<ActionUid> = staying.iter().rev().copied().collect();
    let mut writers = Writers::start(&s);
    for limit in sizes() {
        for order in [Order::Newest, Order::Oldest, Order::Feed] {
            writers.turn();
            let query = Query::new().with_order(order).with_limit(limit);
            let found = uids(&s.walk(query.clone()).await?);
            let wanted = match order {
                Order::Newest => &backward,
                _ => &staying,
            };
            let what = format!("pages of {limit}, {order:?}");
            walks::once_in_order(&what, &found, wanted)?;
            if order != Order::Feed {
                // In the feed, an action that changes during the walk is returned again.
                let distinct: BTreeSet<&ActionUid> = found.iter().collect();
                same(&what, distinct.len(), found.len())?;
            }
            let done = query.with_filter(Filter::Status(Status::Completed));
            let found = uids(&s.walk(done).await?);
            let wanted: Vec<ActionUid> = match order {
                Order::Newest => backward.iter().step_by(2).copied().collect(),
                _ => staying.iter().skip(1).step_by(2).copied().collect(),
            };
            walks::once_in_order(&format!("{what}, completed"), &found, &wanted)?;
        }
    }
    let written = writers.end().await?;
    let checked = check_store(&*s.store).await?;
    let turns = TURNS * 3 * sizes().count();
    same("actions written during the walk", written, turns)?;
    same("actions", checked.actions, STAY + turns)
}

pub(super) async fn log_pages_of_every_size_are_complete_during_writes(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let staying = staying(&s).await?;
    let whole = log_walk(&*s.store, LogQuery::all()).await?;
    let mut writers = Writers::start(&s);
    for limit in sizes() {
        writers.turn();
        let query = LogQuery::all().with_limit(limit);
        let mut found = log_walk(&*s.store, query).await?;
        let (mut seen, all) = (BTreeSet::new(), found.len());
        seen.extend(found.iter().map(|entry| (entry.uid, entry.version)));
        same("each entry exactly once", seen.len(), all)?;
        found.truncate(whole.len());
        same(&format!("pages of {limit}"), &found, &whole)?;
        for uid in &staying {
            let own = whole.iter().filter(|entry| entry.uid == *uid);
            let query = LogQuery::of(*uid).with_limit(limit);
            let found = log_walk(&*s.store, query).await?;
            same("its log", found, own.cloned().collect::<Vec<_>>())?;
        }
    }
    let written = writers.end().await?;
    same(
        "actions written during the walk",
        written,
        TURNS * sizes().count(),
    )?;
    check_store(&*s.store).await?;
    Ok(())
}
