//! Labels, sets of states, prefixes of names, and counts.

use super::*;
use crate::model::{Labels, StateSet};
use crate::store::{StateCount, StateCounts};

/// Creates actions and requires that all commands were accepted.
#[track_caller]
fn all_created(s: &Subject, news: Vec<NewAction>) -> impl Future<Output = Proof> {
    at_call(async move {
        let commands: Vec<Command> = news.into_iter().map(create).collect();
        for some in commands.chunks(s.max_commands()?) {
            for answer in s.each(some.to_vec()).await? {
                answer?;
            }
        }
        Ok(())
    })
}

/// Requires that pages of any size, in every order, have the actions that match.
#[track_caller]
fn finds_in_every_order(
    s: &Subject,
    filter: Filter,
    all: &[Arc<Action>],
) -> impl Future<Output = Proof> {
    at_call(async move {
        for limit in [3, Limits::PAGE] {
            let query = Query::new().with_filter(filter.clone()).with_limit(limit);
            variety::finds(s, query.clone(), all).await?;
            let completed = all.iter().filter(|action| query.matches(action));
            let completed = completed.filter(|action| action.finished_at.is_some());
            let mut expected: Vec<ActionUid> = completed.map(|action| action.uid).collect();
            let found = s.walk(query.with_order(Order::Finished)).await?;
            let times: Vec<_> = found.iter().map(|action| action.finished_at).collect();
            let what = format!("what matches {filter:?}, by completion");
            holds(&what, times.is_sorted_by(|one, next| one >= next), times)?;
            let mut found = uids(&found);
            found.sort();
            expected.sort();
            same(&what, found, expected)?;
        }
        Ok(())
    })
}

pub(super) async fn labels_stay_as_they_were_created(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let labels = Labels::new().with("team", "storage").with("region", "eu-1");
    let new = NewAction::task("a").with_label("region", "eu-1");
    let action = s.create(new.with_label("team", "storage")).await?;
    same("the labels", &action.labels, &labels)?;
    s.unchanged(&action).await?;
    let started = s.apply(action.uid, Change::Start, &owner).await?;
    same("the labels", &started.labels, &labels)?;
    s.apply(action.uid, step("copy"), &owner).await?;
    let ended = s.apply(action.uid, finish(Outcome::Failed), &owner).await?;
    same("the labels", &ended.labels, &labels)?;
    s.unchanged(&ended).await?;
    for order in [Order::Newest, Order::Oldest, Order::Finished, Order::Feed] {
        for query in [Query::new(), summaries()] {
            let found = s.walk(query.with_order(order)).await?;
            same(
                "the labels",
                &pick("the actions", &found, 0)?.labels,
                &labels,
            )?;
        }
    }
    Ok(())
}

pub(super) async fn an_action_is_found_by_each_of_its_labels(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    // Texts that a careless index takes for each other.
    let pairs = [
        ("a", "b"),
        ("a", "b=c"),
        ("a", "b "),
        ("a", "B"),
        ("A", "b"),
        ("a", "bb"),
        ("ab", "b"),
        ("a ", "b"),
        ("a", "%"),
        ("é", "e\u{301}"),
        ("e\u{301}", "é"),
        ("'; DROP TABLE actions_action; --", "\"\\"),
        ("a.b/c-d_e:f", "a,b;c&d"),
        ("\u{10ffff}", "\u{10ffff}"),
    ];
    let mut news = Vec::new();
    for (number, (key, value)) in pairs.iter().enumerate() {
        for times in 0..3 {
            let new = NewAction::task("a").with_label(*key, *value);
            news.push(match times {
                0 => new,
                1 => new.with_label("number", number.to_string()),
                _ => new.with_label("number", "same").with_tenant("acme"),
            });
        }
    }
    all_created(&s, news).await?;
    let all = s.walk(Query::new().with_order(Order::Oldest)).await?;
    same("actions", all.len(), pairs.len() * 3)?;
    for (key, value) in pairs.into_iter().chain([
        ("number", "0"),
        ("number", "same"),
        ("number", "none"),
        ("none", "same"),
        ("b", "a"),
    ]) {
        finds_in_every_order(&s, Filter::label(key, value), &all).await?;
        finds_in_every_order(&s, Filter::label_key(key), &all).await?;
        let query = Query::new().with_filter(Filter::label(key, value));
        let both = query.with_filter(Filter::label("number", "same"));
        variety::finds(&s, both.clone(), &all).await?;
        variety::finds(&s, both.with_filter(Filter::Tenant("acme".into())), &all).await?;
    }
    Ok(())
}

