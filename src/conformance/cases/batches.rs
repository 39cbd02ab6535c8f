//! Batches: order, the two modes, repeats and limits.

use super::*;

pub(super) async fn an_empty_batch_is_accepted(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    for batch in [Batch::each(Vec::new()), Batch::all(Vec::new())] {
        same("answers", s.write(batch).await?.len(), 0)?;
    }
    same("actions", s.walk(Query::new()).await?.len(), 0)
}

pub(super) async fn answers_are_in_the_order_of_the_commands(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let news: Vec<NewAction> = (0..10)
        .map(|n| NewAction::task(format!("task {n}")))
        .collect();
    // The uids are not in creation order. A store that sorts by uid returns the wrong
    // actions.
    let mut commands: Vec<Command> = news.iter().rev().cloned().map(create).collect();
    let unknown = ActionUid::new();
    commands.insert(5, apply(unknown, finish(Outcome::Cancelled), None));
    let answers = s.each(commands).await?;
    let mut expected: Vec<Option<ActionUid>> = news.iter().rev().map(|new| Some(new.uid)).collect();
    expected.insert(5, None);
    let found: Vec<Option<ActionUid>> = answers
        .iter()
        .map(|answer| Some(answer.as_ref().ok()?.action.as_ref()?.uid))
        .collect();
    same("the answers", found, expected)?;
    demand!(pick("the answers", &answers, 5)?, Err(Rejection::NotFound(uid)) if *uid == unknown);
    let oldest = s.walk(Query::new().with_order(Order::Oldest)).await?;
    let created: Vec<ActionUid> = news.iter().rev().map(|new| new.uid).collect();
    same("the order of creation", uids(&oldest), created)
}

pub(super) async fn a_command_sees_the_effects_of_earlier_commands(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    for mode in [BatchMode::Each, BatchMode::All] {
        let owner = OwnerRef::new("plane");
        let new = NewAction::task("a");
        let uid = new.uid;
        let commands = vec![
            claim(&owner),
            create_by(new, &owner),
            apply(uid, Change::Start, Some(&owner)),
            apply(uid, step("copy"), Some(&owner)),
            apply(uid, finish(Outcome::Succeeded), Some(&owner)),
            Command::release(owner.clone()),
        ];
        let answers = s.write(Batch { commands, mode }).await?;
        let mut versions = Vec::new();
        for answer in answers {
            let done = answer?;
            same("the effect", done.effect, Effect::Applied)?;
            versions.extend(done.action.map(|action| action.version.get()));
        }
        same("the versions in the answers", versions, vec![1, 2, 3, 4])?;
        let found = s.read(uid).await?;
        same("the version", found.version.get(), 4)?;
        same("the number of entries", s.log_of(uid).await?.len(), 4)?;
        same(
            "the owner",
            s.owner(&owner).await?.state,
            OwnerState::Released,
        )?;
    }
    Ok(())
}

pub(super) async fn an_action_changed_twice_in_a_batch_is_in_the_feed_once(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let first = s.executing(&owner).await?;
    let second = s.executing(&owner).await?;
    let change = |uid, name: &str| apply(uid, step(name), Some(&owner));
    let commands = vec![
        change(first.uid, "one"),
        change(second.uid, "one"),
        change(first.uid, "two"),
    ];
    for answer in s.each(commands).await? {
        answer?;
    }
    let feed = s.walk(Query::new().with_order(Order::Feed)).await?;
    let mut found = uids(&feed);
    found.sort();
    same(
        "each action exactly once",
        found,
        vec![first.uid, second.uid],
    )?;
    let found = s.read(first.uid).await?;
    same("the version", found.version.get(), first.version.get() + 2)?;
    same("the step", found.step.as_deref(), Some("two"))
}

pub(super) async fn in_each_mode_a_refused_command_does_not_affect_the_others(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let held = s
        .create(NewAction::task("held").with_exclusive("k"))
        .await?;
    let (a, b) = (NewAction::task("a"), NewAction::task("b"));
    let commands = vec![
        create(a.clone()),
        create(NewAction::task("refused").with_exclusive("k")),
        apply(a.uid, Change::Start, Some(&owner)),
        create(NewAction::task("")),
        apply(a.uid, Change::Start, Some(&owner)),
        Command::renew(OwnerRef::new("nobody")),
        create(b.clone()),
    ];
    let answers = s.each(commands).await?;
    let accepted: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    let expected = vec![true, false, true, false, false, false, true];
    same("the accepted commands", accepted, expected)?;
    demand!(
        pick("the answers", &answers, 3)?,
        Err(Rejection::Invalid(_))
    );
    let all = s.walk(Query::new().with_order(Order::Oldest)).await?;
    same("the actions", uids(&all), vec![held.uid, a.uid, b.uid])?;
    same("the version", s.read(a.uid).await?.version.get(), 2)?;
    s.unchanged(&held).await
}

