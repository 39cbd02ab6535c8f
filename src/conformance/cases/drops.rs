//! Futures that are dropped before they are ready.

use super::*;

/// Number of futures that a case drops. Each is polled at most once.
const MANY: usize = 200;

pub(super) async fn a_dropped_write_is_applied_completely_or_not_at_all(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let mut batches = Vec::new();
    for _ in 0..MANY {
        let (a, b) = (NewAction::task("a"), NewAction::task("b"));
        let pair = (a.uid, b.uid);
        let batch = Batch::all(vec![
            create(a),
            create(b),
            apply(pair.0, Change::Start, Some(&owner)),
            apply(pair.1, finish(Outcome::Cancelled), None),
        ]);
        let mut write = s.store.write(batch.clone());
        let answer = poll_once(&mut write);
        drop(write);
        batches.push((pair, batch, answer.is_some()));
    }
    // Once a later write is answered, each dropped write is either applied completely or
    // was never accepted.
    s.queued().await?;
    for (pair, batch, answered) in batches {
        let found = s.store.get(&[pair.0, pair.1]).await?;
        let there: Vec<Option<u64>> = found
            .iter()
            .map(|action| action.as_ref().map(|action| action.version.get()))
            .collect();
        let whole = there == [Some(2), Some(2)];
        let nothing = there == [None, None] && !answered;
        holds(
            "a dropped write applied completely or not at all",
            whole || nothing,
            &there,
        )?;
        for answer in s.write(batch).await? {
            let expected = if whole {
                Effect::Already
            } else {
                Effect::Applied
            };
            same("the effect of a repeat", answer?.effect, expected)?;
        }
    }
    let checked = check_store(&*s.store).await?;
    same("actions", checked.actions, 2 * MANY + 1)
}

pub(super) async fn dropped_reads_do_not_affect_later_calls(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.executing(&owner).await?;
    let revision = s.position().await?.revision;
    let wanted = [action.uid];
    let (query, log) = (Query::new(), LogQuery::all());
    for _ in 0..MANY {
        poll_once(&mut s.store.get(&wanted));
        poll_once(&mut s.store.list(&query));
        poll_once(&mut s.store.log(&log));
        poll_once(&mut s.store.owners(&OwnerQuery::new()));
        poll_once(&mut s.store.changed(None));
        let waiting = poll_once(&mut s.store.changed(Some(revision)));
        holds("no change yet", waiting.is_none(), waiting)?;
    }
    // If each drop leaked a connection or a lock, this call would wait forever.
    let after = s.apply(action.uid, step("copy"), &owner);
    let after = in_time("a write after the dropped reads", after).await??;
    in_time("a read after the dropped reads", s.unchanged(&after)).await??;
    let waiting = s.store.changed(Some(revision));
    in_time("the end of the waiter", waiting).await??;
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn a_dropped_write_keeps_its_order(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    for number in 0..MANY as u16 {
        let change = apply(uid, report(number)?, Some(&owner));
        let mut write = s.store.write(Batch::each(vec![change]));
        poll_once(&mut write);
        drop(write);
    }
    // This write is sent after all dropped writes, so it must be applied after them.
    let last = s.apply(uid, step("last"), &owner).await?;
    let found = s.read(uid).await?;
    same("the action after the last write", &found, &last)?;
    s.queued().await?;
    s.unchanged(&last).await?;
    check_store(&*s.store).await?;
    Ok(())
}
