//! Waiting for changes, and closing a store.

use super::*;

pub(super) async fn changed_without_a_revision_returns_at_once(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let first = s.position().await?;
    same("the revision", first.revision, Revision::ZERO)?;
    same(
        "the highest removed revision",
        first.pruned_through,
        Revision::ZERO,
    )?;
    s.queued().await?;
    let second = s.position().await?;
    same("the store", second.store_id, first.store_id)?;
    holds(
        "a higher revision",
        second.revision > first.revision,
        second,
    )
}

pub(super) async fn changed_returns_at_once_if_a_change_exists(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    s.queued().await?;
    let changed = s.store.changed(Some(Revision::ZERO));
    let at = in_time("an answer at once", changed).await??;
    same("the position", at, s.position().await?)
}

pub(super) async fn a_change_wakes_its_waiters(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.queued().await?.uid;
    let cancel = Change::RequestCancel(CancelRequest::new());
    let changes = [
        Change::Start,
        report(100)?,
        step("copy"),
        cancel,
        finish(Outcome::Failed),
    ];
    for change in changes {
        let revision = s.position().await?.revision;
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let store = s.store.clone();
                tokio::spawn(async move { store.changed(Some(revision)).await })
            })
            .collect();
        tokio::task::yield_now().await;
        s.apply(uid, change, &owner).await?;
        for waiter in waiting {
            let at = in_time("the end of a waiter", waiter).await???;
            holds("a higher revision", at.revision > revision, at)?;
        }
        let after = Some(Cursor::feed(s.position().await?, revision));
        let feed = Query::new().with_order(Order::Feed).with_after(after);
        same(
            "the changes above the revision",
            uids(&s.walk(feed).await?),
            vec![uid],
        )?;
    }
    Ok(())
}

pub(super) async fn a_revision_beyond_the_store_is_invalid(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    for _ in 0..2 {
        let last = s.position().await?.revision.get();
        for beyond in [last.saturating_add(1), last.saturating_add(1000)] {
            let changed = s.store.changed(Some(Revision::new(beyond)));
            let answer = in_time("an answer at once", changed).await?;
            fails(
                "a revision above the store's",
                answer,
                StoreErrorKind::Invalid,
            )?;
        }
        s.queued().await?;
    }
    Ok(())
}

pub(super) async fn a_write_that_changes_nothing_takes_no_revision(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let new = NewAction::task("a");
    let uid = s.create(new.clone()).await?.uid;
    s.apply(uid, Change::Start, &owner).await?;
    let at = s.position().await?;
    s.already(create(new)).await?;
    s.refused(apply(uid, Change::Start, Some(&owner))).await?;
    s.refused(create(NewAction::task(""))).await?;
    s.done(Command::renew(owner)).await?;
    s.claim("other").await?;
    same("the position", s.position().await?, at)
}

pub(super) async fn a_closed_store_refuses_every_call(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let action = s.queued().await?;
    let closing = s.store.close();
    in_time("the end of closing", closing).await??;
    let closed = StoreErrorKind::Closed;
    fails(
        "write",
        s.store
            .write(Batch::each(vec![create(NewAction::task("a"))]))
            .await,
        closed,
    )?;
    fails(
        "an empty write",
        s.store.write(Batch::each(Vec::new())).await,
        closed,
    )?;
    fails("get", s.store.get(&[action.uid]).await, closed)?;
    fails("list", s.store.list(&Query::new()).await, closed)?;
    fails("log", s.store.log(&LogQuery::all()).await, closed)?;
    fails("owners", s.store.owners(&OwnerQuery::new()).await, closed)?;
    fails(
        "changed",
        in_time("changed", s.store.changed(None)).await?,
        closed,
    )?;
    let waiting = s.store.changed(Some(Revision::ZERO));
    fails("changed", in_time("changed", waiting).await?, closed)?;
    in_time("the end of closing", s.store.close()).await??;
    Ok(())
}

