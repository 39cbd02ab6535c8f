//! Transfer of a whole store into another: read by lists and logs, written by imports.

use super::*;
use crate::model::codec::{self, CodecError};

/// Fills a store with data of every kind.
#[track_caller]
fn filled(fixture: &dyn Fixture) -> impl Future<Output = Proof<Subject>> {
    at_call(async move {
        let s = open(fixture).await?;
        variety::variety(&s).await?;
        removal::history(&s).await?;
        let owner = s.claim("hostile").await?;
        for text in texts::labels() {
            let label = || text.clone();
            let new = NewAction::task(label())
                .with_tenant(label())
                .with_actor(label())
                .with_description(label())
                .with_correlation(label())
                .with_exclusive(label())
                .with_idempotency_key(label())
                .with_related(RelatedObject::new(label(), ObjectRef::cluster()).with_name(label()));
            let labelled = new.clone().with_label(label(), label());
            let new = match labelled.check() {
                Ok(()) => labelled,
                Err(_) => new.with_label("hostile", "no"),
            };
            let uid = s.changed(create_by(new, &owner)).await?.uid;
            s.apply(uid, Change::Start, &owner).await?;
            let cancel = CancelRequest::new().with_by(label()).with_reason(label());
            s.changed(apply(uid, Change::RequestCancel(cancel), None))
                .await?;
            s.apply(uid, step(&text), &owner).await?;
        }
        for text in texts::JSONS {
            let json = Json::new(text)?;
            let new = NewAction::task("json").with_attributes(json.clone());
            let uid = s.changed(create_by(new, &owner)).await?.uid;
            s.apply(uid, Change::Start, &owner).await?;
            let end = Finish::succeeded().with_result(json).with_warning(text);
            s.apply(uid, Change::Finish(end), &owner).await?;
        }
        // A log whose oldest entries are truncated.
        let long = s.executing(&owner).await?.uid;
        let steps = Limits::LOG_ENTRIES as usize + 5;
        let most = s.max_commands()?;
        let one = |number: usize| apply(long, step(&format!("step {number}")), Some(&owner));
        for some in (0..steps).map(one).collect::<Vec<_>>().chunks(most) {
            for answer in s.each(some.to_vec()).await? {
                answer?;
            }
        }
        Ok(s)
    })
}

/// Returns all actions with their logs, oldest first.
#[track_caller]
fn exported(s: &Subject) -> impl Future<Output = Proof<Vec<(Arc<Action>, Vec<LogEntry>)>>> {
    at_call(async move {
        let mut all = Vec::new();
        for action in s.walk(Query::new().with_order(Order::Oldest)).await? {
            let log = s.log_of(action.uid).await?;
            all.push((action, log));
        }
        Ok(all)
    })
}

