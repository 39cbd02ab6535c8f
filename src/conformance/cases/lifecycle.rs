//! The table of legal transitions, and the owners that may make them.

use super::*;

const MOVES: [Event; 7] = [
    Event::Start,
    Event::Adopt,
    Event::Finish(Outcome::Succeeded),
    Event::Finish(Outcome::Failed),
    Event::Finish(Outcome::Cancelled),
    Event::Finish(Outcome::Interrupted),
    Event::Finish(Outcome::Lost),
];

fn change(by_move: Event) -> Change {
    match by_move {
        Event::Start => Change::Start,
        Event::Adopt => Change::Adopt,
        Event::Finish(outcome) => finish(outcome),
    }
}

/// Creates an action in a status. Its owner is alive.
#[track_caller]
fn action_in(s: &Subject, status: Status) -> impl Future<Output = Proof<(Arc<Action>, OwnerRef)>> {
    at_call(async move {
        let owner = s.claim("plane").await?;
        let action = match status {
            Status::Queued => s.changed(create_by(NewAction::task("a"), &owner)).await?,
            Status::Executing => s.executing(&owner).await?,
            Status::Completed => s.completed(&owner).await?,
        };
        Ok((action, owner))
    })
}

pub(super) async fn every_legal_transition_is_accepted(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    for edge in TRANSITIONS {
        let (action, owner) = action_in(&s, edge.from).await?;
        let other = s.claim("other").await?;
        let by = match edge.authority {
            Authority::AnyOwner => &other,
            Authority::ItsOwner | Authority::ItsOwnerOrAnybodyWithout => &owner,
            Authority::AnybodyOnceOwnerDied => {
                s.done(fence(&owner, 0)).await?;
                &other
            }
        };
        let after = s.apply(action.uid, change(edge.by_move), by).await?;
        same(&format!("the status after {edge:?}"), after.status, edge.to)?;
        same("the version", after.version, action.version.next())?;
        let outcome = match edge.by_move {
            Event::Finish(outcome) => Some(outcome),
            Event::Start | Event::Adopt => None,
        };
        same("the outcome", after.outcome, outcome)?;
        same("finished", after.finished_at.is_some(), outcome.is_some())?;
        s.unchanged(&after).await?;
        let log = s.log_of(action.uid).await?;
        let last = log
            .last()
            .map(|entry| (entry.version, entry.status, entry.outcome));
        same(
            "the last log entry",
            last,
            Some((after.version, after.status, after.outcome)),
        )?;
    }
    Ok(())
}

pub(super) async fn every_illegal_transition_is_refused(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    for &status in Status::ALL {
        for by_move in MOVES {
            if Transition::find(status, by_move).is_some() {
                continue;
            }
            let (action, owner) = action_in(&s, status).await?;
            let log = s.log_of(action.uid).await?;
            let command = apply(action.uid, change(by_move), Some(&owner));
            let refused = s.refused(command).await?;
            demand!(refused, Rejection::Conflict { reason: ConflictReason::Status { status: at, .. }, ref current }
                if at == status && *current == action);
            s.unchanged(&action).await?;
            same("the log", s.log_of(action.uid).await?, log)?;
        }
    }
    Ok(())
}

pub(super) async fn only_its_owner_can_change_an_executing_action(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let (action, _) = action_in(&s, Status::Executing).await?;
    let other = s.claim("other").await?;
    let outcomes = [
        Outcome::Succeeded,
        Outcome::Failed,
        Outcome::Cancelled,
        Outcome::Interrupted,
    ];
    for outcome in outcomes {
        for by in [None, Some(&other)] {
            let refused = s.refused(apply(action.uid, finish(outcome), by)).await?;
            demand!(refused, Rejection::Conflict { reason: ConflictReason::NotOwner, ref current }
                if *current == action);
        }
    }
    s.unchanged(&action).await
}

pub(super) async fn anyone_can_finish_a_queued_action_without_an_owner(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let other = s.claim("other").await?;
    for outcome in [Outcome::Failed, Outcome::Cancelled, Outcome::Interrupted] {
        for by in [None, Some(&other)] {
            let uid = s.queued().await?.uid;
            let after = s.changed(apply(uid, finish(outcome), by)).await?;
            same("the outcome", after.outcome, Some(outcome))?;
            same("started", after.started_at, None)?;
            same("progress", after.progress, Progress::ZERO)?;
        }
    }
    Ok(())
}

pub(super) async fn only_its_living_owner_can_finish_a_queued_action(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let (action, _) = action_in(&s, Status::Queued).await?;
    let other = s.claim("other").await?;
    for outcome in [Outcome::Failed, Outcome::Cancelled, Outcome::Interrupted] {
        for by in [None, Some(&other)] {
            let refused = s.refused(apply(action.uid, finish(outcome), by)).await?;
            demand!(
                refused,
                Rejection::Conflict {
                    reason: ConflictReason::NotOwner,
                    ..
                }
            );
        }
    }
    s.unchanged(&action).await
}

pub(super) async fn starting_an_action_makes_the_starter_its_owner(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let (action, creator) = action_in(&s, Status::Queued).await?;
    let starter = s.claim("other").await?;
    let started = s.apply(action.uid, Change::Start, &starter).await?;
    same("the owner", started.owner.as_ref(), Some(&starter))?;
    same("started", started.started_at, Some(started.last_seen_at))?;
    let log = s.log_of(action.uid).await?;
    let entry = pick("the log", &log, 1)?;
    same("the kind of entry", entry.kind, LogEntryKind::Started)?;
    same("the owner in the log", entry.owner.as_ref(), Some(&starter))?;
    // The creator can no longer change the action.
    let command = apply(action.uid, finish(Outcome::Succeeded), Some(&creator));
    demand!(
        s.refused(command).await?,
        Rejection::Conflict {
            reason: ConflictReason::NotOwner,
            ..
        }
    );
    Ok(())
}

