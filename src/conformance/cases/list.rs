//! Lists in creation order: filters, pages and cursors.

use super::variety::{filters, finds, variety};
use super::*;

pub(super) async fn every_filter_returns_the_matching_actions(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let all = variety(&s).await?;
    finds(&s, Query::new(), &all).await?;
    let filters = filters(&all)?;
    let matched = |filter: &&Filter| all.iter().any(|action| filter.matches(action));
    let telling = filters.iter().filter(matched).count();
    holds("filters that find something", telling > 20, telling)?;
    for filter in filters {
        finds(&s, Query::new().with_filter(filter), &all).await?;
    }
    Ok(())
}

pub(super) async fn every_pair_of_filters_returns_the_actions_that_match_both(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let all = variety(&s).await?;
    let filters = filters(&all)?;
    let feed = s.walk(Query::new().with_order(Order::Feed)).await?;
    let newest: Vec<Arc<Action>> = all.iter().rev().cloned().collect();
    for (number, first) in filters.iter().enumerate() {
        for second in filters.iter().skip(number + 1) {
            for (order, whole) in [
                (Order::Newest, &newest),
                (Order::Oldest, &all),
                (Order::Feed, &feed),
            ] {
                let query = Query::new().with_order(order);
                let query = query.with_filter(second.clone()).with_filter(first.clone());
                let matching = whole.iter().filter(|action| query.matches(action));
                let expected: Vec<ActionUid> = matching.map(|action| action.uid).collect();
                let what = format!("what matches {:?} in {order:?}", query.filters);
                same(&what, uids(&s.walk(query).await?), expected)?;
            }
        }
    }
    Ok(())
}

pub(super) async fn an_action_that_touches_several_listed_objects_is_returned_once(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    // One object has most of the actions, many objects have one action, and every third
    // action touches two objects.
    let busy = ObjectRef::bdb(0);
    let mut commands = Vec::new();
    for number in 0..900u64 {
        let object = match number % 3 {
            0 => ObjectRef::bdb(number),
            _ => busy.clone(),
        };
        let mut new = NewAction::task("a").with_object(object);
        if number % 3 == 0 {
            new = new.with_related(RelatedObject::new("with", busy.clone()));
        }
        commands.push(create(new));
    }
    for commands in commands.chunks(s.max_commands()?) {
        for answer in s.each(commands.to_vec()).await? {
            answer?;
        }
    }
    let all = s.walk(Query::new().with_order(Order::Oldest)).await?;
    same("actions", all.len(), 900)?;
    let rare = (1..=Limits::OBJECTS as u64).map(ObjectRef::bdb);
    let sets = [
        ObjectSet::new(rare.clone().take(Limits::OBJECTS - 1).chain([busy.clone()])),
        ObjectSet::new(rare),
        ObjectSet::new([busy]),
    ];
    for set in sets {
        let query = Query::new()
            .with_filter(Filter::TouchesAny(set))
            .with_limit(7);
        finds(&s, query.clone(), &all).await?;
        // Repeats the query with a second filter. It may drive the query or only filter
        // the rows.
        finds(&s, query.clone().with_filter(Filter::Unfinished), &all).await?;
        finds(&s, query.with_filter(Filter::Source(Source::Task)), &all).await?;
    }
    Ok(())
}

pub(super) async fn every_page_size_returns_the_same_list(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let all = variety(&s).await?;
    let unfinished = Query::new().with_filter(Filter::Unfinished);
    let named = Query::new().with_filter(Filter::Name("other".into()));
    for order in [Order::Oldest, Order::Newest, Order::Feed] {
        for query in [Query::new(), unfinished.clone(), named.clone()] {
            let query = query.with_order(order);
            let whole = s.walk(query.clone().with_limit(Limits::PAGE)).await?;
            let matching = all.iter().filter(|action| query.matches(action)).count();
            same("the length of the list", whole.len(), matching)?;
            for limit in (1..=26).chain([100, Limits::PAGE - 1]) {
                let found = s.walk(query.clone().with_limit(limit)).await?;
                same(&format!("pages of {limit}"), uids(&found), uids(&whole))?;
            }
        }
    }
    Ok(())
}

