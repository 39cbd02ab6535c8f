//! Logs.

use super::*;

pub(super) async fn a_log_is_ordered_and_ends_at_the_state_of_its_action(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.executing(&owner).await?;
    for number in 0..5 {
        let after = s
            .apply(action.uid, step(&format!("step {number}")), &owner)
            .await?;
        let log = s.log_of(action.uid).await?;
        same("the number of entries", log.len(), number + 3)?;
        let Some(last) = log.last() else { continue };
        same("its version", last.version, after.version)?;
        same("its step", &last.step, &after.step)?;
        same("its operation", last.op, after.last_op)?;
        same("its time", last.at, after.last_seen_at)?;
        same("its owner", &last.owner, &after.owner)?;
    }
    Ok(())
}

pub(super) async fn the_log_of_an_unknown_action_is_empty(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    s.queued().await?;
    let page = s.store.log(&LogQuery::of(ActionUid::new())).await?;
    same("the log", page.items, Vec::new())?;
    same("the end", page.next, None)
}

pub(super) async fn the_global_log_is_in_write_order(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let (a, b) = (s.queued().await?.uid, s.queued().await?.uid);
    let commands = vec![
        apply(b, Change::Start, Some(&owner)),
        apply(a, Change::Start, Some(&owner)),
        apply(b, step("one"), Some(&owner)),
    ];
    for answer in s.each(commands).await? {
        answer?;
    }
    s.apply(a, finish(Outcome::Succeeded), &owner).await?;
    let whole = log_walk(&*s.store, LogQuery::all()).await?;
    let order: Vec<(ActionUid, u64)> = whole.iter().map(|e| (e.uid, e.version.get())).collect();
    let expected = vec![(a, 1), (b, 1), (b, 2), (a, 2), (b, 3), (a, 3)];
    same("the order of the entries", order, expected)?;
    for limit in [1, 2, 4, 6] {
        let found = log_walk(&*s.store, LogQuery::all().with_limit(limit)).await?;
        same(&format!("pages of {limit}"), &found, &whole)?;
        for uid in [a, b] {
            let found = log_walk(&*s.store, LogQuery::of(uid).with_limit(limit)).await?;
            let own: Vec<LogEntry> = whole.iter().filter(|e| e.uid == uid).cloned().collect();
            same(&format!("pages of {limit}"), &found, &own)?;
        }
    }
    Ok(())
}

pub(super) async fn the_global_log_can_resume_at_its_end(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let page = s.store.log(&LogQuery::all().with_limit(1)).await?;
    holds(
        "a cursor after the first of two pages",
        page.next.is_some(),
        page.next,
    )?;
    s.apply(uid, step("one"), &owner).await?;
    let query = LogQuery::all().with_after(page.next);
    let kinds: Vec<LogEntryKind> = log_walk(&*s.store, query)
        .await?
        .iter()
        .map(|e| e.kind)
        .collect();
    same(
        "the later entries",
        kinds,
        vec![LogEntryKind::Started, LogEntryKind::Step],
    )
}

pub(super) async fn a_log_query_beyond_its_limits_is_invalid(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let uid = s.queued().await?.uid;
    for limit in [0, Limits::PAGE + 1, u16::MAX] {
        s.log_fails(LogQuery::all().with_limit(limit), StoreErrorKind::Invalid)
            .await?;
        s.log_fails(LogQuery::of(uid).with_limit(limit), StoreErrorKind::Invalid)
            .await?;
    }
    Ok(())
}

/// Requires that a log keeps only its newest entries after this many steps.
async fn capped(s: &Subject, uid: ActionUid, steps: u32) -> Proof {
    let found = s.read(uid).await?;
    same("the total number of entries", found.log_entries, steps + 2)?;
    let log = s.log_of(uid).await?;
    same("entries kept", log.len(), Limits::LOG_ENTRIES as usize)?;
    let last = u64::from(steps) + 2;
    let versions: Vec<u64> = log.iter().map(|entry| entry.version.get()).collect();
    let first = last + 1 - u64::from(Limits::LOG_ENTRIES);
    same("the newest", versions, (first..=last).collect::<Vec<_>>())?;
    let whole = log_walk(&*s.store, LogQuery::all()).await?;
    let own: Vec<LogEntry> = whole.into_iter().filter(|entry| entry.uid == uid).collect();
    same("the same entries in the global log", own, log)
}

pub(super) async fn a_log_keeps_its_newest_entries(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let other = s.completed(&owner).await?;
    let others = s.log_of(other.uid).await?;
    let most = s.max_commands()?.min(100);
    let mut steps = 0;
    while steps < Limits::LOG_ENTRIES + 20 {
        let one = |n: usize| apply(uid, step(&format!("step {steps} {n}")), Some(&owner));
        for answer in s.each((0..most).map(one).collect()).await? {
            answer?;
            steps += 1;
        }
    }
    capped(&s, uid, steps).await?;
    same("the log of another", s.log_of(other.uid).await?, others)?;
    // Truncation of the oldest entries does not affect later changes.
    let end = s.apply(uid, finish(Outcome::Succeeded), &owner).await?;
    same("the total number of entries", end.log_entries, steps + 3)?;
    let last = s.log_of(uid).await?.pop().map(|entry| entry.kind);
    same("the last log entry", last, Some(LogEntryKind::Finished))?;
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn a_log_that_one_batch_makes_too_long_is_truncated(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let steps = Limits::LOG_ENTRIES + 20;
    let new = NewAction::task("a");
    let uid = new.uid;
    let mut commands = vec![create(new), apply(uid, Change::Start, Some(&owner))];
    commands.extend((0..steps).map(|n| apply(uid, step(&format!("step {n}")), Some(&owner))));
    // Uses one batch, or the fewest that the store's command limit allows.
    for some in commands.chunks(s.max_commands()?) {
        for answer in s.all(some.to_vec()).await? {
            answer?;
        }
    }
    capped(&s, uid, steps).await?;
    check_store(&*s.store).await?;
    Ok(())
}

/// A late report is not counted in the log, so it evicts no operation that the store must
/// recognise.
pub(super) async fn a_late_report_evicts_nothing_from_a_full_log(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.queued().await?.uid;
    let start = apply(uid, Change::Start, Some(&owner));
    s.changed(start.clone()).await?;
    // Fills the log with operations. This evicts the creation, which has no operation id.
    let steps: Vec<Command> = (1..Limits::LOG_ENTRIES)
        .map(|n| apply(uid, step(&format!("step {n}")), Some(&owner)))
        .collect();
    for some in steps.chunks(s.max_commands()?) {
        for answer in s.each(some.to_vec()).await? {
            answer?;
        }
    }
    s.claim("plane").await?;
    let late = s
        .refused(apply(uid, finish(Outcome::Succeeded), Some(&owner)))
        .await?;
    demand!(late, Rejection::Fenced { .. });
    let kept = s.log_of(uid).await?.len();
    same("entries kept", kept, Limits::LOG_ENTRIES as usize + 1)?;
    s.already(start).await?;
    check_store(&*s.store).await?;
    Ok(())
}
