//! Lists in which hardly anything matches.

use std::sync::Arc;

use action_store::command::OpId;
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, CancelRequest, Change, Command, Filter,
    Finish, Limits, NewAction, ObjectRef, Order, Outcome, Query, SqliteStore,
};

use super::{create, place};

const ACTIONS: usize = 30_000;

/// Thirty thousand actions, a few of them with something rare about them.
async fn large_store(store: &SqliteStore) {
    let mut rare = Vec::new();
    for first in (0..ACTIONS).step_by(1000) {
        let commands = (first..first + 1000).map(|index| {
            let mut new = NewAction::task("common").with_object(ObjectRef::bdb(1));
            // Beside the ends and the places where a page must stop.
            if [0, 9_999, 10_000, 10_001, 19_999, 20_000, 29_999].contains(&index) {
                new = new.with_actor("rare");
            }
            if index % 4_001 == 0 {
                rare.push(new.uid);
            }
            create(new)
        });
        let batch = Batch::each(commands.collect());
        let answers = store.write(batch).await.unwrap();
        assert!(answers.iter().all(Result::is_ok));
    }
    // Changed later, in another order than they were created in.
    for uid in rare.into_iter().rev() {
        let request = CancelRequest::new().with_by("rare");
        store.request_cancel(uid, request).await.unwrap();
        let end = Change::Finish(Finish::new(Outcome::Cancelled));
        let op = OpId::new();
        let (by, if_version, change) = (None, None, end);
        let end = Command::apply(uid, change)
            .by(by)
            .with_op(op)
            .if_version(if_version);
        store.command(end).await.unwrap();
    }
}

async fn walk(store: &SqliteStore, query: Query) -> (Vec<Arc<Action>>, usize) {
    let (mut found, mut pages, mut walk) = (Vec::new(), 0, store.pages(query.clone()));
    while let Some(page) = walk.next().await.unwrap() {
        assert!(page.items.len() <= usize::from(query.limit), "{query:?}");
        found.extend(page.items);
        pages += 1;
        assert!(pages <= ACTIONS + 2, "{query:?} does not end");
    }
    (found, pages)
}

#[tokio::test(flavor = "multi_thread")]
async fn rare_matches_among_many_are_found_once_in_every_order_and_page_size() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    large_store(&store).await;
    let uid_of = |action: &Arc<Action>| action.uid;
    let queries: [Vec<Filter>; 6] = [
        vec![Filter::Actor("rare".into())],
        vec![Filter::CancelRequested],
        // Driven by an index that finds all of them.
        vec![Filter::Name("common".into()), Filter::Actor("rare".into())],
        vec![Filter::Touches(ObjectRef::bdb(1)), Filter::CancelRequested],
        vec![Filter::Unfinished, Filter::Actor("rare".into())],
        vec![Filter::Actor("nobody".into())],
    ];
    for order in [Order::Newest, Order::Oldest, Order::Feed] {
        let all = Query::new().with_order(order).with_limit(Limits::PAGE);
        let (all, _) = walk(&store, all).await;
        assert_eq!(all.len(), ACTIONS);
        for filters in &queries {
            let naive = all.iter().filter(|a| filters.iter().all(|t| t.matches(a)));
            let expected: Vec<ActionUid> = naive.map(uid_of).collect();
            for limit in [1, 2, 3, 7, 1000] {
                let mut query = Query::new().with_order(order).with_limit(limit);
                query.filters.clone_from(filters);
                let (found, pages) = walk(&store, query.clone()).await;
                let found: Vec<ActionUid> = found.iter().map(uid_of).collect();
                assert_eq!(found, expected, "{query:?}");
                // Bounded work: no page may look at all of them.
                assert!(pages >= 2, "{query:?}: {pages} pages");
            }
        }
    }
    store.close().await.unwrap();
}