pub(super) async fn closing_a_store_releases_its_waiters(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    s.queued().await?;
    let revision = s.position().await?.revision;
    let mut waiting = s.store.changed(Some(revision));
    let early = poll_once(&mut waiting);
    holds("no change yet", early.is_none(), early)?;
    let store = s.store.clone();
    let spawned = tokio::spawn(async move { store.changed(Some(revision)).await });
    tokio::task::yield_now().await;
    in_time("the end of closing", s.store.close()).await??;
    let answer = in_time("the end of a waiter", waiting).await?;
    fails("changed", answer, StoreErrorKind::Closed)?;
    let answer = in_time("the end of a waiter", spawned).await??;
    fails("changed", answer, StoreErrorKind::Closed)
}

pub(super) async fn two_callers_can_close_at_once(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    s.queued().await?;
    let store = s.store.clone();
    let other = tokio::spawn(async move { store.close().await });
    in_time("the end of closing", s.store.close()).await??;
    in_time("the end of closing", other).await???;
    Ok(())
}

/// Creates an action in another task.
fn creating(s: &Subject) -> (ActionUid, tokio::task::JoinHandle<Proof>) {
    let (store, new) = (s.store.clone(), NewAction::task("a"));
    let uid = new.uid;
    let task = tokio::spawn(async move {
        for answer in write(&*store, Batch::each(vec![create(new)])).await? {
            answer?;
        }
        Ok(())
    });
    (uid, task)
}

/// Number of writes of a case about waiting during a write.
const WRITES: usize = 60;

pub(super) async fn a_revision_that_wakes_a_waiter_is_readable(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    for _ in 0..WRITES {
        let before = s.position().await?;
        let (uid, writer) = creating(&s);
        let waiting = s.store.changed(Some(before.revision));
        let told = in_time("the end of a wait", waiting).await??;
        // Only this write is under way, so the waiter was told of it.
        holds("a higher revision", told.revision > before.revision, told)?;
        let found = s.find(uid).await?;
        holds("the action, once it was announced", found.is_some(), found)?;
        let after = Some(Cursor::feed(before, before.revision));
        let page = s.list(walks::feed().with_after(after)).await?;
        same("the announced change", uids(&page.items), vec![uid])?;
        holds(
            "no lower position",
            page.at.revision >= told.revision,
            (page.at, told),
        )?;
        joined("the end of the write", writer).await?;
    }
    Ok(())
}

pub(super) async fn a_revision_seen_on_a_page_can_be_waited_for(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let mut waiting = Vec::new();
    let wait = |at: Position| {
        let store = s.store.clone();
        let changed = async move { store.changed(Some(at.revision)).await };
        (at.revision, tokio::spawn(changed))
    };
    for _ in 0..WRITES {
        let (_, writer) = creating(&s);
        for _ in 0..20 {
            waiting.push(wait(s.list(Query::new().with_limit(1)).await?.at));
            waiting.push(wait(s.store.log(&LogQuery::all().with_limit(1)).await?.at));
            tokio::task::yield_now().await;
            if writer.is_finished() {
                break;
            }
        }
        joined("the end of the write", writer).await?;
    }
    // The last write ends every wait.
    s.queued().await?;
    for (revision, waiter) in waiting {
        let at = in_time("the end of a wait", waiter).await???;
        holds("a higher revision", at.revision > revision, at)?;
    }
    Ok(())
}

pub(super) async fn a_wait_that_begins_during_a_write_ends(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    for number in 0..WRITES {
        let revision = s.position().await?.revision;
        let (_, writer) = creating(&s);
        // The wait begins before, during or after the commit.
        for _ in 0..number % 12 {
            tokio::task::yield_now().await;
        }
        let waiting = s.store.changed(Some(revision));
        let at = in_time("the end of a wait that began during a write", waiting).await??;
        holds("a higher revision", at.revision > revision, at)?;
        joined("the end of the write", writer).await?;
    }
    Ok(())
}