pub(super) async fn a_page_that_ends_a_list_has_no_next_page(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    s.claim("other").await?;
    let mut last = s.completed(&owner).await?;
    for _ in 0..3 {
        last = s.completed(&owner).await?;
    }
    // As many items as the list has; then pages that divide it.
    for limit in [4, 2, 1] {
        for order in [Order::Newest, Order::Oldest, Order::Finished, Order::Feed] {
            let mut query = Query::new().with_order(order).with_limit(limit);
            for _ in 1..4 / limit {
                query.after = s.list(query.clone()).await?.next;
            }
            let page = s.list(query).await?;
            let what = format!("a full last page of {limit} in {order:?} order");
            same(&what, page.items.len(), usize::from(limit))?;
            same(&format!("the end after {what}"), page.next, None)?;
        }
    }
    for query in [LogQuery::all(), LogQuery::of(last.uid)] {
        let entries = log_walk(&*s.store, query.clone()).await?.len();
        let query = query.with_limit(u16::try_from(entries).unwrap_or(Limits::PAGE));
        let page = s.store.log(&query).await?;
        same("the entries of a full page", page.items.len(), entries)?;
        same("the end of the log", page.next, None)?;
    }
    let page = s.store.owners(&OwnerQuery::new().with_limit(2)).await?;
    same("the owners of a full page", page.items.len(), 2)?;
    same("the end of the owners", page.next, None)
}

pub(super) async fn a_query_beyond_its_limits_is_invalid(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    s.queued().await?;
    for order in [Order::Newest, Order::Oldest, Order::Feed] {
        for limit in [0, Limits::PAGE + 1, u16::MAX] {
            let query = Query::new().with_order(order).with_limit(limit);
            s.list_fails(query, StoreErrorKind::Invalid).await?;
        }
    }
    let mut query = Query::new();
    for _ in 0..Limits::FILTERS {
        query = query.with_filter(Filter::Unfinished);
    }
    same("actions", s.walk(query.clone()).await?.len(), 1)?;
    s.list_fails(
        query.with_filter(Filter::Unfinished),
        StoreErrorKind::Invalid,
    )
    .await?;
    let objects = |count| {
        let objects = ObjectSet::new((0..count as u64).map(ObjectRef::bdb));
        Query::new().with_filter(Filter::TouchesAny(objects))
    };
    same("actions", s.walk(objects(Limits::OBJECTS)).await?.len(), 0)?;
    s.list_fails(objects(Limits::OBJECTS + 1), StoreErrorKind::Invalid)
        .await?;
    for bad in ["", "a\0b", &"x".repeat(Limits::LABEL + 1)] {
        let text: Arc<str> = bad.into();
        let filters = [
            Filter::Name(text.clone()),
            Filter::Tenant(text.clone()),
            Filter::OwnerName(text.clone()),
            Filter::Correlation(text.clone()),
            Filter::Actor(text),
            Filter::Owner(OwnerRef::new(bad)),
        ];
        for filter in filters {
            s.list_fails(Query::new().with_filter(filter), StoreErrorKind::Invalid)
                .await?;
        }
    }
    Ok(())
}

pub(super) async fn an_unknown_filter_or_order_is_unsupported(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    s.queued().await?;
    for order in [Order::Newest, Order::Oldest, Order::Feed] {
        let query = Query::new().with_order(order);
        let query = query
            .with_filter(Filter::Unfinished)
            .with_filter(Filter::Unknown);
        s.list_fails(query, StoreErrorKind::Unsupported).await?;
    }
    let query = Query::new().with_order(Order::Unknown);
    s.list_fails(query, StoreErrorKind::Unsupported).await
}

