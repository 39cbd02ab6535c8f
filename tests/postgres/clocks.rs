//! Planes whose clocks are an hour apart.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use action_store::{
    ActionStore, ActionStoreExt, CancelRequest, Clock, LogQuery, NewAction, Order, Outcome,
    PostgresOptions, PostgresStore, Query, Timestamp, Tracker, TrackerOptions,
};

use super::{Server, close_whole, new_schema, open};

const LEASE: Duration = Duration::from_secs(2);
const HALF: Duration = Duration::from_secs(30 * 60);

/// A plane with a clock of its own.
struct Plane {
    store: Arc<PostgresStore>,
    tracker: Tracker,
    clock: Clock,
}

async fn plane(server: &Server, schema: &str, name: &'static str, at: SystemTime) -> Plane {
    let clock = Clock::manual(Timestamp::from(at));
    let options = PostgresOptions::new()
        .with_schema(schema)
        .with_clock(clock.clone());
    let store = Arc::new(options.connect(&server.url()).await.unwrap());
    let options = TrackerOptions::new().with_lease(LEASE);
    let tracker = Tracker::start_with(store.clone(), name, options).await;
    Plane {
        store,
        tracker: tracker.unwrap(),
        clock,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_live_owner_is_robbed_by_a_plane_whose_clock_is_an_hour_ahead() {
    let name = "no_live_owner_is_robbed_by_a_plane_whose_clock_is_an_hour_ahead";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let (schema, now) = (new_schema(), SystemTime::now());
    let late = plane(server, &schema, "late@1", now - HALF).await;
    let ahead = plane(server, &schema, "ahead@1", now + HALF).await;
    let planes = [&late, &ahead];
    // Longer than a lease: each has one action all the time, and others that come and go.
    let mut held = Vec::new();
    for plane in planes {
        held.push(plane.tracker.begin(NewAction::task("held")).await.unwrap());
    }
    let (begun, mut last, mut created) = (Instant::now(), Instant::now(), Vec::new());
    while begun.elapsed() < 2 * LEASE + LEASE / 2 {
        for (plane, other) in [(&late, &ahead), (&ahead, &late)] {
            let action = plane.tracker.begin(NewAction::task("short")).await.unwrap();
            action.step("one").await.unwrap();
            let uid = action.uid();
            // A change by the other plane, stamped by its clock.
            let request = CancelRequest::new();
            other.store.request_cancel(uid, request).await.unwrap();
            action.succeed().await.unwrap();
            created.push(uid);
        }
        for plane in planes {
            plane.clock.advance(last.elapsed());
        }
        last = Instant::now();
    }
    for plane in planes {
        assert!(plane.tracker.is_owner(), "{:?}", plane.tracker.health());
    }
    for action in held {
        action.succeed().await.unwrap();
    }
    // The order of creation, and times that never go backwards within an action.
    let oldest = Query::new().with_order(Order::Oldest);
    let oldest = late.store.pages(oldest).collect().await.unwrap();
    let shorts = oldest.iter().filter(|action| &*action.name == "short");
    assert!(shorts.map(|action| action.uid).eq(created.iter().copied()));
    for action in &oldest {
        assert_eq!(action.outcome, Some(Outcome::Succeeded), "{action:?}");
        let log = late.store.log(&LogQuery::of(action.uid)).await.unwrap();
        let times: Vec<Timestamp> = log.items.iter().map(|entry| entry.at).collect();
        assert!(times.is_sorted(), "{action:?}: {times:?}");
    }
    println!("{} actions, none lost", oldest.len());

    // A plane that dies is settled after a lease, not an hour later.
    let orphan = ahead.tracker.begin(NewAction::task("orphan")).await;
    let orphan = orphan.unwrap();
    let uid = orphan.uid();
    std::mem::forget(orphan);
    ahead.store.close().await.unwrap();
    let died = Instant::now();
    let settled = late.tracker.watcher().wait(uid);
    let settled = tokio::time::timeout(10 * LEASE, settled).await;
    let settled = settled.expect("the other plane settles it").unwrap();
    assert_eq!(settled.outcome, Some(Outcome::Lost));
    assert!(died.elapsed() >= LEASE / 2, "{:?}", died.elapsed());
    late.tracker.shutdown().await.unwrap();
    drop(late.tracker);
    late.store.close().await.unwrap();
    close_whole(open(server, &schema).await).await;
}
