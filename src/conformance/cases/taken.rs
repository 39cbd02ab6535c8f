//! Writes that the store has taken: their future is dropped, or the store is closed.

use super::*;

/// Number of writes of a case.
const MANY: usize = 20;

/// Sends a create to a store that does nothing else, and polls it once. The store has taken
/// it then.
#[track_caller]
fn taken<'s>(
    s: &'s Subject,
    new: NewAction,
) -> impl Future<Output = Proof<impl Future<Output = Proof<Arc<Action>>> + 's>> {
    at_call(async move {
        // Starts the next poll with a full budget of tokio.
        tokio::task::yield_now().await;
        let mut write = s.store.write(Batch::each(vec![create(new)]));
        let early = poll_once(&mut write);
        Ok(async move {
            let answers = match early {
                Some(answers) => answers?,
                None => in_time("the answer to a write", write).await??,
            };
            let done = pick("the answers", &answers, 0)?.clone()?;
            same("the effect", done.effect, Effect::Applied)?;
            let missing = || Failure::new("the action in the answer", "no action");
            Ok(done.action.ok_or_else(missing)?)
        })
    })
}

pub(super) async fn a_write_dropped_after_it_was_taken_is_applied(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let mut uids = Vec::new();
    for _ in 0..MANY {
        let new = NewAction::task("a");
        uids.push(new.uid);
        drop(taken(&s, new).await?);
        // Later writes are ordered after it.
        uids.push(s.queued().await?.uid);
    }
    let found = s.walk(Query::new().with_order(Order::Oldest)).await?;
    same(
        "the actions, in the order of the writes",
        super::uids(&found),
        uids,
    )?;
    check_store(&*s.store).await?;
    Ok(())
}

/// Closes a store that has just taken a create. Returns its answer if the future is kept.
#[track_caller]
pub(super) fn closed_after_taking(
    s: &Subject,
    new: NewAction,
    kept: bool,
) -> impl Future<Output = Proof<Option<Arc<Action>>>> {
    at_call(async move {
        let write = taken(s, new).await?;
        let write = kept.then_some(write);
        in_time("the end of closing", s.store.close()).await??;
        match write {
            Some(write) => Ok(Some(write.await?)),
            None => Ok(None),
        }
    })
}

pub(super) async fn a_close_finishes_the_writes_that_were_taken(fixture: &dyn Fixture) -> Proof {
    for _ in 0..MANY / 4 {
        let s = open(fixture).await?;
        let new = NewAction::task("a");
        let uid = new.uid;
        let answer = closed_after_taking(&s, new, true).await?;
        same(
            "the action in the answer",
            answer.map(|action| action.uid),
            Some(uid),
        )?;
    }
    Ok(())
}
