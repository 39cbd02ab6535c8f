//! Walks while others write, and the feed.

use super::*;

pub(super) fn feed() -> Query {
    Query::new().with_order(Order::Feed)
}

/// Creates, starts, reports and ends actions until told to stop.
pub(super) async fn churn(
    store: Arc<dyn ActionStore>,
    name: String,
    rounds: usize,
) -> Proof<usize> {
    let owner = OwnerRef::new(name);
    let written = |answers: Vec<Result<Done, Refused>>| -> Proof {
        for answer in answers {
            answer?;
        }
        Ok(())
    };
    written(store.write(Batch::each(vec![claim(&owner)])).await?)?;
    for round in 0..rounds {
        let new = NewAction::task("churn");
        let uid = new.uid;
        let creation = vec![create(new), apply(uid, Change::Start, Some(&owner))];
        written(store.write(Batch::all(creation)).await?)?;
        let report = apply(uid, step(&format!("step {round}")), Some(&owner));
        written(store.write(Batch::each(vec![report])).await?)?;
        if round % 2 == 0 {
            let end = apply(uid, finish(Outcome::Succeeded), Some(&owner));
            written(store.write(Batch::each(vec![end])).await?)?;
        }
        tokio::task::yield_now().await;
    }
    Ok(rounds)
}

const WRITERS: usize = 4;
const ROUNDS: usize = 40;

fn churners(s: &Subject) -> Vec<tokio::task::JoinHandle<Proof<usize>>> {
    let one = |n| tokio::spawn(churn(s.store.clone(), format!("writer {n}"), ROUNDS));
    (0..WRITERS).map(one).collect()
}

/// Demands that each of `wanted` is in `found` once, in that order.
pub(super) fn once_in_order(what: &str, found: &[ActionUid], wanted: &[ActionUid]) -> Proof {
    let of_these: Vec<ActionUid> = found
        .iter()
        .copied()
        .filter(|u| wanted.contains(u))
        .collect();
    same(what, of_these, wanted.to_vec())
}

pub(super) async fn a_walk_meets_each_action_once_while_others_write(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let mut there = Vec::new();
    for _ in 0..30 {
        there.push(s.executing(&owner).await?.uid);
    }
    let mut newest_first = there.clone();
    newest_first.reverse();
    let writers = churners(&s);
    let mut number = 0u16;
    loop {
        let over = writers.iter().all(|writer| writer.is_finished());
        for limit in [1, 2, 7, 100] {
            // They change as well, but keep what the query asks for.
            let uid = there[usize::from(number) % there.len()];
            number += 1;
            s.apply(uid, report(number)?, &owner).await?;
            let unfinished = Query::new().with_term(Term::Unfinished).with_limit(limit);
            let found = s.walk(unfinished.clone()).await?;
            once_in_order("newest first", &uids(&found), &newest_first)?;
            let found = s.walk(unfinished.with_order(Order::Oldest)).await?;
            once_in_order("oldest first", &uids(&found), &there)?;
            let all = Query::new()
                .with_order(Order::Oldest)
                .with_limit(limit.max(7));
            let found = uids(&s.walk(all).await?);
            let distinct: BTreeSet<&ActionUid> = found.iter().collect();
            same("each action once", distinct.len(), found.len())?;
        }
        if over || number > 2000 {
            break;
        }
    }
    for writer in writers {
        in_time("the writers' end", writer).await???;
    }
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn the_feed_has_each_action_once_at_its_latest_change(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let (a, b, c) = (s.queued().await?, s.queued().await?, s.queued().await?);
    same(
        "the feed",
        uids(&s.walk(feed()).await?),
        vec![a.uid, b.uid, c.uid],
    )?;
    let a = s.apply(a.uid, Change::Start, &owner).await?;
    same(
        "the feed",
        s.walk(feed()).await?,
        vec![b.clone(), c.clone(), a.clone()],
    )?;
    let b = s
        .changed(apply(b.uid, finish(Outcome::Cancelled), None))
        .await?;
    let a = s.apply(a.uid, report(100)?, &owner).await?;
    same(
        "the feed",
        s.walk(feed()).await?,
        vec![c.clone(), b.clone(), a.clone()],
    )?;
    let finished = feed().with_term(Term::Status(Status::Completed));
    same("the filtered feed", s.walk(finished).await?, vec![b])
}

pub(super) async fn the_feed_is_resumed_after_any_revision(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let life = s.position().await?.life;
    let mut seen = vec![(Revision::ZERO, Vec::new())];
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(s.queued().await?);
        seen.push((s.position().await?.revision, all.clone()));
    }
    let ascending = seen.windows(2).all(|pair| pair[0].0 < pair[1].0);
    holds("ascending revisions", ascending, &seen)?;
    for (revision, before) in seen {
        let after = Some(Cursor::feed(life, revision));
        let rest = s.walk(feed().with_after(after).with_limit(2)).await?;
        same("what came later", &rest[..], &all[before.len()..])?;
    }
    Ok(())
}

