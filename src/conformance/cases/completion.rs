//! The order of completion, and ranges of times.

use super::*;

fn finished() -> Query {
    Query::new().with_order(Order::Finished)
}

/// Finishes actions together: they have the same completion time.
#[track_caller]
fn finish_all(s: &Subject, actions: &[ActionUid], owner: &OwnerRef) -> impl Future<Output = Proof> {
    at_call(async move {
        let end = |uid: &ActionUid| apply(*uid, finish(Outcome::Succeeded), Some(owner));
        for answer in s.each(actions.iter().map(end).collect()).await? {
            answer?;
        }
        Ok(())
    })
}

pub(super) async fn completion_order_lists_the_last_completed_first(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    same("nothing completed", s.walk(finished()).await?.len(), 0)?;
    let mut all = Vec::new();
    for _ in 0..24 {
        all.push(s.executing(&owner).await?.uid);
    }
    // Not in the order of creation; two at a time; the last ones stay executing.
    let mut expected = Vec::new();
    for step in [7, 5, 11] {
        for first in 0..3 {
            let one = *pick("the actions", &all, (first * step) % 20)?;
            let other = *pick("the actions", &all, (first * step + 1) % 20)?;
            let new: Vec<ActionUid> = [one, other]
                .into_iter()
                .filter(|uid| !expected.contains(uid))
                .collect();
            finish_all(&s, &new, &owner).await?;
            expected.extend(new);
        }
    }
    // Of the same time, the one that was created last comes first.
    let found = s.store.get(&expected).await?;
    let mut found: Vec<Arc<Action>> = found.into_iter().flatten().collect();
    let place = |uid: ActionUid| all.iter().position(|other| *other == uid);
    found.sort_by_key(|action| std::cmp::Reverse((action.finished_at, place(action.uid))));
    let expected = uids(&found);
    for limit in [1, 2, 3, 7, 100] {
        let listed = s.walk(finished().with_limit(limit)).await?;
        same(
            "the completed, the last one first",
            uids(&listed),
            expected.clone(),
        )?;
    }
    let unfinished = s.walk(finished().with_filter(Filter::Unfinished)).await?;
    same("no unfinished action", unfinished.len(), 0)?;
    if let Some(first) = found.first() {
        let name = first.name.clone();
        let named = finished().with_filter(Filter::Name(name)).with_limit(2);
        same(
            "the same by name",
            uids(&s.walk(named).await?),
            expected.clone(),
        )?;
    }
    Ok(())
}

pub(super) async fn completions_during_a_walk_in_completion_order_do_not_disturb_it(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let (mut before, mut later) = (Vec::new(), Vec::new());
    for _ in 0..12 {
        before.push(s.executing(&owner).await?.uid);
        later.push(s.executing(&owner).await?.uid);
    }
    for uid in &before {
        finish_all(&s, &[*uid], &owner).await?;
    }
    let mut walked = Vec::new();
    let mut query = finished().with_limit(3);
    let mut later = later.into_iter();
    for _ in 0..PAGES {
        let page = s.store.list(&query).await?;
        walked.extend(uids(&page.items));
        let Some(next) = page.next else { break };
        // Its text is the same cursor.
        let text = next.to_string();
        same("the cursor read back", text.parse().ok(), Some(next))?;
        query.after = Some(next);
        if let Some(uid) = later.next() {
            finish_all(&s, &[uid], &owner).await?;
        }
    }
    before.reverse();
    // Later ones may be among them, if the clock stands still.
    super::walks::once_in_order("those that were completed before", &walked, &before)?;
    let newest = query.with_order(Order::Newest);
    fails(
        "a cursor of another order",
        s.store.list(&newest).await,
        StoreErrorKind::Invalid,
    )
}

