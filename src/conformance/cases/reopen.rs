//! The content of a store after it was closed and opened again.

use super::super::steps::Snapshot;
use super::*;

pub(super) async fn acknowledged_writes_survive_reopening(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let all = variety::variety(&s).await?;
    let (before, at) = (s.snapshot().await?, s.position().await?);
    let s = s.reopened().await?;
    same_but_for_owners(s.snapshot().await?, before)?;
    same("the position", s.position().await?, at)?;
    for filter in variety::filters(&all)? {
        let query = Query::new().with_filter(filter).with_order(Order::Oldest);
        let what = format!("what matches {:?}", query.filters);
        let matching = all.iter().filter(|action| query.matches(action));
        let expected: Vec<ActionUid> = matching.map(|action| action.uid).collect();
        same(&what, uids(&s.walk(query).await?), expected)?;
    }
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn repeats_are_recognised_after_reopening(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let new = NewAction::task("a").with_idempotency_key("i");
    let uid = new.uid;
    let commands = vec![
        claim(&owner),
        create_by(new, &owner),
        apply(uid, Change::Start, Some(&owner)),
        apply(uid, step("copy"), Some(&owner)),
        apply(uid, report(500)?, Some(&owner)),
    ];
    for answer in s.each(commands.clone()).await? {
        answer?;
    }
    let before = s.snapshot().await?;
    let s = s.reopened().await?;
    let lives = s.owner(&owner).await?.is_alive();
    for (index, answer) in s.each(commands).await?.into_iter().enumerate() {
        // An owner that ended with the store cannot claim its name again.
        match answer {
            Err(refused) if index == 0 && !lives => demand!(refused, Rejection::Fenced { .. }),
            answer => same("the effect of a repeat", answer?.effect, Effect::Already)?,
        }
    }
    let again = NewAction::task("a").with_idempotency_key("i");
    s.already(create(again)).await?;
    same_but_for_owners(s.snapshot().await?, before)
}

/// Requires that a reopened store has the same content as before. An owner that was alive
/// may now be disconnected: a store opened for one process has no other users.
#[track_caller]
fn same_but_for_owners(mut now: Snapshot, before: Snapshot) -> Proof {
    let owners = now.owners.iter_mut().zip(&before.owners);
    for (owner, was) in owners.filter(|(_, was)| was.is_alive()) {
        if owner.state == OwnerState::Disconnected {
            holds("the time the owner ended", owner.ended_at.is_some(), &owner)?;
            (owner.state, owner.ended_at) = (was.state, was.ended_at);
        }
    }
    same("the store", now, before)
}

pub(super) async fn an_owner_survives_reopening_or_is_disconnected(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let new = NewAction::task("a").with_exclusive("k");
    let uid = new.uid;
    s.done(create_by(new, &owner)).await?;
    let running = s.apply(uid, Change::Start, &owner).await?;
    s.done(Command::renew(owner.clone())).await?;
    let s = s.reopened().await?;
    let known = s.owner(&owner).await?;
    same("its renewals", known.renewals, 1)?;
    let other = s.claim("other").await?;
    if known.is_alive() {
        s.apply(running.uid, step("on"), &owner).await?;
        let early = apply(running.uid, finish(Outcome::Lost), Some(&other));
        demand!(s.refused(early).await?, Rejection::OwnerAlive(_));
        return Ok(());
    }
    same("the state", known.state, OwnerState::Disconnected)?;
    // Every write of the ended owner is refused. Another owner can settle its actions at
    // once.
    for command in [
        claim(&owner),
        Command::renew(owner.clone()),
        apply(running.uid, step("on"), Some(&owner)),
    ] {
        demand!(s.refused(command).await?, Rejection::Fenced { .. });
    }
    let lost = s.apply(running.uid, finish(Outcome::Lost), &other).await?;
    let evidence = lost.evidence.as_ref();
    let told = evidence.map(|told| (&told.owner, told.end, told.last_seen_at, &*told.decided_by));
    let expected = (
        &owner,
        OwnerEnd::Disconnected,
        running.last_seen_at,
        "other",
    );
    same("the evidence", told, Some(expected))?;
    s.create(NewAction::task("b").with_exclusive("k")).await?;
    Ok(())
}

pub(super) async fn keys_pins_and_fences_hold_after_reopening(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let (alive, dead) = (s.claim("alive").await?, s.claim("dead").await?);
    let pinned = s.completed(&alive).await?;
    s.done(Command::pin(pinned.uid, true)).await?;
    s.create(NewAction::task("a").with_exclusive("k")).await?;
    let orphan = s.executing(&dead).await?;
    s.done(fence(&dead, 0)).await?;
    let running = s.executing(&alive).await?;
    s.done(Command::renew(alive.clone())).await?;
    let s = s.reopened().await?;
    let refused = s
        .refused(create(NewAction::task("b").with_exclusive("k")))
        .await?;
    demand!(
        refused,
        Rejection::Conflict {
            reason: ConflictReason::Exclusive(_),
            ..
        }
    );
    demand!(
        s.refused(remove(&pinned)).await?,
        Rejection::Conflict {
            reason: ConflictReason::Pinned,
            ..
        }
    );
    let zombie = s
        .refused(apply(orphan.uid, step("zombie"), Some(&dead)))
        .await?;
    demand!(zombie, Rejection::Fenced { .. });
    if s.owner(&alive).await?.is_alive() {
        s.apply(running.uid, step("on"), &alive).await?;
        demand!(s.refused(fence(&alive, 0)).await?, Rejection::OwnerAlive(_));
        s.done(fence(&alive, 1)).await?;
    }
    Ok(())
}

pub(super) async fn cursors_stay_valid_after_reopening(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    for _ in 0..4 {
        s.completed(&owner).await?;
    }
    let gone = s.completed(&owner).await?;
    let orders = [Order::Newest, Order::Oldest, Order::Feed];
    s.done(remove(&gone)).await?;
    let mut rests = Vec::new();
    for order in orders {
        let query = Query::new().with_order(order).with_limit(2);
        let cursor = s.list(query.clone()).await?.next;
        let query = query.with_after(cursor);
        rests.push((s.walk(query.clone()).await?, query));
    }
    let query = LogQuery::all().with_limit(5);
    let cursor = s.store.log(&query).await?.next;
    let query = query.with_after(cursor);
    let log = log_walk(&*s.store, query.clone()).await?;
    let before = s.position().await?;
    let s = s.reopened().await?;
    for (rest, query) in rests {
        same("the rest of the list", s.walk(query).await?, rest)?;
    }
    same(
        "the rest of the log",
        log_walk(&*s.store, query).await?,
        log,
    )?;
    // Revisions are never reused, not even the one of the removed action.
    s.queued().await?;
    let after = s.position().await?;
    holds("a higher revision", after.revision > before.revision, after)?;
    let resumed = Cursor::feed(before, before.revision);
    let feed = Query::new()
        .with_order(Order::Feed)
        .with_after(Some(resumed));
    same("the later changes", s.walk(feed).await?.len(), 1)
}

pub(super) async fn a_removed_position_is_not_reused_after_reopening(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let ends = pruning::Ends::removed(&s).await?;
    let s = s.reopened().await?;
    ends.meet_what_comes(&s).await
}

pub(super) async fn a_store_reopens_intact_after_a_dropped_close(fixture: &dyn Fixture) -> Proof {
    polls::reopened_after_dropped_closes(fixture, |s, action| async move {
        s.unchanged(&action).await?;
        s.queued().await?;
        same("actions", check_store(&*s.store).await?.actions, 2)
    })
    .await
}

pub(super) async fn a_store_knows_after_reopening_what_was_removed(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    s.completed(&owner).await?;
    let early = s.position().await?;
    s.tick();
    let gone = s.completed(&owner).await?;
    s.tick();
    s.queued().await?;
    s.done(remove(&gone)).await?;
    let before = s.position().await?;
    let reader = walks::feed().with_after(Some(Cursor::feed(early, early.revision)));
    s.list_fails(reader.clone(), StoreErrorKind::CursorExpired)
        .await?;
    let s = s.reopened().await?;
    same("the position", s.position().await?, before)?;
    let page = s.list(Query::new()).await?;
    same("the position on a page", page.at, before)?;
    s.list_fails(reader, StoreErrorKind::CursorExpired).await
}

pub(super) async fn a_late_report_is_kept_once_after_reopening(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    s.done(fence(&owner, 0)).await?;
    let report = |outcome| apply(uid, finish(outcome), Some(&owner));
    let first = report(Outcome::Succeeded);
    demand!(s.refused(first.clone()).await?, Rejection::Fenced { .. });
    let log = s.log_of(uid).await?;
    let late = log.iter().filter(|entry| entry.is_late()).count();
    same("late reports", late, 1)?;
    let s = s.reopened().await?;
    for again in [first, report(Outcome::Failed), report(Outcome::Succeeded)] {
        demand!(s.refused(again).await?, Rejection::Fenced { .. });
    }
    same("the log", s.log_of(uid).await?, log)
}

pub(super) async fn a_report_of_progress_alone_survives_reopening(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    for progress in [1, 3333, 9999] {
        s.apply(uid, report(progress)?, &owner).await?;
    }
    let before = s.read(uid).await?;
    same("the progress", before.progress.hundredths(), 9999)?;
    let s = s.reopened().await?;
    s.unchanged(&before).await
}

pub(super) async fn the_times_of_an_owner_survive_reopening(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owners = [s.claim("alive").await?, s.claim("released").await?];
    for owner in &owners {
        s.tick();
        s.done(Command::Renew(owner.clone())).await?;
    }
    s.tick();
    let [_, released] = &owners;
    s.done(Command::Release(released.clone())).await?;
    let before = s.owners().await?;
    let s = s.reopened().await?;
    for known in before {
        let now = s.owner(&known.owner).await?;
        same("the time of the claim", now.claimed_at, known.claimed_at)?;
        same("the time of the renewal", now.renewed_at, known.renewed_at)?;
        if !known.is_alive() {
            same("the time of the end", now.ended_at, known.ended_at)?;
        }
    }
    Ok(())
}

pub(super) async fn writes_taken_before_a_close_survive_reopening(fixture: &dyn Fixture) -> Proof {
    for kept in [true, false] {
        let s = open(fixture).await?;
        let new = NewAction::task("a");
        let uid = new.uid;
        let answer = taken::closed_after_taking(&s, new, kept).await?;
        let s = s.reopened().await?;
        let found = s.read(uid).await?;
        same("the answer", answer, kept.then(|| found.clone()))?;
        same("its version", found.version, Version::FIRST)?;
        check_store(&*s.store).await?;
    }
    Ok(())
}

pub(super) async fn a_change_through_a_second_store_wakes_a_waiter(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let before = s.queued().await?;
    let (s, second) = s.opened_twice().await?;
    let found = second.get(&[before.uid]).await?;
    same("an earlier action", found, vec![Some(before)])?;
    for _ in 0..3 {
        let revision = s.position().await?.revision;
        let store = s.store.clone();
        let waiter = tokio::spawn(async move { store.changed(Some(revision)).await });
        tokio::task::yield_now().await;
        let new = NewAction::task("a");
        let uid = new.uid;
        let answers = write(&*second, Batch::each(vec![create(new)])).await?;
        let created = pick("the answers", &answers, 0)?.clone()?.action;
        let at = in_time("the end of a waiter", waiter).await???;
        holds("a higher revision", at.revision > revision, at)?;
        same("the new action", s.find(uid).await?, created)?;
    }
    second.close().await?;
    Ok(())
}