pub(super) async fn a_cursor_of_another_list_is_invalid(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let mut cursors = Vec::new();
    for _ in 0..3 {
        s.queued().await?;
    }
    let orders = [Order::Newest, Order::Oldest, Order::Feed];
    for order in orders {
        let page = s.list(Query::new().with_order(order).with_limit(1)).await?;
        cursors.push((Some(order), page.next));
    }
    let page = s.store.log(&LogQuery::all().with_limit(1)).await?;
    cursors.push((None, page.next));
    for (of, cursor) in cursors {
        holds(
            "a cursor after the first of three",
            cursor.is_some(),
            cursor,
        )?;
        for order in orders {
            let query = Query::new().with_order(order).with_after(cursor);
            if of == Some(order) {
                same("actions that are left", s.walk(query).await?.len(), 2)?
            } else {
                s.list_fails(query, StoreErrorKind::Invalid).await?
            }
        }
        if of.is_some() {
            let query = LogQuery::all().with_after(cursor);
            s.log_fails(query, StoreErrorKind::Invalid).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_cursor_of_another_store_is_invalid(fixture: &dyn Fixture) -> Proof {
    let (s, other) = (open(fixture).await?, open(fixture).await?);
    let owner = s.claim("plane").await?;
    // Removals in this store must not affect the cursors of another store.
    let gone = s.completed(&owner).await?;
    s.done(remove(&gone)).await?;
    for subject in [&s, &other] {
        for _ in 0..2 {
            subject.queued().await?;
        }
    }
    let lives = (
        s.position().await?.store_id,
        other.position().await?.store_id,
    );
    holds(
        "a store id of its own for each store",
        lives.0 != lives.1,
        lives,
    )?;
    for order in [Order::Newest, Order::Oldest, Order::Feed] {
        let query = Query::new().with_order(order).with_limit(1);
        let cursor = other.list(query.clone()).await?.next;
        holds("a cursor after the first of two", cursor.is_some(), cursor)?;
        s.list_fails(query.with_after(cursor), StoreErrorKind::Invalid)
            .await?;
    }
    let query = LogQuery::all().with_limit(1);
    let cursor = other.store.log(&query).await?.next;
    s.log_fails(query.with_after(cursor), StoreErrorKind::Invalid)
        .await
}

pub(super) async fn a_cursor_survives_conversion_to_text(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    for _ in 0..3 {
        s.queued().await?;
    }
    for order in [Order::Newest, Order::Oldest, Order::Feed] {
        let query = Query::new().with_order(order).with_limit(1);
        let whole = s.walk(query.clone()).await?;
        let (mut found, mut after) = (Vec::new(), None);
        for _ in 0..3 {
            let page = s.list(query.clone().with_after(after)).await?;
            found.extend(page.items);
            let Some(next) = page.next else { break };
            let read = next.to_string().parse::<Cursor>();
            same("the cursor", read, Ok(next))?;
            after = read.ok();
        }
        same("the walk", uids(&found), uids(&whole))?;
    }
    Ok(())
}

pub(super) async fn a_summary_omits_result_and_detail(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let error = ActionError::new("broken", "it broke").with_detail("secret");
    let end = Finish::failed(error).with_result(Json::new("[1]")?);
    let full = s.apply(uid, Change::Finish(end), &owner).await?;
    for order in [Order::Newest, Order::Oldest, Order::Feed] {
        let brief = s.walk(summaries().with_order(order)).await?;
        same("actions", brief.len(), 1)?;
        let mut expected = Action::clone(&full);
        expected.result = None;
        if let Some(error) = &mut expected.error {
            error.detail = None;
        }
        same("the summary", &**pick("the actions", &brief, 0)?, &expected)?;
        let whole = s.walk(Query::new().with_order(order)).await?;
        same("the whole", &whole, &vec![full.clone()])?;
    }
    s.unchanged(&full).await
}

pub(super) async fn a_page_carries_the_position_of_the_store(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let empty = s.position().await?;
    same(
        "the revision of a fresh store",
        empty.revision,
        Revision::ZERO,
    )?;
    s.queued().await?;
    let at = s.position().await?;
    holds("a higher revision", at.revision > empty.revision, at)?;
    for order in [Order::Newest, Order::Oldest, Order::Feed] {
        let page = s.list(Query::new().with_order(order)).await?;
        same("the page's position", page.at, at)?;
        same("the end", page.next, None)?;
    }
    same(
        "the log's position",
        s.store.log(&LogQuery::all()).await?.at,
        at,
    )
}
