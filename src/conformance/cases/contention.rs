//! Many callers at once.

use super::*;

/// Sends each batch from its own task, all at the same time.
#[track_caller]
fn at_once(s: &Subject, batches: Vec<Batch>) -> impl Future<Output = Proof<Vec<Vec<Answer>>>> {
    at_call(async move {
        let gate = Arc::new(tokio::sync::Barrier::new(batches.len()));
        let spawn = |batch: Batch| {
            let (store, gate) = (s.store.clone(), gate.clone());
            tokio::spawn(async move {
                gate.wait().await;
                write(&*store, batch).await
            })
        };
        let tasks: Vec<_> = batches.into_iter().map(spawn).collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(joined("an answer", task).await?);
        }
        Ok(answers)
    })
}

fn single(command: Command) -> Batch {
    Batch::each(vec![command])
}

pub(super) async fn one_of_many_concurrent_finishes_wins(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let outcomes = || {
        let all = [
            Outcome::Succeeded,
            Outcome::Failed,
            Outcome::Cancelled,
            Outcome::Interrupted,
        ];
        all.into_iter().cycle().take(16)
    };
    for _ in 0..10 {
        let uid = s.executing(&owner).await?.uid;
        let end = |outcome| single(apply(uid, finish(outcome), Some(&owner)));
        let answers = at_once(&s, outcomes().map(end).collect()).await?;
        let winner = s.read(uid).await?;
        same("the version", winner.version.get(), 3)?;
        let mut winners = 0;
        for (answer, outcome) in answers.into_iter().flatten().zip(outcomes()) {
            match answer {
                Ok(done) => {
                    winners += 1;
                    same("the effect", done.effect, Effect::Applied)?;
                    same("the winner", done.action.as_ref(), Some(&winner))?;
                    same("its outcome", winner.outcome, Some(outcome))?;
                }
                Err(refused) => demand!(refused, Rejection::Conflict {
                    reason: ConflictReason::Status { .. }, ref current } if *current == winner),
            }
        }
        same("winners", winners, 1)?;
        same("log entries", s.log_of(uid).await?.len(), 3)?;
    }
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn concurrent_compare_and_set_loses_no_change(fixture: &dyn Fixture) -> Proof {
    const TASKS: usize = 8;
    const CHANGES: usize = 10;
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let count = |store: Arc<dyn ActionStore>, owner: OwnerRef| async move {
        let mut made = Vec::new();
        let mut tries = 0;
        while made.len() < CHANGES && tries < 10_000 {
            tries += 1;
            let found = store.get(&[uid]).await?.pop().flatten();
            let Some(found) = found else {
                return Err(Stop::from(Failure::new("the action", "no such action")));
            };
            // Lets the other tasks read the same version.
            tokio::task::yield_now().await;
            let step = step(&format!("after version {}", found.version));
            let change = at_version(apply(uid, step, Some(&owner)), found.version);
            for answer in write(&*store, single(change)).await? {
                match answer {
                    Ok(done) => made.extend(done.action.map(|action| action.version.get())),
                    Err(refused) => demand!(
                        refused,
                        Rejection::Conflict {
                            reason: ConflictReason::Version { .. },
                            ..
                        }
                    ),
                }
            }
        }
        Ok::<_, Stop>(made)
    };
    let spawn = |_| tokio::spawn(count(s.store.clone(), owner.clone()));
    let tasks: Vec<_> = (0..TASKS).map(spawn).collect();
    let mut made = Vec::new();
    for task in tasks {
        made.extend(joined("the task's end", task).await?);
    }
    made.sort_unstable();
    let last = (TASKS * CHANGES) as u64 + 2;
    same(
        "each version exactly once",
        made,
        (3..=last).collect::<Vec<_>>(),
    )?;
    // Each change followed the version that its task had read.
    for entry in s.log_of(uid).await?.iter().skip(2) {
        let expected = format!("after version {}", entry.version.get() - 1);
        same("the step", entry.step.as_deref(), Some(&*expected))?;
    }
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn one_of_many_concurrent_creates_gets_an_exclusive_key(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    for round in 0..10 {
        let key = format!("key {round}");
        let new = |n: usize| NewAction::task(format!("task {n}")).with_exclusive(key.clone());
        let batches = (0..16).map(|n| single(create(new(n)))).collect();
        let answers: Vec<Answer> = at_once(&s, batches).await?.into_iter().flatten().collect();
        let held = Query::new().with_filter(Filter::Unfinished);
        let there = s.walk(held).await?;
        same("one more holder", there.len(), round + 1)?;
        let holder = pick("the holders", &there, 0)?;
        let winners = answers.iter().filter(|answer| answer.is_ok()).count();
        same("winners", winners, 1)?;
        for refused in answers.into_iter().filter_map(Result::err) {
            demand!(refused, Rejection::Conflict { reason: ConflictReason::Exclusive(_), ref current }
                if current == holder);
        }
    }
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn concurrent_creates_with_one_idempotency_key_make_one_action(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    for round in 0..10 {
        let key = format!("key {round}");
        let new = || NewAction::task("a").with_idempotency_key(key.clone());
        let batches = (0..16).map(|_| single(create(new()))).collect();
        let mut applied = 0;
        let mut found = BTreeSet::new();
        for answer in at_once(&s, batches).await?.into_iter().flatten() {
            let done = answer?;
            applied += usize::from(done.effect == Effect::Applied);
            found.extend(done.action.map(|action| action.uid));
        }
        same("applied", applied, 1)?;
        same("actions answered", found.len(), 1)?;
    }
    same("actions", check_store(&*s.store).await?.actions, 10)
}

pub(super) async fn a_batch_sent_concurrently_is_applied_once(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    for _ in 0..10 {
        let new = NewAction::task("a");
        let uid = new.uid;
        let batch = Batch::all(vec![
            create_by(new, &owner),
            apply(uid, Change::Start, Some(&owner)),
            apply(uid, step("copy"), Some(&owner)),
        ]);
        let mut applied = 0;
        for answer in at_once(&s, vec![batch; 16]).await?.into_iter().flatten() {
            applied += usize::from(answer?.effect == Effect::Applied);
        }
        same("applied", applied, 3)?;
        same("the version", s.read(uid).await?.version.get(), 3)?;
    }
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn one_of_many_concurrent_claims_wins(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    for take_over in [true, false] {
        let name = format!("plane {take_over}");
        let owners: Vec<OwnerRef> = (0..16).map(|_| OwnerRef::new(name.as_str())).collect();
        let claims = owners
            .iter()
            .map(|owner| single(Command::claim(owner.clone()).with_take_over(take_over)));
        let answers = at_once(&s, claims.collect()).await?;
        let accepted = answers
            .iter()
            .flatten()
            .filter(|answer| answer.is_ok())
            .count();
        same("claims accepted", accepted, if take_over { 16 } else { 1 })?;
        let known = s.owners().await?;
        let alive = known
            .iter()
            .filter(|o| o.is_alive() && *o.owner.name == *name)
            .count();
        same("alive", alive, 1)?;
    }
    Ok(())
}

pub(super) async fn no_write_of_a_fenced_owner_follows_its_fence(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    for _ in 0..5 {
        let owner = s.claim("plane").await?;
        let action = s.executing(&owner).await?;
        let mut batches: Vec<Batch> = (0..12)
            .map(|n| single(apply(action.uid, step(&format!("step {n}")), Some(&owner))))
            .collect();
        let heir = OwnerRef::new("plane");
        let adopt = apply(action.uid, Change::Adopt, Some(&heir));
        batches.insert(6, Batch::all(vec![claim(&heir), adopt]));
        let answers = at_once(&s, batches).await?;
        for answer in pick("the answers", &answers, 6)? {
            demand!(answer, Ok(_));
        }
        let steps = answers
            .iter()
            .flatten()
            .filter(|answer| answer.is_ok())
            .count()
            .saturating_sub(2);
        let log = s.log_of(action.uid).await?;
        let kinds: Vec<LogEntryKind> = log.iter().skip(2).map(|entry| entry.kind).collect();
        let mut expected = vec![LogEntryKind::Step; steps];
        expected.push(LogEntryKind::Adopted);
        same("steps, then the adoption", kinds, expected)?;
        for refused in answers.into_iter().flatten().filter_map(Result::err) {
            demand!(refused, Rejection::Fenced { .. });
        }
    }
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn readers_see_an_action_and_its_log_agree(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let (store, by) = (s.store.clone(), owner.clone());
    let writer = tokio::spawn(async move {
        for number in 0..100 {
            let change = apply(uid, step(&format!("step {number}")), Some(&by));
            for answer in write(&*store, single(change)).await? {
                answer?;
            }
        }
        Ok::<_, Stop>(())
    });
    for _ in 0..10_000 {
        let over = writer.is_finished();
        let before = s.read(uid).await?;
        let log = s.log_of(uid).await?;
        let after = s.read(uid).await?;
        let versions: Vec<u64> = log.iter().map(|entry| entry.version.get()).collect();
        let dense = versions.iter().copied().eq(1..=versions.len() as u64);
        holds("versions without a gap", dense, &versions)?;
        let last = versions.len() as u64;
        let between = (before.version.get()..=after.version.get()).contains(&last);
        holds(
            "a log between two reads of its action",
            between,
            (before, last, after),
        )?;
        if over {
            break;
        }
    }
    joined("the writer's end", writer).await?;
    check_store(&*s.store).await?;
    Ok(())
}
