//! Futures dropped after every number of polls, until they are polled to their end.

use super::*;

/// More polls than an answer takes.
const POLLS: usize = 1000;

/// How often each number of polls is tried: what is lost each time runs out sooner or later.
const ROUNDS: usize = 5;

/// Batches of all kinds, each of which is done as a whole or not at all, and tells a repeat.
async fn batches(s: &Subject, from: &Subject, owner: &OwnerRef) -> Proof<Vec<Batch>> {
    let (a, b) = (NewAction::task("a"), NewAction::task("b"));
    let (a_uid, b_uid) = (a.uid, b.uid);
    let running = s.executing(owner).await?.uid;
    let (kept, gone) = (s.completed(owner).await?, s.completed(owner).await?);
    let other = OwnerRef::new("other");
    let imported = from.queued().await?;
    let import = Command::Import {
        log: from.log_of(imported.uid).await?,
        action: imported,
    };
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
        Batch::each(vec![Command::Release(ended)]),
    ])
}

pub(super) async fn a_write_dropped_at_any_poll_happens_whole_or_not_at_all(
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
                // What was taken comes before what is sent later, so it is decided by now.
                in_time("the next write", s.queued()).await??;
                let again = in_time("a repeat", s.write(batch.clone())).await??;
                let mut effects = BTreeSet::new();
                for answer in again {
                    effects.insert(format!("{:?}", answer?.effect));
                }
                let what = format!("one effect for all of {batch:?} after {polls} polls");
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

pub(super) async fn a_read_dropped_at_any_poll_harms_nobody(fixture: &dyn Fixture) -> Proof {
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
        action = in_time("a write after them", after).await??;
        in_time("a look after them", s.unchanged(&action)).await??;
        in_time("all reads after them", check_store(&*s.store)).await??;
        same("owners", s.owners().await?.len(), 1)?;
        if answered {
            return Ok(());
        }
    }
    Err(Failure::new("an answer to a read", format!("none in {POLLS} polls")).into())
}

pub(super) async fn a_waiter_dropped_at_any_poll_harms_nobody(fixture: &dyn Fixture) -> Proof {
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
            // Both wait before there is something to wait for, where there is but one thread.
            tokio::task::yield_now().await;
            in_time("a write beside them", s.queued()).await??;
            let answer = in_time("the polls", dropped).await??.transpose()?;
            answered &= answer.is_some();
            if let Some(at) = answer {
                holds("a higher revision", at.revision > revision, at)?;
            }
            let answer = in_time("a waiter beside it that wakes", patient).await??;
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

pub(super) async fn a_close_dropped_at_any_poll_is_finished_by_the_next(
    fixture: &dyn Fixture,
) -> Proof {
    for polls in 0..POLLS {
        let s = open(fixture).await?;
        let uid = s.queued().await?.uid;
        let answered = poll_times(s.store.close(), polls).await.transpose()?;
        // Half closed: an answer or `Closed`, but never silence.
        match in_time("a read meanwhile", s.store.get(&[uid])).await? {
            Ok(found) => same("answers", found.len(), 1)?,
            Err(error) => same("the failure", error.kind(), ErrorKind::Closed)?,
        }
        in_time("the end of closing", s.store.close()).await??;
        let late = in_time("a read", s.store.get(&[uid])).await?;
        fails("get", late, ErrorKind::Closed)?;
        let late = s
            .store
            .write(Batch::each(vec![create(NewAction::task("a"))]));
        fails("write", in_time("a write", late).await?, ErrorKind::Closed)?;
        if answered.is_some() {
            return Ok(());
        }
    }
    Err(Failure::new("an answer to a close", format!("none in {POLLS} polls")).into())
}

/// Closes stores after every number of polls of a first close that is dropped, and hands each to
/// `look` once it is open again.
pub(super) async fn reopened_after_dropped_closes<'f, L, F>(
    fixture: &'f dyn Fixture,
    mut look: L,
) -> Proof
where
    L: FnMut(Subject, Arc<Action>) -> F + Send + 'f,
    F: Future<Output = Proof> + Send,
{
    for polls in 0..POLLS {
        let s = open(fixture).await?;
        let owner = s.claim("plane").await?;
        let action = s.executing(&owner).await?;
        let answered = poll_times(s.store.close(), polls).await.transpose()?;
        // Closes again, which is to wait for what the first had begun.
        look(s.reopened().await?, action).await?;
        if answered.is_some() {
            return Ok(());
        }
    }
    Err(Failure::new("an answer to a close", format!("none in {POLLS} polls")).into())
}
