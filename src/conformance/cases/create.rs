//! Creating actions: the recorded fields and the answer to a repeat.

use super::*;

fn rich() -> NewAction {
    NewAction::state_machine("SMCreateBDB", ObjectRef::bdb(7))
        .with_related(RelatedObject::new("source", ObjectRef::node(2)).with_name("node-2"))
        .with_tenant("acme")
        .with_actor("ada@example.com")
        .with_parent(ActionUid::new())
        .with_retry_of(ActionUid::new())
        .with_correlation("request-17")
        .with_description("create orders")
        .with_exclusive("bdb:7")
        .with_idempotency_key("order-17")
        .with_label("region", "eu-1")
        .with_label("team", "storage")
}

pub(super) async fn a_new_action_is_queued_at_version_one(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let new = rich().with_attributes(Json::new(r#"{ "shards" : 3 }"#)?);
    let action = s.create(new.clone()).await?;
    let asked = Action::new(&new, new.digest(), action.created_at);
    same("the action as it was requested", &*action, &asked)?;
    s.unchanged(&action).await?;
    let log = s.log_of(action.uid).await?;
    same("the number of log entries", log.len(), 1)?;
    let entry = LogEntry::new(LogEntryKind::Created, &action, action.created_at);
    same("the first log entry", pick("the log", &log, 0)?, &entry)
}

pub(super) async fn a_repeated_create_is_answered_already(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let new = rich();
    let action = s.create(new.clone()).await?;
    let before = s.snapshot().await?;
    let again = s.already(create(new)).await?;
    same("the action in the answer", again, Some(action))?;
    same("the store", s.snapshot().await?, before)
}

pub(super) async fn a_repeated_create_returns_the_current_action(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let new = rich();
    let uid = s.create(new.clone()).await?.uid;
    let executing = s.apply(uid, Change::Start, &owner).await?;
    let again = s.already(create(new.clone())).await?;
    same("the action in the answer", again, Some(executing))?;
    let completed = s.apply(uid, finish(Outcome::Failed), &owner).await?;
    let again = s.already(create(new)).await?;
    same("the action in the answer", again, Some(completed))
}

pub(super) async fn the_same_uid_with_other_content_is_a_conflict(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let action = s.create(NewAction::task("a")).await?;
    let others = [
        NewAction::task("b"),
        NewAction::new(Source::Other, "a"),
        NewAction::task("a").with_tenant("acme"),
        NewAction::task("a").with_object(ObjectRef::bdb(1)),
        NewAction::task("a").with_description("other"),
        NewAction::task("a").with_attributes(Json::new("{}")?),
        NewAction::task("a").with_exclusive("k"),
        NewAction::task("a").with_label("k", "v"),
    ];
    for other in others {
        let refused = s.refused(create(other.with_uid(action.uid))).await?;
        demand!(refused, Rejection::Conflict { reason: ConflictReason::Uid, ref current } if *current == action);
    }
    s.unchanged(&action).await
}

pub(super) async fn a_create_repeated_with_another_correlation_is_answered_already(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let new = NewAction::task("a").with_correlation("first request");
    let action = s.create(new.clone()).await?;
    let again = create(new.with_correlation("second request"));
    same(
        "the action in the answer",
        s.already(again).await?,
        Some(action),
    )
}

pub(super) async fn an_action_created_by_an_owner_belongs_to_it(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.changed(create_by(NewAction::task("a"), &owner)).await?;
    same("the owner", action.owner.as_ref(), Some(&owner))?;
    same("the status", action.status, Status::Queued)?;
    s.unchanged(&action).await?;
    let log = s.log_of(action.uid).await?;
    let first = pick("the log", &log, 0)?;
    same("the owner in the log", first.owner.as_ref(), Some(&owner))
}

pub(super) async fn a_create_by_an_owner_that_is_not_alive_is_fenced(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let unknown = OwnerRef::new("nobody");
    let (fenced, released) = (s.claim("fenced").await?, s.claim("released").await?);
    s.done(fence(&fenced, 0)).await?;
    s.done(Command::release(released.clone())).await?;
    let before = s.snapshot().await?;
    for owner in [unknown, fenced, released] {
        let new = NewAction::task("a").with_exclusive("k");
        let refused = s.refused(create_by(new, &owner)).await?;
        demand!(refused, Rejection::Fenced { owner: ref who, current: None, .. } if *who == owner);
    }
    same("the store", s.snapshot().await?, before)?;
    // The refused create did not take the key.
    s.create(NewAction::task("b").with_exclusive("k")).await?;
    Ok(())
}

pub(super) async fn a_create_repeated_after_its_owner_was_fenced_is_answered_already(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let command = create_by(NewAction::task("a"), &owner);
    let action = s.changed(command.clone()).await?;
    s.done(fence(&owner, 0)).await?;
    same(
        "the action in the answer",
        s.already(command).await?,
        Some(action),
    )
}

pub(super) async fn an_action_that_breaks_a_rule_is_invalid(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let itself = NewAction::task("a");
    let uid = itself.uid;
    let mut crowded = NewAction::task("a");
    for number in 0..=Limits::RELATED as u64 {
        crowded = crowded.with_related(RelatedObject::new("r", ObjectRef::node(number)));
    }
    let mut grasping = NewAction::task("a");
    for number in 0..=Limits::EXCLUSIVE {
        grasping = grasping.with_exclusive(format!("key {number}"));
    }
    let broken = [
        NewAction::new(Source::StateMachine, "without an object"),
        itself.clone().with_parent(uid),
        itself.with_retry_of(uid),
        crowded,
        grasping,
    ];
    for new in broken {
        demand!(s.refused(create(new)).await?, Rejection::Invalid(_));
    }
    same("the actions", s.walk(Query::new()).await?, Vec::new())
}

pub(super) async fn an_action_at_every_limit_is_accepted(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let mut new = NewAction::task("a");
    let related =
        |role: &str, node: u64| RelatedObject::new(role, ObjectRef::node(node)).with_name("n");
    // Adds the same object in two roles.
    new = new.with_related(related("other", 0));
    for number in 1..Limits::RELATED as u64 {
        new = new.with_related(related("r", number - 1));
    }
    for number in 0..Limits::EXCLUSIVE {
        new = new.with_exclusive(format!("key {number}"));
    }
    let action = s.create(new.clone()).await?;
    same("the related objects", &*action.related, &*new.related)?;
    same("the keys", &*action.exclusive, &*new.exclusive)?;
    s.unchanged(&action).await?;
    let touching = Query::new().with_filter(Filter::Touches(ObjectRef::node(0)));
    same(
        "each action exactly once",
        s.walk(touching).await?,
        vec![action],
    )
}