pub(super) async fn the_labels_of_a_removed_action_find_nothing(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let labelled = || NewAction::task("a").with_label("region", "eu-1");
    let uid = s.create(labelled()).await?.uid;
    s.apply(uid, Change::Start, &owner).await?;
    let ended = s.apply(uid, finish(Outcome::Succeeded), &owner).await?;
    s.done(remove(&ended)).await?;
    let filters = [Filter::label("region", "eu-1"), Filter::label_key("region")];
    for filter in filters.clone() {
        let found = s.walk(Query::new().with_filter(filter)).await?;
        same("the actions that match", uids(&found), Vec::new())?;
    }
    // The uid may be used again, for an action without labels.
    let again = s.create(NewAction::task("a").with_uid(uid)).await?;
    same("the labels", again.labels.len(), 0)?;
    let other = s.create(labelled()).await?.uid;
    for filter in filters {
        let found = s.walk(Query::new().with_filter(filter)).await?;
        same("the actions that match", uids(&found), vec![other])?;
    }
    Ok(())
}

pub(super) async fn labels_at_every_limit_are_accepted_and_beyond_it_refused(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let key = |number: usize| format!("{number:0>width$}", width = Limits::LABEL_KEY);
    let value = "é".repeat(Limits::LABEL_VALUE / 2) + "x";
    let with = |count: usize| {
        (0..count).fold(NewAction::task("a"), |new, number| {
            new.with_label(key(number), value.clone())
        })
    };
    let action = s.create(with(Limits::LABELS)).await?;
    same("the number of labels", action.labels.len(), Limits::LABELS)?;
    s.unchanged(&action).await?;
    for number in 0..Limits::LABELS {
        let filter = Filter::label(key(number), value.clone());
        let found = s.walk(Query::new().with_filter(filter)).await?;
        same("the actions that match", uids(&found), vec![action.uid])?;
    }
    let beyond = with(Limits::LABELS + 1);
    demand!(s.refused(create(beyond)).await?, Rejection::Invalid(_));
    let (long_key, long_value) = ("k".repeat(Limits::LABEL_KEY + 1), format!("{value}x"));
    for (key, value) in [
        ("", "b"),
        ("a", ""),
        ("a=b", "c"),
        ("a\n", "b"),
        ("a", "b\0"),
        (&long_key, "b"),
        ("a", &long_value),
    ] {
        let new = NewAction::task("a").with_label(key, value);
        demand!(s.refused(create(new)).await?, Rejection::Invalid(_));
        let query = Query::new().with_filter(Filter::label(key, value));
        s.list_fails(query, StoreErrorKind::Invalid).await?;
    }
    for key in ["", "a=b", "a\0", &long_key] {
        let query = Query::new().with_filter(Filter::label_key(key));
        s.list_fails(query, StoreErrorKind::Invalid).await?;
    }
    s.unchanged(&action).await?;
    same("actions", s.walk(Query::new()).await?.len(), 1)
}

