//! Pinning, removing and importing actions.

use super::*;

pub(super) fn pin(uid: ActionUid, pinned: bool) -> Command {
    Command::pin(uid, pinned)
}

pub(super) async fn a_position_counts_the_actions_of_its_store(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let counted = async || Ok::<u64, Stop>(s.store.list(&Query::new()).await?.at.actions);
    same("an empty store", counted().await?, 0)?;
    let owner = s.claim("plane").await?;
    let done = s.completed(&owner).await?;
    let other = s.completed(&owner).await?;
    s.queued().await?;
    same("actions", counted().await?, 3)?;
    s.done(remove(&done)).await?;
    same("actions without a removed one", counted().await?, 2)?;
    // Created and removed in one batch.
    let new = NewAction::task("short");
    let uid = new.uid;
    let end = apply(uid, finish(Outcome::Cancelled), None);
    let if_version = Version::FIRST.next();
    let gone = Command::Remove { uid, if_version };
    let batch = vec![create(new), end, gone, remove(&other)];
    for answer in s.each(batch).await? {
        answer?;
    }
    same("actions after a batch", counted().await?, 1)
}

pub(super) async fn an_unfinished_action_is_not_removed(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    for action in [s.queued().await?, s.executing(&owner).await?] {
        let refused = s.refused(remove(&action)).await?;
        demand!(refused, Rejection::Conflict { reason: ConflictReason::Status { .. }, ref current }
            if *current == action);
        s.unchanged(&action).await?;
    }
    Ok(())
}

pub(super) async fn a_pinned_action_is_not_removed(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.completed(&owner).await?;
    let at = s.position().await?;
    s.done(pin(action.uid, true)).await?;
    s.already(pin(action.uid, true)).await?;
    // A pin does not change the action.
    s.unchanged(&action).await?;
    same("the position", s.position().await?, at)?;
    let refused = s.refused(remove(&action)).await?;
    demand!(
        refused,
        Rejection::Conflict {
            reason: ConflictReason::Pinned,
            ..
        }
    );
    s.unchanged(&action).await?;
    s.done(pin(action.uid, false)).await?;
    s.already(pin(action.uid, false)).await?;
    s.done(remove(&action)).await?;
    same("the action", s.find(action.uid).await?, None)?;
    let refused = s.refused(pin(action.uid, true)).await?;
    same("the refusal", refused, Rejection::NotFound(action.uid))
}

pub(super) async fn an_unfinished_action_can_be_pinned(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    s.done(pin(uid, true)).await?;
    let ended = s.apply(uid, finish(Outcome::Succeeded), &owner).await?;
    let refused = s.refused(remove(&ended)).await?;
    demand!(
        refused,
        Rejection::Conflict {
            reason: ConflictReason::Pinned,
            ..
        }
    );
    Ok(())
}

pub(super) async fn a_removal_requires_the_current_version(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.completed(&owner).await?;
    for if_version in [Version::FIRST, action.version.next()] {
        let uid = action.uid;
        let refused = s.refused(Command::remove(uid, if_version)).await?;
        demand!(
            refused,
            Rejection::Conflict {
                reason: ConflictReason::Version { .. },
                ..
            }
        );
    }
    s.unchanged(&action).await
}

pub(super) async fn removing_an_action_removes_its_log(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let kept = s.completed(&owner).await?;
    let new = NewAction::task("a").with_object(ObjectRef::bdb(1));
    let new = new.with_correlation("request").with_idempotency_key("i");
    let uid = s.create(new.clone()).await?.uid;
    s.apply(uid, Change::Start, &owner).await?;
    let ended = s.apply(uid, finish(Outcome::Failed), &owner).await?;
    let answer = s.one(remove(&ended)).await??;
    same("the answer", answer, Done::new(Effect::Applied, None))?;
    let again = s.one(remove(&ended)).await??;
    same("the answer", again, Done::new(Effect::Already, None))?;
    same("the action", s.find(uid).await?, None)?;
    same("its log", s.log_of(uid).await?, Vec::new())?;
    let all = s.snapshot().await?;
    same("the actions", uids(&all.newest), vec![kept.uid])?;
    same("the feed", uids(&all.feed), vec![kept.uid])?;
    let of_others = all.log.iter().all(|entry| entry.uid == kept.uid);
    holds("no log entry of the removed action", of_others, &all.log)?;
    let filters = [
        Filter::Object(ObjectRef::bdb(1)),
        Filter::Correlation("request".into()),
        Filter::Outcome(Outcome::Failed),
        Filter::Name("a".into()),
    ];
    for filter in filters {
        let found = s.walk(Query::new().with_filter(filter)).await?;
        same("the actions that match", found, Vec::new())?;
    }
    // The uid can be used again.
    let anew = s.create(new).await?;
    same("the version", anew.version, Version::FIRST)?;
    same("its log", s.log_of(uid).await?.len(), 1)
}

