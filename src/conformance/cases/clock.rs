//! Timestamps. Nothing but timestamps depends on the clock.

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn back(clock: &Clock) {
    let past = clock
        .now()
        .as_micros()
        .saturating_sub(DAY.as_micros() as i64);
    clock.set(Timestamp::from_micros(past));
}

pub(super) async fn timestamps_come_from_the_clock(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let clock = s.clock()?.clone();
    let owner = s.claim("plane").await?;
    let tick = || {
        clock.advance(Duration::from_micros(1_000_001));
        clock.now()
    };
    let created = tick();
    let uid = s.queued().await?.uid;
    let started = tick();
    s.apply(uid, Change::Start, &owner).await?;
    let cancelled = tick();
    let cancel = Change::RequestCancel(CancelRequest::new());
    s.changed(apply(uid, cancel, None)).await?;
    let reported = tick();
    let seen = s.apply(uid, Change::Report(Report::new()), &owner).await?;
    let finished = tick();
    let end = s.apply(uid, finish(Outcome::Succeeded), &owner).await?;
    let renewed = tick();
    s.done(Command::renew(owner.clone())).await?;
    same("created", end.created_at, created)?;
    same("started", end.started_at, Some(started))?;
    same(
        "cancel requested",
        end.cancel.as_ref().map(|c| c.at),
        Some(cancelled),
    )?;
    same(
        "the time the owner was last seen",
        seen.last_seen_at,
        reported,
    )?;
    same("finished", end.finished_at, Some(finished))?;
    same("renewed", s.owner(&owner).await?.renewed_at, renewed)
}

pub(super) async fn timestamps_never_go_backwards(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let clock = s.clock()?.clone();
    let owner = s.claim("plane").await?;
    let uid = s.queued().await?.uid;
    let request = Change::RequestCancel(CancelRequest::new());
    let commands = [
        apply(uid, Change::Start, Some(&owner)),
        apply(uid, step("one"), Some(&owner)),
        apply(uid, request, None),
        apply(uid, report(100)?, Some(&owner)),
        apply(uid, step("two"), Some(&owner)),
    ];
    let mut last = s.read(uid).await?;
    let no_earlier = |before: &Action, after: &Action| {
        let kept =
            before.created_at == after.created_at && before.last_seen_at <= after.last_seen_at;
        let in_order = [Some(after.created_at), after.started_at, after.finished_at];
        kept && in_order.iter().flatten().is_sorted()
    };
    for (number, command) in commands.into_iter().enumerate() {
        if number % 2 == 0 {
            back(&clock);
        } else {
            clock.advance(2 * DAY);
        }
        let after = s.changed(command).await?;
        holds(
            "no timestamp before the previous one",
            no_earlier(&last, &after),
            (&last, &after),
        )?;
        last = after;
    }
    // The cancel request is later than any report of the owner. No later entry may have
    // an earlier timestamp.
    clock.advance(5 * DAY);
    let cancelled = s.executing(&owner).await?.uid;
    clock.advance(DAY);
    let request = Change::RequestCancel(CancelRequest::new());
    s.changed(apply(cancelled, request, None)).await?;
    back(&clock);
    s.apply(cancelled, step("on"), &owner).await?;
    let log = s.log_of(cancelled).await?;
    let ascending = log.is_sorted_by_key(|entry| entry.at);
    holds("a log with ascending timestamps", ascending, &log)?;
    clock.advance(3 * DAY);
    let heir = s.claim("plane").await?;
    s.changed(apply(uid, finish(Outcome::Lost), Some(&heir)))
        .await?;
    back(&clock);
    back(&clock);
    s.refused(apply(uid, finish(Outcome::Succeeded), Some(&owner)))
        .await?;
    let log = s.log_of(uid).await?;
    same("the number of entries", log.len(), 7)?;
    let ascending = log.is_sorted_by_key(|entry| entry.at);
    holds("a log with ascending timestamps", ascending, &log)?;
    let known = s.owner(&heir).await?;
    s.done(Command::renew(heir.clone())).await?;
    let renewed = s.owner(&heir).await?;
    holds(
        "no renewal before the previous one",
        renewed.renewed_at >= known.renewed_at,
        &renewed,
    )?;
    s.done(Command::release(heir.clone())).await?;
    let ended = s.owner(&heir).await?;
    holds(
        "no end before the last renewal",
        ended.ended_at >= Some(ended.renewed_at),
        &ended,
    )?;
    check_store(&*s.store).await?;
    Ok(())
}

pub(super) async fn list_and_feed_order_does_not_depend_on_the_clock(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let clock = s.clock()?.clone();
    let mut created = Vec::new();
    for _ in 0..5 {
        created.push(s.queued().await?.uid);
        back(&clock);
    }
    let oldest = s
        .walk(Query::new().with_order(Order::Oldest).with_limit(2))
        .await?;
    same("oldest first", uids(&oldest), created.clone())?;
    let feed = s
        .walk(Query::new().with_order(Order::Feed).with_limit(2))
        .await?;
    same("the feed", uids(&feed), created.clone())?;
    created.reverse();
    same(
        "newest first",
        uids(&s.walk(Query::new().with_limit(2)).await?),
        created,
    )
}

pub(super) async fn time_filters_have_microsecond_precision(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let clock = s.clock()?.clone();
    let mut all = Vec::new();
    for _ in 0..4 {
        let uid = s.queued().await?.uid;
        all.push(
            s.changed(apply(uid, finish(Outcome::Cancelled), None))
                .await?,
        );
        clock.advance(Duration::from_micros(1));
    }
    for action in &all {
        let (created, finished) = (action.created_at, action.last_seen_at);
        let filters = [
            Filter::CreatedFrom(created),
            Filter::CreatedBefore(created),
            Filter::FinishedFrom(finished),
            Filter::FinishedBefore(finished),
        ];
        for filter in filters {
            let what = format!("the actions that match {filter:?}");
            let query = Query::new().with_filter(filter).with_order(Order::Oldest);
            let matching = all.iter().filter(|action| query.matches(action));
            let expected: Vec<ActionUid> = matching.map(|action| action.uid).collect();
            same(&what, uids(&s.walk(query).await?), expected)?;
        }
    }
    Ok(())
}

pub(super) async fn a_late_owner_stays_alive(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let clock = s.clock()?.clone();
    let owner = s.claim("plane").await?;
    let action = s.executing(&owner).await?;
    clock.advance(3650 * DAY);
    let lost = s
        .refused(apply(action.uid, finish(Outcome::Lost), None))
        .await?;
    demand!(lost, Rejection::OwnerAlive(_));
    s.apply(action.uid, step("still here"), &owner).await?;
    s.done(Command::renew(owner)).await?;
    Ok(())
}
