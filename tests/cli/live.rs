//! `watch` and `tail`.

use action_store::{ActionError, ActionStore, ActionStoreExt, Finish, NewAction, Progress, Report};

use crate::support::{Place, Running, fill};

#[tokio::test(flavor = "multi_thread")]
async fn watch_prints_changes_and_ends_with_the_action() {
    let place = Place::new();
    let plane = place.open().await;
    let filled = fill(&*plane).await;
    let uid = filled.executing.to_string();
    let mut watch = Running::start(place.command(&["watch", &uid]));
    let head = watch.line().unwrap();
    assert!(head.starts_with("AT (UTC)"), "{head}");
    let first = watch.line().unwrap();
    assert!(
        first.contains("executing") && first.contains("42.5"),
        "{first}"
    );
    let report = Report::new()
        .with_step("verify")
        .with_progress(Progress::percent(80.0));
    plane
        .report(filled.executing, report, &filled.owner)
        .await
        .unwrap();
    let second = watch.line().unwrap();
    assert!(
        second.contains("80") && second.ends_with("verify"),
        "{second}"
    );
    let done = Finish::succeeded();
    plane
        .finish(filled.executing, done, Some(&filled.owner))
        .await
        .unwrap();
    let last = watch.line().unwrap();
    assert!(last.contains("succeeded"), "{last}");
    watch.end().ends(0);
    plane.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_ends_with_6_if_an_action_did_not_succeed() {
    let place = Place::new();
    let plane = place.open().await;
    let filled = fill(&*plane).await;
    let [part, succeeded] = [filled.part, filled.succeeded].map(|uid| uid.to_string());
    let mut watch = Running::start(place.command(&["watch", &part, &succeeded, "--json"]));
    watch.line().unwrap();
    watch.line().unwrap();
    let failed = Finish::failed(ActionError::new("x", "y"));
    plane
        .finish(filled.part, failed, Some(&filled.owner))
        .await
        .unwrap();
    let last: serde_json::Value = serde_json::from_str(&watch.line().unwrap()).unwrap();
    assert_eq!(
        (&last["outcome"], &last["error"]["code"]),
        (&"failed".into(), &"x".into())
    );
    watch.end().ends(6);
    plane.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_live_command_cleanly() {
    let place = Place::new();
    let filled = place.filled().await;
    let uid = filled.executing.to_string();
    for (arguments, signal) in [
        (&["watch", &uid, "--json"][..], "INT"),
        (&["tail", "--from-beginning", "--json"], "INT"),
        (&["tail", "--from-beginning", "--json"], "TERM"),
    ] {
        let mut live = Running::start(place.command(arguments));
        live.line().unwrap();
        live.signal(signal);
        let ran = live.end().ends(0);
        assert!(!ran.err.contains("error"), "{}", ran.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_follows_all_actions_and_continues_from_its_cursor() {
    let place = Place::new();
    let plane = place.open().await;
    fill(&*plane).await;
    let mut tail = Running::start(place.command(&["tail", "--from-beginning", "--json"]));
    for _ in 0..5 {
        tail.line().unwrap();
    }
    let new = plane.create(NewAction::task("new")).await.unwrap().uid;
    let seen: serde_json::Value = serde_json::from_str(&tail.line().unwrap()).unwrap();
    assert_eq!(seen["uid"], new.to_string());
    tail.signal("INT");
    let ran = tail.end().ends(0);
    let cursor = ran
        .err
        .trim()
        .strip_prefix("continue with --after ")
        .unwrap();
    let after = plane.create(NewAction::task("later")).await.unwrap().uid;
    let later = place.json(&["tail", "--once", "--after", cursor]);
    assert_eq!(later.last().unwrap()["uid"], after.to_string());
    assert!(later.len() <= 2, "{later:?}");
    plane.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_shows_only_what_matches_the_filters() {
    let place = Place::new();
    let filled = place.filled().await;
    let tail = ["tail", "--from-beginning", "--once", "--outcome", "failed"];
    let found = place.json(&tail);
    assert_eq!(found[0]["uid"], filled.failed.to_string());
    assert_eq!(found.len(), 1);
    let ran = place.run(&["tail", "--once"]).ends(0);
    assert_eq!(ran.out, "", "it begins now");
}