/// Fills more than two thousand actions into ten days, and sets the clock back on the way.
#[track_caller]
fn ten_days(s: &Subject) -> impl Future<Output = Proof<Vec<Arc<Action>>>> {
    at_call(async move {
        let clock = s.clock()?.clone();
        let owner = s.claim("plane").await?;
        let mut all = Vec::new();
        for day in 0..10 {
            let mut waiting = Vec::new();
            for _ in 0..3 {
                let new: Vec<NewAction> = (0..75).map(|_| NewAction::task("a")).collect();
                let created: Vec<ActionUid> = new.iter().map(|new| new.uid).collect();
                for answer in s.each(new.into_iter().map(create).collect()).await? {
                    answer?;
                }
                waiting.extend(created);
                clock.advance(Duration::from_secs(3600));
            }
            all.extend(waiting.iter().copied());
            for chunk in waiting.chunks(50) {
                let start = |uid: &ActionUid| apply(*uid, Change::Start, Some(&owner));
                for answer in s.each(chunk.iter().map(start).collect()).await? {
                    answer?;
                }
                clock.advance(Duration::from_secs(600));
                finish_all(s, chunk, &owner).await?;
            }
            match day {
                6 => clock.set(Timestamp::from_micros(
                    clock.now().as_micros() - 3 * 86_400_000_000,
                )),
                _ => clock.advance(Duration::from_secs(12 * 3600)),
            }
        }
        let mut found = Vec::new();
        for chunk in all.chunks(100) {
            found.extend(s.store.get(chunk).await?.into_iter().flatten());
        }
        same("actions", found.len(), all.len())?;
        Ok(found)
    })
}

/// Imports an action that was completed before any other was created.
#[track_caller]
fn imported<'s>(
    fixture: &'s dyn Fixture,
    s: &'s Subject,
) -> impl Future<Output = Proof<Arc<Action>>> + 's {
    at_call(async move {
        let from = open(fixture).await?;
        let owner = from.claim("plane").await?;
        let done = from.completed(&owner).await?;
        let log = from.log_of(done.uid).await?;
        s.done(Command::import(done.clone(), log)).await?;
        s.read(done.uid).await
    })
}

pub(super) async fn ranges_of_times_return_the_actions_within_them(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let begun = s.clock()?.now();
    let mut all = ten_days(&s).await?;
    all.push(imported(fixture, &s).await?);
    let after = |hours: i64| Timestamp::from_micros(begun.as_micros() + hours * 3_600_000_000);
    let mut newest: Vec<Arc<Action>> = all.clone();
    newest.reverse();
    let mut completed: Vec<(usize, Arc<Action>)> = all.iter().cloned().enumerate().collect();
    completed.sort_by_key(|(number, action)| std::cmp::Reverse((action.finished_at, *number)));
    let completed: Vec<Arc<Action>> = completed.into_iter().map(|(_, action)| action).collect();
    let hours = [
        (0, 300),
        (0, 1),
        (20, 45),
        (90, 91),
        (100, 180),
        (400, 500),
        (50, 40),
    ];
    let mut bounds: Vec<(Timestamp, Timestamp)> = Vec::new();
    bounds.extend(hours.map(|(from, before)| (after(from), after(before))));
    // Times of actions: a range has its first time and does not have its last one.
    for (from, before) in [(100, 700), (1500, 1600)] {
        let (from, before) = (
            pick("the actions", &all, from)?,
            pick("them", &all, before)?,
        );
        bounds.push((from.created_at, before.created_at));
        bounds.extend(from.finished_at.zip(before.finished_at));
    }
    for (from, before) in bounds {
        let ranges = [
            vec![Filter::CreatedFrom(from), Filter::CreatedBefore(before)],
            vec![Filter::FinishedFrom(from), Filter::FinishedBefore(before)],
            vec![Filter::CreatedFrom(from), Filter::FinishedBefore(before)],
            vec![Filter::CreatedBefore(before), Filter::FinishedFrom(from)],
        ];
        for filters in ranges {
            for (order, whole) in [
                (Order::Newest, &newest),
                (Order::Oldest, &all),
                (Order::Finished, &completed),
            ] {
                let mut query = Query::new().with_order(order).with_limit(90);
                query.filters.clone_from(&filters);
                let within = whole.iter().filter(|action| query.matches(action));
                let expected: Vec<ActionUid> = within.map(|action| action.uid).collect();
                let what = format!("what lies within {filters:?} in {order:?}");
                same(&what, uids(&s.walk(query).await?), expected)?;
            }
        }
    }
    Ok(())
}
