//! Removal during walks, feeds, log reads and writes.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const ORDERS: [Order; 2] = [Order::Newest, Order::Oldest];

pub(super) async fn a_list_resumes_after_its_cursor_action_is_removed(
    fixture: &dyn Fixture,
) -> Proof {
    for order in ORDERS {
        let s = open(fixture).await?;
        let owner = s.claim("plane").await?;
        for _ in 0..8 {
            s.completed(&owner).await?;
        }
        let done = Query::new().with_filter(Filter::Status(Status::Completed));
        for query in [Query::new(), done] {
            let query = query.with_order(order);
            let whole = s.walk(query.clone()).await?;
            let page = s.list(query.clone().with_limit(3)).await?;
            same(
                "the first page",
                &page.items[..],
                pick("the list", &whole, ..3)?,
            )?;
            // Removes the action at the cursor, one already returned and the next one.
            for gone in [2, 0, 3] {
                s.done(remove(pick("the list", &whole, gone)?)).await?;
            }
            for limit in [1, 2, 100] {
                let rest = query.clone().with_after(page.next).with_limit(limit);
                let left = pick("the list", &whole, 4..)?;
                same("the rest", &s.walk(rest).await?[..], left)?;
            }
            for _ in 0..3 {
                s.completed(&owner).await?;
            }
        }
    }
    Ok(())
}

pub(super) async fn a_log_resumes_after_its_cursor_action_is_removed(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let first = s.completed(&owner).await?;
    let second = s.completed(&owner).await?;
    let third = s.completed(&owner).await?;
    s.completed(&owner).await?;
    let whole = log_walk(&*s.store, LogQuery::all()).await?;
    same("log entries", whole.len(), 12)?;
    // Reads into the middle of the second action's log.
    let page = s.store.log(&LogQuery::all().with_limit(5)).await?;
    let own = LogQuery::of(second.uid).with_limit(1);
    let own = own.clone().with_after(s.store.log(&own).await?.next);
    for gone in [&second, &first, &third] {
        s.done(remove(gone)).await?;
    }
    for limit in [1, 2, 100] {
        let rest = LogQuery::all().with_after(page.next).with_limit(limit);
        same(
            "the rest",
            &log_walk(&*s.store, rest).await?[..],
            pick("the log", &whole, 9..)?,
        )?;
    }
    same("a removed log", log_walk(&*s.store, own).await?, Vec::new())
}

/// Cursors at the newest item, which is then removed.
pub(super) struct Ends {
    list: Query,
    feed: Query,
    log: LogQuery,
    position: Position,
}

impl Ends {
    /// Moves the cursors to the end and removes the item they stand at.
    #[track_caller]
    pub(super) fn removed(s: &Subject) -> impl Future<Output = Proof<Ends>> {
        at_call(async move {
            let owner = s.claim("plane").await?;
            s.completed(&owner).await?;
            let (last, gone) = (s.completed(&owner).await?, s.completed(&owner).await?);
            let oldest = Query::new().with_order(Order::Oldest);
            let list = s.list(oldest.clone().with_limit(2)).await?.next;
            let log = s.store.log(&LogQuery::all().with_limit(6)).await?.next;
            let at = s.position().await?;
            for action in [gone, last] {
                s.done(remove(&action)).await?;
            }
            Ok(Ends {
                list: oldest.with_after(list),
                feed: walks::feed().with_after(Some(Cursor::feed(at, at.revision))),
                log: LogQuery::all().with_after(log),
                position: at,
            })
        })
    }

    /// Requires that new items come after the cursors.
    #[track_caller]
    pub(super) fn meet_what_comes(self, s: &Subject) -> impl Future<Output = Proof> {
        at_call(async move {
            let before = s.position().await?;
            holds(
                "no lower revision",
                before.revision >= self.position.revision,
                before,
            )?;
            let new = s.queued().await?;
            let after = s.position().await?.revision;
            holds("a higher revision", after > before.revision, after)?;
            let found = s.walk(self.list).await?;
            same("the rest of the list", uids(&found), vec![new.uid])?;
            let found = s.walk(self.feed).await?;
            same("the rest of the feed", uids(&found), vec![new.uid])?;
            let rest = log_walk(&*s.store, self.log).await?;
            let of: Vec<ActionUid> = rest.iter().map(|entry| entry.uid).collect();
            same("the rest of the log", of, vec![new.uid])
        })
    }
}

