//! Bad input: the right kind, the field at fault, and words that say what is wrong.

use action_store::{
    ActionError, ActionStore, ActionUid, Batch, CancelRequest, Change, Command, Filter, Finish,
    Json, Limits, NewAction, ObjectRef, Order, Outcome, OwnerRef, Query, Rejection, RelatedObject,
    Report, Source, StoreErrorKind,
};

use crate::harness::{Bench, apply, claim, create, kind, ready};

fn json(text: &str) -> Json {
    Json::new(text).unwrap()
}

/// The reason why a command is invalid, as the error states it.
fn said(bench: &Bench, command: Command) -> String {
    let refused = bench.one(command).unwrap_err();
    let Rejection::Invalid(invalid) = &refused else {
        panic!("{refused}");
    };
    assert_eq!(refused.to_string(), invalid.to_string());
    invalid.to_string()
}

#[test]
fn an_unknown_uid_is_not_found_and_a_malformed_one_is_none() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = ActionUid::new();
    assert_eq!(bench.find(uid), None);
    let changes = [
        Change::Start,
        Change::Report(Report::new()),
        Change::RequestCancel(CancelRequest::new()),
        Change::Finish(Finish::succeeded()),
        Change::Adopt,
    ];
    for change in changes {
        let refused = bench.apply(uid, change, Some(&owner)).unwrap_err();
        assert_eq!(refused.to_string(), format!("there is no action {uid}"));
    }
    assert_eq!(kind(&bench.one(Command::pin(uid, true))), "not found");
    let upper = uid.to_string().to_uppercase();
    for bad in [
        "",
        "1",
        "../etc/passwd",
        &upper,
        &format!("{uid} "),
        &uid.to_string()[1..],
    ] {
        let invalid = bad.parse::<ActionUid>().unwrap_err();
        let expected = "uid: is not a UUID in lower-case hyphenated form";
        assert_eq!(invalid.to_string(), expected, "{bad:?}");
    }
}

#[test]
fn an_oversized_or_odd_label_is_refused_in_every_field_that_is_one() {
    let bench = Bench::new();
    let long = "x".repeat(Limits::LABEL + 1);
    let bad = [
        ("", "must not be empty"),
        (long.as_str(), "has 256 bytes; the limit is 255"),
        ("a\0b", "contains the control character '\\0'"),
        ("a\nb", "contains the control character '\\n'"),
        ("a\u{85}", "contains the control character '\\u{85}'"),
    ];
    let task = || NewAction::task("t");
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    for (text, reason) in bad {
        let related = RelatedObject::new(text, ObjectRef::bdb(1));
        let named = RelatedObject::new("r", ObjectRef::bdb(1)).with_name(text);
        let nameless = OwnerRef::new(text);
        let cancel = CancelRequest::new().with_by(text);
        let decided = Finish::new(Outcome::Cancelled).with_decided_by(text);
        let by = Some(&owner);
        let cases = [
            ("name", create(NewAction::task(text), None)),
            ("tenant", create(task().with_tenant(text), None)),
            ("actor", create(task().with_actor(text), None)),
            ("correlation", create(task().with_correlation(text), None)),
            ("exclusive", create(task().with_exclusive(text), None)),
            (
                "idempotency_key",
                create(task().with_idempotency_key(text), None),
            ),
            ("related.role", create(task().with_related(related), None)),
            ("related.name", create(task().with_related(named), None)),
            ("owner", create(task(), Some(&nameless))),
            ("owner", claim(&nameless)),
            ("owner", Command::renew(nameless.clone())),
            ("owner", Command::release(nameless.clone())),
            ("owner", apply(uid, Change::Start, Some(&nameless))),
            ("by", apply(uid, Change::RequestCancel(cancel), None)),
            ("decided_by", apply(uid, Change::Finish(decided), by)),
        ];
        for (field, command) in cases {
            assert_eq!(said(&bench, command), format!("{field}: {reason}"));
        }
        if !text.is_empty() {
            assert!(ObjectRef::new("bdb", text).is_err(), "{text:?}");
        }
    }
    assert_eq!(bench.action(uid).version.get(), 2);
}

#[test]
fn odd_prose_that_fits_comes_back_byte_for_byte() {
    let bench = Bench::new();
    let odd = "tab\tnew\nline \u{7f} \u{202e} \u{10ffff} é e\u{301}";
    let uid = bench.create(NewAction::task("t").with_description(odd));
    assert_eq!(bench.action(uid).description.as_deref(), Some(odd));
}

