//! Owners: claims, renewals, releases and fences.

use super::*;

fn claim_gently(owner: &OwnerRef) -> Command {
    Command::claim(owner.clone()).with_take_over(false)
}

pub(super) async fn a_claim_makes_an_owner_alive(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    same("the owners", s.owners().await?, Vec::new())?;
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

pub(super) async fn a_claim_fences_the_previous_incarnation(fixture: &dyn Fixture) -> Proof {
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
    // The action stays as it is until it is adopted or completed.
    s.unchanged(&action).await
}

pub(super) async fn a_claim_without_take_over_does_not_fence_a_living_owner(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let first = s.claim("plane").await?;
    let known = s.owner(&first).await?;
    let refused = s.refused(claim_gently(&OwnerRef::new("plane"))).await?;
    same(
        "the refusal",
        refused,
        Rejection::OwnerAlive(Box::new(known.clone())),
    )?;
    same("the owners", s.owners().await?, vec![known])?;
    s.done(Command::release(first)).await?;
    s.done(claim_gently(&OwnerRef::new("plane"))).await?;
    Ok(())
}

pub(super) async fn an_ended_incarnation_cannot_claim_again(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let (fenced, released) = (s.claim("fenced").await?, s.claim("released").await?);
    s.done(fence(&fenced, 0)).await?;
    s.done(Command::release(released.clone())).await?;
    let ends = [(fenced, OwnerEnd::Fenced), (released, OwnerEnd::Released)];
    for (owner, how) in ends {
        for command in [claim(&owner), claim_gently(&owner)] {
            let refused = s.refused(command).await?;
            demand!(refused, Rejection::Fenced { owner: ref who, end, .. } if *who == owner && end == how);
        }
        holds(
            "the owner is not alive",
            !s.owner(&owner).await?.is_alive(),
            s.owner(&owner).await?,
        )?;
    }
    Ok(())
}

pub(super) async fn a_renewal_increments_the_renewal_count(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let other = s.claim("other").await?;
    for expected in 1..=3 {
        s.done(Command::renew(owner.clone())).await?;
        same("the renewals", s.owner(&owner).await?.renewals, expected)?;
    }
    same("the other's renewals", s.owner(&other).await?.renewals, 0)
}

pub(super) async fn a_renewal_does_not_change_any_action(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    s.executing(&owner).await?;
    let (before, at) = (s.snapshot().await?, s.position().await?);
    s.done(Command::renew(owner)).await?;
    let after = s.snapshot().await?;
    same(
        "the actions",
        (after.feed, after.log),
        (before.feed, before.log),
    )?;
    same("the position", s.position().await?, at)
}

pub(super) async fn an_owner_that_never_claimed_is_fenced(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    // Another incarnation of a living name is unknown too.
    s.claim("plane").await?;
    for name in ["plane", "other"] {
        let owner = OwnerRef::new(name);
        for command in [
            Command::renew(owner.clone()),
            Command::release(owner.clone()),
        ] {
            let refused = s.refused(command).await?;
            demand!(refused, Rejection::Fenced { owner: ref who, end: OwnerEnd::Unknown, .. }
                if *who == owner);
        }
    }
    same("owners", s.owners().await?.len(), 1)
}

pub(super) async fn a_release_ends_an_owner(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    s.done(Command::release(owner.clone())).await?;
    let known = s.owner(&owner).await?;
    same("the state", known.state, OwnerState::Released)?;
    holds("an end", known.ended_at.is_some(), &known)?;
    s.already(Command::release(owner.clone())).await?;
    demand!(
        s.refused(Command::renew(owner.clone())).await?,
        Rejection::Fenced { .. }
    );
    // An ended owner cannot end again.
    s.already(fence(&owner, 0)).await?;
    same("the owner", s.owner(&owner).await?, known)
}

pub(super) async fn a_fence_requires_the_current_renewal_count(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    s.done(Command::renew(owner.clone())).await?;
    let known = s.owner(&owner).await?;
    for stale in [0, 2] {
        let refused = s.refused(fence(&owner, stale)).await?;
        same(
            "the refusal",
            refused,
            Rejection::OwnerAlive(Box::new(known.clone())),
        )?;
    }
    s.done(Command::renew(owner.clone())).await?;
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
        s.refused(Command::release(owner)).await?,
        Rejection::Fenced { .. }
    );
    s.already(fence(&OwnerRef::new("nobody"), 0)).await?;
    Ok(())
}

