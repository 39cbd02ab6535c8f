//! Lists of owners, and the owners that a store remembers.

use super::*;

fn refs(owners: &[Owner]) -> Vec<OwnerRef> {
    owners.iter().map(|known| known.owner.clone()).collect()
}

impl Subject {
    #[track_caller]
    fn listed(&self, query: OwnerQuery) -> impl Future<Output = Proof<Vec<OwnerRef>>> {
        at_call(async move { Ok(refs(&self.store.all_owners(query).await?)) })
    }

    /// Claims and releases `names` owners. Returns them in claim order.
    #[track_caller]
    fn come_and_go(&self, names: usize) -> impl Future<Output = Proof<Vec<OwnerRef>>> {
        at_call(async move {
            let names = (0..names).map(|n| OwnerRef::new(format!("pod {n}")));
            let owners: Vec<OwnerRef> = names.collect();
            let most = self.store.capabilities().max_commands;
            for some in owners.chunks((most / 2).max(1)) {
                let both = |owner: &OwnerRef| [claim(owner), Command::release(owner.clone())];
                for answer in self.each(some.iter().flat_map(both).collect()).await? {
                    same("the answer", answer?.effect, Effect::Applied)?;
                }
            }
            Ok(owners)
        })
    }
}

pub(super) async fn owners_are_listed_in_claim_order(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let mut expected = Vec::new();
    for name in ["b", "a", "c", "a", "B", "é", "a"] {
        expected.push(s.claim(name).await?);
    }
    // Claims in one transaction are ordered by their place in the batch.
    let drawn = ["z", "y", "y", "x"].map(OwnerRef::new);
    for answer in s.each(drawn.iter().map(claim).collect()).await? {
        answer?;
    }
    expected.extend(drawn);
    same(
        "the owners",
        s.listed(OwnerQuery::new()).await?,
        expected.clone(),
    )?;
    for limit in [1, 2, 11, 12] {
        let query = OwnerQuery::new().with_limit(limit);
        same(
            "the owners, page by page",
            s.listed(query).await?,
            expected.clone(),
        )?;
    }
    let named = OwnerQuery::new().with_name("a").with_limit(2);
    expected.retain(|owner| &*owner.name == "a");
    same("the owners of one name", s.listed(named).await?, expected)?;
    let nobody = OwnerQuery::new().with_name("A");
    same(
        "the owners of an unknown name",
        s.listed(nobody).await?,
        Vec::new(),
    )
}

pub(super) async fn an_owner_query_that_breaks_the_rules_is_invalid(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let at = s.position().await?;
    let query = OwnerQuery::new;
    let mut elsewhere = at;
    elsewhere.store_id = StoreId::new();
    let elsewhere = Cursor::owners(elsewhere, 1);
    for query in [
        query().with_limit(0),
        query().with_limit(Limits::PAGE + 1),
        query().with_name(""),
        query().with_after(Some(Cursor::oldest(at, 1))),
        query().with_after(Some(elsewhere)),
    ] {
        let what = format!("{query:?}");
        fails(&what, s.store.owners(&query).await, StoreErrorKind::Invalid)?;
    }
    let of_owners = Query::new().with_after(Some(Cursor::owners(at, 1)));
    s.list_fails(of_owners, StoreErrorKind::Invalid).await
}

pub(super) async fn an_active_owner_is_alive_or_owns_an_unfinished_action(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let active = || OwnerQuery::active().with_limit(2);
    let (running, queued) = (s.claim("running").await?, s.claim("queued").await?);
    let (idle, alive) = (s.claim("idle").await?, s.claim("alive").await?);
    let action = s.executing(&running).await?;
    let new = NewAction::task("a");
    let waiting = new.uid;
    s.done(create_by(new, &queued)).await?;
    s.completed(&idle).await?;
    let all = vec![running.clone(), queued.clone(), idle.clone(), alive.clone()];
    same(
        "the active owners while all are alive",
        s.listed(active()).await?,
        all,
    )?;
    for owner in [&running, &queued, &idle] {
        s.done(fence(owner, 0)).await?;
    }
    let expected = vec![running.clone(), queued.clone(), alive.clone()];
    same(
        "the active owners after one that owns nothing ended",
        s.listed(active()).await?,
        expected,
    )?;
    // An adopted action no longer belongs to its first owner.
    s.apply(action.uid, Change::Adopt, &alive).await?;
    let expected = vec![queued.clone(), alive.clone()];
    same(
        "the active owners after an adoption",
        s.listed(active()).await?,
        expected,
    )?;
    let named = active().with_name("queued");
    same(
        "the active owners of that name",
        s.listed(named).await?,
        vec![queued],
    )?;
    s.apply(waiting, finish(Outcome::Interrupted), &alive)
        .await?;
    same(
        "the active owners after every action completed",
        s.listed(active()).await?,
        vec![alive],
    )
}

pub(super) async fn the_number_of_remembered_ended_owners_is_bounded(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let alive = s.claim("alive").await?;
    let mut owners = s.come_and_go(20_000).await?;
    let mut expected = vec![alive];
    expected.extend(owners.split_off(owners.len() - Limits::ENDED_OWNERS));
    let found = s.listed(OwnerQuery::new().with_limit(Limits::PAGE)).await?;
    same(
        "the number of remembered owners",
        found.len(),
        expected.len(),
    )?;
    same("the owners that claimed last", found, expected)?;
    let found = s.listed(OwnerQuery::active()).await?;
    same("the number of active owners", found.len(), 1)
}

pub(super) async fn an_owner_of_an_unfinished_action_is_never_forgotten(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let (dead, gone) = (s.claim("dead").await?, s.claim("gone").await?);
    let action = s.executing(&dead).await?;
    s.done(fence(&dead, 0)).await?;
    s.done(Command::release(gone.clone())).await?;
    let most = Limits::ENDED_OWNERS;
    s.come_and_go(most + 10).await?;
    let found = s.listed(OwnerQuery::new()).await?;
    holds(
        "an ended owner without actions is forgotten",
        !found.contains(&gone),
        (),
    )?;
    same("its state", s.owner(&dead).await?.state, OwnerState::Fenced)?;
    let sweeper = s.claim("sweeper").await?;
    let lost = s.apply(action.uid, finish(Outcome::Lost), &sweeper).await?;
    let end = lost.evidence.as_ref().map(|evidence| evidence.end);
    same("the end of its owner", end, Some(OwnerEnd::Fenced))?;
    s.come_and_go(most + 10).await?;
    let found = s.listed(OwnerQuery::new()).await?;
    holds(
        "the ended owner is forgotten after its action completed",
        !found.contains(&dead),
        (),
    )
}

pub(super) async fn a_late_claim_does_not_fence_a_successor(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let (first, second) = (s.claim("plane").await?, s.claim("plane").await?);
    s.come_and_go(Limits::ENDED_OWNERS + 10).await?;
    // Claims of other names do not change this.
    demand!(s.refused(claim(&first)).await?, Rejection::Fenced { .. });
    s.done(Command::renew(second)).await?;
    // Repeated restarts of the same name do not change this.
    let mut late = Vec::new();
    for _ in 0..50 {
        let owner = s.claim("plane").await?;
        // It stays alive when earlier incarnations are forgotten.
        s.done(Command::renew(owner.clone())).await?;
        late.push(owner);
    }
    let living = s.claim("plane").await?;
    for owner in late {
        demand!(s.refused(claim(&owner)).await?, Rejection::Fenced { .. });
    }
    s.done(Command::renew(living)).await?;
    Ok(())
}
