//! A process that is stopped past its lease is recovered by another one, and goes on too late.

use std::path::Path;
use std::time::Duration;

use action_store::action::Version;
use action_store::owner::{OwnerEnd, OwnerState};
use action_store::{
    ActionHandle, ActionStore, ActionStoreExt, ActionUid, Error, ErrorKind, LogQuery, NewAction,
    Outcome, Tracker,
};

use super::children::{Child, say, until_let_go};
use super::{asked_for, completed, is_write_locked, place, shared, state, tracker, with_lease};

const ACTIONS: usize = 4;

/// Works on some actions until it hears that it has lost them. Then tries to end them anyway, and
/// prints the results.
pub(crate) async fn work_until_fenced(path: &Path) {
    let store = shared(path).await;
    let tracker = tracker(&store, "stopped", with_lease(1)).await;
    let mut working = Vec::new();
    for _ in 0..ACTIONS {
        let action = tracker.begin(NewAction::task("backup")).await.unwrap();
        say(&format!("began {}", action.uid()));
        working.push(tokio::spawn(work(tracker.clone(), action)));
    }
    say(&format!("ready {}", tracker.owner().incarnation));
    for work in working {
        work.await.unwrap();
    }
    let refused = tracker.begin(NewAction::task("backup")).await.unwrap_err();
    say(&format!("all fenced {:?}", refused.kind()));
    tracker.shutdown().await.unwrap();
    tokio::task::spawn_blocking(until_let_go).await.unwrap();
    store.close().await.unwrap();
}

/// The last version that it knows to be accepted, and what it hears of its ownership.
async fn work(tracker: Tracker, action: ActionHandle) {
    let uid = action.uid();
    let reporter = action.reporter();
    let told = tokio::spawn(async move { reporter.ownership_lost().await });
    let mut accepted = Version::FIRST;
    let mut step = 0;
    let refused = loop {
        step += 1;
        match action.step(format!("step {step}")).await {
            Ok(action) => accepted = action.version,
            Err(Error::Rejected(refused)) => break Error::from(refused),
            // The other process was writing for too long.
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    told.await.unwrap();
    assert!(!action.is_owner() && !tracker.is_owner() && tracker.health().is_fenced);
    let late = action.succeed().await.unwrap_err();
    say(&format!(
        "fenced {uid} {accepted} {:?} {:?}",
        refused.kind(),
        late.kind()
    ));
}

/// Suspends a child while it does not write, so that no other process has to wait for it.
async fn stop_between_writes(child: &Child, path: &Path) {
    for _ in 0..1000 {
        child.stop();
        // The signal takes time; a write in progress by then is seen.
        tokio::time::sleep(Duration::from_millis(20)).await;
        if !is_write_locked(path).await {
            return;
        }
        child.go_on();
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    panic!("it writes whenever it is stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_suspended_past_its_lease_is_recovered_and_its_later_writes_are_refused() {
    let place = place();
    let store = shared(&place.path).await;
    let sweeper = tracker(&store, "sweeper", with_lease(1)).await;
    let rounds = asked_for("TRACKER_STOPS", 1);
    let (mut late_reports, mut accepted_late) = (0, 0);
    for round in 0..rounds {
        let mut child = Child::start("stopped", &place.path, "");
        let mut uids: Vec<ActionUid> = Vec::new();
        let incarnation = loop {
            let said = child.heard().unwrap();
            match said.split_once(' ').unwrap() {
                ("began", uid) => uids.push(uid.parse().unwrap()),
                ("ready", incarnation) => break incarnation.to_owned(),
                _ => panic!("{said}"),
            }
        };
        assert_eq!(uids.len(), ACTIONS);
        tokio::time::sleep(Duration::from_millis(50 + 37 * round % 200)).await;
        stop_between_writes(&child, &place.path).await;
        let mut settled = Vec::new();
        for uid in &uids {
            let lost = completed(&*store, *uid).await;
            assert_eq!(lost.outcome, Some(Outcome::Lost));
            let evidence = lost.evidence.as_ref().unwrap();
            assert_eq!(evidence.owner.incarnation.to_string(), incarnation);
            assert_eq!(evidence.end, OwnerEnd::Fenced);
            assert_eq!(&*evidence.decided_by, "sweeper");
            assert_eq!(
                state(&*store, &evidence.owner).await,
                OwnerState::Fenced,
                "it was fenced before its actions were settled"
            );
            settled.push(lost);
        }
        child.go_on();
        for _ in 0..ACTIONS {
            let said = child.heard().unwrap();
            let words: Vec<&str> = said.split(' ').collect();
            assert_eq!(
                (words[0], words[3], words[4]),
                ("fenced", "Fenced", "Fenced")
            );
            let uid: ActionUid = words[1].parse().unwrap();
            let accepted: u64 = words[2].parse().unwrap();
            let lost = settled.iter().find(|lost| lost.uid == uid).unwrap();
            // The settlement is the one version it does not know of.
            accepted_late += (accepted >= lost.version.get()) as u64;
        }
        assert_eq!(child.heard().unwrap(), "all fenced Fenced");
        for lost in settled {
            let now = store.action(lost.uid).await.unwrap().unwrap();
            let log = store.log(&LogQuery::of(lost.uid)).await.unwrap().items;
            let late: Vec<_> = log.iter().filter(|entry| entry.is_late()).collect();
            assert_eq!(late.len(), 1, "{log:?}");
            assert_eq!(late[0].outcome, Some(Outcome::Succeeded));
            late_reports += late.len();
            accepted_late += (now != lost) as u64;
        }
        child.let_go();
        assert!(child.ended().success());
    }
    println!(
        "{rounds} stops: {accepted_late} late writes accepted, {late_reports} late reports kept"
    );
    assert_eq!(accepted_late, 0);
    assert_eq!(late_reports, ACTIONS * rounds as usize);
    sweeper.shutdown().await.unwrap();
    store.close().await.unwrap();
}
