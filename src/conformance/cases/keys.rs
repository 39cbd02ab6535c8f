//! Exclusive keys and idempotency keys.

use super::*;

pub(super) async fn an_exclusive_key_has_one_holder(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let holder = s.create(NewAction::task("a").with_exclusive("k")).await?;
    let other = NewAction::task("b")
        .with_exclusive("free")
        .with_exclusive("k");
    let refused = s.refused(create(other)).await?;
    demand!(refused, Rejection::Conflict { reason: ConflictReason::Exclusive(ref key), ref current }
        if **key == *"k" && *current == holder);
    // The same content with another uid is another action.
    let twin = NewAction::task("a").with_exclusive("k");
    demand!(
        s.refused(create(twin)).await?,
        Rejection::Conflict {
            reason: ConflictReason::Exclusive(_),
            ..
        }
    );
    Ok(())
}

pub(super) async fn a_refused_create_takes_none_of_its_keys(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    s.create(NewAction::task("a").with_exclusive("held"))
        .await?;
    let greedy = NewAction::task("b")
        .with_exclusive("free")
        .with_exclusive("held")
        .with_idempotency_key("once");
    s.refused(create(greedy)).await?;
    let new = NewAction::task("c")
        .with_exclusive("free")
        .with_idempotency_key("once");
    s.create(new).await?;
    Ok(())
}

pub(super) async fn an_exclusive_key_is_free_once_its_holder_is_completed(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    for outcome in [Outcome::Succeeded, Outcome::Failed, Outcome::Interrupted] {
        let uid = s
            .create(NewAction::task("a").with_exclusive("k"))
            .await?
            .uid;
        s.apply(uid, Change::Start, &owner).await?;
        let other = NewAction::task("a").with_exclusive("k");
        s.refused(create(other)).await?;
        s.apply(uid, finish(outcome), &owner).await?;
    }
    s.create(NewAction::task("a").with_exclusive("k")).await?;
    Ok(())
}

pub(super) async fn keys_are_separate_for_each_tenant(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    for tenant in ["acme", "umbrella"] {
        let new = NewAction::task("a").with_tenant(tenant);
        s.create(new.with_exclusive("k").with_idempotency_key("i"))
            .await?;
    }
    same("actions", s.walk(Query::new()).await?.len(), 2)
}

pub(super) async fn a_conflict_names_the_holder_within_the_tenant(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let of = |tenant: &str, name: &str| NewAction::task(name).with_tenant(tenant);
    let mut holders = Vec::new();
    for tenant in ["acme", "umbrella", "default"] {
        let new = of(tenant, "a").with_exclusive("k");
        holders.push((tenant, s.create(new.with_idempotency_key("i")).await?));
    }
    for (tenant, holder) in holders {
        let refused = s
            .refused(create(of(tenant, "b").with_exclusive("k")))
            .await?;
        demand!(refused, Rejection::Conflict { reason: ConflictReason::Exclusive(_), ref current }
            if *current == holder);
        let refused = s
            .refused(create(of(tenant, "b").with_idempotency_key("i")))
            .await?;
        demand!(refused, Rejection::Conflict { reason: ConflictReason::IdempotencyKey, ref current }
            if *current == holder);
        let again = of(tenant, "a").with_exclusive("k");
        let again = s.already(create(again.with_idempotency_key("i"))).await?;
        same("the action in the answer", again, Some(holder))?;
    }
    Ok(())
}

pub(super) async fn a_conflict_names_the_key_and_its_holder(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let mut holders = BTreeMap::new();
    for key in ["k0", "k1", "k2"] {
        let uid = s
            .create(NewAction::task(key).with_exclusive(key))
            .await?
            .uid;
        // The conflict returns the holder's current state, not its state when it took the
        // key.
        holders.insert(key, s.apply(uid, Change::Start, &owner).await?);
    }
    for (taken, other) in [("k1", "k2"), ("k2", "k1"), ("k0", "k2")] {
        let new = NewAction::task("b").with_exclusive("free");
        let new = new.with_exclusive(taken).with_exclusive(other);
        let refused = s.refused(create(new)).await?;
        demand!(refused, Rejection::Conflict { reason: ConflictReason::Exclusive(ref key), ref current }
            if holders.get(&**key) == Some(current));
    }
    Ok(())
}