pub(super) async fn removing_an_unknown_action_is_answered_already(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let uid = ActionUid::new();
    let if_version = Version::FIRST;
    let answer = s.one(Command::remove(uid, if_version)).await??;
    same("the answer", answer, Done::new(Effect::Already, None))
}

/// A lost action with every field set, and its log.
#[track_caller]
pub(super) fn history(s: &Subject) -> impl Future<Output = Proof<(Arc<Action>, Vec<LogEntry>)>> {
    at_call(async move {
        let owner = s.claim("plane").await?;
        let new = NewAction::state_machine("SMCreateBDB", ObjectRef::bdb(7))
            .with_related(RelatedObject::new("source", ObjectRef::node(2)).with_name("node-2"))
            .with_tenant("acme")
            .with_actor("ada")
            .with_parent(ActionUid::new())
            .with_retry_of(ActionUid::new())
            .with_correlation("request-17")
            .with_description("create orders")
            .with_attributes(Json::new(r#"{ "shards":3}"#)?)
            .with_exclusive("bdb:7")
            .with_idempotency_key("order-17");
        let uid = s.changed(create_by(new, &owner)).await?.uid;
        s.apply(uid, Change::Start, &owner).await?;
        s.apply(uid, report(3000)?, &owner).await?;
        s.apply(uid, step("copy"), &owner).await?;
        let cancel = CancelRequest::new().with_by("ada").with_reason("enough");
        s.changed(apply(uid, Change::RequestCancel(cancel), None))
            .await?;
        s.done(fence(&owner, 0)).await?;
        let error = ActionError::new("lost", "gone").with_detail("host down");
        let end = Finish::new(Outcome::Lost)
            .with_error(error)
            .with_warning("careful");
        let lost = s.changed(apply(uid, Change::Finish(end), None)).await?;
        s.refused(apply(uid, finish(Outcome::Succeeded), Some(&owner)))
            .await?;
        Ok((lost, s.log_of(uid).await?))
    })
}

pub(super) async fn an_import_keeps_an_action_and_its_log(fixture: &dyn Fixture) -> Proof {
    let (from, s) = (open(fixture).await?, open(fixture).await?);
    let (action, log) = history(&from).await?;
    let import = Command::import(action.clone(), log.clone());
    let imported = s.changed(import.clone()).await?;
    same("the action", &imported, &action)?;
    s.unchanged(&action).await?;
    same("the log", s.log_of(action.uid).await?, log.clone())?;
    let filter = Filter::Touches(ObjectRef::node(2));
    let found = s.walk(Query::new().with_filter(filter)).await?;
    same("the actions that match", found, vec![action.clone()])?;
    let before = s.snapshot().await?;
    s.already(import).await?;
    same("the store", s.snapshot().await?, before)?;
    check_store(&*s.store).await?;
    let mut other = Action::clone(&action);
    other.actor = None;
    let refused = s.refused(Command::import(other, log)).await?;
    demand!(refused, Rejection::Conflict { reason: ConflictReason::Uid, ref current } if *current == action);
    Ok(())
}

pub(super) async fn an_import_takes_the_keys_of_its_action(fixture: &dyn Fixture) -> Proof {
    let (from, s) = (open(fixture).await?, open(fixture).await?);
    let new = || NewAction::task("a").with_exclusive("k");
    let action = from.create(new().with_idempotency_key("i")).await?;
    let log = from.log_of(action.uid).await?;
    let import = Command::import(action.clone(), log);
    let holder = s.create(new()).await?;
    let refused = s.refused(import.clone()).await?;
    demand!(refused, Rejection::Conflict { reason: ConflictReason::Exclusive(_), ref current }
        if *current == holder);
    s.changed(apply(holder.uid, finish(Outcome::Cancelled), None))
        .await?;
    s.changed(import).await?;
    s.refused(create(new())).await?;
    let again = s.already(create(new().with_idempotency_key("i"))).await?;
    same("the action in the answer", again, Some(action))
}

pub(super) async fn an_imported_action_of_an_unknown_owner_can_be_lost(
    fixture: &dyn Fixture,
) -> Proof {
    let (from, s) = (open(fixture).await?, open(fixture).await?);
    let owner = from.claim("plane").await?;
    let action = from.executing(&owner).await?;
    let log = from.log_of(action.uid).await?;
    s.changed(Command::import(action.clone(), log.clone()))
        .await?;
    // The operations in an imported log are recognised in the new store.
    let op = pick("the log", &log, 1)?.op.unwrap_or_else(OpId::new);
    s.already(apply_as(op, action.uid, Change::Start, Some(&owner)))
        .await?;
    let lost = s
        .changed(apply(action.uid, finish(Outcome::Lost), None))
        .await?;
    let end = lost.evidence.as_ref().map(|evidence| evidence.end);
    same("the end of its owner", end, Some(OwnerEnd::Unknown))?;
    s.unchanged(&lost).await
}

pub(super) async fn timestamps_of_any_date_are_imported(fixture: &dyn Fixture) -> Proof {
    let (from, s) = (open(fixture).await?, open(fixture).await?);
    for micros in [i64::MIN, -1, 0, i64::MAX] {
        let at = Timestamp::from_micros(micros);
        let created = from.queued().await?;
        let mut action = Action::clone(&created);
        (action.created_at, action.last_seen_at) = (at, at);
        let mut log = from.log_of(action.uid).await?;
        log.iter_mut().for_each(|entry| entry.at = at);
        let action = Arc::new(action);
        s.changed(Command::import(action.clone(), log.clone()))
            .await?;
        s.unchanged(&action).await?;
        same("the log", s.log_of(action.uid).await?, log)?;
    }
    Ok(())
}

pub(super) async fn a_contradictory_import_is_invalid(fixture: &dyn Fixture) -> Proof {
    let (from, s) = (open(fixture).await?, open(fixture).await?);
    let (action, log) = history(&from).await?;
    let broken = |change: fn(&mut Action)| {
        let mut action = Action::clone(&action);
        change(&mut action);
        Command::import(action, log.clone())
    };
    let mut commands = vec![
        broken(|action| action.outcome = None),
        broken(|action| action.finished_at = None),
        broken(|action| action.started_at = None),
        broken(|action| action.evidence = None),
        broken(|action| action.error = None),
        broken(|action| action.status = Status::Executing),
        broken(|action| action.outcome = Some(Outcome::Succeeded)),
        broken(|action| action.step = Some("another".into())),
        broken(|action| action.owner = None),
        broken(|action| action.name = "".into()),
        broken(|action| action.version = Version::FIRST),
        broken(|action| action.log_entries = 0),
    ];
    let (second, rest) = (log.iter().skip(1).take(1), log.iter().skip(2));
    let shuffled = second.chain(log.first()).chain(rest).cloned().collect();
    let cut = pick("the log", &log, ..2)?.to_vec();
    for log in [Vec::new(), shuffled, cut] {
        commands.push(Command::import(action.clone(), log));
    }
    for command in commands {
        let shown = shown(&command);
        match s.one(command).await? {
            Err(Rejection::Invalid(_)) => {}
            other => {
                return Err(
                    Failure::new(format!("Invalid for {shown}"), format!("{other:?}")).into(),
                );
            }
        }
    }
    same("actions", s.walk(Query::new()).await?.len(), 0)
}
