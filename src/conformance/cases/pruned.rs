//! The position of a store after removals: what readers can no longer learn.

use super::*;

/// Removes actions in one batch.
#[track_caller]
fn removed(s: &Subject, actions: &[&Arc<Action>]) -> impl Future<Output = Proof> {
    at_call(async move {
        let removals = actions.iter().map(|action| remove(action)).collect();
        for answer in s.all(removals).await? {
            same("the effect of a removal", answer?.effect, Effect::Applied)?;
        }
        Ok(())
    })
}

/// Requires this position on `changed` and on each kind of page.
#[track_caller]
fn everywhere(
    s: &Subject,
    through: Revision,
    created: Option<Timestamp>,
) -> impl Future<Output = Proof> {
    at_call(async move {
        let at = s.position().await?;
        let found = (at.pruned_through, at.pruned_created);
        same(
            "`pruned_through`, `pruned_created`",
            found,
            (through, created),
        )?;
        for order in [Order::Newest, Order::Oldest, Order::Feed] {
            let page = s.list(Query::new().with_order(order)).await?;
            same("the same position on a page", page.at, at)?;
        }
        let log = s.store.log(&LogQuery::all()).await?;
        same("the same position on a page of the log", log.at, at)?;
        let owners = s.store.owners(&OwnerQuery::new()).await?;
        same("the same position on a page of owners", owners.at, at)
    })
}

pub(super) async fn pruned_through_is_the_highest_last_revision_of_the_removed_actions(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let mut ended = Vec::new();
    for _ in 0..4 {
        let action = s.completed(&owner).await?;
        ended.push((action, s.position().await?));
    }
    // The store is beyond the last change of each of them.
    s.queued().await?;
    let ended: &[_; 4] = demand!(ended.as_slice().try_into(), Ok(four) => four);
    let [first, second, third, fourth] = ended;
    let removals: [(&[_], _); 3] = [
        (&[&second.0], second.1),
        (&[&first.0], second.1),
        (&[&fourth.0, &third.0], fourth.1),
    ];
    let created = Some(first.0.created_at);
    for (actions, through) in removals {
        removed(&s, actions).await?;
        let at = s.position().await?;
        same("`pruned_through`", at.pruned_through, through.revision)?;
        everywhere(&s, through.revision, at.pruned_created.max(created)).await?;
        // A reader who knows of the change goes on. One revision below it is too low.
        let below = Revision::new(through.revision.get().saturating_sub(1));
        let resume = |from| walks::feed().with_after(Some(Cursor::feed(at, from)));
        s.list(resume(through.revision)).await?;
        s.list_fails(resume(below), StoreErrorKind::CursorExpired)
            .await?;
    }
    Ok(())
}

pub(super) async fn pruned_created_is_the_latest_creation_time_of_the_removed_actions(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    let mut made = Vec::new();
    for _ in 0..4 {
        s.tick();
        made.push(s.queued().await?.uid);
    }
    // They end in another order than they were created. No two timestamps are the same.
    let mut ended = BTreeMap::new();
    for (number, uid) in made.into_iter().enumerate().rev() {
        s.tick();
        s.apply(uid, Change::Start, &owner).await?;
        s.tick();
        ended.insert(number, s.apply(uid, finish(Outcome::Failed), &owner).await?);
    }
    s.tick();
    let number = |number: usize| {
        let missing = || Failure::new("an action", format!("none of number {number}"));
        ended.get(&number).ok_or_else(missing)
    };
    for (gone, latest) in [(&[1][..], 1), (&[0], 1), (&[3, 2], 3)] {
        let mut actions = Vec::new();
        for gone in gone {
            actions.push(number(*gone)?);
        }
        removed(&s, &actions).await?;
        let expected = Some(number(latest)?.created_at);
        let at = s.position().await?;
        same("`pruned_created`", at.pruned_created, expected)?;
        everywhere(&s, at.pruned_through, expected).await?;
    }
    Ok(())
}

pub(super) async fn a_feed_cursor_expires_when_its_action_ends_and_is_removed_in_one_batch(
    fixture: &dyn Fixture,
) -> Proof {
    let s = open(fixture).await?;
    let owner = s.claim("plane").await?;
    for mode in [BatchMode::All, BatchMode::Each] {
        let running = s.executing(&owner).await?;
        // This reader has seen the running action, and nothing else is new.
        let page = s.list(walks::feed()).await?;
        let seen = page.items.last().map(|action| action.uid);
        same("the last action of the feed", seen, Some(running.uid))?;
        let reader = walks::feed().with_after(Some(Cursor::feed(page.at, page.at.revision)));
        same(
            "the rest of the feed",
            s.walk(reader.clone()).await?,
            Vec::new(),
        )?;
        let commands = vec![
            apply(running.uid, finish(Outcome::Succeeded), Some(&owner)),
            Command::Remove {
                uid: running.uid,
                if_version: running.version.next(),
            },
        ];
        for answer in s
            .write(Batch {
                mode,
                ..Batch::all(commands)
            })
            .await?
        {
            same("the effect", answer?.effect, Effect::Applied)?;
        }
        same("the action", s.find(running.uid).await?, None)?;
        s.list_fails(reader, StoreErrorKind::CursorExpired).await?;
        let at = s.position().await?;
        let end = at.pruned_through > page.at.revision && at.pruned_through <= at.revision;
        holds("`pruned_through` at the revision of the end", end, at)?;
    }
    Ok(())
}