pub(super) async fn in_all_mode_one_refusal_refuses_the_whole_batch(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let executing = s.executing(&owner).await?;
    let ended = s.completed(&owner).await?;
    let pinned = Command::pin(ended.uid, true);
    let new = NewAction::task("a")
        .with_exclusive("k")
        .with_idempotency_key("i");
    let end = apply(executing.uid, finish(Outcome::Succeeded), Some(&owner));
    let accepted = vec![
        create(new.clone()),
        apply(new.uid, Change::Start, Some(&owner)),
        end.clone(),
        pinned,
        Command::renew(owner.clone()),
        claim(&OwnerRef::new("plane")),
    ];
    let before = s.snapshot().await?;
    let at = s.position().await?;
    for index in [0, 3, accepted.len()] {
        let mut commands = accepted.clone();
        commands.insert(index, apply(ended.uid, step("late"), None));
        let answers = s.all(commands).await?;
        for (number, answer) in answers.iter().enumerate() {
            if number == index {
                demand!(answer, Err(Rejection::Conflict { .. }))
            } else {
                same("the refusal", answer, &Err(Rejection::Batch(index)))?
            }
        }
        same("the store", &s.snapshot().await?, &before)?;
        same("the position", s.position().await?, at)?;
    }
    // The refused batch took no keys, set no pins and recorded no operations.
    s.create(NewAction::task("b").with_exclusive("k")).await?;
    s.create(NewAction::task("b").with_idempotency_key("i"))
        .await?;
    s.done(remove(&ended)).await?;
    s.done(end).await?;
    Ok(())
}

pub(super) async fn in_all_mode_an_invalid_command_refuses_the_whole_batch(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let commands = vec![
        create(NewAction::task("a")),
        create(NewAction::task("")),
        create(NewAction::task("b")),
    ];
    let answers = s.all(commands).await?;
    same(
        "the first answer",
        pick("the answers", &answers, 0)?,
        &Err(Rejection::Batch(1)),
    )?;
    demand!(
        pick("the answers", &answers, 1)?,
        Err(Rejection::Invalid(_))
    );
    same(
        "the last answer",
        pick("the answers", &answers, 2)?,
        &Err(Rejection::Batch(1)),
    )?;
    same("actions", s.walk(Query::new()).await?.len(), 0)
}

pub(super) async fn repeating_a_batch_changes_nothing(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let old = s.completed(&owner).await?;
    for mode in [BatchMode::Each, BatchMode::All] {
        let (a, b) = (NewAction::task("a"), NewAction::task("b"));
        let cancel = Change::RequestCancel(CancelRequest::new());
        let commands = vec![
            create_by(a.clone(), &owner),
            create(b.clone()),
            apply(a.uid, Change::Start, Some(&owner)),
            apply(b.uid, cancel, None),
            apply(a.uid, step("copy"), Some(&owner)),
            apply(b.uid, finish(Outcome::Cancelled), None),
            apply(a.uid, finish(Outcome::Succeeded), Some(&owner)),
            claim(&owner),
            Command::pin(old.uid, true),
        ];
        let batch = Batch { commands, mode };
        for answer in s.write(batch.clone()).await? {
            answer?;
        }
        let before = s.snapshot().await?;
        for _ in 0..3 {
            for answer in s.write(batch.clone()).await? {
                same("the effect", answer?.effect, Effect::Already)?;
            }
        }
        same("the store", s.snapshot().await?, before)?;
    }
    Ok(())
}

