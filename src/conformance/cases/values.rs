//! Values that a store may keep in a form that is too small for them.

use super::*;

/// Requires that every way to read an action returns it as it was answered.
#[track_caller]
fn read_everywhere(s: &Subject, action: &Arc<Action>) -> impl Future<Output = Proof> {
    at_call(async move {
        s.unchanged(action).await?;
        for order in [Order::Newest, Order::Oldest, Order::Feed] {
            for query in [Query::new(), summaries()] {
                let query = query.with_filter(Filter::Uid(action.uid)).with_order(order);
                let found = s.walk(query).await?;
                same("the listed action", found, vec![action.clone()])?;
            }
        }
        Ok(())
    })
}

pub(super) async fn a_report_of_progress_alone_is_kept(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let mut version = s.read(uid).await?.version;
    for progress in [1, 2, 3333, 9998, 9999] {
        s.tick();
        let after = s.apply(uid, report(progress)?, &owner).await?;
        version = version.next();
        same("the progress", after.progress.hundredths(), progress)?;
        same("the version", after.version, version)?;
        read_everywhere(&s, &after).await?;
    }
    // The progress is also there after a change that does not name it.
    let noted = s.apply(uid, step("copy"), &owner).await?;
    same("the progress", noted.progress.hundredths(), 9999)?;
    read_everywhere(&s, &noted).await
}

pub(super) async fn progress_is_exact_to_the_hundredth(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let mut expected = BTreeMap::new();
    let mut commands = Vec::new();
    // One value of each ten, with each last digit.
    for number in 0..1000u16 {
        let (new, progress) = (NewAction::task("a"), number * 10 + number % 10);
        let uid = new.uid;
        expected.insert(uid, progress);
        commands.push(create(new));
        commands.push(apply(uid, Change::Start, Some(&owner)));
        commands.push(apply(uid, report(progress)?, Some(&owner)));
    }
    for some in commands.chunks(s.max_commands()?) {
        for answer in s.each(some.to_vec()).await? {
            answer?;
        }
    }
    let hundredths = |action: &Arc<Action>| (action.uid, action.progress.hundredths());
    for order in [Order::Newest, Order::Feed] {
        let query = Query::new().with_order(order).with_limit(Limits::PAGE);
        let found: BTreeMap<_, _> = s.walk(query).await?.iter().map(hundredths).collect();
        let differ = |(uid, progress): &(&ActionUid, &u16)| expected.get(*uid) != Some(*progress);
        let wrong: Vec<_> = found.iter().filter(differ).take(5).collect();
        holds(
            "the reported progress of each action",
            wrong.is_empty(),
            wrong,
        )?;
        same("the actions", found.len(), expected.len())?;
    }
    Ok(())
}

pub(super) async fn versions_are_compared_and_kept_exactly(fixture: &dyn Fixture) -> Proof {
    let (from, s) = (open(fixture).await?, open(fixture).await?);
    let owner = s.claim("plane").await?;
    for bits in [31, 32, 53, 60] {
        let version = Version::new((1 << bits) + 2)?;
        let imported = s
            .changed(transfer::queued_at(&from, version).await?)
            .await?;
        let uid = imported.uid;
        read_everywhere(&s, &imported).await?;
        // Wrong versions, equal to the right one in their low 32 bits or as a float.
        let (mut wrong, right) = (Vec::new(), version.get());
        for number in [right - 1, right + 1, right % (1 << 32), right + (1 << 32)] {
            if number != right {
                wrong.push(Version::new(number)?);
            }
        }
        for wrong in wrong {
            let start = apply(uid, Change::Start, Some(&owner));
            let refused = s.refused(at_version(start, wrong)).await?;
            demand!(
                refused,
                Rejection::Conflict {
                    reason: ConflictReason::Version { .. },
                    ..
                }
            );
        }
        let start = apply(uid, Change::Start, Some(&owner));
        let started = s.changed(at_version(start, version)).await?;
        same("the version", started.version, version.next())?;
        read_everywhere(&s, &started).await?;
        let ended = s.apply(uid, finish(Outcome::Succeeded), &owner).await?;
        read_everywhere(&s, &ended).await?;
        let log = s.log_of(uid).await?;
        let versions: Vec<u64> = log.iter().map(|entry| entry.version.get()).collect();
        same(
            "the versions in the log",
            versions,
            vec![1, right + 1, right + 2],
        )?;
        for number in [right + 1, right + 3, (right + 2) % (1 << 32)] {
            let if_version = Version::new(number)?;
            if if_version != ended.version {
                let refused = s.refused(Command::Remove { uid, if_version }).await?;
                demand!(
                    refused,
                    Rejection::Conflict {
                        reason: ConflictReason::Version { .. },
                        ..
                    }
                );
            }
        }
        s.done(remove(&ended)).await?;
    }
    Ok(())
}

pub(super) async fn an_owner_keeps_the_time_of_its_claim(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let claimed = s.owner(&owner).await?;
    same(
        "the time of its last renewal",
        claimed.renewed_at,
        claimed.claimed_at,
    )?;
    for _ in 0..2 {
        s.tick();
        s.done(Command::Renew(owner.clone())).await?;
        s.executing(&owner).await?;
        let known = s.owner(&owner).await?;
        same(
            "the time of the claim",
            known.claimed_at,
            claimed.claimed_at,
        )?;
    }
    s.tick();
    s.done(Command::Release(owner.clone())).await?;
    let ended = s.owner(&owner).await?;
    same(
        "the time of the claim",
        ended.claimed_at,
        claimed.claimed_at,
    )?;
    // A successor has a time of its own.
    s.tick();
    let next = s.claim("plane").await?;
    let (next, last) = (s.owner(&next).await?, s.owner(&owner).await?);
    same("the time of the claim", last.claimed_at, claimed.claimed_at)?;
    holds(
        "a later claim",
        next.claimed_at > last.claimed_at,
        (next, last),
    )
}
