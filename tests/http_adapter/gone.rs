//! 410 or 404, decided by the time in the uid.

use std::time::Duration;

use action_store::command::OpId;
use action_store::{ActionStoreExt, ActionUid, Command, Finish, NewAction};
use axum::http::StatusCode;

use crate::support::{Plane, get, ok, on_each_store, uid};

on_each_store! {
    a_uid_as_old_as_a_removed_action_is_gone,
}

/// Returns a uid with this time in milliseconds and this UUID version.
fn drawn_at(millis: i64, version: u8) -> ActionUid {
    let mut bytes = *OpId::new().as_uuid().as_bytes();
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6] = bytes[6] & 0x0f | version << 4;
    let text = bytes.map(|byte| format!("{byte:02x}")).concat();
    let parts = [
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..],
    ];
    uid(&parts.join("-"))
}

const BEGIN: i64 = 1_700_000_000_000;

/// Records an action with a uid of the current time of the clock.
async fn recorded(plane: &Plane, millis: i64) -> ActionUid {
    let mut new = NewAction::task("a");
    new.uid = drawn_at(millis, 7);
    plane.started(new).await
}

async fn remove(plane: &Plane, uid: ActionUid) {
    let if_version = plane.store.action(uid).await.unwrap().unwrap().version;
    let removed = plane.store.command(Command::remove(uid, if_version)).await;
    removed.unwrap();
}

async fn a_uid_as_old_as_a_removed_action_is_gone(plane: Plane) {
    let app = plane.router();
    let mut uids = Vec::new();
    for n in 0..10 {
        uids.push(recorded(&plane, BEGIN + n * 1_000).await);
        plane.clock.advance(Duration::from_secs(1));
    }
    let status = async |path: String| get(&app, &path).await.status;
    // Nothing was removed yet, so no uid is gone.
    let old = drawn_at(BEGIN - 1, 7);
    assert_eq!(
        status(format!("/v1/actions/{old}")).await,
        StatusCode::NOT_FOUND
    );

    for n in [2, 5] {
        plane.finish(uids[n], Finish::succeeded()).await;
        remove(&plane, uids[n]).await;
    }
    // The limit is the creation time of the youngest removed action.
    let floor = BEGIN + 5_000;
    for (millis, version, expected) in [
        (0, 7, StatusCode::GONE),
        (BEGIN - 1, 7, StatusCode::GONE),
        (floor - 1, 7, StatusCode::GONE),
        (floor, 7, StatusCode::GONE),
        (floor + 1, 7, StatusCode::NOT_FOUND),
        (floor + 86_400_000, 7, StatusCode::NOT_FOUND),
        // These uid versions have no comparable time.
        (0, 4, StatusCode::NOT_FOUND),
        (0, 1, StatusCode::NOT_FOUND),
        (0, 6, StatusCode::NOT_FOUND),
    ] {
        let uid = drawn_at(millis, version);
        for path in [
            format!("/v1/actions/{uid}"),
            format!("/v2/actions/{uid}"),
            format!("/v1/actions/{uid}?wait=30s"),
            format!("/v1/actions/{uid}/history"),
        ] {
            let answer = get(&app, &path).await;
            let (code, description) = answer.error(expected);
            let words = match expected {
                StatusCode::GONE => (
                    "action_gone",
                    format!("Action {uid} does not exist; it may have been removed by retention"),
                ),
                _ => ("action_not_found", format!("Action {uid} does not exist")),
            };
            assert_eq!((&*code, description), words, "{path}");
        }
    }
    // The removed actions, and the others.
    for (n, uid) in uids.iter().enumerate() {
        let path = format!("/v1/actions/{uid}");
        match n {
            2 | 5 => assert_eq!(status(path).await, StatusCode::GONE),
            _ => drop(ok(get(&app, &path).await)),
        }
    }
    let nonsense = get(&app, "/v1/actions/nonsense").await;
    nonsense.error(StatusCode::NOT_FOUND);
}
