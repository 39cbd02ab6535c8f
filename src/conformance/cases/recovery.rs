//! The actions of an owner that is not alive.

use super::*;

pub(super) async fn an_action_can_be_lost_only_after_its_owner_ended(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let sweeper = s.claim("sweeper").await?;
    let action = s.executing(&owner).await?;
    let alive = s.owner(&owner).await?;
    for by in [None, Some(&sweeper), Some(&owner)] {
        for change in [finish(Outcome::Lost), Change::Adopt] {
            if by.is_none() && change == Change::Adopt {
                continue;
            }
            let refused = s.refused(apply(action.uid, change, by)).await?;
            same(
                "the refusal",
                refused,
                Rejection::OwnerAlive(Box::new(alive.clone())),
            )?;
        }
    }
    s.unchanged(&action).await?;
    s.done(fence(&owner, 0)).await?;
    s.changed(apply(action.uid, finish(Outcome::Lost), None))
        .await?;
    Ok(())
}

pub(super) async fn a_lost_action_keeps_the_evidence(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let sweeper = s.claim("sweeper").await?;
    let named = || Change::Finish(Finish::new(Outcome::Lost).with_decided_by("ada"));
    let deciders = [
        (finish(Outcome::Lost), Some(&sweeper), "sweeper"),
        (named(), Some(&sweeper), "ada"),
        (named(), None, "ada"),
        (finish(Outcome::Lost), None, "unnamed"),
    ];
    for end in [OwnerEnd::Fenced, OwnerEnd::Released] {
        for (change, by, decided_by) in deciders.clone() {
            let owner = s.claim("plane").await?;
            let action = s.executing(&owner).await?;
            s.tick();
            s.done(match end {
                OwnerEnd::Released => Command::release(owner.clone()),
                _ => fence(&owner, 0),
            })
            .await?;
            let lost = s.changed(apply(action.uid, change, by)).await?;
            let evidence = Evidence::new(owner.clone(), end, action.last_seen_at, decided_by);
            same("the evidence", lost.evidence.as_ref(), Some(&evidence))?;
            same("the owner", lost.owner.as_ref(), Some(&owner))?;
            same(
                "the time the owner was last seen",
                lost.last_seen_at,
                action.last_seen_at,
            )?;
            let code = lost.error.as_ref().map(|error| &*error.code);
            same("the code", code, Some(ActionError::LOST))?;
            s.unchanged(&lost).await?;
            let by = s.log_of(action.uid).await?.pop().and_then(|entry| entry.by);
            same("who decided", by.as_deref(), Some(decided_by))?;
        }
    }
    Ok(())
}

pub(super) async fn anyone_can_finish_a_queued_action_of_a_dead_owner(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let sweeper = s.claim("sweeper").await?;
    for by in [None, Some(&sweeper)] {
        let owner = s.claim("plane").await?;
        let action = s.changed(create_by(NewAction::task("a"), &owner)).await?;
        s.done(fence(&owner, 0)).await?;
        let after = s
            .changed(apply(action.uid, finish(Outcome::Interrupted), by))
            .await?;
        let code = after.error.as_ref().map(|error| &*error.code);
        same("the code", code, Some(ActionError::INTERRUPTED))?;
        same("started", after.started_at, None)?;
        let evidence = after.evidence.as_ref().map(|evidence| &evidence.owner);
        same("the evidence", evidence, Some(&owner))?;
        s.unchanged(&after).await?;
    }
    Ok(())
}

pub(super) async fn a_queued_action_of_a_dead_owner_can_be_started(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.changed(create_by(NewAction::task("a"), &owner)).await?;
    let next = s.claim("plane").await?;
    let started = s.apply(action.uid, Change::Start, &next).await?;
    same("the owner", started.owner.as_ref(), Some(&next))
}

pub(super) async fn an_adopted_action_continues(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    s.apply(uid, report(4000)?, &owner).await?;
    let before = s.apply(uid, step("copy"), &owner).await?;
    let heir = s.claim("plane").await?;
    // Before it adopts the action, the new owner has no rights on it.
    let early = s.refused(apply(uid, step("early"), Some(&heir))).await?;
    demand!(
        early,
        Rejection::Conflict {
            reason: ConflictReason::NotOwner,
            ..
        }
    );
    let adopted = s.apply(uid, Change::Adopt, &heir).await?;
    let mut expected = Action::clone(&before);
    expected.owner = Some(heir.clone());
    expected.version = before.version.next();
    expected.log_entries = before.log_entries.saturating_add(1);
    expected.last_op = adopted.last_op;
    expected.last_seen_at = adopted.last_seen_at;
    same("the action with its new owner", &*adopted, &expected)?;
    let last = s
        .log_of(uid)
        .await?
        .pop()
        .map(|entry| (entry.kind, entry.owner));
    let expected = (LogEntryKind::Adopted, Some(heir.clone()));
    same("the last log entry", last, Some(expected))?;
    let zombie = s.refused(apply(uid, step("zombie"), Some(&owner))).await?;
    demand!(zombie, Rejection::Fenced { .. });
    let done = s.apply(uid, finish(Outcome::Succeeded), &heir).await?;
    same("the evidence", done.evidence.as_ref(), None)
}

