//! Texts are stored byte for byte, or refused.

use super::*;

/// Valid labels that a careless store corrupts.
pub(super) fn labels() -> Vec<String> {
    let mut labels: Vec<String> = [
        "'; DROP TABLE actions; --",
        "\"double\" 'single' `back`",
        "back\\slash \\n \\u0000 \\",
        "%_*?[a-z]",
        "$1 ?1 :name @p {0} %s",
        "🦀👩‍👩‍👧‍👦 \u{1f1e9}\u{1f1ea}",
        "\u{202e}dlo\u{202c} \u{5d0}\u{5d1}\u{5d2}",
        "e\u{301} \u{e9} \u{fb01} ß ẞ İ ı",
        "\u{feff}bom \u{200b}zero width \u{a0}space",
        "\u{fffd}\u{ffff}\u{10ffff}",
        " leading and trailing ",
        "null",
        "NULL",
        "0",
        "-0.0",
        "1e5",
        "true",
        "{\"json\": [1]}",
        "x'00'",
    ]
    .map(String::from)
    .into();
    labels.push("x".repeat(Limits::LABEL));
    labels.push(format!("{}x", "é".repeat(Limits::LABEL / 2)));
    labels
}

fn proses() -> Vec<String> {
    let mut proses = labels();
    proses.extend(["", "two\nlines\r\n\ttab", "\u{1}\u{1b}[31m\u{7f}\u{85}"].map(String::from));
    proses.push("x".repeat(Limits::TEXT));
    proses.push("🦀".repeat(Limits::TEXT / 4));
    proses
}

pub(super) const JSONS: [&str; 10] = [
    "{}",
    " { \"b\" : 1 ,\n\t\"a\" : 1.50 } ",
    r#"{"big":12345678901234567890123456789,"small":1e-300,"zero":-0.0,"exact":0.1000}"#,
    r#"{"escaped":"\u00e9\/\\\"\n","raw":"é/"}"#,
    r#"{"pair":"\ud83e\udd80","crab":"🦀"}"#,
    r#"{"":"","'":"'; --","a.b":{"$ref":null},"__proto__":[]}"#,
    r#"{"z":1,"a":2,"M":3}"#,
    "{\"bidi\":\"\u{202e}\u{5d0}\"}",
    r#"{"inner":{"twice":1,"twice":2}}"#,
    r#"{"pending_ops":{"1":"copy"}}"#,
];

/// Returns the same labels, and some that differ in their case or in spaces only.
fn similar_labels() -> Vec<String> {
    let mut labels = labels();
    labels.extend(["case", "CASE", "case ", " case"].map(String::from));
    labels
}

pub(super) async fn labels_come_back_byte_for_byte(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    for text in labels() {
        let label = || text.clone();
        let new = NewAction::task(label())
            .with_tenant(label())
            .with_actor(label())
            .with_correlation(label())
            .with_exclusive(label())
            .with_idempotency_key(label())
            .with_related(RelatedObject::new(label(), ObjectRef::cluster()).with_name(label()));
        let owner = s.claim(&text).await?;
        let action = s.changed(create_by(new.clone(), &owner)).await?;
        let mut asked = Action::new(&new, new.digest(), action.created_at);
        asked.owner = Some(owner.clone());
        same("the action as it was requested", &*action, &asked)?;
        s.unchanged(&action).await?;
        s.apply(action.uid, Change::Start, &owner).await?;
        let cancel = CancelRequest::new().with_by(label());
        s.changed(apply(action.uid, Change::RequestCancel(cancel), None))
            .await?;
        let after = s.apply(action.uid, step(&text), &owner).await?;
        same("the step", after.step.as_deref(), Some(&*text))?;
        s.unchanged(&after).await?;
        let log = s.log_of(action.uid).await?;
        let (request, last) = (pick("the log", &log, 2)?, pick("the log", &log, 3)?);
        same("who asked", request.by.as_deref(), Some(&*text))?;
        same("the step in the log", last.step.as_deref(), Some(&*text))?;
        same("the owner in the log", last.owner.as_ref(), Some(&owner))?;
        same("the name of the owner", s.owner(&owner).await?.owner, owner)?;
    }
    Ok(())
}

