//! A report is recorded as far as it fits, and a warning on the action says what was cut.

use super::*;

/// Stands at the end of a text that was cut.
const CUT: &str = " [cut]";

fn texts(warnings: &[Arc<str>]) -> Vec<&str> {
    warnings.iter().map(|text| &**text).collect()
}

fn cut(text: &str, limit: usize) -> String {
    let mut end = limit - CUT.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{CUT}", &text[..end])
}

/// Prose beyond its limit, with a character that a careless cut would split.
fn long_prose() -> String {
    format!("x{}", "🦀".repeat(Limits::TEXT / 4))
}

pub(super) async fn a_report_that_does_not_fit_is_recorded_and_noted(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let long = "é".repeat(Limits::LABEL);
    let replaced = "step was changed: control characters were replaced";
    let too_long = "step was cut: 510 bytes; the limit is 255";
    for (step, recorded, note) in [
        (&*long, Some(cut(&long, Limits::LABEL)), too_long),
        (
            "copy\nverify\0",
            Some("copy\u{fffd}verify\u{fffd}".into()),
            replaced,
        ),
        ("", None, "step was left out: it is empty"),
    ] {
        let uid = s.executing(&owner).await?.uid;
        let half = Progress::from_hundredths(5000)?;
        let whole = Report::new().with_step(step).with_progress(half);
        let after = s.apply(uid, Change::Report(whole), &owner).await?;
        same("the step", after.step.as_deref(), recorded.as_deref())?;
        same("the progress", after.progress, half)?;
        same("the warnings", texts(&after.warnings), vec![note])?;
        s.unchanged(&after).await?;
        let last = s.log_of(uid).await?.pop();
        let last = last.and_then(|entry| entry.note);
        same("the note in the log", last.as_deref(), Some(note))?;
    }
    let long = long_prose();
    for (bad, recorded, note) in [
        (
            &*long,
            cut(&long, Limits::TEXT),
            "description was cut: 4097 bytes; the limit is 4096",
        ),
        (
            "a\0b",
            "a\u{fffd}b".into(),
            "description was changed: control characters were replaced",
        ),
    ] {
        let uid = s.executing(&owner).await?.uid;
        let report = Report::new().with_description(bad).with_warning(bad);
        let after = s.apply(uid, Change::Report(report), &owner).await?;
        let description = after.description.as_deref();
        same("the description", description, Some(&*recorded))?;
        let expected = vec![&*recorded, note];
        same("the warnings", texts(&after.warnings), expected)?;
        s.unchanged(&after).await?;
    }
    Ok(())
}

