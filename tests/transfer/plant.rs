//! Stores with something of everything in them, and how they are compared.

use std::sync::Arc;

use action_store::{
    Action, ActionError, ActionStore, ActionStoreExt, ActionUid, Batch, CancelRequest, Change,
    Command, Finish, Json, Limits, LogEntry, LogQuery, NewAction, ObjectRef, Order, Outcome,
    OwnerRef, Progress, Query, RelatedObject, Report, Source, transfer,
};

pub(crate) const LABELS: [&str; 8] = [
    "'; DROP TABLE actions; --",
    "\"double\" 'single' back\\slash \\n \\u0000",
    "🦀👩‍👩‍👧‍👦 \u{202e}dlo\u{202c} e\u{301}",
    "\u{feff}bom \u{2028}\u{2029} \u{a0}\u{fffd}\u{ffff}\u{10ffff}",
    " leading and trailing ",
    "null",
    "-0.0",
    "{\"action\":{}}",
];

pub(crate) const PROSES: [&str; 5] = [
    "",
    "two\nlines\r\n\ttab",
    "\u{1}\u{1b}[31m\u{7f}\u{85}",
    "{\"end\":{\"actions\":0}}\n",
    "\u{2028}é\u{10ffff}\\",
];

pub(crate) const JSONS: [&str; 6] = [
    "{}",
    " { \"b\" : 1 ,\n\t\"a\" : 1.50 } \r\n",
    r#"{"big":12345678901234567890123456789,"small":1e-300,"zero":-0.0,"exact":0.1000}"#,
    r#"{"escaped":"\u00e9\/\\\"\n","pair":"\ud83e\udd80","raw":"é/🦀"}"#,
    r#"{"inner":{"twice":1,"twice":2},"":[]}"#,
    "{\"bidi\":\"\u{202e}\u{5d0}\u{2028}\"}",
];

/// Claims a name, and takes it over from any other owner.
pub(crate) async fn claim(store: &dyn ActionStore, name: &str) -> OwnerRef {
    let owner = OwnerRef::new(name);
    let command = Command::claim(owner.clone());
    store.command(command).await.unwrap();
    owner
}

pub(crate) fn apply(uid: ActionUid, change: Change, by: Option<&OwnerRef>) -> Command {
    Command::apply(uid, change).by(by.cloned())
}

/// Writes a batch, and panics if a command is refused.
pub(crate) async fn write(store: &dyn ActionStore, commands: Vec<Command>) {
    for answer in store.write(Batch::each(commands)).await.unwrap() {
        answer.unwrap();
    }
}

pub(crate) fn pick<'t>(texts: &[&'t str], i: usize) -> &'t str {
    texts[i % texts.len()]
}

fn new_action(i: usize) -> NewAction {
    let new = match i % 3 {
        0 => NewAction::task(pick(&LABELS, i)),
        1 => NewAction::state_machine(pick(&LABELS, i), ObjectRef::bdb(i as u64)),
        _ => NewAction::new(Source::Other, "drain").with_object(ObjectRef::cluster()),
    };
    let new = match i % 5 {
        0 => new.with_attributes(Json::new(pick(&JSONS, i / 5)).unwrap()),
        1 => new
            .with_tenant(pick(&LABELS, i / 5))
            .with_actor(pick(&LABELS, i / 7)),
        2 => new
            .with_related(
                RelatedObject::new("source", ObjectRef::node(1)).with_name(pick(&LABELS, i)),
            )
            .with_related(RelatedObject::new("to", "fleet:eu/7:b".parse().unwrap())),
        3 => new
            .with_parent(ActionUid::new())
            .with_retry_of(ActionUid::new())
            .with_correlation(pick(&LABELS, i)),
        _ => new
            .with_exclusive(format!("key {i}"))
            .with_idempotency_key(format!("once {i}"))
            .with_description(pick(&PROSES, i / 5)),
    };
    new.with_uid(ActionUid::new())
}

