//! Lists whose matches lie behind more rows than one page reads.

use super::*;

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

/// Creates two actions that match [`two_filters`], and between them many that match one of
/// the filters. Returns the uids of the two, in creation order.
#[track_caller]
fn far_apart(s: &Subject) -> impl Future<Output = Proof<[ActionUid; 2]>> {
    at_call(async move {
        let by = |new: NewAction, actor: &str| create(new.with_actor(actor));
        let ends = [NewAction::task("a"), NewAction::task("a")];
        let uids = ends.each_ref().map(|new| new.uid);
        let [first, last] = ends.map(|new| by(new, "ada"));
        let mut commands = vec![first];
        for _ in 0..MANY {
            commands.push(by(NewAction::task("a"), "bob"));
            commands.push(by(NewAction::new(Source::Other, "a"), "ada"));
        }
        commands.push(last);
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

pub(super) async fn a_page_reads_a_bounded_number_of_rows(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    far_apart(&s).await?;
    for order in ORDERS {
        let query = two_filters().with_order(order).with_limit(1);
        let first = s.list(query.clone()).await?;
        same("the matches of the first page", first.items.len(), 1)?;
        holds("a second page", first.next.is_some(), first.next)?;
        let second = s.list(query.with_after(first.next)).await?;
        let what = format!("the matches within {} rows, {order:?}", Limits::SCAN);
        same(&what, uids(&second.items), Vec::new())?;
        holds("a third page", second.next.is_some(), second.next)?;
    }
    Ok(())
}
