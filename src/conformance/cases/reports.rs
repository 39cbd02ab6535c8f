//! Reports and cancel requests.

use super::*;

pub(super) async fn a_report_records_every_field(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let before = s.executing(&owner).await?;
    let whole = Report::new()
        .with_progress(Progress::from_hundredths(1429)?)
        .with_step("copy")
        .with_description("copying shard 3")
        .with_attributes(Json::new(r#"{"shard":3}"#)?)
        .with_warning("slow disk");
    let after = s.apply(before.uid, Change::Report(whole), &owner).await?;
    same("the progress", after.progress.hundredths(), 1429)?;
    same("the step", after.step.as_deref(), Some("copy"))?;
    same(
        "the description",
        after.description.as_deref(),
        Some("copying shard 3"),
    )?;
    let attributes = after.attributes.as_ref().map(Json::as_str);
    same("the attributes", attributes, Some(r#"{"shard":3}"#))?;
    same("the warnings", &*after.warnings, &["slow disk".into()][..])?;
    same("the version", after.version, before.version.next())?;
    s.unchanged(&after).await?;
    // A field that a report omits stays unchanged.
    let later = s.apply(before.uid, report(2000)?, &owner).await?;
    same("the step", later.step.as_deref(), Some("copy"))?;
    same("the description", &later.description, &after.description)?;
    same("the attributes", &later.attributes, &after.attributes)?;
    same("the warnings", &later.warnings, &after.warnings)
}

pub(super) async fn progress_never_goes_down(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let half = s.apply(uid, report(5000)?, &owner).await?;
    for lower in [0, 1, 4999, 5000] {
        let again = s.already(apply(uid, report(lower)?, Some(&owner))).await?;
        same("the action in the answer", again, Some(half.clone()))?;
    }
    s.unchanged(&half).await?;
    let higher = s.apply(uid, report(5001)?, &owner).await?;
    same("the progress", higher.progress.hundredths(), 5001)
}

pub(super) async fn a_report_with_lower_progress_keeps_the_higher_progress(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    s.apply(uid, report(5000)?, &owner).await?;
    let lower = Report::new().with_progress(Progress::from_hundredths(100)?);
    let news = [
        lower.clone().with_step("verify"),
        lower.clone().with_description("verifying"),
        lower.with_warning("slow"),
    ];
    for report in news {
        let after = s.apply(uid, Change::Report(report), &owner).await?;
        same("the progress", after.progress.hundredths(), 5000)?;
        s.unchanged(&after).await?;
    }
    Ok(())
}

pub(super) async fn a_report_of_progress_alone_adds_no_log_entry(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.executing(&owner).await?;
    let log = s.log_of(action.uid).await?;
    let reports = [report(100)?, Change::Report(Report::new())];
    for (number, report) in reports.into_iter().enumerate() {
        let after = s.apply(action.uid, report, &owner).await?;
        let expected = action.version.get() + number as u64 + 1;
        same("the version", after.version.get(), expected)?;
        same(
            "the number of entries",
            after.log_entries,
            action.log_entries,
        )?;
    }
    same("the log", s.log_of(action.uid).await?, log)?;
    let after = s.apply(action.uid, step("copy"), &owner).await?;
    let log = s.log_of(action.uid).await?;
    same("the number of entries", log.len(), 3)?;
    let last = pick("the log", &log, 2)?;
    same("the kind of entry", last.kind, LogEntryKind::Step)?;
    same("its version", last.version, after.version)?;
    same("its progress", last.progress.hundredths(), 100)?;
    // Reporting the same step again is not a new step.
    s.apply(action.uid, step("copy"), &owner).await?;
    same("the log", s.log_of(action.uid).await?, log)
}

pub(super) async fn a_note_adds_a_log_entry(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let notes = [
        Report::new().with_description("copying"),
        Report::new().with_attributes(Json::new("{}")?),
        Report::new().with_warning("slow disk"),
    ];
    for report in notes {
        s.apply(uid, Change::Report(report), &owner).await?;
    }
    let log = s.log_of(uid).await?;
    let kinds: Vec<LogEntryKind> = log.iter().skip(2).map(|entry| entry.kind).collect();
    same("the kinds of entries", kinds, vec![LogEntryKind::Noted; 3])?;
    let note = pick("the log", &log, 4)?.note.as_deref();
    same("the warning in the log", note, Some("slow disk"))
}

pub(super) async fn attributes_are_replaced_as_a_whole(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let new = NewAction::task("a").with_attributes(Json::new(r#"{"a":1}"#)?);
    let uid = s.create(new).await?.uid;
    s.apply(uid, Change::Start, &owner).await?;
    let report = Report::new().with_attributes(Json::new(r#"{"b":2}"#)?);
    s.apply(uid, Change::Report(report), &owner).await?;
    let found = s.read(uid).await?;
    let attributes = found.attributes.as_ref().map(Json::as_str);
    same("the attributes", attributes, Some(r#"{"b":2}"#))
}

pub(super) async fn warnings_are_deduplicated_and_bounded(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let warn = |text: String| Change::Report(Report::new().with_warning(text));
    for _ in 0..2 {
        s.apply(uid, warn("slow disk".into()), &owner).await?;
    }
    let found = s.read(uid).await?;
    same("the warnings", &*found.warnings, &["slow disk".into()][..])?;
    for number in 0..Limits::WARNINGS {
        s.apply(uid, warn(format!("warning {number}")), &owner)
            .await?;
    }
    let found = s.read(uid).await?;
    same(
        "the number of warnings",
        found.warnings.len(),
        Limits::WARNINGS,
    )?;
    let last = found.warnings.last().map(|text| &**text);
    holds(
        "a last warning that says that there are more",
        last != Some("warning 30"),
        last,
    )?;
    s.unchanged(&found).await
}

pub(super) async fn only_the_owner_can_report(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let other = s.claim("other").await?;
    let action = s.executing(&owner).await?;
    for by in [None, Some(&other)] {
        let refused = s.refused(apply(action.uid, report(100)?, by)).await?;
        demand!(
            refused,
            Rejection::Conflict {
                reason: ConflictReason::NotOwner,
                ..
            }
        );
    }
    s.unchanged(&action).await
}

pub(super) async fn a_report_before_the_start_or_after_the_end_is_refused(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let queued = s.changed(create_by(NewAction::task("a"), &owner)).await?;
    let completed = s.completed(&owner).await?;
    for (action, late) in [(queued, report(10_000)?), (completed, step("late"))] {
        let refused = s.refused(apply(action.uid, late, Some(&owner))).await?;
        demand!(refused, Rejection::Conflict { reason: ConflictReason::Status { status, .. }, .. }
            if status == action.status);
        s.unchanged(&action).await?;
    }
    Ok(())
}

pub(super) async fn the_first_cancel_request_is_kept(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let request = |by: &str, why: &str| {
        Change::RequestCancel(CancelRequest::new().with_by(by).with_reason(why))
    };
    for action in [s.queued().await?, s.executing(&owner).await?] {
        // Any caller may request a cancel, with or without an owner.
        let after = s
            .changed(apply(action.uid, request("ada", "too slow"), None))
            .await?;
        let cancel = after.cancel.as_ref();
        same(
            "who asked",
            cancel.and_then(|c| c.by.as_deref()),
            Some("ada"),
        )?;
        same(
            "why",
            cancel.and_then(|c| c.reason.as_deref()),
            Some("too slow"),
        )?;
        s.unchanged(&after).await?;
        let second = apply(action.uid, request("eve", "for fun"), Some(&owner));
        same(
            "the action in the answer",
            s.already(second).await?,
            Some(after.clone()),
        )?;
        s.unchanged(&after).await?;
        let last = s.log_of(action.uid).await?.pop();
        let last = last.map(|entry| (entry.kind, entry.by, entry.note));
        let expected = (
            LogEntryKind::CancelRequested,
            Some("ada".into()),
            Some("too slow".into()),
        );
        same("the last log entry", last, Some(expected))?;
    }
    Ok(())
}

pub(super) async fn a_cancel_request_does_not_change_the_status(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let before = s.executing(&owner).await?;
    s.tick();
    let request = Change::RequestCancel(CancelRequest::new());
    let after = s.changed(apply(before.uid, request, None)).await?;
    let mut expected = Action::clone(&before);
    expected.version = before.version.next();
    expected.log_entries = before.log_entries.saturating_add(1);
    expected.last_op = after.last_op;
    expected.cancel = after.cancel.clone();
    holds("a cancel request", after.cancel.is_some(), &after.cancel)?;
    same("the action with the cancel request", &*after, &expected)?;
    // A cancel request does not bind the owner, which may still finish with another
    // outcome.
    let end = s
        .apply(before.uid, finish(Outcome::Succeeded), &owner)
        .await?;
    same("the request", end.cancel.clone(), after.cancel.clone())
}

pub(super) async fn a_cancel_request_for_a_completed_action_is_refused(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.completed(&owner).await?;
    let request = Change::RequestCancel(CancelRequest::new());
    let refused = s.refused(apply(action.uid, request, None)).await?;
    demand!(refused, Rejection::Conflict { reason: ConflictReason::Status { .. }, ref current }
        if *current == action);
    s.unchanged(&action).await
}

pub(super) async fn an_owner_finds_its_cancel_requests_until_the_action_ends(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let (owner, other) = (s.claim("plane").await?, s.claim("other").await?);
    let found = async |owner: &OwnerRef| {
        let asked = Query::new()
            .with_order(Order::Oldest)
            .with_filter(Filter::Unfinished)
            .with_filter(Filter::CancelRequested);
        let by_name = asked
            .clone()
            .with_filter(Filter::OwnerName(owner.name.clone()));
        let by_owner = asked.with_filter(Filter::Owner(owner.clone()));
        let found = uids(&s.walk(by_owner).await?);
        let named = uids(&s.walk(by_name).await?);
        same(
            "the same actions by owner and by owner name",
            &named,
            &found,
        )?;
        Ok::<_, Stop>(found)
    };
    let queued = s.changed(create_by(NewAction::task("a"), &owner)).await?;
    let (first, second) = (s.executing(&owner).await?, s.executing(&owner).await?);
    s.executing(&other).await?;
    same("before any request", found(&owner).await?, Vec::new())?;
    let cancel = || Change::RequestCancel(CancelRequest::new());
    for action in [&second, &queued] {
        s.changed(apply(action.uid, cancel(), None)).await?;
    }
    let asked = vec![queued.uid, second.uid];
    same("asked for", found(&owner).await?, asked)?;
    // The cancel request stays with the action when its status or its owner changes.
    s.apply(queued.uid, Change::Start, &other).await?;
    same(
        "cancel requests of the first owner",
        found(&owner).await?,
        vec![second.uid],
    )?;
    same(
        "cancel requests of the other owner",
        found(&other).await?,
        vec![queued.uid],
    )?;
    s.done(fence(&owner, 0)).await?;
    s.apply(second.uid, Change::Adopt, &other).await?;
    same(
        "cancel requests of the first owner",
        found(&owner).await?,
        Vec::new(),
    )?;
    let adopted = vec![queued.uid, second.uid];
    same(
        "cancel requests of the other owner",
        found(&other).await?,
        adopted,
    )?;
    s.apply(queued.uid, finish(Outcome::Cancelled), &other)
        .await?;
    same(
        "the cancel requests of unfinished actions",
        found(&other).await?,
        vec![second.uid],
    )?;
    s.apply(first.uid, Change::Adopt, &other).await?;
    s.changed(apply(first.uid, cancel(), None)).await?;
    let adopted = vec![first.uid, second.uid];
    same(
        "cancel requests of the other owner",
        found(&other).await?,
        adopted,
    )
}