/// Fills a store with `count` actions: hostile texts, all statuses and outcomes, adopted ones,
/// evidence, late reports, and one whose log is full.
pub(crate) async fn plant(store: &dyn ActionStore, count: usize) {
    let living = claim(store, "living").await;
    let doomed = claim(store, "doomed").await;
    let (mut commands, mut later, mut late) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..count {
        let new = new_action(i);
        let uid = new.uid;
        let by = if i % 11 >= 8 { &doomed } else { &living };
        let kind = i % 11;
        commands.push(Command::create(new).by((kind == 1 || kind == 10).then(|| by.clone())));
        if kind < 2 {
            continue;
        }
        if kind != 10 {
            commands.push(apply(uid, Change::Start, Some(by)));
            let report = Report::new()
                .with_progress(Progress::ratio(i as u64 % 7, 7))
                .with_step(pick(&LABELS, i / 11))
                .with_warning(pick(&PROSES, i / 11))
                .with_attributes(Json::new(pick(&JSONS, i / 11)).unwrap());
            commands.push(apply(uid, Change::Report(report), Some(by)));
            let mut more = Report::new().with_progress(Progress::ratio(6, 7));
            if i % 2 == 0 {
                more = more.with_warning(format!("once more: {}", pick(&PROSES, i)));
            }
            commands.push(apply(uid, Change::Report(more), Some(by)));
        }
        let error = ActionError::new("disk_full", pick(&PROSES, i / 11))
            .with_detail(pick(&PROSES, i / 11 + 1));
        let end = match kind {
            3 => {
                Some(Finish::succeeded().with_result(Json::new(pick(&JSONS, i / 11 + 1)).unwrap()))
            }
            4 => Some(Finish::failed(error.clone()).with_result(Json::new("null").unwrap())),
            5 => Some(Finish::new(Outcome::Cancelled)),
            6 => Some(Finish::new(Outcome::Interrupted).with_warning("half-way")),
            _ => None,
        };
        if matches!(kind, 5 | 7) {
            let request = CancelRequest::new().with_by(pick(&LABELS, i));
            let request = request.with_reason(pick(&PROSES, i));
            commands.push(apply(uid, Change::RequestCancel(request), None));
        }
        commands.extend(end.map(|end| apply(uid, Change::Finish(end), Some(by))));
        match kind {
            8 => later.push(apply(uid, Change::Adopt, Some(&living))),
            9 => {
                let lost = Finish::new(Outcome::Lost).with_decided_by(pick(&LABELS, i));
                later.push(apply(uid, Change::Finish(lost), None));
                late.push(apply(
                    uid,
                    Change::Finish(Finish::failed(error)),
                    Some(&doomed),
                ));
            }
            10 => later.push(apply(
                uid,
                Change::Finish(Finish::new(Outcome::Interrupted)),
                None,
            )),
            _ => {}
        }
    }
    for some in commands.chunks(800) {
        write(store, some.to_vec()).await;
    }
    claim(store, "doomed").await;
    for some in later.chunks(800) {
        write(store, some.to_vec()).await;
    }
    for some in late.chunks(800) {
        let answers = store.write(Batch::each(some.to_vec())).await.unwrap();
        assert!(answers.iter().all(Result::is_err), "a late report counted");
    }
    long(store, &living, Limits::LOG_ENTRIES as usize + 40).await;
}

/// An executing action that has gone through so many steps.
pub(crate) async fn long(store: &dyn ActionStore, by: &OwnerRef, steps: usize) -> ActionUid {
    let uid = store.create(NewAction::task("long")).await.unwrap().uid;
    let mut commands = vec![apply(uid, Change::Start, Some(by))];
    commands.extend((0..steps).map(|i| step(uid, i, by)));
    write(store, commands).await;
    uid
}

pub(crate) fn step(uid: ActionUid, i: usize, by: &OwnerRef) -> Command {
    let report = Report::new().with_step(format!("step {i}"));
    apply(uid, Change::Report(report), Some(by))
}

pub(crate) async fn log_of(store: &dyn ActionStore, uid: ActionUid) -> Vec<LogEntry> {
    let mut query = LogQuery::of(uid).with_limit(Limits::PAGE);
    let mut log = Vec::new();
    loop {
        let page = store.log(&query).await.unwrap();
        log.extend(page.items);
        let Some(next) = page.next else { return log };
        query.after = Some(next);
    }
}

/// All actions in creation order, each with its log.
pub(crate) async fn all(store: &dyn ActionStore) -> Vec<(Arc<Action>, Vec<LogEntry>)> {
    let query = Query::new().with_order(Order::Oldest).with_limit(500);
    let mut all = Vec::new();
    for action in store.pages(query).collect().await.unwrap() {
        let log = log_of(store, action.uid).await;
        all.push((action, log));
    }
    all
}

/// That two stores have the same actions and logs in the same order.
pub(crate) async fn assert_same(one: &dyn ActionStore, other: &dyn ActionStore) {
    let (one, other) = (all(one).await, all(other).await);
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(one, other);
    }
}

/// A store's export, as text.
pub(crate) async fn text_of(store: &dyn ActionStore) -> String {
    let mut text = Vec::new();
    transfer::export(store, &mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

/// The lines of an export that are actions.
pub(crate) fn action_lines(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| line.starts_with("{\"action\":"))
        .collect()
}
