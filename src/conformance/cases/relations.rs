//! Related objects, and actions that are parts of other actions.

use super::*;

pub(super) async fn an_action_is_found_once_by_each_object_it_touches(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let (bdb, node) = (ObjectRef::bdb(1), ObjectRef::node(1));
    let task = || NewAction::task("a");
    let related = |role: &str, object: &ObjectRef| RelatedObject::new(role, object.clone());
    let news = [
        task().with_object(bdb.clone()),
        task()
            .with_object(node.clone())
            .with_related(related("source", &bdb).with_name("orders")),
        // The object is the subject and has two more roles.
        task()
            .with_object(bdb.clone())
            .with_related(related("source", &bdb))
            .with_related(related("destination", &bdb)),
        task().with_object(node.clone()),
        task().with_related(related("created", &ObjectRef::bdb(2))),
    ];
    let mut all = Vec::new();
    for new in news {
        let uid = s.create(new).await?.uid;
        s.apply(uid, Change::Start, &owner).await?;
        // The action is found in any status, even if the object no longer exists.
        all.push(s.apply(uid, finish(Outcome::Succeeded), &owner).await?);
    }
    let touching = [
        (bdb, vec![0, 1, 2]),
        (node, vec![1, 3]),
        (ObjectRef::bdb(2), vec![4]),
        (ObjectRef::bdb(3), vec![]),
    ];
    for (object, expected) in touching {
        for limit in [1, 2, 100] {
            let query = Query::new().with_order(Order::Oldest).with_limit(limit);
            let found = s
                .walk(query.with_filter(Filter::Touches(object.clone())))
                .await?;
            let expected = expected
                .iter()
                .map(|at: &usize| pick("the actions", &all, *at));
            let expected: Proof<Vec<_>> = expected.map(|action| Ok(action?.clone())).collect();
            same("what touches the object", found, expected?)?;
        }
    }
    Ok(())
}

pub(super) async fn the_parts_of_an_action_are_found_by_its_uid(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let parent = s.create(NewAction::task("upgrade")).await?;
    let part = |of: ActionUid| create(NewAction::task("node").with_parent(of));
    // One batch with parts of this action and of a parent that is not in the store.
    let absent = ActionUid::new();
    let batch = vec![part(parent.uid), part(absent), part(parent.uid)];
    let mut parts = Vec::new();
    for answer in s.all(batch).await? {
        parts.extend(answer?.action);
    }
    let of = |parent: ActionUid| {
        let query = Query::new().with_order(Order::Oldest);
        query.with_filter(Filter::Parent(parent))
    };
    let [first, others, second] = &parts[..] else {
        return Err(Failure::new("three parts", shown(&parts)).into());
    };
    let expected = vec![first.clone(), second.clone()];
    same("its parts", s.walk(of(parent.uid)).await?, expected.clone())?;
    same(
        "parts of the unknown parent",
        s.walk(of(absent)).await?,
        vec![others.clone()],
    )?;
    same("parts of a part", s.walk(of(first.uid)).await?, vec![])?;
    // The parts stay after their parent completed.
    let ended = s
        .changed(apply(parent.uid, finish(Outcome::Cancelled), None))
        .await?;
    s.done(remove(&ended)).await?;
    same("its parts", s.walk(of(parent.uid)).await?, expected)
}

pub(super) async fn a_completed_action_takes_no_new_parts(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let parent = s.create(NewAction::task("upgrade")).await?;
    let part = || NewAction::task("node").with_parent(parent.uid);
    let first = part();
    s.create(first.clone()).await?;
    s.apply(parent.uid, Change::Start, &owner).await?;
    s.create(part()).await?;
    let ended = s
        .apply(parent.uid, finish(Outcome::Succeeded), &owner)
        .await?;
    let late = s.one(create(part())).await?;
    let (change, status) = ("a new part", Status::Completed);
    demand!(&late, Err(Rejection::Conflict { reason: ConflictReason::Status { change: c, status: s }, current })
        if *c == change && *s == status && *current == ended);
    // A repeated create still finds the part.
    let again = s.one(create(first)).await?;
    demand!(&again, Ok(done) if done.effect == Effect::Already);
    let parts = Query::new().with_filter(Filter::Parent(parent.uid));
    same("its parts", s.walk(parts).await?.len(), 2)
}