pub(super) async fn a_start_or_adoption_without_an_owner_is_invalid(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let action = s.queued().await?;
    for change in [Change::Start, Change::Adopt] {
        let refused = s.refused(apply(action.uid, change, None)).await?;
        demand!(refused, Rejection::Invalid(_));
    }
    s.unchanged(&action).await
}

pub(super) async fn a_completed_action_never_changes(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let (action, owner) = action_in(&s, Status::Completed).await?;
    let log = s.log_of(action.uid).await?;
    let other = s.claim("other").await?;
    let mut changes: Vec<Change> = MOVES.map(change).into();
    changes.push(Change::Report(Report::new()));
    changes.push(step("another"));
    changes.push(Change::RequestCancel(CancelRequest::new()));
    for change in changes {
        for by in [&owner, &other] {
            let refused = s
                .refused(apply(action.uid, change.clone(), Some(by)))
                .await?;
            demand!(refused, Rejection::Conflict { reason: ConflictReason::Status { .. }, ref current }
                if *current == action);
        }
    }
    s.done(fence(&owner, 0)).await?;
    for change in [finish(Outcome::Lost), Change::Adopt] {
        let refused = s.refused(apply(action.uid, change, Some(&other))).await?;
        demand!(
            refused,
            Rejection::Conflict {
                reason: ConflictReason::Status { .. },
                ..
            }
        );
    }
    s.unchanged(&action).await?;
    same("the log", s.log_of(action.uid).await?, log)
}

pub(super) async fn a_contradictory_finish_is_invalid(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let (action, owner) = action_in(&s, Status::Executing).await?;
    let error = ActionError::new("broken", "it broke");
    let json = Json::new("1")?;
    let broken = [
        Finish::new(Outcome::Failed),
        Finish::succeeded().with_error(error),
        Finish::new(Outcome::Lost).with_result(json),
    ];
    for finish in broken {
        let command = apply(action.uid, Change::Finish(finish), Some(&owner));
        demand!(s.refused(command).await?, Rejection::Invalid(_));
    }
    s.unchanged(&action).await
}

pub(super) async fn a_finish_records_every_field(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let error = ActionError::new("disk_full", "no space").with_detail("/var: 0 bytes");
    let end = Finish::failed(error.clone())
        .with_result(Json::new(r#"{"copied": 17}"#)?)
        .with_warning("slow disk");
    let after = s.apply(uid, Change::Finish(end), &owner).await?;
    same("the error", after.error.as_ref(), Some(&error))?;
    let result = after.result.as_ref().map(Json::as_str);
    same("the result", result, Some(r#"{"copied": 17}"#))?;
    same("the warnings", &*after.warnings, &["slow disk".into()][..])?;
    same("the owner", after.owner.as_ref(), Some(&owner))?;
    s.unchanged(&after).await?;
    let last = s.log_of(uid).await?.pop();
    let note = last.and_then(|entry| entry.note);
    same(
        "the note in the log",
        note.as_deref(),
        Some("disk_full: no space"),
    )
}

pub(super) async fn an_interruption_without_a_message_gets_one(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let queued = s.queued().await?.uid;
    let executing = s.executing(&owner).await?.uid;
    let never = s
        .changed(apply(queued, finish(Outcome::Interrupted), None))
        .await?;
    let stopped = s
        .apply(executing, finish(Outcome::Interrupted), &owner)
        .await?;
    let words = |action: &Action| action.error.as_ref().map(|error| error.message.clone());
    let code = |action: &Action| action.error.as_ref().map(|error| error.code.clone());
    same(
        "the code",
        code(&never).as_deref(),
        Some(ActionError::INTERRUPTED),
    )?;
    same(
        "the code",
        code(&stopped).as_deref(),
        Some(ActionError::INTERRUPTED),
    )?;
    holds(
        "different words",
        words(&never) != words(&stopped),
        words(&never),
    )?;
    s.unchanged(&never).await?;
    s.unchanged(&stopped).await
}

pub(super) async fn a_succeeded_action_is_at_100_percent(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    s.apply(uid, report(1234)?, &owner).await?;
    let after = s.apply(uid, finish(Outcome::Succeeded), &owner).await?;
    same("the progress", after.progress, Progress::DONE)?;
    let uid = s.executing(&owner).await?.uid;
    s.apply(uid, report(1234)?, &owner).await?;
    let after = s.apply(uid, finish(Outcome::Cancelled), &owner).await?;
    same("the progress", after.progress.hundredths(), 1234)?;
    s.unchanged(&after).await
}

pub(super) async fn an_unknown_action_is_not_found(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let unknown = ActionUid::new();
    let mut changes: Vec<Change> = MOVES.map(change).into();
    changes.push(report(1)?);
    changes.push(Change::RequestCancel(CancelRequest::new()));
    for change in changes {
        let refused = s.refused(apply(unknown, change, Some(&owner))).await?;
        same("the refusal", refused, Rejection::NotFound(unknown))?;
    }
    same("the action", s.find(unknown).await?, None)
}
