//! Walks while other tasks write, and the feed.

use super::*;

pub(super) fn feed() -> Query {
    Query::new().with_order(Order::Feed)
}

/// Creates, starts, reports on and finishes actions.
#[track_caller]
pub(super) fn churn(
    store: Arc<dyn ActionStore>,
    name: String,
    rounds: usize,
) -> impl Future<Output = Proof<usize>> {
    at_call(async move {
        let owner = OwnerRef::new(name);
        let written = |answers: Vec<Result<Done, Rejection>>| -> Proof {
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
    })
}

const WRITERS: usize = 4;
const ROUNDS: usize = 40;

fn churners(s: &Subject) -> Vec<tokio::task::JoinHandle<Proof<usize>>> {
    let one = |n| tokio::spawn(churn(s.store.clone(), format!("writer {n}"), ROUNDS));
    (0..WRITERS).map(one).collect()
}

/// Requires that each uid of `wanted` is in `found` once, in that order.
#[track_caller]
pub(super) fn once_in_order(what: &str, found: &[ActionUid], wanted: &[ActionUid]) -> Proof {
    let of_these: Vec<ActionUid> = found
        .iter()
        .copied()
        .filter(|u| wanted.contains(u))
        .collect();
    same(what, of_these, wanted.to_vec())
}

pub(super) async fn a_bulk_cancel_reaches_each_match_once(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let mut there = Vec::new();
    for round in 0..30 {
        let action = match round % 5 {
            0 => s.executing(&owner).await?,
            _ => s.queued().await?,
        };
        there.push(action.uid);
    }
    let request = CancelRequest::new().with_by("ann");
    let all = CancelAll::new(request).with_limit(7);
    let dry = all.clone().with_limit(100).with_dry_run(true);
    let dry = s.store.cancel_all(&dry).await;
    same("the dry run's matches", dry.matched, 30)?;
    let (mut matched, mut requested, mut ended) = (0, 0, 0);
    let mut next = Some(all);
    while let Some(step) = next {
        let report = s.store.cancel_all(&step).await;
        if let Some(error) = report.error {
            return Err(error.into());
        }
        holds(
            "a step within its limit",
            report.matched <= 7,
            report.matched,
        )?;
        matched += report.matched;
        requested += report.requested;
        ended += report.ended;
        next = step.resume(&report);
    }
    // A queued action ends with its request and stops to match: the cursor must go on from there.
    same("the matches of all steps", matched, 30)?;
    same("the requests", requested, 30)?;
    same("the queued actions that ended", ended, 24)?;
    for uid in there {
        let by = s
            .read(uid)
            .await?
            .cancel
            .as_ref()
            .and_then(|c| c.by.clone());
        same("who asked", by.as_deref(), Some("ann"))?;
    }
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn paging_returns_each_action_once_during_writes(fixture: &dyn Fixture) -> Proof {
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
            // These actions change too, but still match the query.
            let uid = *pick("the actions", &there, usize::from(number) % there.len())?;
            number += 1;
            s.apply(uid, report(number)?, &owner).await?;
            let unfinished = Query::new()
                .with_filter(Filter::Unfinished)
                .with_limit(limit);
            let found = s.walk(unfinished.clone()).await?;
            once_in_order("newest first", &uids(&found), &newest_first)?;
            let found = s.walk(unfinished.with_order(Order::Oldest)).await?;
            once_in_order("oldest first", &uids(&found), &there)?;
            let all = Query::new()
                .with_order(Order::Oldest)
                .with_limit(limit.max(7));
            let found = uids(&s.walk(all).await?);
            let distinct: BTreeSet<&ActionUid> = found.iter().collect();
            same("each action exactly once", distinct.len(), found.len())?;
        }
        if over || number > 2000 {
            break;
        }
    }
    for writer in writers {
        joined("the writers' end", writer).await?;
    }
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn the_feed_returns_each_action_once_at_its_latest_change(
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
    let finished = feed().with_filter(Filter::Status(Status::Completed));
    same("the filtered feed", s.walk(finished).await?, vec![b])
}

pub(super) async fn the_feed_can_resume_after_any_revision(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let mut seen = vec![(Revision::ZERO, 0)];
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(s.queued().await?);
        seen.push((s.position().await?.revision, all.len()));
    }
    let ascending = seen.is_sorted_by(|(one, _), (next, _)| one < next);
    holds("ascending revisions", ascending, &seen)?;
    for (revision, before) in seen {
        let after = Some(Cursor::feed(s.position().await?, revision));
        let rest = s.walk(feed().with_after(after).with_limit(2)).await?;
        same(
            "the later changes",
            &rest[..],
            pick("the actions", &all, before..)?,
        )?;
    }
    Ok(())
}

