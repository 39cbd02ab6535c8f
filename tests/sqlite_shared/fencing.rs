//! A process is fenced by another one: from the answer on nothing of it is accepted.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::action::Version;
use action_store::owner::OwnerQuery;
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, Change, Command, Filter, Finish, Limits,
    NewAction, Order, Outcome, OwnerRef, Query, Rejection, Report, SqliteStore, StoreErrorKind,
};

use super::children::{Child, say, until_let_go};
use super::{asked_for, place, reopened_and_checked, shared};

/// Eight writers work in one owner's name; when they are fenced they take a new incarnation.
pub(crate) async fn work_until_let_go(path: &Path, _more: &str) {
    let store = Arc::new(shared(path).await);
    let working = tokio::spawn(async move {
        loop {
            let owner = OwnerRef::new("plane");
            let claim = Command::claim(owner.clone()).with_take_over(false);
            match store.command(claim).await {
                Ok(_) => say(&format!("claimed {}", owner.incarnation)),
                // The process that fenced this owner may hold the name for now.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    continue;
                }
            }
            let writers: Vec<_> = (0..8)
                .map(|_| tokio::spawn(write_until_fenced(store.clone(), owner.clone())))
                .collect();
            for writer in writers {
                writer.await.unwrap();
            }
            say(&format!("fenced {}", owner.incarnation));
        }
    });
    tokio::spawn(async move {
        say(&format!("broken {:?}", working.await));
    });
    tokio::task::spawn_blocking(until_let_go).await.unwrap();
    std::process::exit(0);
}

async fn write_until_fenced(store: Arc<SqliteStore>, owner: OwnerRef) {
    loop {
        let new = NewAction::task("work");
        let uid = new.uid;
        let by = Some(owner.clone());
        let apply = |change| Command::apply(uid, change).by(by.clone());
        let create = Command::create(new).by(by.clone());
        // A bare create may be queued still when the fence comes; the rest is executing.
        let batches = [
            Batch::each(vec![create, apply(Change::Start)]),
            Batch::each(vec![apply(Change::Report(Report::new().with_step("a")))]),
            Batch::each(vec![apply(Change::Report(Report::new().with_step("b")))]),
        ];
        for batch in batches {
            match store.write(batch).await {
                Ok(answers) => {
                    for answer in answers {
                        match answer {
                            Ok(_) => {}
                            Err(Rejection::Fenced { .. }) => return,
                            // Its action was settled: the next one.
                            Err(Rejection::Conflict { .. }) => {}
                            Err(refused) => panic!("{refused:?}"),
                        }
                    }
                }
                Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}"),
            }
        }
    }
}

/// The unfinished actions of an owner, with their versions.
async fn left_by(store: &SqliteStore, owner: &OwnerRef) -> HashMap<ActionUid, Version> {
    let query = Query::new()
        .with_filter(Filter::Unfinished)
        .with_filter(Filter::Owner(owner.clone()))
        .with_order(Order::Oldest)
        .with_limit(Limits::PAGE);
    let actions = store.pages(query).collect().await.unwrap();
    let version = |action: Arc<Action>| (action.uid, action.version);
    actions.into_iter().map(version).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_owner_is_accepted_once_another_process_has_fenced_it() {
    let (place, fences) = (place(), asked_for("FENCES", 60));
    let store = shared(&place.path).await;
    let mut child = Child::start("fenced", &place.path, "");
    let (mut left, mut after) = (0, 0);
    let mut owners = Vec::new();
    let (mut worst, begun) = (Duration::ZERO, Instant::now());
    for round in 0..fences {
        let said = child.heard().unwrap();
        let incarnation = said.strip_prefix("claimed ").expect(&said).to_owned();
        // Not before it works, and then at any moment.
        let pause = Duration::from_millis(2 + round % 8);
        tokio::time::sleep(pause).await;
        let alive = store.all_owners(OwnerQuery::new()).await.unwrap();
        let alive = alive.into_iter().find(|owner| owner.is_alive()).unwrap();
        let owner = alive.owner;
        assert_eq!(owner.incarnation.to_string(), incarnation);
        let taking_over = OwnerRef::new("plane");
        let ended_by = match round % 2 {
            0 => Command::fence(owner.clone(), alive.renewals),
            _ => Command::claim(taking_over.clone()),
        };
        let asked = Instant::now();
        store.command(ended_by).await.unwrap();
        worst = worst.max(asked.elapsed());
        let at_the_answer = left_by(&store, &owner).await;
        // The child has noticed the fence by now, even if it had writes in progress.
        assert_eq!(child.heard().unwrap(), format!("fenced {incarnation}"));
        let noticed = left_by(&store, &owner).await;
        left += at_the_answer.len();
        after += noticed
            .iter()
            .filter(|(uid, version)| at_the_answer.get(*uid) != Some(*version))
            .count();
        // Settled once, from what was there at the answer: nothing comes after it.
        let uids: Vec<ActionUid> = at_the_answer.into_keys().collect();
        for some in uids.chunks(500) {
            let found = store.get(some).await.unwrap();
            let settle = |action: &Arc<Action>| {
                Command::apply(
                    action.uid,
                    Change::Finish(Finish::new(match action.started_at {
                        Some(_) => Outcome::Lost,
                        None => Outcome::Interrupted,
                    })),
                )
            };
            let settled = Batch::each(found.iter().flatten().map(settle).collect());
            let settled = store.write(settled).await.unwrap();
            assert!(settled.iter().all(Result::is_ok), "{settled:?}");
        }
        owners.push(owner);
        if round % 2 == 1 {
            store.command(Command::release(taking_over)).await.unwrap();
        }
    }
    drop(child);
    let mut executing = 0;
    for owner in &owners {
        executing += left_by(&store, owner).await.len();
    }
    println!(
        "{fences} fences in {:?}, the slowest answer {worst:?}; {left} actions left by them, \
         {after} changed after, {executing} left executing",
        begun.elapsed()
    );
    assert!(left > fences as usize, "it hardly worked");
    assert_eq!(
        (after, executing),
        (0, 0),
        "changed after a fence, left executing"
    );
    store.close().await.unwrap();
    drop(store);
    let (store, _) = reopened_and_checked(&place.path).await;
    store.close().await.unwrap();
}
