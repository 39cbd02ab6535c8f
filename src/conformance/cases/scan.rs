//! Lists whose matches lie behind more rows than one page reads.

use super::*;
use crate::model::StateSet;

/// More rows than a page reads to find matches.
const MANY: usize = Limits::SCAN + 1000;

const ORDERS: [Order; 3] = [Order::Newest, Order::Oldest, Order::Feed];

/// Matches the first and the last action of [`far_apart`]. Each filter alone matches more
/// rows than a page reads. So a store that has an index for either filter reads as many.
fn two_filters() -> Query {
    Query::new()
        .with_filter(Filter::Source(Source::Task))
        .with_filter(Filter::Actor("ada".into()))
}

/// The last actions of [`far_apart`] with another object: half of the rows that a page of two merged
/// lists reads.
const OTHERS: usize = Limits::SCAN / 2;

/// Creates two actions that match [`two_filters`], and between them many that match one of
/// the filters. Returns the uids of the two, in creation order.
#[track_caller]
fn far_apart(s: &Subject) -> impl Future<Output = Proof<[ActionUid; 2]>> {
    at_call(async move {
        let by = |new: NewAction, actor: &str| {
            let new = new.with_actor(actor).with_object(ObjectRef::bdb(1));
            let new = new.with_label("team", "storage").with_tenant("acme");
            new.with_correlation("request-17")
        };
        let ends = [NewAction::task("a"), NewAction::task("a")];
        let uids = ends.each_ref().map(|new| new.uid);
        let [first, last] = ends.map(|new| by(new, "ada"));
        let mut news = vec![first];
        for _ in 0..MANY {
            news.push(by(NewAction::task("a"), "bob"));
            news.push(by(NewAction::new(Source::Other, "a"), "ada"));
        }
        news.push(last);
        for new in news.iter_mut().rev().take(OTHERS) {
            new.object = Some(ObjectRef::bdb(2));
            new.related
                .push(RelatedObject::new("with", ObjectRef::bdb(1)));
        }
        let commands: Vec<Command> = news.into_iter().map(create).collect();
        for some in commands.chunks(s.max_commands()?) {
            for answer in s.each(some.to_vec()).await? {
                answer?;
            }
        }
        Ok(uids)
    })
}

pub(super) async fn a_walk_finds_what_lies_behind_more_rows_than_a_page_reads(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let oldest = far_apart(&s).await?.to_vec();
    let newest: Vec<ActionUid> = oldest.iter().rev().copied().collect();
    for order in ORDERS {
        let expected = match order {
            Order::Newest => &newest,
            _ => &oldest,
        };
        for limit in [1, 100] {
            let found = s.walk(two_filters().with_order(order).with_limit(limit));
            let what = format!("what matches in {order:?} order, pages of {limit}");
            same(&what, &uids(&found.await?), expected)?;
        }
    }
    Ok(())
}

/// Requires that the second page of one match ends without the second match.
#[track_caller]
fn is_bounded(s: &Subject, query: Query) -> impl Future<Output = Proof> {
    at_call(async move {
        for order in ORDERS {
            let query = query.clone().with_order(order).with_limit(1);
            let first = s.list(query.clone()).await?;
            same("the matches of the first page", first.items.len(), 1)?;
            holds("a second page", first.next.is_some(), first.next)?;
            let second = s.list(query.clone().with_after(first.next)).await?;
            let what = format!("the matches within {} rows of {query:?}", Limits::SCAN);
            same(&what, uids(&second.items), Vec::new())?;
            holds("a third page", second.next.is_some(), second.next)?;
        }
        Ok(())
    })
}

pub(super) async fn a_page_reads_a_bounded_number_of_rows(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    far_apart(&s).await?;
    is_bounded(&s, two_filters()).await
}

pub(super) async fn a_page_reads_a_bounded_number_of_rows_of_every_index(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let [first, _] = far_apart(&s).await?;
    let first = s.read(first).await?;
    let objects = [1, 2].map(ObjectRef::bdb);
    // All actions match each of these.
    let filters = [
        Filter::Unfinished,
        Filter::States(StateSet::UNFINISHED.with_outcome(Outcome::Lost)),
        Filter::Touches(ObjectRef::bdb(1)),
        Filter::TouchesAny(ObjectSet::new(objects)),
        Filter::label("team", "storage"),
        Filter::Tenant("acme".into()),
        Filter::Name("a".into()),
        Filter::NamePrefix("a".into()),
        Filter::Correlation("request-17".into()),
        Filter::CreatedFrom(first.created_at),
    ];
    for filter in filters {
        is_bounded(&s, two_filters().with_filter(filter)).await?;
    }
    Ok(())
}
