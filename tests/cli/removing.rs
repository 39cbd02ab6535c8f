//! `prune` and `erase`.

use action_store::{ActionStore, ActionStoreExt};
use serde_json::json;

use crate::support::{Place, uids};

#[tokio::test(flavor = "multi_thread")]
async fn prune_shows_first_and_removes_only_with_yes() {
    let place = Place::new();
    // Gaps without completions count for half of an age, so there are several.
    let aged = place.aged(&[60, 50, 40, 30, 20, 10, 0]).await;
    let policy = ["prune", "--age", "25d", "--keep-last", "0"];
    let shown = place.run(&policy).ends(0);
    assert!(
        shown
            .err
            .contains("nothing was removed: 4 actions would go, 4 aged"),
        "{}",
        shown.err
    );
    assert!(shown.err.contains(" UTC)"), "{}", shown.err);
    assert_eq!(shown.rows()[0][1..4], ["cancelled", "nightly", "bdb:7"]);
    let planned = place.json(&policy);
    let expected: Vec<String> = aged[..4].iter().map(ToString::to_string).collect();
    let mut found = uids(&planned);
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(place.json(&["list"]).len(), 7);

    let removed = place.json(&[&policy[..], &["--yes"]].concat());
    assert_eq!(
        (&removed[0]["removed"], &removed[0]["aged"]),
        (&json!(4), &json!(4))
    );
    assert_eq!(place.json(&["list"]).len(), 3);
    let again = place.run(&[&policy[..], &["--yes"]].concat()).ends(0);
    assert_eq!(again.out, "removed 0 actions: 0 aged, 0 over the cap\n");

    // A removed action may be the reason why a uid is not found.
    let gone = place.run(&["show", &expected[0]]).ends(3);
    assert!(
        gone.err.contains("it may have been removed"),
        "{}",
        gone.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_policy_keeps_the_last_ten_of_an_object() {
    let place = Place::new();
    place.aged(&[400, 300, 200, 100, 50, 0]).await;
    let shown = place.run(&["prune"]).ends(0);
    assert!(
        shown.err.contains(": no completed action is too old"),
        "{}",
        shown.err
    );
    let capped = place.run(&["prune", "--cap", "2", "--show", "1"]).ends(0);
    assert!(
        capped.err.contains("0 aged and 4 over the cap"),
        "{}",
        capped.err
    );
    assert_eq!(capped.rows().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_action_stays_and_is_counted() {
    let place = Place::new();
    let aged = place.aged(&[50, 40, 30, 20, 10, 0]).await;
    let store = place.open().await;
    store.pin(aged[0], true).await.unwrap();
    store.close().await.unwrap();
    let ran = place
        .run(&["prune", "--age", "15d", "--keep-last", "0", "--yes"])
        .ends(0);
    assert!(ran.out.contains("1 stay: they are pinned"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn erase_counts_first_and_reports_what_stays() {
    let place = Place::new();
    let filled = place.filled().await;
    let counted = place
        .run(&["erase", "--touches", "bdb:1", "--json"])
        .ends(0);
    assert_eq!(counted.one(), json!({"would_remove": 1, "unfinished": 1}));
    assert!(
        counted
            .err
            .contains("nothing was removed: 1 action would go"),
        "{}",
        counted.err
    );
    assert!(
        counted.err.contains("; 1 unfinished action would stay;"),
        "{}",
        counted.err
    );
    let none = place.run(&["erase", "--tenant", "none"]).ends(0);
    let said = "nothing was removed: no completed action matches\n";
    assert_eq!(none.err, said);
    let ran = place.run(&["erase", "--touches", "bdb:1", "--yes"]).ends(4);
    assert!(ran.out.starts_with("removed 1 action\n"), "{}", ran.out);
    let left = ran.out.lines().last().unwrap();
    let expected = format!("{}  unfinished", filled.executing);
    assert_eq!(left, expected);
    place.run(&["show", &filled.failed.to_string()]).ends(3);
    let ran = place
        .run(&["erase", "--touches", "bdb:1", "--name", "x", "--yes"])
        .ends(2);
    assert!(ran.err.contains("exactly one filter"), "{}", ran.err);
}