pub(super) async fn a_feed_reader_misses_no_change(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let writers = churners(&s);
    let mut cursor = None;
    let mut latest = BTreeMap::new();
    let mut position = s.position().await?;
    for _ in 0..100_000u32 {
        // Checked before the page is read: all finished writes are in this page or a
        // later one.
        let over = writers.iter().all(|writer| writer.is_finished());
        let page = s.list(feed().with_after(cursor).with_limit(7)).await?;
        holds(
            "positions that never go back",
            page.at.revision >= position.revision,
            page.at,
        )?;
        position = page.at;
        for action in &page.items {
            let before: Option<Arc<Action>> = latest.insert(action.uid, action.clone());
            let fresh = before.as_ref().is_none_or(|b| b.version < action.version);
            holds(
                "only actions that have changed since",
                fresh,
                (before, action),
            )?;
        }
        let end = page.next.is_none();
        cursor = page.next.or(Some(Cursor::feed(page.at, page.at.revision)));
        if end && over {
            break;
        }
        if end {
            // No change may follow if the last writer has ended in between, hence the
            // timeout.
            let changed = s.store.changed(Some(page.at.revision));
            if let Ok(moved) = tokio::time::timeout(Duration::from_millis(50), changed).await {
                moved?;
            }
        }
    }
    for writer in writers {
        joined("the writers' end", writer).await?;
    }
    let all = s.walk(Query::new()).await?;
    same("actions", all.len(), WRITERS * ROUNDS)?;
    same("the number of actions in the feed", latest.len(), all.len())?;
    for action in all {
        same(
            "the last version of the action in the feed",
            latest.get(&action.uid),
            Some(&action),
        )?;
    }
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn a_feed_cursor_expires_when_an_action_it_has_not_returned_is_removed(
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
    let resume = |from: Position| feed().with_after(Some(Cursor::feed(from, from.revision)));
    s.list_fails(resume(before), StoreErrorKind::CursorExpired)
        .await?;
    same("the later changes", s.walk(resume(after)).await?.len(), 1)?;
    let now = s.position().await?;
    holds(
        "a higher `pruned_through` after the removal",
        now.pruned_through > before.revision,
        now,
    )?;
    holds(
        "no `pruned_through` above the removed revision",
        now.pruned_through <= after.revision,
        now,
    )
}

pub(super) async fn a_store_reports_where_its_complete_history_begins(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let (first, second) = (s.completed(&owner).await?, s.completed(&owner).await?);
    s.completed(&owner).await?;
    same("nothing removed", s.position().await?.pruned_created, None)?;
    // Removes the older one last. The highest removed revision counts.
    for action in [&second, &first] {
        s.done(remove(action)).await?;
        let at = s.position().await?;
        same(
            "the highest removed revision",
            at.pruned_created,
            Some(second.created_at),
        )?;
        let page = s.store.list(&Query::new()).await?;
        same("the same position on a page", page.at, at)?;
    }
    Ok(())
}

pub(super) async fn an_expired_feed_cursor_stays_expired(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let first = s.completed(&owner).await?;
    let between = s.position().await?;
    let second = s.completed(&owner).await?;
    let after = Some(Cursor::feed(between, between.revision));
    s.queued().await?;
    // Removes the older one last: its revision is below the one removed before.
    for action in [second, first] {
        s.done(remove(&action)).await?;
        let query = feed().with_after(after);
        s.list_fails(query, StoreErrorKind::CursorExpired).await?;
    }
    Ok(())
}

pub(super) async fn a_feed_started_after_a_removal_works(fixture: &dyn Fixture) -> Proof {
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

pub(super) async fn a_feed_cursor_survives_the_removal_of_a_returned_action(
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

pub(super) async fn creation_order_never_changes(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let mut created = Vec::new();
    for number in 0..6u16 {
        // The uids sort in the opposite order to creation.
        let uid: ActionUid = format!("{:08x}-0000-0000-0000-000000000000", 100 - number).parse()?;
        s.create(NewAction::task("a").with_uid(uid)).await?;
        created.push(uid);
    }
    for number in [3, 0, 5] {
        let uid = pick("the actions", &created, number)?;
        s.apply(*uid, Change::Start, &owner).await?;
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