pub(super) async fn a_reader_of_the_feed_misses_nothing(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let writers = churners(&s);
    let mut cursor = None;
    let mut latest = BTreeMap::new();
    let mut position = s.position().await?;
    for _ in 0..100_000u32 {
        // Looked at before the page is read: what they wrote is in it or still to come.
        let over = writers.iter().all(|writer| writer.is_finished());
        let page = s.list(feed().with_after(cursor).with_limit(7)).await?;
        holds(
            "positions that only grow",
            page.at.revision >= position.revision,
            page.at,
        )?;
        position = page.at;
        for action in &page.items {
            let before: Option<Arc<Action>> = latest.insert(action.uid, action.clone());
            let fresh = before.as_ref().is_none_or(|b| b.version < action.version);
            holds("only what has changed since", fresh, (before, action))?;
        }
        let end = page.next.is_none();
        cursor = page
            .next
            .or(Some(Cursor::feed(page.at.life, page.at.revision)));
        if end && over {
            break;
        }
        if end {
            // Nothing may come any more if the last writer has ended in between.
            let changed = s.store.changed(Some(page.at.revision));
            if let Ok(moved) = tokio::time::timeout(Duration::from_millis(50), changed).await {
                moved?;
            }
        }
    }
    for writer in writers {
        in_time("the writers' end", writer).await???;
    }
    let all = s.walk(Query::new()).await?;
    same("actions", all.len(), WRITERS * ROUNDS)?;
    same("actions seen in the feed", latest.len(), all.len())?;
    for action in all {
        same(
            "the last that was seen of it",
            latest.get(&action.uid),
            Some(&action),
        )?;
    }
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn a_feed_cursor_expires_when_something_it_has_yet_to_show_is_removed(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    s.queued().await?;
    let before = s.position().await?;
    let gone = s.completed(&owner).await?;
    let after = s.position().await?;
    s.queued().await?;
    s.done(remove(&gone)).await?;
    let resume = |from: Position| feed().with_after(Some(Cursor::feed(from.life, from.revision)));
    s.list_fails(resume(before), ErrorKind::CursorExpired)
        .await?;
    same("what came later", s.walk(resume(after)).await?.len(), 1)?;
    let now = s.position().await?;
    holds(
        "a mark of the removal",
        now.removed_to > before.revision,
        now,
    )?;
    holds("no mark beyond it", now.removed_to <= after.revision, now)
}

pub(super) async fn a_store_knows_since_when_its_history_is_whole(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let (first, second) = (s.completed(&owner).await?, s.completed(&owner).await?);
    s.completed(&owner).await?;
    same("nothing removed", s.position().await?.removed_created, None)?;
    // The older one last: the younger one is what counts.
    for action in [&second, &first] {
        s.done(remove(action)).await?;
        let at = s.position().await?;
        same(
            "the youngest removed",
            at.removed_created,
            Some(second.created_at),
        )?;
        let page = s.store.list(&Query::new()).await?;
        same("the same on a page", page.at, at)?;
    }
    Ok(())
}

pub(super) async fn a_feed_cursor_stays_expired_whatever_is_removed_later(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let first = s.completed(&owner).await?;
    let between = s.position().await?;
    let second = s.completed(&owner).await?;
    let after = Some(Cursor::feed(between.life, between.revision));
    s.queued().await?;
    // The older one last: what it was changed at is below what was removed before.
    for action in [second, first] {
        s.done(remove(&action)).await?;
        let query = feed().with_after(after);
        s.list_fails(query, ErrorKind::CursorExpired).await?;
    }
    Ok(())
}

pub(super) async fn a_feed_begun_after_a_removal_works(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let mut kept = Vec::new();
    for _ in 0..5 {
        kept.push(s.queued().await?.uid);
        let gone = s.completed(&owner).await?;
        s.done(remove(&gone)).await?;
    }
    let found = s.walk(feed().with_limit(1)).await?;
    same("the feed", uids(&found), kept)
}

pub(super) async fn a_feed_walk_outlives_the_removal_of_what_it_has_shown(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let first = s.completed(&owner).await?;
    let second = s.completed(&owner).await?;
    let page = s.list(feed().with_limit(1)).await?;
    same("the first page", uids(&page.items), vec![first.uid])?;
    s.done(remove(&first)).await?;
    let rest = walk(&*s.store, feed().with_after(page.next)).await?;
    same("the rest", rest, vec![second])
}

pub(super) async fn creation_order_is_kept_whatever_changes(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let mut created = Vec::new();
    for number in 0..6u16 {
        // Uids that sort against the order of creation.
        let uid: ActionUid = format!("{:08x}-0000-0000-0000-000000000000", 100 - number).parse()?;
        s.create(NewAction::task("a").with_uid(uid)).await?;
        created.push(uid);
    }
    for uid in [created[3], created[0], created[5]] {
        s.apply(uid, Change::Start, &owner).await?;
    }
    let oldest = s
        .walk(Query::new().with_order(Order::Oldest).with_limit(2))
        .await?;
    same("oldest first", uids(&oldest), created.clone())?;
    created.reverse();
    same(
        "newest first",
        uids(&s.walk(Query::new().with_limit(2)).await?),
        created,
    )
}