#[test]
fn json_is_refused_with_the_limit_it_breaks() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let long = format!("\"{}\"", "x".repeat(Limits::JSON));
    for (bad, part) in [
        (nested(33).as_str(), "nested deeper than 32"),
        (&nested(5000), "nested deeper than 32"),
        (&long, "has 65538 bytes; the limit is 65536"),
        (r#""a\u0000""#, "a string contains U+0000"),
        (r#"{"\u0000":1}"#, "a string contains U+0000"),
        (r#""\ud800""#, "unexpected end of hex escape"),
        (r#"{"\udc00x":1}"#, "lone leading surrogate"),
        (r#""\ud800\u0041""#, "lone leading surrogate"),
        ("1e999", "number out of range"),
        ("{} {}", "trailing characters"),
        ("{\"a\":}", "expected value"),
    ] {
        let said = Json::new(bad).unwrap_err().to_string();
        assert!(said.starts_with("json: ") && said.contains(part), "{said}");
    }
    assert!(Json::new(nested(32)).is_ok());
}

#[test]
fn attributes_are_an_object_without_reserved_or_doubled_names() {
    let bench = Bench::new();
    for (text, reason) in [
        ("[]", "must be a JSON object"),
        ("1", "must be a JSON object"),
        (r#"{"status":"done"}"#, "\"status\" is a reserved name"),
        (r#"{"action_uid":1}"#, "\"action_uid\" is a reserved name"),
        // The same name in another spelling.
        (r#"{"pro\u0067ress":1}"#, "\"progress\" is a reserved name"),
        (r#"{"a":1,"\u0061":2}"#, "must not contain a name twice"),
        (r#"{"pending_ops":[]}"#, "pending_ops must be an object"),
    ] {
        let expected = format!("attributes: {reason}");
        let new = NewAction::task("t").with_attributes(json(text));
        assert_eq!(said(&bench, create(new, None)), expected);
    }
}

#[test]
fn lists_are_bounded_and_hold_no_key_twice() {
    let bench = Bench::new();
    let task = || NewAction::task("t");
    let related = |n| RelatedObject::new("r", ObjectRef::bdb(n));
    let many = (0..65).fold(task(), |new, n| new.with_related(related(n)));
    let keys = (0..17).fold(task(), |new, n| new.with_exclusive(format!("k{n}")));
    let twice = task().with_exclusive("k").with_exclusive("k");
    assert_eq!(
        said(&bench, create(many, None)),
        "related: has 65 entries; the limit is 64"
    );
    assert_eq!(
        said(&bench, create(keys, None)),
        "exclusive: has 17 entries; the limit is 16"
    );
    assert_eq!(
        said(&bench, create(twice, None)),
        "exclusive: must not contain a key twice"
    );
}

#[test]
fn a_contradictory_command_is_refused() {
    let bench = Bench::new();
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    let finish = |finish| apply(uid, Change::Finish(finish), Some(&owner));
    let error = || ActionError::new("e", "m");
    let lost = Finish::new(Outcome::Lost).with_result(json("1"));
    let cases = [
        (
            finish(Finish::new(Outcome::Failed)),
            "error: is missing: a failed action must have an error",
        ),
        (
            finish(Finish::succeeded().with_error(error())),
            "error: must not be set for a succeeded action",
        ),
        (
            finish(lost),
            "result: must not be set for a lost action: its result is unknown",
        ),
        (
            apply(uid, Change::Start, None),
            "by: is missing: a start or an adoption needs an owner",
        ),
        (
            apply(uid, Change::Adopt, None),
            "by: is missing: a start or an adoption needs an owner",
        ),
    ];
    for (command, expected) in cases {
        assert_eq!(said(&bench, command), expected);
    }
    let machine = NewAction::new(Source::StateMachine, "SM");
    let expected = "object: is missing: a state machine must have an object";
    assert_eq!(said(&bench, create(machine, None)), expected);
    let uid = ActionUid::new();
    for own in [
        NewAction::task("t").with_uid(uid).with_parent(uid),
        NewAction::task("t").with_uid(uid).with_retry_of(uid),
    ] {
        let expected = "parent: must not be the action itself";
        assert_eq!(said(&bench, create(own, None)), expected);
    }
}

#[test]
fn an_unknown_value_is_unsupported_and_never_ignored() {
    let bench = Bench::new();
    let new = NewAction::task("t");
    let uid = new.uid;
    let batch = Batch::each(vec![create(new, None), Command::Unknown]);
    let error = ready(bench.store.write(batch)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
    assert_eq!(
        error.to_string(),
        "write: this command is not supported by this version"
    );
    assert_eq!(bench.find(uid), None);
    for query in [
        Query::new().with_filter(Filter::Unknown),
        Query::new().with_order(Order::Unknown),
    ] {
        let error = ready(bench.store.list(&query)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported);
    }
}

#[test]
fn queries_and_batches_beyond_their_limits_are_invalid() {
    let bench = Bench::new();
    let filters = vec![Filter::Unfinished; Limits::FILTERS + 1];
    let many = filters.into_iter().fold(Query::new(), Query::with_filter);
    for (query, said) in [
        (
            Query::new().with_limit(0),
            "list: limit: is 0; must be between 1 and 1000",
        ),
        (
            Query::new().with_limit(1001),
            "list: limit: is 1001; must be between 1 and 1000",
        ),
        (many, "list: filters: has 33 entries; the limit is 32"),
        (
            Query::new().with_filter(Filter::Name("".into())),
            "list: filters: must not be empty",
        ),
    ] {
        let error = ready(bench.store.list(&query)).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (StoreErrorKind::Invalid, said)
        );
    }
    let renewals = vec![Command::renew(OwnerRef::new("o")); 1001];
    let error = ready(bench.store.write(Batch::each(renewals))).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Invalid);
    assert_eq!(error.to_string(), "write: 1001 at once; the limit is 1000");
    // An import counts with all it carries.
    let detail = "x".repeat(4096);
    let owner = bench.owner("plane");
    let uid = bench.started(&owner);
    let error = ActionError::new("e", "m").with_detail(detail);
    bench
        .apply(uid, Change::Finish(Finish::failed(error)), Some(&owner))
        .unwrap();
    let (action, log) = (bench.action(uid), bench.log(uid));
    let import = Batch::each(vec![Command::import(action, log)]);
    assert!(import.bytes() > 4096, "{}", import.bytes());
}