pub(super) async fn labels_are_found_byte_for_byte(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let labels = similar_labels();
    let mut expected = Vec::new();
    for text in &labels {
        let new = NewAction::task(text.clone());
        let new = new.with_tenant(text.clone()).with_actor(text.clone());
        expected.push(s.create(new.with_correlation(text.clone())).await?.uid);
    }
    for (text, uid) in labels.iter().zip(expected) {
        let text: Arc<str> = text.as_str().into();
        let filters = [
            Filter::Name(text.clone()),
            Filter::Tenant(text.clone()),
            Filter::Actor(text.clone()),
            Filter::Correlation(text),
        ];
        for filter in filters {
            let what = format!("the actions that match {filter:?}");
            let found = s.walk(Query::new().with_filter(filter)).await?;
            same(&what, uids(&found), vec![uid])?;
        }
    }
    Ok(())
}

pub(super) async fn owners_are_found_byte_for_byte(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let labels = similar_labels();
    let mut owned = Vec::new();
    for text in &labels {
        let owner = s.claim(text).await?;
        owned.push((s.executing(&owner).await?.uid, owner));
    }
    for (uid, owner) in owned {
        for filter in [
            Filter::OwnerName(owner.name.clone()),
            Filter::Owner(owner.clone()),
        ] {
            let what = format!("the actions that match {filter:?}");
            let found = s.walk(Query::new().with_filter(filter)).await?;
            same(&what, uids(&found), vec![uid])?;
        }
        // Fencing one owner must not fence another with a similar name.
        s.apply(uid, step("on"), &owner).await?;
        s.done(fence(&owner, 0)).await?;
    }
    Ok(())
}

pub(super) async fn codes_and_deciders_come_back_byte_for_byte(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    for text in labels() {
        let uid = s.executing(&owner).await?.uid;
        let end = Finish::failed(ActionError::new(text.clone(), "it broke"));
        let end = end.with_decided_by(text.clone());
        let ended = s.apply(uid, Change::Finish(end), &owner).await?;
        let code = ended.error.as_ref().map(|error| &*error.code);
        same("the code", code, Some(&*text))?;
        s.unchanged(&ended).await?;
        let last = s.log_of(uid).await?.pop();
        let by = last.as_ref().and_then(|entry| entry.by.as_deref());
        same("who decided", by, Some(&*text))?;
    }
    Ok(())
}

pub(super) async fn prose_comes_back_byte_for_byte(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    for text in proses() {
        let prose = || text.clone();
        let new = NewAction::task("a").with_description(prose());
        let uid = s.create(new).await?.uid;
        let found = s.read(uid).await?;
        same(
            "the description",
            found.description.as_deref(),
            Some(&*text),
        )?;
        s.apply(uid, Change::Start, &owner).await?;
        let cancel = CancelRequest::new().with_reason(prose());
        s.changed(apply(uid, Change::RequestCancel(cancel), None))
            .await?;
        let report = Report::new().with_warning(prose());
        s.apply(uid, Change::Report(report), &owner).await?;
        let error = ActionError::new("code", prose()).with_detail(prose());
        let end = Finish::failed(error.clone());
        let after = s.apply(uid, Change::Finish(end), &owner).await?;
        s.unchanged(&after).await?;
        let found = s.read(uid).await?;
        same("the error", found.error.as_ref(), Some(&error))?;
        let detail = found
            .error
            .as_ref()
            .and_then(|error| error.detail.as_deref());
        same("the error's detail", detail, Some(&*text))?;
        same(
            "the warnings",
            &*found.warnings,
            &[text.as_str().into()][..],
        )?;
        let reason = found
            .cancel
            .as_ref()
            .and_then(|cancel| cancel.reason.as_deref());
        same("the reason", reason, Some(&*text))?;
        let log = s.log_of(uid).await?;
        let (request, last) = (pick("the log", &log, 2)?, pick("the log", &log, 3)?);
        same(
            "the reason in the log",
            request.note.as_deref(),
            Some(&*text),
        )?;
        same("the warning in the log", last.note.as_deref(), Some(&*text))?;
    }
    Ok(())
}

