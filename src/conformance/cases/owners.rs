//! Owners: claiming, renewing, releasing and fencing.

use super::*;

fn claim_gently(owner: &OwnerRef) -> Command {
    Command::Claim {
        owner: owner.clone(),
        take_over: false,
    }
}

pub(super) async fn a_claim_makes_an_owner_alive(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    same("the owners", s.store.owners().await?, Vec::new())?;
    for command in [claim, claim_gently] {
        let owner = OwnerRef::new(format!("plane {}", OpId::new()));
        let done = s.one(command(&owner)).await??;
        same("the answer", done, Done::new(Effect::Applied, None))?;
        let known = s.owner(&owner).await?;
        same("the state", known.state, OwnerState::Alive)?;
        same("the renewals", known.renewals, 0)?;
        same("the end", known.ended_at, None)?;
        s.already(command(&owner)).await?;
        same("the owner", s.owner(&owner).await?, known)?;
    }
    Ok(())
}

pub(super) async fn a_claim_fences_the_incarnation_before(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let first = s.claim("plane").await?;
    let action = s.executing(&first).await?;
    let second = s.claim("plane").await?;
    same(
        "the state",
        s.owner(&first).await?.state,
        OwnerState::Fenced,
    )?;
    holds(
        "an end",
        s.owner(&first).await?.ended_at.is_some(),
        s.owner(&first).await?,
    )?;
    same(
        "the state",
        s.owner(&second).await?.state,
        OwnerState::Alive,
    )?;
    // The action waits for somebody to decide about it.
    s.unchanged(&action).await
}

pub(super) async fn without_take_over_a_living_owner_is_left_alone(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let first = s.claim("plane").await?;
    let known = s.owner(&first).await?;
    let refused = s.refused(claim_gently(&OwnerRef::new("plane"))).await?;
    same(
        "the refusal",
        refused,
        Refused::OwnerAlive(Box::new(known.clone())),
    )?;
    same("the owners", s.store.owners().await?, vec![known])?;
    s.done(Command::Release(first)).await?;
    s.done(claim_gently(&OwnerRef::new("plane"))).await?;
    Ok(())
}

pub(super) async fn an_incarnation_that_has_ended_does_not_come_back(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let (fenced, released) = (s.claim("fenced").await?, s.claim("released").await?);
    s.done(fence(&fenced, 0)).await?;
    s.done(Command::Release(released.clone())).await?;
    let ends = [(fenced, OwnerEnd::Fenced), (released, OwnerEnd::Released)];
    for (owner, how) in ends {
        for command in [claim(&owner), claim_gently(&owner)] {
            let refused = s.refused(command).await?;
            demand!(refused, Refused::Fenced { owner: ref who, end, .. } if *who == owner && end == how);
        }
        holds(
            "no life",
            !s.owner(&owner).await?.is_alive(),
            s.owner(&owner).await?,
        )?;
    }
    Ok(())
}

pub(super) async fn a_renewal_counts(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let other = s.claim("other").await?;
    for expected in 1..=3 {
        s.done(Command::Renew(owner.clone())).await?;
        same("the renewals", s.owner(&owner).await?.renewals, expected)?;
    }
    same("the other's renewals", s.owner(&other).await?.renewals, 0)
}

pub(super) async fn a_renewal_is_no_change_of_an_action(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    s.executing(&owner).await?;
    let (before, at) = (s.snapshot().await?, s.position().await?);
    s.done(Command::Renew(owner)).await?;
    let after = s.snapshot().await?;
    same(
        "the actions",
        (after.feed, after.log),
        (before.feed, before.log),
    )?;
    same("the position", s.position().await?, at)
}

pub(super) async fn who_never_claimed_is_fenced(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    // Another incarnation of a living name is as unknown as any.
    s.claim("plane").await?;
    for name in ["plane", "other"] {
        let owner = OwnerRef::new(name);
        for command in [
            Command::Renew(owner.clone()),
            Command::Release(owner.clone()),
        ] {
            let refused = s.refused(command).await?;
            demand!(refused, Refused::Fenced { owner: ref who, end: OwnerEnd::Unknown, .. }
                if *who == owner);
        }
    }
    same("owners", s.store.owners().await?.len(), 1)
}

pub(super) async fn a_release_ends_an_owner(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    s.done(Command::Release(owner.clone())).await?;
    let known = s.owner(&owner).await?;
    same("the state", known.state, OwnerState::Released)?;
    holds("an end", known.ended_at.is_some(), &known)?;
    s.already(Command::Release(owner.clone())).await?;
    demand!(
        s.refused(Command::Renew(owner.clone())).await?,
        Refused::Fenced { .. }
    );
    // Nobody ends it another time.
    s.already(fence(&owner, 0)).await?;
    same("the owner", s.owner(&owner).await?, known)
}

pub(super) async fn a_fence_is_by_the_renewals_seen(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    s.done(Command::Renew(owner.clone())).await?;
    let known = s.owner(&owner).await?;
    for stale in [0, 2] {
        let refused = s.refused(fence(&owner, stale)).await?;
        same(
            "the refusal",
            refused,
            Refused::OwnerAlive(Box::new(known.clone())),
        )?;
    }
    s.done(Command::Renew(owner.clone())).await?;
    s.refused(fence(&owner, 1)).await?;
    s.done(fence(&owner, 2)).await?;
    same(
        "the state",
        s.owner(&owner).await?.state,
        OwnerState::Fenced,
    )?;
    s.already(fence(&owner, 2)).await?;
    s.already(fence(&owner, 9)).await?;
    demand!(
        s.refused(Command::Release(owner)).await?,
        Refused::Fenced { .. }
    );
    s.already(fence(&OwnerRef::new("nobody"), 0)).await?;
    Ok(())
}

