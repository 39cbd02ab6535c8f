//! Cursors that stand for what another branch of the store has shown.

use super::*;
use crate::model::BranchId;

pub(super) async fn a_cursor_of_another_branch_is_expired(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    for _ in 0..2 {
        s.queued().await?;
    }
    let elsewhere = |cursor: Option<Cursor>| cursor.map(|c| c.in_branch(BranchId::new()));
    for order in [Order::Oldest, Order::Feed] {
        let query = Query::new().with_order(order).with_limit(1);
        let cursor = s.list(query.clone()).await?.next;
        holds("a cursor after the first of two", cursor.is_some(), cursor)?;
        let query = query.with_after(elsewhere(cursor));
        s.list_fails(query, StoreErrorKind::CursorExpired).await?;
    }
    let query = LogQuery::all().with_limit(1);
    let cursor = s.store.log(&query).await?.next;
    holds("a cursor after the first entry", cursor.is_some(), cursor)?;
    let query = query.with_after(elsewhere(cursor));
    s.log_fails(query, StoreErrorKind::CursorExpired).await?;
    // A newest-first walk promises nothing of what is created after it began.
    let query = Query::new().with_limit(1);
    let cursor = s.list(query.clone()).await?.next;
    let here = s.list(query.clone().with_after(cursor)).await?;
    let there = s.list(query.with_after(elsewhere(cursor))).await?;
    same("the rest of a newest-first walk", there.items, here.items)
}

pub(super) async fn a_feed_cursor_beyond_the_store_is_expired(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    s.queued().await?;
    let at = s.position().await?;
    for beyond in [1, 1000] {
        let beyond = Revision::new(at.revision.get().saturating_add(beyond));
        let query = Query::new().with_order(Order::Feed);
        let query = query.with_after(Some(Cursor::feed(at, beyond)));
        s.list_fails(query, StoreErrorKind::CursorExpired).await?;
    }
    Ok(())
}