/// Sends every change, and a create, as an owner that is not alive. Requires that all are
/// refused.
#[track_caller]
fn nothing_is_accepted(
    s: &Subject,
    owner: &OwnerRef,
    executing: &Arc<Action>,
) -> impl Future<Output = Proof> {
    at_call(async move {
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
                demand!(refused, Rejection::Fenced { owner: ref who, ref current, .. }
                if who == owner && current.as_ref() == Some(action));
            }
            s.unchanged(action).await?;
        }
        let new = NewAction::task("zombie");
        let uid = new.uid;
        let refused = s.refused(create_by(new, owner)).await?;
        demand!(refused, Rejection::Fenced { current: None, .. });
        same("the action", s.find(uid).await?, None)?;
        demand!(
            s.refused(Command::renew(owner.clone())).await?,
            Rejection::Fenced { .. }
        );
        demand!(s.refused(claim(owner)).await?, Rejection::Fenced { .. });
        Ok(())
    })
}

pub(super) async fn a_fenced_owner_cannot_write(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.executing(&owner).await?;
    s.done(fence(&owner, 0)).await?;
    nothing_is_accepted(&s, &owner, &action).await
}

pub(super) async fn a_replaced_owner_cannot_write(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.executing(&owner).await?;
    let successor = s.claim("plane").await?;
    nothing_is_accepted(&s, &owner, &action).await?;
    // The successor's renewals do not change how its predecessor ended.
    for renewals in 1..3 {
        s.done(Command::renew(successor.clone())).await?;
        same("renewals", s.owner(&successor).await?.renewals, renewals)?;
        let late = apply(action.uid, step("zombie"), Some(&owner));
        demand!(
            s.refused(late).await?,
            Rejection::Fenced {
                end: OwnerEnd::Fenced,
                ..
            }
        );
    }
    Ok(())
}

pub(super) async fn a_released_owner_cannot_write(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let action = s.executing(&owner).await?;
    s.done(Command::release(owner.clone())).await?;
    nothing_is_accepted(&s, &owner, &action).await
}

pub(super) async fn a_fence_applies_to_later_commands_of_its_batch(fixture: &dyn Fixture) -> Proof {
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
        "the accepted commands",
        accepted,
        vec![true, true, false, true],
    )?;
    demand!(
        pick("the answers", &answers, 2)?,
        Err(Rejection::Fenced { .. })
    );
    let found = s.read(action.uid).await?;
    same("the step", found.step.as_deref(), Some("last"))?;
    same("the owner", found.owner.as_ref(), Some(&successor))
}

pub(super) async fn an_operation_accepted_before_the_fence_can_be_repeated(
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

pub(super) async fn an_owner_name_that_breaks_the_rules_is_invalid(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let action = s.queued().await?;
    for name in ["", "a\0b", "a\nb", &"x".repeat(Limits::LABEL + 1)] {
        let owner = OwnerRef::new(name);
        let commands = [
            claim(&owner),
            Command::renew(owner.clone()),
            Command::release(owner.clone()),
            fence(&owner, 0),
            apply(action.uid, Change::Start, Some(&owner)),
            create_by(NewAction::task("a"), &owner),
        ];
        for command in commands {
            demand!(s.refused(command).await?, Rejection::Invalid(_));
        }
    }
    same("the owners", s.owners().await?, Vec::new())?;
    s.unchanged(&action).await
}