pub(super) async fn an_action_created_and_removed_in_one_batch_leaves_no_trace(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let new = NewAction::task("a")
        .with_exclusive("k")
        .with_idempotency_key("i");
    let uid = new.uid;
    let commands = vec![
        create(new),
        apply(uid, finish(Outcome::Cancelled), None),
        Command::remove(uid, Version::FIRST.next()),
    ];
    for answer in s.all(commands).await? {
        answer?;
    }
    let found = s.snapshot().await?;
    same("the actions", found.newest, Vec::new())?;
    same("the log", found.log, Vec::new())?;
    let other = NewAction::task("b").with_exclusive("k");
    s.create(other.with_idempotency_key("i")).await?;
    Ok(())
}

pub(super) async fn an_action_removed_and_recreated_in_one_batch_is_new(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    // The new action reaches a version below, at and above the version of the old one.
    for steps in 0..3 {
        let key = format!("key {steps}");
        let new = NewAction::task("a").with_idempotency_key(key);
        let uid = new.uid;
        s.create(new.clone()).await?;
        s.apply(uid, Change::Start, &owner).await?;
        let end = apply(uid, finish(Outcome::Failed), Some(&owner));
        let removal = Command::remove(uid, Version::new(3)?);
        let mut commands = vec![end, removal, create(new.clone())];
        commands.push(apply(uid, Change::Start, Some(&owner)));
        for number in 0..steps {
            commands.push(apply(uid, step(&format!("step {number}")), Some(&owner)));
        }
        for answer in s.all(commands).await? {
            answer?;
        }
        let found = s.read(uid).await?;
        same("the version", found.version.get(), 2 + steps)?;
        same("the status", found.status, Status::Executing)?;
        let versions: Vec<u64> = s
            .log_of(uid)
            .await?
            .iter()
            .map(|e| e.version.get())
            .collect();
        same(
            "the versions in the log",
            versions,
            (1..=2 + steps).collect::<Vec<_>>(),
        )?;
        // The new action still holds its key.
        s.already(create(new.with_uid(ActionUid::new()))).await?;
    }
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn a_batch_of_the_largest_size_is_accepted(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let most = s.max_commands()?;
    let answers = s.each(vec![Command::renew(owner.clone()); most]).await?;
    for answer in answers {
        answer?;
    }
    let found = s.owner(&owner).await?;
    same("the renewals", found.renewals, most as u64)
}

pub(super) async fn a_batch_with_too_many_commands_is_invalid(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let most = s.max_commands()?;
    for mode in [BatchMode::Each, BatchMode::All] {
        let commands = vec![Command::renew(owner.clone()); most + 1];
        let answer = s.store.write(Batch { commands, mode }).await;
        fails(
            "a batch with too many commands",
            answer,
            StoreErrorKind::Invalid,
        )?;
    }
    same("the renewals", s.owner(&owner).await?.renewals, 0)
}

pub(super) async fn a_batch_with_too_many_bytes_is_invalid(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let limits = s.store.capabilities();
    let long = Json::new(format!("{{\"a\":\"{}\"}}", "x".repeat(Limits::JSON - 8)))?;
    let large = || create(NewAction::task("a").with_attributes(long.clone()));
    let bytes = |commands: &[Command]| Batch::each(commands.to_vec()).bytes();
    let each = bytes(&[large()]);
    let most = s.max_commands()?;
    let fitting = (limits.max_bytes / each).min(most);
    holds("room for the largest attributes", fitting > 0, limits)?;
    let commands: Vec<Command> = (0..fitting).map(|_| large()).collect();
    // The test does not apply if the command limit keeps every batch below the byte
    // limit.
    if fitting < most {
        let mut beyond = commands.clone();
        beyond.push(large());
        for mode in [BatchMode::Each, BatchMode::All] {
            let commands = beyond.clone();
            let answer = s.store.write(Batch { commands, mode }).await;
            fails(
                "a batch with too many bytes",
                answer,
                StoreErrorKind::Invalid,
            )?;
        }
        same("actions", s.walk(summaries()).await?.len(), 0)?;
    }
    for answer in s.each(commands).await? {
        answer?;
    }
    same("actions", s.walk(summaries()).await?.len(), fitting)
}

pub(super) async fn an_unknown_command_is_unsupported(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let before = s.snapshot().await?;
    for mode in [BatchMode::Each, BatchMode::All] {
        let commands = vec![
            create(NewAction::task("a")),
            Command::Unknown,
            create(NewAction::task("b")),
        ];
        let answer = s.store.write(Batch { commands, mode }).await;
        fails("an unknown command", answer, StoreErrorKind::Unsupported)?;
    }
    same("the store", s.snapshot().await?, before)
}