pub(super) async fn every_set_of_states_returns_the_actions_in_them(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let all = variety::variety(&s).await?;
    for bits in 0..1 << (2 + Outcome::ALL.len()) {
        let chosen = |at: usize| bits & 1 << at != 0;
        let statuses = [Status::Queued, Status::Executing].into_iter().enumerate();
        let statuses = statuses.filter(|(at, _)| chosen(*at));
        let outcomes = Outcome::ALL.iter().enumerate();
        let outcomes = outcomes.filter(|(at, _)| chosen(2 + *at));
        let set = StateSet::new()
            .with_statuses(statuses.map(|(_, status)| status))
            .with_outcomes(outcomes.map(|(_, outcome)| *outcome));
        let filter = Filter::States(set);
        if bits % 5 == 0 {
            finds_in_every_order(&s, filter, &all).await?;
        } else {
            variety::finds(&s, Query::new().with_filter(filter).with_limit(4), &all).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_prefix_finds_the_names_that_begin_with_it(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let names = [
        "SM",
        "SMCreateBDB",
        "SMDeleteBDB",
        "SM\u{10ffff}\u{10ffff}",
        "SN",
        "S",
        "sm",
        "smcreate",
        "XSM",
        "backup_bdb",
        "backup%bdb",
        "backupXbdb",
        "backup",
        "é",
        "éa",
        "e\u{301}",
        "\u{10ffff}",
        "\u{10ffff}a",
        "a\u{d7ff}b",
        "a\u{e000}b",
    ];
    let three = |name: &'static str| (0..3).map(move |_| NewAction::task(name));
    // The names alternate, so that their actions must be merged.
    let mut news: Vec<NewAction> = names.into_iter().flat_map(three).collect();
    news.sort_by_key(|new| *new.uid.as_uuid().as_bytes().last().unwrap_or(&0));
    all_created(&s, news).await?;
    let all = s.walk(Query::new().with_order(Order::Oldest)).await?;
    let more = [
        "SMC",
        "back",
        "backup_",
        "backup%",
        "nothing",
        "SMCreateBDBx",
    ];
    for prefix in names.into_iter().chain(more) {
        finds_in_every_order(&s, Filter::NamePrefix(prefix.into()), &all).await?;
    }
    let query = Query::new().with_filter(Filter::NamePrefix("SM".into()));
    let query = query.with_filter(Filter::Unfinished).with_limit(2);
    variety::finds(&s, query, &all).await
}

pub(super) async fn a_prefix_finds_many_names_and_many_actions(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    // Few names with many actions, many names with few, and many with many.
    let mut news = Vec::new();
    for number in 0..1200_u64 {
        news.push(NewAction::task(format!("few {}", number % 3)));
        if number < 400 {
            news.push(NewAction::task(format!("many {number}")));
        }
        news.push(NewAction::task(format!("most {}", number % 150)));
    }
    all_created(&s, news).await?;
    let all = s.walk(Query::new().with_order(Order::Oldest)).await?;
    for prefix in ["few", "many", "most", "m", "most 1"] {
        let query = Query::new().with_filter(Filter::NamePrefix(prefix.into()));
        variety::finds(&s, query.clone().with_limit(97), &all).await?;
        variety::finds(&s, query.with_filter(Filter::Unfinished), &all).await?;
    }
    Ok(())
}

pub(super) async fn merged_lists_find_what_lies_behind_many_rows(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    // One state and one name have more rows than their share of a page. The rare actor is at both
    // ends, and in the middle of the smaller lists.
    let mut commands = Vec::new();
    for number in 0..4000_u64 {
        let is_rare = [0, 2000, 3999].contains(&number);
        let actor = if is_rare { "ada" } else { "bob" };
        let new = NewAction::task(format!("n{}", number % 10 / 9)).with_actor(actor);
        let uid = new.uid;
        commands.push(create(new));
        if number % 20 == 0 {
            commands.push(apply(uid, finish(Outcome::Failed), None));
        }
    }
    for some in commands.chunks(s.max_commands()?) {
        for answer in s.each(some.to_vec()).await? {
            answer?;
        }
    }
    let all = s.walk(Query::new().with_order(Order::Oldest)).await?;
    let states = StateSet::UNFINISHED.with_outcomes([Outcome::Failed, Outcome::Lost]);
    let rare = |filter| {
        let query = Query::new().with_filter(Filter::Actor("ada".into()));
        query.with_filter(filter)
    };
    for filter in [Filter::States(states), Filter::NamePrefix("n".into())] {
        let query = rare(filter.clone());
        same("rare actions", s.walk(query.clone()).await?.len(), 3)?;
        for limit in [1, 2, 100] {
            variety::finds(&s, query.clone().with_limit(limit), &all).await?;
        }
        let many = Query::new().with_filter(filter).with_limit(Limits::PAGE);
        variety::finds(&s, many, &all).await?;
    }
    Ok(())
}

pub(super) async fn counts_agree_with_the_lists(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let all = variety::variety(&s).await?;
    let mut filters: Vec<Vec<Filter>> = vec![Vec::new()];
    filters.extend(
        variety::filters(&all)?
            .into_iter()
            .map(|filter| vec![filter]),
    );
    for filters in filters {
        let mut query = Query::new();
        query.filters.clone_from(&filters);
        let matching = all.iter().filter(|action| query.matches(action));
        let mut expected = StateCounts::default();
        matching.for_each(|action| expected.add(action));
        let counts = s.store.count(&filters, 1000).await?;
        let what = format!("the counts of {filters:?}");
        holds(&what, counts.is_exact(), counts)?;
        same(&what, counts.numbers(), expected.numbers())?;
    }
    Ok(())
}

pub(super) async fn a_count_beyond_its_bound_is_a_lower_bound(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let mut commands = Vec::new();
    let mut ended = |name: &str, count: usize, outcome: Option<Outcome>| {
        for _ in 0..count {
            let new = NewAction::task(name);
            let uid = new.uid;
            commands.push(create(new));
            if let Some(outcome) = outcome {
                commands.push(apply(uid, Change::Start, Some(&owner)));
                commands.push(apply(uid, finish(outcome), Some(&owner)));
            }
        }
    };
    ended("a", 1100, Some(Outcome::Failed));
    ended("b", 30, Some(Outcome::Cancelled));
    ended("a", 40, Some(Outcome::Succeeded));
    ended("b", 20, None);
    for some in commands.chunks(s.max_commands()?) {
        for answer in s.each(some.to_vec()).await? {
            answer?;
        }
    }
    // One state beyond the bound does not make the others inexact.
    let counts = s.store.count(&[], 50).await?;
    let exact = |count: StateCount| (count.number, count.exact);
    same("failed", exact(counts.failed), (50, false))?;
    same("cancelled", exact(counts.cancelled), (30, true))?;
    same("succeeded", exact(counts.succeeded), (40, true))?;
    same("queued", exact(counts.queued), (20, true))?;
    same("executing", exact(counts.executing), (0, true))?;
    let counts = s.store.count(&[], 2000).await?;
    same("failed", exact(counts.failed), (1100, true))?;
    same("succeeded", exact(counts.succeeded), (40, true))?;
    let named = [Filter::Name("b".into())];
    let counts = s.store.count(&named, 25).await?;
    same("cancelled", exact(counts.cancelled), (25, false))?;
    same("queued", exact(counts.queued), (20, true))?;
    same("failed", exact(counts.failed), (0, true))?;
    let wrong = s.store.count(&[Filter::Unknown], 10).await;
    let wrong = wrong.map_err(|error| error.kind());
    same(
        "an unknown filter",
        wrong.err(),
        Some(StoreErrorKind::Unsupported),
    )
}