pub(super) async fn json_comes_back_byte_for_byte(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let mut texts: Vec<String> = JSONS.map(String::from).into();
    texts.push(format!("{{\"a\":\"{}\"}}", "x".repeat(Limits::JSON - 8)));
    let nested = Limits::JSON_DEPTH - 1;
    texts.push(format!(
        "{{\"a\":{}1{}}}",
        "[".repeat(nested),
        "]".repeat(nested)
    ));
    for text in texts {
        let json = Json::new(text.clone())?;
        let new = NewAction::task("a").with_attributes(json.clone());
        let uid = s.create(new).await?.uid;
        // `Debug` hides the text of JSON, so this compares the texts.
        let attributes =
            |action: &Action| action.attributes.as_ref().map(|j| j.as_str().to_owned());
        let found = s.read(uid).await?;
        same(
            "the attributes",
            attributes(&found).as_deref(),
            Some(&*text),
        )?;
        s.apply(uid, Change::Start, &owner).await?;
        let report = Report::new().with_attributes(Json::new("{}")?);
        s.apply(uid, Change::Report(report), &owner).await?;
        let report = Report::new().with_attributes(json.clone());
        s.apply(uid, Change::Report(report), &owner).await?;
        let end = Finish::succeeded().with_result(json);
        s.apply(uid, Change::Finish(end), &owner).await?;
        let found = s.read(uid).await?;
        same(
            "the attributes",
            attributes(&found).as_deref(),
            Some(&*text),
        )?;
        let result = found.result.as_ref().map(Json::as_str);
        same("the result", result, Some(&*text))?;
    }
    for scalar in ["null", "0", "\"\"", "[]", " [1, 2]\n", "1e300"] {
        let uid = s.executing(&owner).await?.uid;
        let end = Finish::succeeded().with_result(Json::new(scalar)?);
        s.apply(uid, Change::Finish(end), &owner).await?;
        let found = s.read(uid).await?;
        same(
            "the result",
            found.result.as_ref().map(Json::as_str),
            Some(scalar),
        )?;
    }
    Ok(())
}

pub(super) async fn objects_of_any_kind_come_back(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let long = format!("bdb:{}", "1".repeat(Limits::LABEL - 4));
    let texts = [
        "cluster",
        "node:2",
        "bdb:02",
        "fleet:eu/7:b",
        "🦀:'--",
        "Node:2",
        &long,
    ];
    for text in texts {
        let object: ObjectRef = text.parse()?;
        let new = NewAction::state_machine("SM", object.clone());
        let action = s.create(new).await?;
        same(
            "the object",
            action.object.as_ref().map(ObjectRef::as_str),
            Some(text),
        )?;
        s.unchanged(&action).await?;
        for filter in [Filter::Object(object.clone()), Filter::Touches(object)] {
            let found = s.walk(Query::new().with_filter(filter)).await?;
            same("the actions that match", uids(&found), vec![action.uid])?;
        }
    }
    Ok(())
}

pub(super) async fn a_label_that_breaks_the_rules_is_invalid(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.executing(&owner).await?;
    let long = "x".repeat(Limits::LABEL + 1);
    let wide = "é".repeat(Limits::LABEL / 2 + 1);
    for bad in ["", "a\0b", "a\nb", "\t", "\u{85}", "\u{7f}", &long, &wide] {
        let new = || NewAction::task("a");
        let role = RelatedObject::new(bad, ObjectRef::bdb(1));
        let name = RelatedObject::new("r", ObjectRef::bdb(1)).with_name(bad);
        let news = [
            NewAction::task(bad),
            new().with_tenant(bad),
            new().with_actor(bad),
            new().with_correlation(bad),
            new().with_exclusive(bad),
            new().with_idempotency_key(bad),
            new().with_related(role),
            new().with_related(name),
        ];
        let mut commands: Vec<Command> = news.map(create).into();
        let changes = [
            Change::RequestCancel(CancelRequest::new().with_by(bad)),
            Change::Finish(Finish::succeeded().with_decided_by(bad)),
        ];
        commands.extend(changes.map(|change| apply(action.uid, change, Some(&owner))));
        for command in commands {
            demand!(s.refused(command).await?, Rejection::Invalid(_));
        }
    }
    s.unchanged(&action).await?;
    same(
        "the actions",
        uids(&s.walk(Query::new()).await?),
        vec![action.uid],
    )
}

pub(super) async fn attributes_that_break_the_rules_are_invalid(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.executing(&owner).await?;
    let broken = [
        "[]",
        "1",
        "null",
        r#"{"status":"completed"}"#,
        r#"{"st\u0061tus":"completed"}"#,
        r#"{"progress":1}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"pending_ops":1}"#,
    ];
    for text in broken {
        let json = Json::new(text)?;
        let new = NewAction::task("a").with_attributes(json);
        demand!(s.refused(create(new)).await?, Rejection::Invalid(_));
    }
    // The model refuses these values before they reach a store.
    let deep = Limits::JSON_DEPTH + 1;
    let nested = format!("{}1{}", "[".repeat(deep), "]".repeat(deep));
    for text in ["{", r#""\ud800""#, r#""\u0000""#, "1e999", &nested] {
        holds("no such JSON", Json::new(text).is_err(), text)?;
    }
    s.unchanged(&action).await
}
