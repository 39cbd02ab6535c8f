//! Logs.

use std::ops::Range;

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

/// Requires that the log of an action that was started and then had this many steps has kept the
/// lifecycle and the newest steps.
#[track_caller]
fn capped(s: &Subject, uid: ActionUid, steps: u32) -> impl Future<Output = Proof> {
    at_call(async move {
        let found = s.read(uid).await?;
        same("the total number of entries", found.log_entries, steps + 2)?;
        let log = s.log_of(uid).await?;
        same("entries kept", log.len(), Limits::LOG_ENTRIES as usize)?;
        let dropped = found.log_dropped();
        same("entries dropped", dropped, steps + 2 - Limits::LOG_ENTRIES)?;
        let last = u64::from(steps) + 2;
        let mut kept = vec![1, 2];
        kept.extend(3 + u64::from(dropped)..=last);
        let versions: Vec<u64> = log.iter().map(|entry| entry.version.get()).collect();
        same("the lifecycle and the newest steps", versions, kept)?;
        let whole = log_walk(&*s.store, LogQuery::all()).await?;
        let own: Vec<LogEntry> = whole.into_iter().filter(|entry| entry.uid == uid).collect();
        same("the same entries in the global log", own, log)
    })
}

/// Writes steps with these numbers, in the fewest batches.
#[track_caller]
fn steps(
    s: &Subject,
    uid: ActionUid,
    owner: &OwnerRef,
    numbers: Range<u32>,
) -> impl Future<Output = Proof> {
    at_call(async move {
        let one = |n: u32| apply(uid, step(&format!("step {n}")), Some(owner));
        let all: Vec<Command> = numbers.map(one).collect();
        for some in all.chunks(s.max_commands()?) {
            for answer in s.each(some.to_vec()).await? {
                answer?;
            }
        }
        Ok(())
    })
}

pub(super) async fn a_log_keeps_its_newest_entries(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let other = s.completed(&owner).await?;
    let others = s.log_of(other.uid).await?;
    let most = Limits::LOG_ENTRIES + 20;
    for begin in (0..most).step_by(100) {
        steps(&s, uid, &owner, begin..most.min(begin + 100)).await?;
    }
    capped(&s, uid, most).await?;
    same("the log of another", s.log_of(other.uid).await?, others)?;
    // Truncation of the oldest entries does not affect later changes.
    let end = s.apply(uid, finish(Outcome::Succeeded), &owner).await?;
    same("the total number of entries", end.log_entries, most + 3)?;
    let last = s.log_of(uid).await?.pop().map(|entry| entry.kind);
    same("the last log entry", last, Some(LogEntryKind::Finished))?;
    check_store(&*s.store).await?;
    Ok(())
}

/// The lifecycle of an action stays in its log, however many steps come between.
pub(super) async fn a_long_log_keeps_the_lifecycle(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let first = s.claim("plane").await?;
    let uid = s.queued().await?.uid;
    let start = apply(uid, Change::Start, Some(&first));
    s.changed(start.clone()).await?;
    let full = Limits::LOG_ENTRIES;
    steps(&s, uid, &first, 0..full).await?;
    let cancel = apply(uid, Change::RequestCancel(CancelRequest::new()), None);
    s.changed(cancel.clone()).await?;
    let second = s.claim("plane").await?;
    let adopt = apply(uid, Change::Adopt, Some(&second));
    s.changed(adopt.clone()).await?;
    // The first owner reports an end, too late.
    let late = apply(uid, finish(Outcome::Failed), Some(&first));
    demand!(s.refused(late).await?, Rejection::Fenced { .. });
    steps(&s, uid, &second, full..3 * full).await?;
    s.apply(uid, finish(Outcome::Succeeded), &second).await?;
    let log = s.log_of(uid).await?;
    let lifecycle = log.iter().map(|entry| entry.kind);
    let lifecycle: Vec<LogEntryKind> = lifecycle.filter(|kind| kind.is_lifecycle()).collect();
    let expected = vec![
        LogEntryKind::Created,
        LogEntryKind::Started,
        LogEntryKind::CancelRequested,
        LogEntryKind::Adopted,
        LogEntryKind::LateReport,
        LogEntryKind::Finished,
    ];
    same("the lifecycle", lifecycle, expected)?;
    same("entries kept", log.len(), full as usize + 1)?;
    let step = log.iter().find(|entry| entry.kind == LogEntryKind::Step);
    let step = step.and_then(|entry| entry.step.as_deref());
    // Five entries of the lifecycle count; the late report does not.
    let oldest = format!("step {}", 3 * full - (full - 5));
    same("the oldest step", step, Some(oldest.as_str()))?;
    for again in [start, cancel, adopt] {
        s.already(again).await?;
    }
    check_store(&*s.store).await?;
    Ok(())
}

