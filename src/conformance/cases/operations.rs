//! Repeated operations and version conditions.

use super::*;

pub(super) async fn a_repeated_operation_is_answered_already(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.queued().await?.uid;
    let cancel = Change::RequestCancel(CancelRequest::new().with_by("ada"));
    let changes = [
        Change::Start,
        report(500)?,
        step("copy"),
        cancel,
        finish(Outcome::Cancelled),
    ];
    for change in changes {
        let command = apply(uid, change, Some(&owner));
        let after = s.changed(command.clone()).await?;
        let before = s.snapshot().await?;
        let again = s.already(command).await?;
        same("the action in the answer", again, Some(after))?;
        same("the store", s.snapshot().await?, before)?;
    }
    Ok(())
}

pub(super) async fn an_operation_repeated_after_others_is_answered_already(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.queued().await?.uid;
    let mut commands = Vec::new();
    for change in [
        Change::Start,
        step("one"),
        step("two"),
        finish(Outcome::Succeeded),
    ] {
        let command = apply(uid, change, Some(&owner));
        s.changed(command.clone()).await?;
        commands.push(command);
    }
    let before = s.snapshot().await?;
    let last = s.read(uid).await?;
    for command in commands {
        let again = s.already(command).await?;
        same("the action in the answer", again, Some(last.clone()))?;
    }
    same("the store", s.snapshot().await?, before)
}

pub(super) async fn progress_repeated_after_other_changes_is_answered_already(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let told = apply(uid, report(500)?, Some(&owner));
    s.changed(told.clone()).await?;
    let error = ActionError::new("broken", "it broke");
    let changes = [
        step("one"),
        Change::RequestCancel(CancelRequest::new()),
        Change::Report(Report::new()),
        report(600)?,
        Change::Finish(Finish::failed(error)),
    ];
    for change in changes {
        let after = s.apply(uid, change, &owner).await?;
        let again = s.already(told.clone()).await?;
        same("the action in the answer", again, Some(after.clone()))?;
        s.unchanged(&after).await?;
    }
    // More than what is recorded was never reported.
    let more = apply(uid, report(601)?, Some(&owner));
    demand!(
        s.refused(more).await?,
        Rejection::Conflict {
            reason: ConflictReason::Status { .. },
            ..
        }
    );
    Ok(())
}

pub(super) async fn a_repeat_is_recognised_before_the_version_is_checked(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.executing(&owner).await?;
    let command = at_version(apply(action.uid, step("one"), Some(&owner)), action.version);
    s.changed(command.clone()).await?;
    s.already(command.clone()).await?;
    s.apply(action.uid, step("two"), &owner).await?;
    s.already(command).await?;
    Ok(())
}

pub(super) async fn an_operation_id_is_scoped_to_its_action(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let op = OpId::new();
    for _ in 0..2 {
        let uid = s.queued().await?.uid;
        s.changed(apply_as(op, uid, Change::Start, Some(&owner)))
            .await?;
    }
    Ok(())
}

pub(super) async fn a_refused_operation_can_be_retried(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.queued().await?;
    let command = apply(action.uid, step("early"), Some(&owner));
    s.refused(command.clone()).await?;
    s.apply(action.uid, Change::Start, &owner).await?;
    let after = s.changed(command).await?;
    same("the step", after.step.as_deref(), Some("early"))
}

pub(super) async fn a_version_condition_is_enforced(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.executing(&owner).await?;
    let found = action.version;
    let (below, above) = (Version::FIRST, found.next());
    for expected in [below, above] {
        let cancel = Change::RequestCancel(CancelRequest::new());
        for change in [step("one"), finish(Outcome::Succeeded), cancel] {
            let command = at_version(apply(action.uid, change, Some(&owner)), expected);
            let refused = s.refused(command).await?;
            let reason = ConflictReason::Version { expected, found };
            let current = action.clone();
            same(
                "the refusal",
                refused,
                Rejection::Conflict { reason, current },
            )?;
        }
    }
    s.unchanged(&action).await?;
    let command = at_version(apply(action.uid, step("one"), Some(&owner)), found);
    s.changed(command).await?;
    Ok(())
}

pub(super) async fn versions_have_no_gaps(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.queued().await?.uid;
    s.apply(uid, Change::Start, &owner).await?;
    for number in 0..20u16 {
        let change = match number % 3 {
            0 => report(number * 100 + 100)?,
            1 => step(&format!("step {number}")),
            _ => Change::Report(Report::new()),
        };
        let after = s.apply(uid, change, &owner).await?;
        same("the version", after.version.get(), u64::from(number) + 3)?;
        // A refusal, a repeat or a lower progress takes no version.
        s.refused(apply(uid, Change::Start, Some(&owner))).await?;
        s.already(apply(uid, report(0)?, Some(&owner))).await?;
        s.unchanged(&after).await?;
    }
    Ok(())
}

pub(super) async fn timestamps_and_versions_agree_with_the_log(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.completed(&owner).await?;
    let log = s.log_of(action.uid).await?;
    let versions: Vec<u64> = log.iter().map(|entry| entry.version.get()).collect();
    same("the versions in the log", versions, vec![1, 2, 3])?;
    same("the number of entries", action.log_entries, 3)?;
    let stamps: Vec<Option<Timestamp>> = log.iter().map(|entry| Some(entry.at)).collect();
    let expected = vec![
        Some(action.created_at),
        action.started_at,
        action.finished_at,
    ];
    same("the timestamps in the log", stamps, expected)?;
    let (first, last) = (pick("the log", &log, 0)?, pick("the log", &log, 2)?);
    same("the operation", last.op, action.last_op)?;
    holds(
        "no operation in the creation entry",
        first.op.is_none(),
        first.op,
    )
}