pub(super) async fn attributes_that_do_not_fit_leave_those_before(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(Limits::JSON));
    let broken = [
        Json::new("[]"),
        Json::new(r#"{"status":"completed"}"#),
        Json::new(r#"{"a":1,"\u0061":2}"#),
        Json::new(r#"{"a":"\u0000"}"#),
        Json::new(long),
    ];
    let before = Json::new(r#"{"shard":3}"#)?;
    for attributes in broken {
        let new = NewAction::task("a").with_attributes(before.clone());
        let uid = s.create(new).await?.uid;
        s.apply(uid, Change::Start, &owner).await?;
        let report = Report::new().with_attributes(attributes).with_step("copy");
        let after = s.apply(uid, Change::Report(report), &owner).await?;
        same("the step", after.step.as_deref(), Some("copy"))?;
        let recorded = after.attributes.as_ref().map(Json::as_str);
        same("the attributes", recorded, Some(before.as_str()))?;
        let notes = texts(&after.warnings);
        let says = |text: &&str| text.starts_with("attributes were left as they were: ");
        holds(
            "one note",
            notes.len() == 1 && notes.iter().all(says),
            &notes,
        )?;
        s.unchanged(&after).await?;
    }
    Ok(())
}

pub(super) async fn more_warnings_than_fit_are_left_out_and_noted(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let many = (0..=Limits::WARNINGS).fold(Report::new(), |report, number| {
        report.with_warning(format!("warning {number}"))
    });
    let after = s.apply(uid, Change::Report(many), &owner).await?;
    same("how many", after.warnings.len(), Limits::WARNINGS)?;
    let first = after.warnings.first().map(|text| &**text);
    same("the first", first, Some("warning 0"))?;
    let note =
        "warnings were left out: 33 at once; the limit is 32; further warnings were left out";
    let last = after.warnings.last().map(|text| &**text);
    same("the last", last, Some(note))?;
    s.unchanged(&after).await
}

pub(super) async fn a_full_list_of_warnings_still_takes_a_note(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let full = (0..Limits::WARNINGS).fold(Report::new(), |report, number| {
        report.with_warning(format!("warning {number}"))
    });
    let full = s.apply(uid, Change::Report(full), &owner).await?;
    // Once for a field, however often it happens.
    for number in 0..3 {
        let step = Report::new().with_step(format!("step\n{number}"));
        s.apply(uid, Change::Report(step), &owner).await?;
    }
    let end = Finish::succeeded().with_result(Json::new("{"));
    let ended = s.apply(uid, Change::Finish(end), &owner).await?;
    same("the outcome", ended.outcome, Some(Outcome::Succeeded))?;
    let most = Limits::WARNINGS - 1;
    same(
        "the first ones",
        pick("the warnings at the end", &ended.warnings, ..most)?,
        pick("the warnings before", &full.warnings, ..most)?,
    )?;
    same("how many", ended.warnings.len(), Limits::WARNINGS)?;
    let last = &**pick("the warnings at the end", &ended.warnings, most)?;
    let noted = last.starts_with("result was left out: json: ")
        && last.ends_with(
            "; step was changed: control characters were replaced; further warnings were left out",
        );
    holds("the last has both notes", noted, last)?;
    s.unchanged(&ended).await
}

pub(super) async fn an_end_that_does_not_fit_is_recorded_and_noted(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let long = long_prose();
    let error = ActionError::new("disk\nfull", &*long).with_detail(&*long);
    let end = Finish::failed(error)
        .with_result(Json::new(format!("\"{}\"", "x".repeat(Limits::JSON))))
        .with_warning(&*long);
    let ended = s.apply(uid, Change::Finish(end), &owner).await?;
    same("the outcome", ended.outcome, Some(Outcome::Failed))?;
    same("the result", &ended.result, &None)?;
    let cut = cut(&long, Limits::TEXT);
    let error = ended.error.as_ref();
    let code = error.map(|error| &*error.code);
    same("the code", code, Some("disk\u{fffd}full"))?;
    let message = error.map(|error| &*error.message);
    same("the message", message, Some(&*cut))?;
    let detail = error.and_then(|error| error.detail.as_deref());
    same("the detail", detail, Some(&*cut))?;
    let expected = vec![
        &*cut,
        "result was left out: json: has 65538 bytes; the limit is 65536",
        "error code was changed: control characters were replaced",
        "error message was cut: 4097 bytes; the limit is 4096",
        "error detail was cut: 4097 bytes; the limit is 4096",
    ];
    same("the warnings", texts(&ended.warnings), expected)?;
    s.unchanged(&ended).await
}

pub(super) async fn a_cancel_reason_that_does_not_fit_is_cut_and_noted(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let uid = s.queued().await?.uid;
    let long = long_prose();
    let request = CancelRequest::new().with_by("ada").with_reason(&*long);
    let asked = apply(uid, Change::RequestCancel(request), None);
    let after = s.changed(asked).await?;
    let reason = (after.cancel.as_ref()).and_then(|cancel| cancel.reason.as_deref());
    let cut = cut(&long, Limits::TEXT);
    same("the reason", reason, Some(&*cut))?;
    let note = "cancel reason was cut: 4097 bytes; the limit is 4096";
    same("the warnings", texts(&after.warnings), vec![note])?;
    let last = s.log_of(uid).await?.pop().and_then(|entry| entry.note);
    same("the reason in the log", last.as_deref(), Some(&*cut))?;
    s.unchanged(&after).await
}

pub(super) async fn a_description_that_does_not_fit_is_cut_at_the_create(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let long = long_prose();
    let new = NewAction::task("a").with_description(&*long);
    let action = s.create(new.clone()).await?;
    let cut = cut(&long, Limits::TEXT);
    let description = action.description.as_deref();
    same("the description", description, Some(&*cut))?;
    let note = "description was cut: 4097 bytes; the limit is 4096";
    same("the warnings", texts(&action.warnings), vec![note])?;
    s.unchanged(&action).await?;
    let again = s.already(create(new)).await?;
    same("the action in the answer", again, Some(action))
}

pub(super) async fn what_was_cut_is_recognised_when_it_is_repeated(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let report = Report::new()
        .with_step("copy\n")
        .with_description(long_prose());
    let error = ActionError::new("", long_prose());
    let commands = [
        Change::Report(report),
        Change::RequestCancel(CancelRequest::new().with_reason("a\0")),
        Change::Finish(Finish::failed(error)),
    ];
    for change in commands {
        let command = apply(uid, change, Some(&owner));
        let after = s.changed(command.clone()).await?;
        let again = s.already(command).await?;
        same("the action in the answer", again, Some(after))?;
    }
    Ok(())
}