/// An action that is adopted again and again does not make its log grow without limit.
pub(super) async fn a_log_of_adoptions_is_bounded(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let first = s.claim("plane").await?;
    let uid = s.executing(&first).await?.uid;
    let most = Limits::LOG_ENTRIES as usize;
    let owners: Vec<OwnerRef> = (0..most + 5).map(|_| OwnerRef::new("plane")).collect();
    let mut commands = Vec::new();
    for owner in &owners {
        commands.push(Command::Claim {
            owner: owner.clone(),
            take_over: true,
        });
        commands.push(apply(uid, Change::Adopt, Some(owner)));
    }
    for some in commands.chunks(s.max_commands()?.min(100)) {
        for answer in s.each(some.to_vec()).await? {
            answer?;
        }
    }
    let log = s.log_of(uid).await?;
    let kept = log.iter().skip(2).map(|entry| entry.owner.as_ref());
    let newest = owners.iter().skip(owners.len() + 2 - most).map(Some);
    let (kept, newest): (Vec<_>, Vec<_>) = (kept.collect(), newest.collect());
    same("adoptions", kept, newest)?;
    let begin: Vec<LogEntryKind> = log.iter().take(2).map(|entry| entry.kind).collect();
    let expected = vec![LogEntryKind::Created, LogEntryKind::Started];
    same("the begin of the log", begin, expected)?;
    // The newest entry shows the step of the action, so it stays.
    let Some(last) = owners.last() else {
        return Ok(());
    };
    steps(&s, uid, last, 0..1).await?;
    let found = s.log_of(uid).await?.pop().map(|entry| entry.kind);
    same("the last log entry", found, Some(LogEntryKind::Step))?;
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
    // One step more than fits. This evicts the first step.
    let steps: Vec<Command> = (0..Limits::LOG_ENTRIES - 1)
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
    for again in steps.iter().skip(1).take(1).chain([&start]) {
        s.already(again.clone()).await?;
    }
    check_store(&*s.store).await?;
    Ok(())
}

/// Returns the revision of the last change of each action. Needs a store that does not
/// change.
#[track_caller]
fn last_revisions(s: &Subject) -> impl Future<Output = Proof<BTreeMap<ActionUid, Revision>>> {
    at_call(async move {
        let (mut revisions, mut query) = (BTreeMap::new(), walks::feed().with_limit(1));
        loop {
            let page = s.list(query.clone()).await?;
            let next = page.next.map(|next| Revision::new(next.position()));
            for action in &page.items {
                let first = revisions.insert(action.uid, next.unwrap_or(page.at.revision));
                same("the feed has each action once", first, None)?;
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(revisions),
            }
        }
    })
}

pub(super) async fn a_page_shows_all_changes_up_to_its_position_and_no_later_one(
    fixture: &dyn Fixture,
) -> Proof {
    const WRITERS: usize = 2;
    const EACH: usize = 100;
    let s = open(fixture).await?;
    let writer = |_| {
        let store = s.store.clone();
        tokio::spawn(async move {
            for _ in 0..EACH {
                let new = create(NewAction::task("a"));
                write(&*store, Batch::each(vec![new])).await?;
                tokio::task::yield_now().await;
            }
            Ok::<(), Stop>(())
        })
    };
    let writers: Vec<_> = (0..WRITERS).map(writer).collect();
    let mut pages = Vec::new();
    loop {
        let over = writers.iter().all(|writer| writer.is_finished());
        let log = s
            .store
            .log(&LogQuery::all().with_limit(Limits::PAGE))
            .await?;
        let entries: BTreeSet<ActionUid> = log.items.iter().map(|entry| entry.uid).collect();
        pages.push(("the log", log.at, entries));
        let list = s.list(Query::new().with_limit(Limits::PAGE)).await?;
        pages.push(("the list", list.at, uids(&list.items).into_iter().collect()));
        tokio::task::yield_now().await;
        if over || pages.len() > 2 * WRITERS * EACH {
            break;
        }
    }
    for writer in writers {
        joined("the writers' end", writer).await?;
    }
    // Every action was created and never changed, so it has one revision and one entry.
    let revisions = last_revisions(&s).await?;
    same("actions", revisions.len(), WRITERS * EACH)?;
    for (what, at, found) in pages {
        let until = revisions
            .iter()
            .filter(|(_, revision)| **revision <= at.revision);
        let expected: BTreeSet<ActionUid> = until.map(|(uid, _)| *uid).collect();
        let what = format!("what {what} shows at revision {}", at.revision);
        same(&what, found, expected)?;
    }
    Ok(())
}