pub(super) async fn a_part_of_an_unfinished_action_is_not_removed(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let parent = s.create(NewAction::task("upgrade")).await?;
    let part = s
        .create(NewAction::task("node").with_parent(parent.uid))
        .await?;
    let part = s
        .changed(apply(part.uid, finish(Outcome::Cancelled), None))
        .await?;
    let started = s.apply(parent.uid, Change::Start, &owner).await?;
    let refused = s.one(remove(&part)).await?;
    demand!(&refused, Err(Rejection::Conflict { reason: ConflictReason::Status { .. }, current })
        if *current == started);
    same("the part", s.find(part.uid).await?, Some(part.clone()))?;
    // A part that ends in the same batch cannot be removed either.
    let other = s
        .create(NewAction::task("node").with_parent(parent.uid))
        .await?;
    let mut ended = (*other).clone();
    ended.version = ended.version.next();
    let end = apply(other.uid, finish(Outcome::Cancelled), None);
    let answers = s.each(vec![end, remove(&Arc::new(ended))]).await?;
    demand!(pick("the answers", &answers, 1)?, Err(Rejection::Conflict { reason: ConflictReason::Status { .. }, current })
        if current.uid == parent.uid);
    same(
        "the other part is there",
        s.find(other.uid).await?.is_some(),
        true,
    )?;
    // The part cannot be removed in a batch before the command that ends its parent.
    let end = apply(parent.uid, finish(Outcome::Succeeded), Some(&owner));
    s.all(vec![remove(&part), end.clone()]).await?;
    same("the part", s.find(part.uid).await?, Some(part.clone()))?;
    for answer in s.all(vec![end, remove(&part)]).await? {
        answer?;
    }
    same("the part", s.find(part.uid).await?, None)?;
    // A parent that is not in the store does not prevent the removal.
    let orphan = NewAction::task("node").with_parent(ActionUid::new());
    let orphan = s.create(orphan).await?;
    let orphan = s
        .changed(apply(orphan.uid, finish(Outcome::Cancelled), None))
        .await?;
    s.done(remove(&orphan)).await?;
    Ok(())
}

pub(super) async fn an_action_and_its_parts_are_recorded_together_or_not_at_all(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let new = NewAction::task("upgrade").with_idempotency_key("i");
    let part = |of: &NewAction, key: &str| {
        let part = NewAction::task("node").with_parent(of.uid);
        create_by(part.with_exclusive(key), &owner)
    };
    let family = |new: &NewAction, keys: [&str; 2]| {
        let mut commands = vec![create_by(new.clone(), &owner)];
        commands.push(apply(new.uid, Change::Start, Some(&owner)));
        commands.extend(keys.map(|key| part(new, key)));
        commands
    };
    for answer in s.all(family(&new, ["node:1", "node:2"])).await? {
        answer?;
    }
    same("actions", s.walk(Query::new()).await?.len(), 3)?;
    // The key of one part is taken.
    let other = NewAction::task("upgrade");
    s.all(family(&other, ["node:3", "node:2"])).await?;
    // The repeat finds the first action by its key. The parts name a parent that was not
    // created.
    let mut again = new.clone();
    again.uid = ActionUid::new();
    let answers = s.all(family(&again, ["node:4", "node:5"])).await?;
    demand!(pick("the answers", &answers, 1)?, Err(Rejection::NotFound(uid)) if *uid == again.uid);
    same("actions", s.walk(Query::new()).await?.len(), 3)
}