pub(super) async fn a_removed_position_is_not_reused(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let ends = Ends::removed(&s).await?;
    ends.meet_what_comes(&s).await
}

const WRITERS: usize = 8;
const ROUNDS: usize = 20;
/// Upper limit for each loop of a reader or pruner. Reaching it is a failure.
const TURNS: usize = 100_000;

type Shared = Arc<dyn ActionStore>;

#[track_caller]
fn endless<T>(what: &str) -> Proof<T> {
    Err(Failure::new(what, format!("none in {TURNS} turns")).into())
}

/// Removes completed actions that are not pinned, until the writers have ended and
/// nothing is left.
#[track_caller]
fn prune(store: Shared, over: Arc<AtomicBool>) -> impl Future<Output = Proof<Vec<ActionUid>>> {
    at_call(async move {
        let mut gone = Vec::new();
        for _ in 0..TURNS {
            let last = over.load(Ordering::Acquire);
            let done = Query::new().with_filter(Filter::Status(Status::Completed));
            let done = done.with_order(Order::Oldest).with_limit(7);
            let found = walk(&*store, done).await?;
            for some in found.chunks(5) {
                let removals = some.iter().map(|action| remove(action)).collect();
                let answers = write(&*store, Batch::each(removals)).await?;
                for (action, answer) in some.iter().zip(answers) {
                    match answer {
                        Ok(done) => {
                            same("the effect", done.effect, Effect::Applied)?;
                            gone.push(action.uid);
                        }
                        Err(refused) => demand!(
                            refused,
                            Rejection::Conflict {
                                reason: ConflictReason::Pinned,
                                ..
                            }
                        ),
                    }
                }
            }
            if last {
                return Ok(gone);
            }
            tokio::task::yield_now().await;
        }
        endless("the writers' end")
    })
}

/// Reads the feed until the writers have ended, and restarts it when its cursor expires.
/// Returns the last version seen of each action.
#[track_caller]
fn follow(
    store: Shared,
    over: Arc<AtomicBool>,
) -> impl Future<Output = Proof<BTreeMap<ActionUid, Arc<Action>>>> {
    at_call(async move {
        let mut latest: BTreeMap<ActionUid, Arc<Action>> = BTreeMap::new();
        // Only a removal above this revision may expire the cursor. It is the position at the
        // start of the walk, or the current one.
        let (mut cursor, mut floor) = (None, None);
        for _ in 0..TURNS {
            let last = over.load(Ordering::Acquire);
            let query = walks::feed().with_after(cursor).with_limit(5);
            let page = match store.list(&query).await {
                Ok(page) => page,
                Err(error) => {
                    same("the failure", error.kind(), StoreErrorKind::CursorExpired)?;
                    let at = store.changed(None).await?;
                    let lost = floor.is_some_and(|floor| at.pruned_through > floor);
                    holds(
                        "an expired cursor only after a removal above it",
                        lost,
                        (floor, at),
                    )?;
                    (cursor, floor) = (None, None);
                    latest.clear();
                    continue;
                }
            };
            for action in &page.items {
                let before = latest.insert(action.uid, action.clone());
                let fresh = before.as_ref().is_none_or(|b| b.version < action.version);
                holds(
                    "only actions that have changed since",
                    fresh,
                    (before, action),
                )?;
            }
            floor = floor.or(Some(page.at.revision));
            if page.next.is_none() {
                if last {
                    return Ok(latest);
                }
                floor = Some(page.at.revision);
                cursor = Some(Cursor::feed(page.at, page.at.revision));
                tokio::task::yield_now().await;
            } else {
                cursor = page.next;
            }
        }
        endless("the feed's end")
    })
}

