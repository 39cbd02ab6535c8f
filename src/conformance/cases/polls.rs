//! Futures that are dropped after every possible number of polls.

use super::*;

/// More polls than any answer takes.
const POLLS: usize = 1000;

/// Number of attempts for each number of polls. Repeats expose a resource that each drop
/// leaks.
const ROUNDS: usize = 5;

/// Batches of every kind. Each is applied completely or not at all, and its repeat is
/// recognised.
#[track_caller]
fn batches(
    s: &Subject,
    from: &Subject,
    owner: &OwnerRef,
) -> impl Future<Output = Proof<Vec<Batch>>> {
    at_call(async move {
        let (a, b) = (NewAction::task("a"), NewAction::task("b"));
        let (a_uid, b_uid) = (a.uid, b.uid);
        let running = s.executing(owner).await?.uid;
        let (kept, gone) = (s.completed(owner).await?, s.completed(owner).await?);
        let other = OwnerRef::new("other");
        let imported = from.queued().await?;
        let log = from.log_of(imported.uid).await?;
        let import = Command::import(imported, log);
        let ended = OwnerRef::new("ended");
        s.done(claim(&ended)).await?;
        Ok(vec![
            Batch::each(vec![create(NewAction::task("alone"))]),
            Batch::all(vec![
                create_by(a, owner),
                apply(a_uid, Change::Start, Some(owner)),
                apply(a_uid, step("copy"), Some(owner)),
                create(b),
                apply(b_uid, finish(Outcome::Cancelled), None),
            ]),
            Batch::each(vec![
                apply(running, report(100)?, Some(owner)),
                apply(running, finish(Outcome::Failed), Some(owner)),
            ]),
            Batch::all(vec![
                removal::pin(kept.uid, true),
                remove(&gone),
                claim(&other),
                import,
            ]),
            Batch::each(vec![Command::release(ended)]),
        ])
    })
}

pub(super) async fn a_write_dropped_at_any_poll_is_applied_completely_or_not_at_all(
    fixture: &dyn Fixture,
) -> Proof {
    let (s, from) = (open(fixture).await?, open(fixture).await?);
    let owner = s.claim("plane").await?;
    for polls in 0..POLLS {
        let mut answered = true;
        for _ in 0..ROUNDS {
            for batch in batches(&s, &from, &owner).await? {
                let dropped = poll_times(s.store.write(batch.clone()), polls);
                let answer = in_time("the polls", dropped).await?.transpose()?;
                answered &= answer.is_some();
                // An accepted write is ordered before later writes, so it is decided by
                // now.
                in_time("the next write", s.queued()).await??;
                let again = in_time("a repeat", s.write(batch.clone())).await??;
                let mut effects = BTreeSet::new();
                for answer in again {
                    effects.insert(format!("{:?}", answer?.effect));
                }
                let what = format!("one effect for all commands of {batch:?} after {polls} polls");
                holds(&what, effects.len() == 1, &effects)?;
                if answer.is_some() {
                    let already = BTreeSet::from([format!("{:?}", Effect::Already)]);
                    same("the effect of what was answered", effects, already)?;
                }
            }
        }
        check_store(&*s.store).await?;
        if answered {
            return Ok(());
        }
    }
    Err(Failure::new("an answer to a write", format!("none in {POLLS} polls")).into())
}

pub(super) async fn a_read_dropped_at_any_poll_does_not_affect_later_calls(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let mut action = s.executing(&owner).await?;
    let wanted = [action.uid];
    let orders = [Order::Newest, Order::Oldest, Order::Feed];
    let lists = orders.map(|order| Query::new().with_order(order));
    let logs = [LogQuery::all(), LogQuery::of(action.uid)];
    for polls in 0..POLLS {
        let mut answered = true;
        for _ in 0..ROUNDS * 4 {
            answered &= poll_times(s.store.get(&wanted), polls).await.is_some();
            for query in &lists {
                answered &= poll_times(s.store.list(query), polls).await.is_some();
            }
            for query in &logs {
                answered &= poll_times(s.store.log(query), polls).await.is_some();
            }
            answered &= poll_times(s.store.owners(&OwnerQuery::new()), polls)
                .await
                .is_some();
            answered &= poll_times(s.store.changed(None), polls).await.is_some();
        }
        let after = s.apply(action.uid, step(&format!("after {polls}")), &owner);
        action = in_time("a write after the dropped reads", after).await??;
        in_time("a read after the dropped reads", s.unchanged(&action)).await??;
        in_time(
            "a check of the store after the dropped reads",
            check_store(&*s.store),
        )
        .await??;
        same("owners", s.owners().await?.len(), 1)?;
        if answered {
            return Ok(());
        }
    }
    Err(Failure::new("an answer to a read", format!("none in {POLLS} polls")).into())
}

