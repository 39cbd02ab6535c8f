//! A report is recorded as far as it fits, with a warning that says what was cut.

use action_store::{
    ActionError, CancelRequest, Change, Finish, Json, Limits, NewAction, Progress, Report,
};

use crate::harness::{Bench, apply, create, kind};

fn texts(bench: &Bench, uid: action_store::ActionUid) -> Vec<String> {
    let action = bench.action(uid);
    action
        .warnings
        .iter()
        .map(|text| text.to_string())
        .collect()
}

#[test]
fn a_report_that_does_not_fit_is_cut_and_noted_once_for_a_field() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    for length in [479, 480] {
        let report = Report::new()
            .with_step("s".repeat(length))
            .with_description("d".repeat(Limits::TEXT + 1))
            .with_attributes(Json::new("{"))
            .with_progress(Progress::percent(f64::NAN));
        let report = apply(uid, Change::Report(report), Some(&owner));
        assert_eq!(kind(&bench.one(report)), "applied");
    }
    let action = bench.action(uid);
    let step = format!("{} [cut]", "s".repeat(Limits::LABEL - 6));
    assert_eq!(action.step.as_deref(), Some(&*step));
    let description = format!("{} [cut]", "d".repeat(Limits::TEXT - 6));
    assert_eq!(action.description.as_deref(), Some(&*description));
    assert_eq!(
        (action.attributes.clone(), action.progress),
        (None, Progress::ZERO)
    );
    let expected = [
        "attributes were left as they were: json: EOF while parsing an object at line 1 column 1",
        "progress was left as it was: progress: must be between 0 and 100",
        "step was cut: 479 bytes; the limit is 255",
        "description was cut: 4097 bytes; the limit is 4096",
    ];
    assert_eq!(texts(&bench, uid), expected);
}

#[test]
fn a_full_list_of_warnings_takes_notes_in_front_of_its_last() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    let many = (0..40).fold(Report::new(), |r, n| r.with_warning(format!("w{n}")));
    let cancel = CancelRequest::new().with_reason("a\0");
    let end = Finish::failed(ActionError::new("", "m"));
    for change in [
        Change::Report(many),
        Change::RequestCancel(cancel),
        Change::Finish(end),
    ] {
        bench.apply(uid, change, Some(&owner)).unwrap();
    }
    let warnings = texts(&bench, uid);
    assert_eq!(warnings.len(), Limits::WARNINGS);
    assert_eq!(warnings[30], "w30");
    let last = "error code was empty: recorded as internal_error; cancel reason was changed: \
        control characters were replaced; warnings were left out: 40 at once; the limit is 32; \
        further warnings were left out";
    assert_eq!(warnings[31], last);
}

#[test]
fn a_create_that_was_cut_is_the_same_when_it_comes_again_or_comes_cut() {
    let bench = Bench::new();
    let long = "d".repeat(Limits::TEXT + 1);
    let new = || NewAction::task("t").with_idempotency_key("i");
    let first = new().with_description(&*long);
    let uid = first.uid;
    assert_eq!(kind(&bench.one(create(first.clone(), None))), "applied");
    assert_eq!(kind(&bench.one(create(first, None))), "already");
    let cut = bench.action(uid).description.clone().unwrap();
    let again = create(new().with_description(cut), None);
    assert_eq!(kind(&bench.one(again)), "already");
    let note = ["description was cut: 4097 bytes; the limit is 4096"];
    assert_eq!(texts(&bench, uid), note);
}