/// Walks lists in every page size and order. Each action that is never removed must be
/// returned once, in order. No action may be returned twice.
#[track_caller]
fn browse(
    store: Shared,
    over: Arc<AtomicBool>,
    staying: Vec<ActionUid>,
) -> impl Future<Output = Proof<usize>> {
    at_call(async move {
        let backward: Vec<ActionUid> = staying.iter().rev().copied().collect();
        let limits = [3, 1, 7, 100, 2].into_iter().cycle();
        let lists = [(Order::Newest, &backward), (Order::Oldest, &staying)];
        let lists = lists.into_iter().cycle();
        for (turn, (limit, (order, wanted))) in limits.zip(lists).take(TURNS).enumerate() {
            let last = over.load(Ordering::Acquire);
            let query = Query::new().with_order(order).with_limit(limit);
            let found = uids(&walk(&*store, query).await?);
            walks::once_in_order("what stays", &found, wanted)?;
            let distinct: BTreeSet<&ActionUid> = found.iter().collect();
            same("each action exactly once", distinct.len(), found.len())?;
            if last {
                return Ok(turn);
            }
            tokio::task::yield_now().await;
        }
        endless("the writers' end")
    })
}

/// Reads the global log from its beginning. Returns the entries of the actions that are
/// never removed, in the order they were read.
#[track_caller]
fn read_log(
    store: Shared,
    over: Arc<AtomicBool>,
    staying: Vec<ActionUid>,
) -> impl Future<Output = Proof<Vec<LogEntry>>> {
    at_call(async move {
        let (mut entries, mut query) = (Vec::new(), LogQuery::all().with_limit(3));
        for _ in 0..TURNS {
            let last = over.load(Ordering::Acquire);
            let page = store.log(&query).await?;
            let more = page.next.is_some();
            // The last page of a log has no cursor, so it is read again until there is more.
            if more || last {
                let of_staying = page.items.into_iter().filter(|e| staying.contains(&e.uid));
                entries.extend(of_staying);
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None if last => return Ok(entries),
                None => tokio::task::yield_now().await,
            }
        }
        endless("the log's end")
    })
}

pub(super) async fn remaining_actions_are_returned_once_during_removals(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let mut staying = Vec::new();
    for number in 0..20 {
        let uid = s.executing(&owner).await?.uid;
        if number % 2 == 0 {
            s.apply(uid, finish(Outcome::Failed), &owner).await?;
            s.done(removal::pin(uid, true)).await?;
        }
        staying.push(uid);
    }
    let log = log_walk(&*s.store, LogQuery::all()).await?;
    let over = Arc::new(AtomicBool::new(false));
    let (store, flag) = (|| s.store.clone(), || over.clone());
    let churn = |n| tokio::spawn(walks::churn(store(), format!("writer {n}"), ROUNDS));
    let writers: Vec<_> = (0..WRITERS).map(churn).collect();
    let pruner = tokio::spawn(prune(store(), flag()));
    let reader = tokio::spawn(follow(store(), flag()));
    let walker = tokio::spawn(browse(store(), flag(), staying.clone()));
    let logger = tokio::spawn(read_log(store(), flag(), staying.clone()));
    for writer in writers {
        joined("the writers' end", writer).await?;
    }
    over.store(true, Ordering::Release);
    let gone = joined("the pruner's end", pruner).await?;
    joined("the walker's end", walker).await?;
    let latest = joined("the feed reader's end", reader).await?;
    let entries = joined("the log reader's end", logger).await?;

    // The writers complete half of the actions that they write.
    same(
        "the number of removed actions",
        gone.len(),
        WRITERS * ROUNDS / 2,
    )?;
    let all = s.walk(Query::new()).await?;
    same("left", all.len(), 20 + WRITERS * ROUNDS / 2)?;
    let no_trace = all.iter().all(|action| !gone.contains(&action.uid));
    holds("no removed action", no_trace, &gone)?;
    for action in &all {
        let seen = latest.get(&action.uid);
        same(
            "the last version of the action in the feed",
            seen,
            Some(action),
        )?;
    }
    same("the log entries of the actions never removed", entries, log)?;
    for uid in gone.iter().take(20) {
        same("a removed action", s.find(*uid).await?, None)?;
        same("its log", s.log_of(*uid).await?, Vec::new())?;
    }
    check_store(&*s.store).await?;
    Ok(())
}