pub(super) async fn a_waiter_dropped_at_any_poll_does_not_affect_the_others(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    s.queued().await?;
    for polls in 0..POLLS {
        let mut answered = true;
        for _ in 0..ROUNDS {
            let revision = s.position().await?.revision;
            let wait = |polls| {
                let store = s.store.clone();
                tokio::spawn(async move { poll_times(store.changed(Some(revision)), polls).await })
            };
            let (dropped, patient) = (wait(polls), wait(POLLS));
            // On a single thread, both waiters start to wait before the write.
            tokio::task::yield_now().await;
            in_time("a write during the waits", s.queued()).await??;
            let answer = in_time("the polls", dropped).await??.transpose()?;
            answered &= answer.is_some();
            if let Some(at) = answer {
                holds("a higher revision", at.revision > revision, at)?;
            }
            let answer = in_time("the end of the other waiter", patient).await??;
            let woken = matches!(&answer, Some(Ok(at)) if at.revision > revision);
            holds("a higher revision", woken, answer)?;
        }
        if answered {
            check_store(&*s.store).await?;
            return Ok(());
        }
    }
    Err(Failure::new("an answer to a waiter", format!("none in {POLLS} polls")).into())
}

pub(super) async fn a_close_dropped_at_any_poll_is_finished_by_the_next_close(
    fixture: &dyn Fixture,
) -> Proof {
    for polls in 0..POLLS {
        let s = open(fixture).await?;
        let uid = s.queued().await?.uid;
        let answered = poll_times(s.store.close(), polls).await.transpose()?;
        // The store is half closed. A read must return an answer or `Closed`, and must
        // not hang.
        match in_time("a read during the close", s.store.get(&[uid])).await? {
            Ok(found) => same("answers", found.len(), 1)?,
            Err(error) => same("the failure", error.kind(), StoreErrorKind::Closed)?,
        }
        in_time("the end of closing", s.store.close()).await??;
        let late = in_time("a read", s.store.get(&[uid])).await?;
        fails("get", late, StoreErrorKind::Closed)?;
        let late = s
            .store
            .write(Batch::each(vec![create(NewAction::task("a"))]));
        fails(
            "write",
            in_time("a write", late).await?,
            StoreErrorKind::Closed,
        )?;
        if answered.is_some() {
            return Ok(());
        }
    }
    Err(Failure::new("an answer to a close", format!("none in {POLLS} polls")).into())
}

/// Drops the first close of a store after every possible number of polls, closes it
/// again, reopens it and passes it to `look`.
#[track_caller]
pub(super) fn reopened_after_dropped_closes<'f, L, F>(
    fixture: &'f dyn Fixture,
    mut look: L,
) -> impl Future<Output = Proof>
where
    L: FnMut(Subject, Arc<Action>) -> F + Send + 'f,
    F: Future<Output = Proof> + Send,
{
    at_call(async move {
        for polls in 0..POLLS {
            let s = open(fixture).await?;
            let owner = s.claim("plane").await?;
            let action = s.executing(&owner).await?;
            let answered = poll_times(s.store.close(), polls).await.transpose()?;
            // Closes again. This must wait for the work that the first close began.
            look(s.reopened().await?, action).await?;
            if answered.is_some() {
                return Ok(());
            }
        }
        Err(Failure::new("an answer to a close", format!("none in {POLLS} polls")).into())
    })
}
