//! `cancel` of actions that wait, and of actions with parts.

use action_store::{
    ActionStore, ActionStoreExt, ActionUid, Command, NewAction, Outcome, OwnerRef, SqliteStore,
    Status,
};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Connection};

use crate::support::{Filled, Place, action, fill};

/// Queued actions: of an owner that has ended, of one that is alive, and of none.
struct Queued {
    dead: ActionUid,
    living: ActionUid,
    none: ActionUid,
}

async fn owned(store: &SqliteStore, owner: &OwnerRef) -> ActionUid {
    let new = NewAction::task("queued");
    let uid = new.uid;
    let create = Command::create(new).by(owner.clone());
    store.command(create).await.unwrap();
    uid
}

async fn queued(place: &Place) -> Queued {
    let store = place.open().await;
    let filled = fill(&*store).await;
    let dead = owned(&store, &filled.owner).await;
    store.close().await.unwrap();
    // An exclusive opening ends the owners.
    let store = place.open().await;
    let owner = OwnerRef::new("plane@host-2");
    store.command(Command::claim(owner.clone())).await.unwrap();
    let living = owned(&store, &owner).await;
    store.close().await.unwrap();
    Queued {
        dead,
        living,
        none: filled.queued,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_action_ends_unless_a_living_owner_will_end_it() {
    for by_filter in [false, true] {
        let place = Place::new();
        let Queued { dead, living, none } = queued(&place).await;
        let uids = [dead, living, none].map(|uid| uid.to_string());
        if by_filter {
            let report = place.json(&["cancel", "--status", "queued", "--yes"]);
            assert_eq!(
                report,
                [json!({
                    "matched": 3, "queued": 3, "executing": 0, "requested": 3, "already": 0,
                    "cancelled": 2, "gone": 0, "parts": 0,
                })]
            );
        } else {
            let rows = place.json(&["cancel", &uids[0], &uids[1], &uids[2]]);
            let results: Vec<&Value> = rows.iter().map(|row| &row["result"]).collect();
            assert_eq!(results, ["cancelled", "requested", "cancelled"]);
        }
        let store = place.open().await;
        for uid in [dead, none] {
            assert_eq!(action(&*store, uid).await.outcome, Some(Outcome::Cancelled));
        }
        let waits = action(&*store, living).await;
        assert_eq!(waits.status, Status::Queued);
        assert!(waits.cancel.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_ends_what_an_earlier_request_left_queued() {
    let place = Place::new();
    let filled = place.filled().await;
    let store = place.open().await;
    let request = action_store::CancelRequest::new().with_reason("earlier");
    store.request_cancel(filled.queued, request).await.unwrap();
    store.close().await.unwrap();
    let ran = place
        .run(&["cancel", &filled.queued.to_string(), "--json"])
        .ends(0);
    assert_eq!(ran.one()["result"], "cancelled");
    assert_eq!(ran.err, "0 requested, 1 already, 0 refused\n");
    let store = place.open().await;
    let ended = action(&*store, filled.queued).await;
    assert_eq!(ended.outcome, Some(Outcome::Cancelled));
    assert_eq!(
        ended.cancel.clone().unwrap().reason.as_deref(),
        Some("earlier")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_cancelled_action_get_the_request() {
    for by_filter in [false, true] {
        let place = Place::new();
        let Filled {
            executing, part, ..
        } = place.filled().await;
        let uid = executing.to_string();
        let arguments = match by_filter {
            true => &["cancel", "--object", "bdb:1", "--yes", "--reason", "stop"][..],
            false => &["cancel", &uid, "--reason", "stop"],
        };
        let ran = place.run(arguments).ends(0);
        let said = if by_filter { &ran.out } else { &ran.err };
        assert!(said.contains("1 part"), "{ran:?}");
        let store = place.open().await;
        let cancel = action(&*store, part).await.cancel.clone().unwrap();
        assert_eq!(cancel.reason.as_deref(), Some("stop"));
        assert_eq!(cancel.by.as_deref(), Some("ada"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_by_filter_says_in_words_what_it_has_done() {
    let place = Place::new();
    place.filled().await;
    let arguments = ["cancel", "--unfinished", "--yes"];
    let ran = place.run(&arguments).ends(0);
    assert_eq!(
        ran.out,
        "3 actions matched: 1 queued, 2 executing\n\
         3 got the request\n\
         1 cancelled at once: queued, and without a living owner\n"
    );
    let again = place.run(&arguments).ends(0);
    assert!(again.out.contains("0 got the request\n"), "{}", again.out);
    assert!(
        again.out.contains("2 had a request before\n"),
        "{}",
        again.out
    );
    let none = place.run(&["cancel", "--name", "none", "--yes"]).ends(0);
    assert_eq!(
        (&*none.out, &*none.err),
        ("", "nothing was changed: no unfinished action matches\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_fails_says_what_it_has_done_and_a_repeat_does_the_rest() {
    let place = Place::new();
    let store = place.open().await;
    let new = (0..500).map(|_| Command::create(NewAction::task("many")));
    let new = action_store::Batch::each(new.collect());
    store.write_repeating(new).await.unwrap();
    store.close().await.unwrap();
    let execute = async |statement: &'static str| {
        let file = sqlx::sqlite::SqliteConnectOptions::new().filename(place.path("plane.db"));
        let mut connection = file.connect().await.unwrap();
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    };
    execute(
        "CREATE TRIGGER failure BEFORE UPDATE ON actions_action WHEN new.number > 300 \
         BEGIN SELECT RAISE(ABORT, 'out of order'); END",
    )
    .await;
    let arguments = ["cancel", "--unfinished", "--yes"];
    let failed = place.run(&arguments);
    assert_ne!(failed.code, 0, "{failed:?}");
    assert!(failed.out.contains("300 got the request\n"), "{failed:?}");
    for part in ["error: write: ", "out of order", "hint: repeat the command"] {
        assert!(failed.err.contains(part), "{part}: {failed:?}");
    }
    execute("DROP TRIGGER failure").await;
    let rest = place.json(&arguments);
    assert_eq!(rest[0]["requested"], 200);
    assert_eq!(rest[0]["already"], 0);
}