pub(super) async fn actions_exclusive_on_one_object_exclude_each_other(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let on = |bdb: u64| NewAction::task("a").with_object(ObjectRef::bdb(bdb));
    let first = s.create(on(1).exclusive_on_object()).await?;
    same("its keys", &*first.exclusive, &["bdb:1".into()])?;
    let refused = s.refused(create(on(1).exclusive_on_object())).await?;
    demand!(refused, Rejection::Conflict { reason: ConflictReason::Exclusive(ref key), ref current }
        if **key == *"bdb:1" && *current == first);
    // Another object, another tenant and a create without exclusivity do not conflict.
    s.create(on(2).exclusive_on_object()).await?;
    s.create(on(1).with_tenant("acme").exclusive_on_object())
        .await?;
    s.create(on(1)).await?;
    // One action can be exclusive on several objects.
    let both = || {
        let new = on(3).exclusive_on_object();
        new.with_exclusive(ObjectRef::bdb(1).as_str())
    };
    s.refused(create(both())).await?;
    s.changed(apply(first.uid, finish(Outcome::Cancelled), None))
        .await?;
    s.create(both()).await?;
    s.refused(create(on(1).exclusive_on_object())).await?;
    let invalid = s.refused(create(NewAction::task("a").exclusive_on_object()));
    match invalid.await? {
        Rejection::Invalid(invalid) => same("the invalid field", &*invalid.field, "exclusive"),
        other => Err(Failure::new("Invalid", format!("{other:?}")).into()),
    }
}

pub(super) async fn a_repeated_create_does_not_conflict_with_itself(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let new = || {
        let new = NewAction::task("a").with_exclusive("k");
        new.with_idempotency_key("i")
    };
    let first = new();
    let uid = s.create(first.clone()).await?.uid;
    for repeat in [first.clone(), new()] {
        let found = s.already(create(repeat)).await?;
        same("the action found", found.map(|found| found.uid), Some(uid))?;
    }
    let started = s.apply(uid, Change::Start, &owner).await?;
    for repeat in [first, new()] {
        let found = s.already(create(repeat)).await?;
        same("the action found", found, Some(started.clone()))?;
    }
    same("actions", s.walk(Query::new()).await?.len(), 1)
}

pub(super) async fn exclusive_and_idempotency_keys_do_not_conflict(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    s.create(NewAction::task("a").with_exclusive("k")).await?;
    s.create(NewAction::task("b").with_idempotency_key("k"))
        .await?;
    Ok(())
}

pub(super) async fn keys_are_compared_byte_for_byte(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    // The keys differ in Unicode normalization, spaces, case or number format only.
    let keys = [
        "k", "K", "k ", " k", "\u{e9}", "e\u{301}", "1", "1.0", "01", "ß", "ss", "%", "_",
    ];
    for key in keys {
        let new = NewAction::task("a").with_exclusive(key);
        s.create(new.with_idempotency_key(key)).await?;
    }
    for key in keys {
        let refused = s
            .refused(create(NewAction::task("b").with_exclusive(key)))
            .await?;
        demand!(refused, Rejection::Conflict { reason: ConflictReason::Exclusive(ref held), .. } if **held == *key);
    }
    Ok(())
}

pub(super) async fn an_exclusive_key_is_held_within_its_batch(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let new = |name: &str| create(NewAction::task(name).with_exclusive("k"));
    let answers = s.each(vec![new("a"), new("b")]).await?;
    demand!(pick("the answers", &answers, 0)?, Ok(_));
    demand!(
        pick("the answers", &answers, 1)?,
        Err(Rejection::Conflict {
            reason: ConflictReason::Exclusive(_),
            ..
        })
    );
    same("actions", s.walk(Query::new()).await?.len(), 1)
}

pub(super) async fn an_exclusive_key_is_released_and_taken_in_one_batch(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let first = s.create(NewAction::task("a").with_exclusive("k")).await?;
    let next = NewAction::task("b").with_exclusive("k");
    let end = apply(first.uid, finish(Outcome::Cancelled), None);
    for answer in s.all(vec![end, create(next.clone())]).await? {
        answer?;
    }
    let refused = s
        .refused(create(NewAction::task("c").with_exclusive("k")))
        .await?;
    demand!(refused, Rejection::Conflict { ref current, .. } if current.uid == next.uid);
    Ok(())
}

pub(super) async fn an_exclusive_key_named_twice_is_invalid(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let new = NewAction::task("a").with_exclusive("k").with_exclusive("k");
    match s.refused(create(new)).await? {
        Rejection::Invalid(invalid) => same("the invalid field", &*invalid.field, "exclusive")?,
        other => return Err(Failure::new("Invalid", format!("{other:?}")).into()),
    }
    // The refused create left no trace: the key is free.
    s.create(NewAction::task("b").with_exclusive("k")).await?;
    Ok(())
}