pub(super) async fn a_transferred_store_is_identical(fixture: &dyn Fixture) -> Proof {
    let (from, s) = (filled(fixture).await?, open(fixture).await?);
    let all = exported(&from).await?;
    let imports =
        |(action, log): &(Arc<Action>, Vec<LogEntry>)| Command::import(action.clone(), log.clone());
    let imports: Vec<Command> = all.iter().map(imports).collect();
    let most = s.max_commands()?.min(10);
    for some in imports.chunks(most) {
        for answer in s.all(some.to_vec()).await? {
            same("the effect", answer?.effect, Effect::Applied)?;
        }
    }
    let found = exported(&s).await?;
    same("actions", found.len(), all.len())?;
    for ((action, log), (expected, entries)) in found.iter().zip(&all) {
        same("an action", action, expected)?;
        same("its log", log, entries)?;
        // `==` on JSON compares values and `Debug` hides the text, so this compares the
        // texts.
        let text = |json: &Option<Json>| json.as_ref().map(|json| json.as_str().to_owned());
        let bytes = |action: &Action| (text(&action.attributes), text(&action.result));
        same("its JSON", bytes(action), bytes(expected))?;
    }
    let actions: Vec<Arc<Action>> = all.iter().map(|(action, _)| action.clone()).collect();
    let mut changed = s.walk(walks::feed()).await?;
    same("the feed", &changed, &actions)?;
    changed.reverse();
    same("newest first", &s.walk(Query::new()).await?, &changed)?;
    for filter in variety::filters(&actions)? {
        variety::finds(&s, Query::new().with_filter(filter), &actions).await?;
    }
    check_store(&*s.store).await?;

    let before = s.snapshot().await?;
    for some in imports.chunks(most) {
        for answer in s.each(some.to_vec()).await? {
            same("the effect of a repeat", answer?.effect, Effect::Already)?;
        }
    }
    same("the store", s.snapshot().await?, before)?;
    // Owners are not transferred: they do not act on the new store.
    same("owners", s.owners().await?, Vec::new())?;
    for action in actions.iter().filter(|action| action.is_unfinished()) {
        for key in action.exclusive.iter() {
            let new = NewAction::task("a").with_tenant(action.tenant.clone());
            let refused = s.refused(create(new.with_exclusive(key.clone()))).await?;
            demand!(refused, Rejection::Conflict { reason: ConflictReason::Exclusive(_), ref current }
                if current == action);
        }
        if let (Some(by), Status::Executing) = (&action.owner, action.status) {
            let late = s.refused(apply(action.uid, step("late"), Some(by))).await?;
            demand!(late, Rejection::Fenced { .. });
        }
    }
    Ok(())
}

pub(super) async fn a_refused_import_does_not_affect_the_others(fixture: &dyn Fixture) -> Proof {
    let (from, s) = (open(fixture).await?, open(fixture).await?);
    let owner = from.claim("plane").await?;
    let gone = from.completed(&owner).await?.uid;
    let (mut commands, mut expected) = (Vec::new(), Vec::new());
    for broken in [false, true, false] {
        let uid = if broken {
            gone
        } else {
            from.completed(&owner).await?.uid
        };
        let mut action = Action::clone(&*from.read(uid).await?);
        let log = from.log_of(uid).await?;
        if broken {
            action.finished_at = None;
        } else {
            expected.extend(log.clone());
        }
        let action = Arc::new(action);
        commands.push(Command::import(action, log));
    }
    for answer in s.all(commands.clone()).await? {
        demand!(answer, Err(Rejection::Invalid(_) | Rejection::Batch(_)));
    }
    same("actions", s.walk(Query::new()).await?.len(), 0)?;
    let answers = s.each(commands).await?;
    demand!(&answers[..], [Ok(_), Err(Rejection::Invalid(_)), Ok(_)]);
    same("the refused action", s.find(gone).await?, None)?;
    same("its log", s.log_of(gone).await?, Vec::new())?;
    let whole = log_walk(&*s.store, LogQuery::all()).await?;
    same("the global log", whole, expected)?;
    check_store(&*s.store).await?;
    Ok(())
}

/// The owner of an imported action may be alive in this store, even if no other command
/// of the batch names it.
pub(super) async fn an_import_keeps_a_living_owner_alive(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let alive = s.claim("plane").await?;
    let from = open(fixture).await?;
    from.done(claim(&alive)).await?;
    let executing = from.executing(&alive).await?;
    let log = from.log_of(executing.uid).await?;
    let commands = vec![
        Command::import(executing.clone(), log),
        apply(executing.uid, finish(Outcome::Lost), None),
    ];
    let answers = s.each(commands).await?;
    demand!(&answers[..], [Ok(_), Err(Rejection::OwnerAlive(_))]);
    same(
        "the action",
        s.read(executing.uid).await?.status,
        Status::Executing,
    )?;
    check_store(&*s.store).await?;
    Ok(())
}