pub(super) async fn an_adopted_action_is_found_with_its_new_owner(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    s.done(fence(&owner, 0)).await?;
    let heir = s.claim("heir").await?;
    s.apply(uid, Change::Adopt, &heir).await?;
    for (owner, expected) in [(owner, vec![]), (heir, vec![uid])] {
        for filter in [Filter::OwnerName(owner.name.clone()), Filter::Owner(owner)] {
            let query = Query::new().with_filter(filter);
            same(
                "the actions of the owner",
                uids(&s.walk(query.clone()).await?),
                expected.clone(),
            )?;
            let unfinished = query.with_filter(Filter::Unfinished);
            same(
                "the executing actions of the owner",
                uids(&s.walk(unfinished).await?),
                expected.clone(),
            )?;
        }
    }
    Ok(())
}

pub(super) async fn a_late_report_is_refused_and_kept_once(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    s.done(fence(&owner, 0)).await?;
    let lost = s.changed(apply(uid, finish(Outcome::Lost), None)).await?;
    let before = s.log_of(uid).await?;
    let error = ActionError::new("disk_full", "no space");
    for late in [Finish::failed(error), Finish::succeeded()] {
        let refused = s
            .refused(apply(uid, Change::Finish(late), Some(&owner)))
            .await?;
        demand!(refused, Rejection::Fenced { ref current, .. } if current.as_ref() == Some(&lost));
    }
    s.unchanged(&lost).await?;
    let mut log = s.log_of(uid).await?;
    let last = log.pop();
    same("the log before the late report", log, before)?;
    let Some(late) = last else {
        return Err(Failure::new("a late report", "an empty log").into());
    };
    same("the kind of entry", late.kind, LogEntryKind::LateReport)?;
    same("the reported outcome", late.outcome, Some(Outcome::Failed))?;
    same("the reporting owner", late.owner.as_ref(), Some(&owner))?;
    same(
        "its words",
        late.note.as_deref(),
        Some("disk_full: no space"),
    )?;
    same(
        "the status at the late report",
        late.status,
        Status::Completed,
    )?;
    same("the version at the late report", late.version, lost.version)
}

pub(super) async fn a_late_report_repeated_is_refused_again(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    s.done(fence(&owner, 0)).await?;
    let late = apply(uid, finish(Outcome::Succeeded), Some(&owner));
    // If the log marked the operation as done, its sender would take the refusal for
    // success.
    for _ in 0..3 {
        demand!(s.refused(late.clone()).await?, Rejection::Fenced { .. });
    }
    let log = s.log_of(uid).await?;
    let late = log.iter().filter(|entry| entry.is_late()).count();
    same("late reports in the log", late, 1)?;
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn a_late_report_in_a_refused_batch_is_kept(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    s.done(fence(&owner, 0)).await?;
    let before = s.read(uid).await?;
    let new = NewAction::task("a");
    let late = apply(uid, finish(Outcome::Succeeded), Some(&owner));
    let answers = s.all(vec![create(new.clone()), late]).await?;
    same(
        "the first answer",
        pick("the answers", &answers, 0)?,
        &Err(Rejection::Batch(1)),
    )?;
    demand!(
        pick("the answers", &answers, 1)?,
        Err(Rejection::Fenced { .. })
    );
    same("the action of the batch", s.find(new.uid).await?, None)?;
    s.unchanged(&before).await?;
    let last = s.log_of(uid).await?.pop().map(|entry| entry.kind);
    same("the last log entry", last, Some(LogEntryKind::LateReport))
}

pub(super) async fn a_late_report_does_not_complete_its_action(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let heir = s.claim("plane").await?;
    s.refused(apply(uid, finish(Outcome::Succeeded), Some(&owner)))
        .await?;
    let adopted = s.apply(uid, Change::Adopt, &heir).await?;
    same("the number of entries", adopted.log_entries, 3)?;
    s.apply(uid, finish(Outcome::Cancelled), &heir).await?;
    let kinds: Vec<LogEntryKind> = s.log_of(uid).await?.iter().map(|e| e.kind).collect();
    let expected = vec![
        LogEntryKind::Created,
        LogEntryKind::Started,
        LogEntryKind::LateReport,
        LogEntryKind::Adopted,
        LogEntryKind::Finished,
    ];
    same("the log", kinds, expected)?;
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn a_late_report_is_logged_in_arrival_order(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    s.done(fence(&owner, 0)).await?;
    let late = apply(uid, finish(Outcome::Succeeded), Some(&owner));
    let lost = apply(uid, finish(Outcome::Lost), None);
    let answers = s.each(vec![late, lost]).await?;
    demand!(
        pick("the answers", &answers, 0)?,
        Err(Rejection::Fenced { .. })
    );
    demand!(pick("the answers", &answers, 1)?, Ok(_));
    let log = s.log_of(uid).await?;
    let kinds: Vec<LogEntryKind> = log.iter().skip(2).map(|entry| entry.kind).collect();
    let expected = vec![LogEntryKind::LateReport, LogEntryKind::Finished];
    same("the log", kinds, expected)?;
    check_store(&*s.store).await?;
    Ok(())
}