pub(super) async fn an_idempotency_key_finds_the_first_action(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let new = || NewAction::task("a").with_idempotency_key("i");
    let first = s.create(new()).await?;
    let again = s.already(create(new())).await?;
    same("the action in the answer", again, Some(first.clone()))?;
    s.apply(first.uid, Change::Start, &owner).await?;
    let completed = s.apply(first.uid, finish(Outcome::Failed), &owner).await?;
    let again = s.already(create(new())).await?;
    same("the action in the answer", again, Some(completed))?;
    same("actions", s.walk(Query::new()).await?.len(), 1)
}

pub(super) async fn an_idempotency_key_with_other_content_is_a_conflict(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let first = s
        .create(NewAction::task("a").with_idempotency_key("i"))
        .await?;
    let other = create(NewAction::task("b").with_idempotency_key("i"));
    let refused = s.refused(other).await?;
    demand!(refused, Rejection::Conflict { reason: ConflictReason::IdempotencyKey, ref current }
        if *current == first);
    Ok(())
}

pub(super) async fn an_idempotency_key_is_free_once_its_action_is_removed(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let new = |name: &str| create(NewAction::task(name).with_idempotency_key("i"));
    let first = s.changed(new("a")).await?;
    let ended = s
        .changed(apply(first.uid, finish(Outcome::Cancelled), None))
        .await?;
    s.refused(new("b")).await?;
    s.done(remove(&ended)).await?;
    s.changed(new("b")).await?;
    Ok(())
}

/// Requires that each exclusive key and each idempotency key still leads to its holder.
#[track_caller]
fn held_by(s: &Subject, holders: &[Arc<Action>]) -> impl Future<Output = Proof> {
    at_call(async move {
        for holder in holders {
            for key in holder.exclusive.iter() {
                let new = NewAction::task("other").with_tenant(holder.tenant.clone());
                let refused = s.refused(create(new.with_exclusive(key.clone()))).await?;
                demand!(refused, Rejection::Conflict { reason: ConflictReason::Exclusive(_), ref current }
                if current == holder);
            }
            if let Some(key) = &holder.idempotency_key {
                let new = NewAction::task("other").with_tenant(holder.tenant.clone());
                let refused = s
                    .refused(create(new.with_idempotency_key(key.clone())))
                    .await?;
                demand!(refused, Rejection::Conflict { reason: ConflictReason::IdempotencyKey, ref current }
                if current == holder);
            }
        }
        Ok(())
    })
}

pub(super) async fn the_two_kinds_of_keys_keep_their_holders_if_their_texts_are_equal(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let exclusive = |key: &str| NewAction::task("a").with_exclusive(key);
    let once = |key: &str| NewAction::task("b").with_idempotency_key(key);
    let holders = [
        s.create(exclusive("k")).await?,
        s.create(once("k")).await?,
        s.create(once("l")).await?,
        s.create(exclusive("l")).await?,
    ];
    held_by(&s, &holders).await?;
    // The end of one holder frees its exclusive key, and not the other holder's key.
    let [first, second, ..] = &holders;
    s.changed(apply(first.uid, finish(Outcome::Cancelled), None))
        .await?;
    held_by(&s, std::slice::from_ref(second)).await?;
    s.create(exclusive("k")).await?;
    held_by(&s, std::slice::from_ref(second)).await
}

pub(super) async fn tenants_and_keys_that_join_to_one_text_are_separate(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let separators = [
        "", ":", "/", "|", "-", "_", ".", " ", ",", ";", "#", "\\", "\u{a0}",
    ];
    let mut holders = Vec::new();
    for between in separators {
        // Joined with the separator, both pairs are one text.
        let tenants = [format!("a{between}b"), "a".to_owned()];
        let keys = ["c".to_owned(), format!("b{between}c")];
        for (tenant, key) in tenants.into_iter().zip(keys) {
            let new = NewAction::task("a").with_tenant(tenant);
            // Each pair has keys of its own.
            let key = format!("{key}{}", holders.len() / 2);
            let new = new.with_exclusive(key.as_str()).with_idempotency_key(key);
            holders.push(s.create(new).await?);
        }
    }
    held_by(&s, &holders).await
}

pub(super) async fn long_keys_that_differ_in_their_last_byte_are_separate(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let mut holders = Vec::new();
    for length in [32, 33, 64, 65, 128, 129, 191, 192, 250, 254, Limits::LABEL] {
        for last in ["1", "2"] {
            let key = format!("{}{last}", "k".repeat(length - 1));
            let new = NewAction::task("a").with_exclusive(key.as_str());
            holders.push(s.create(new.with_idempotency_key(key)).await?);
        }
    }
    held_by(&s, &holders).await
}