/// A queued action at this version, with the log of a new action.
#[track_caller]
pub(super) fn queued_at(from: &Subject, version: Version) -> impl Future<Output = Proof<Command>> {
    at_call(async move {
        let mut action = Action::clone(&*from.queued().await?);
        let log = from.log_of(action.uid).await?;
        action.version = version;
        action.log_entries = u32::MAX;
        Ok(Command::import(action, log))
    })
}

pub(super) async fn an_action_imported_at_the_highest_version_still_changes(
    fixture: &dyn Fixture,
) -> Proof {
    let (from, s) = (open(fixture).await?, open(fixture).await?);
    let owner = s.claim("plane").await?;
    let highest = Version::new(Limits::IMPORTED_VERSION)?;
    let imported = s.changed(queued_at(&from, highest).await?).await?;
    let uid = imported.uid;
    s.unchanged(&imported).await?;
    let mut expected = highest;
    for change in [
        Change::Start,
        step("one"),
        report(5000)?,
        finish(Outcome::Succeeded),
    ] {
        let command = apply(uid, change, Some(&owner));
        let changed = s.changed(at_version(command, expected)).await?;
        expected = expected.next();
        same("the version", changed.version, expected)?;
        s.unchanged(&changed).await?;
    }
    let log = s.log_of(uid).await?;
    let versions: Vec<u64> = log.iter().map(|entry| entry.version.get()).collect();
    let highest = highest.get();
    let made = vec![1, highest + 1, highest + 2, highest + 4];
    same("the versions in the log", versions, made)?;
    let gone = Command::remove(uid, expected);
    s.done(gone).await?;
    same("the removed action", s.find(uid).await?, None)
}

/// Fields that a later version of the stored form may have, with even tags: they are kept.
const LATER: [&[u8]; 2] = [b"\x54\x05later", b"\x1c\x02ok"];

pub(super) async fn an_imported_action_keeps_the_fields_of_a_later_version(
    fixture: &dyn Fixture,
) -> Proof {
    let (from, s) = (open(fixture).await?, open(fixture).await?);
    let [of_action, of_entry] = LATER;
    let queued = from.queued().await?;
    let readable = |error: CodecError| Failure::new("fields of a later version", error.to_string());
    let action = codec::with_unknown_fields(&*queued, of_action).map_err(readable)?;
    let mut log = Vec::new();
    for entry in from.log_of(queued.uid).await? {
        log.push(codec::with_unknown_fields(&entry, of_entry).map_err(readable)?);
    }
    let uid = action.uid;
    s.done(Command::import(action.clone(), log.clone())).await?;
    // Fields that a later version wrote show as the bytes that it wrote.
    let fields = |action: &Action| codec::unknown_fields(action).to_vec();
    let found = s.read(uid).await?;
    same("the imported action", &*found, &action)?;
    same("its later fields", fields(&found), of_action.to_vec())?;
    let listed = s.walk(Query::new()).await?;
    same("the listed action", listed, vec![found.clone()])?;
    let kept = s.log_of(uid).await?;
    same("the imported log", &kept, &log)?;
    let all: Vec<Vec<u8>> = kept
        .iter()
        .map(|e| codec::unknown_fields(e).to_vec())
        .collect();
    same("its later fields", all, vec![of_entry.to_vec(); log.len()])?;
    // A change keeps them, too.
    let cancel = Change::RequestCancel(CancelRequest::new());
    let changed = s.changed(apply(uid, cancel, None)).await?;
    same(
        "the fields after a change",
        fields(&changed),
        of_action.to_vec(),
    )?;
    same("the changed action", s.read(uid).await?, changed)
}

pub(super) async fn a_version_above_the_highest_is_refused_at_import(
    fixture: &dyn Fixture,
) -> Proof {
    let (from, s) = (open(fixture).await?, open(fixture).await?);
    let highest = Version::new(Limits::IMPORTED_VERSION)?;
    let import = queued_at(&from, highest.next()).await?;
    demand!(s.refused(import).await?, Rejection::Invalid(ref invalid) if invalid.field == "version");
    same("actions", s.walk(Query::new()).await?.len(), 0)
}