/// Every change in the name of an owner that is not alive, and a create.
async fn nothing_is_accepted(s: &Subject, owner: &OwnerRef, executing: &Arc<Action>) -> Proof {
    let queued = s.queued().await?;
    let cancel = Change::RequestCancel(CancelRequest::new());
    let changes = [
        step("zombie"),
        Change::Report(Report::new()),
        cancel,
        finish(Outcome::Failed),
        finish(Outcome::Lost),
        Change::Adopt,
        Change::Start,
    ];
    for action in [executing, &queued] {
        for change in &changes {
            let command = apply(action.uid, change.clone(), Some(owner));
            let refused = s.refused(command).await?;
            demand!(refused, Refused::Fenced { owner: ref who, ref current, .. }
                if who == owner && current.as_ref() == Some(action));
        }
        s.unchanged(action).await?;
    }
    let new = NewAction::task("zombie");
    let uid = new.uid;
    let refused = s.refused(create_by(new, owner)).await?;
    demand!(refused, Refused::Fenced { current: None, .. });
    same("the action", s.find(uid).await?, None)?;
    demand!(
        s.refused(Command::Renew(owner.clone())).await?,
        Refused::Fenced { .. }
    );
    demand!(s.refused(claim(owner)).await?, Refused::Fenced { .. });
    Ok(())
}

pub(super) async fn nothing_of_a_fenced_owner_is_accepted(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.executing(&owner).await?;
    s.done(fence(&owner, 0)).await?;
    nothing_is_accepted(&s, &owner, &action).await
}

pub(super) async fn nothing_of_an_owner_taken_over_is_accepted(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.executing(&owner).await?;
    s.claim("plane").await?;
    nothing_is_accepted(&s, &owner, &action).await
}

pub(super) async fn nothing_of_a_released_owner_is_accepted(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.executing(&owner).await?;
    s.done(Command::Release(owner.clone())).await?;
    nothing_is_accepted(&s, &owner, &action).await
}

pub(super) async fn a_fence_acts_within_its_batch(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.executing(&owner).await?;
    let successor = OwnerRef::new("plane");
    let commands = vec![
        apply(action.uid, step("last"), Some(&owner)),
        claim(&successor),
        apply(action.uid, step("zombie"), Some(&owner)),
        apply(action.uid, Change::Adopt, Some(&successor)),
    ];
    let answers = s.each(commands).await?;
    let accepted: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    same(
        "which were accepted",
        accepted,
        vec![true, true, false, true],
    )?;
    demand!(&answers[2], Err(Refused::Fenced { .. }));
    let found = s.read(action.uid).await?;
    same("the step", found.step.as_deref(), Some("last"))?;
    same("the owner", found.owner.as_ref(), Some(&successor))
}

pub(super) async fn a_repeat_of_what_was_accepted_before_the_fence_is_already(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let uid = s.executing(&owner).await?.uid;
    let command = apply(uid, finish(Outcome::Succeeded), Some(&owner));
    let after = s.changed(command.clone()).await?;
    s.done(fence(&owner, 0)).await?;
    let again = s.already(command).await?;
    same("the action in the answer", again, Some(after))
}

pub(super) async fn owners_are_listed_by_name_and_claim(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let mut expected = Vec::new();
    for name in ["b", "a", "c", "a", "B", "é", "a"] {
        expected.push(s.claim(name).await?);
    }
    // A stable sort keeps the order of claims within a name.
    expected.sort_by(|a, b| a.name.cmp(&b.name));
    let found: Vec<OwnerRef> = s
        .store
        .owners()
        .await?
        .into_iter()
        .map(|o| o.owner)
        .collect();
    same("the owners", found, expected)
}

pub(super) async fn the_ended_owners_remembered_are_bounded(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let other = s.claim("other").await?;
    let mut claimed = Vec::new();
    for _ in 0..Limits::ENDED_OWNERS + 8 {
        claimed.push(s.claim("plane").await?);
    }
    let owners = s.store.owners().await?;
    let found: Vec<OwnerRef> = owners
        .iter()
        .map(|known| known.owner.clone())
        .filter(|owner| *owner != other)
        .collect();
    let newest = claimed.split_off(claimed.len() - Limits::ENDED_OWNERS - 1);
    same("the newest and the one alive", found, newest)?;
    let alive = owners.iter().filter(|known| known.is_alive()).count();
    same("one alive for each name", alive, 2)
}

pub(super) async fn an_owner_name_that_breaks_the_rules_is_invalid(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let action = s.queued().await?;
    for name in ["", "a\0b", "a\nb", &"x".repeat(Limits::LABEL + 1)] {
        let owner = OwnerRef::new(name);
        let commands = [
            claim(&owner),
            Command::Renew(owner.clone()),
            Command::Release(owner.clone()),
            fence(&owner, 0),
            apply(action.uid, Change::Start, Some(&owner)),
            create_by(NewAction::task("a"), &owner),
        ];
        for command in commands {
            demand!(s.refused(command).await?, Refused::Invalid(_));
        }
    }
    same("the owners", s.store.owners().await?, Vec::new())?;
    s.unchanged(&action).await
}
