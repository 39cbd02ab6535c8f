//! Whether the time of an answer tells what is somebody else's from what is not there.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use action_store::http::{Denied, Permission, Scope, router};
use action_store::{ActionStore as _, ActionUid, ObjectRef, SqliteStore};
use axum::Router;
use axum::http::request::Parts;

use crate::middle::middle;
use crate::stock::{Load, fill};
use crate::{Options, ask, met};

/// Interleaved pairs. Few enough to be measured whole even when little is.
const PAIRS: usize = 2000;

/// By how much the two medians may differ.
const MOST: f64 = 0.2;

/// Fills a SQLite store and asks in the name of one of its two tenants.
pub async fn measure(options: &Options, scratch: &Path) {
    println!(
        "\nblind: {PAIRS} interleaved pairs, SQLite, {} actions",
        options.size
    );
    let store = SqliteStore::open(scratch.join("blind.db")).await.unwrap();
    let uids = fill(&store, options.size, Load::Plain).await;
    let store = Arc::new(store);
    let others: Vec<ActionUid> = uids.into_iter().skip(1).step_by(2).collect();
    let mine = (0..500).map(|number| ObjectRef::new("mine", &number.to_string()).unwrap());
    let scopes = [
        ("a tenant", Scope::tenant("acme")),
        ("a set of 500 objects", Scope::objects(mine)),
    ];
    for (name, scope) in scopes {
        let authorizer = move |_: &Parts, _: Permission| Ok::<_, Denied>(scope.clone());
        let app = router(store.clone(), authorizer);
        for version in ["v1", "v2"] {
            let other = |pair: usize| others[pair * 7919 % others.len()];
            let path = |uid: ActionUid| format!("/{version}/actions/{uid}");
            let what = format!("{name}, {}", path_of(version));
            pairs(&app, &what, |n| path(other(n)), |_| path(ActionUid::new())).await;
        }
    }
    // Of this tenant's databases, none has a number beyond a hundred.
    let scope = Scope::tenant("initech");
    let authorizer = move |_: &Parts, _: Permission| Ok::<_, Denied>(scope.clone());
    let app = router(store.clone(), authorizer);
    let path = |uid: usize| format!("/v1/actions/bdb/{uid}");
    let what =
        "a tenant, /v1/actions/bdb/{bdb_uid}, for information: it depends on how much is hidden";
    let _ = times(&app, what, |n| path(n % 90), |n| path(1000 + n)).await;
    store.close().await.unwrap();
}

fn path_of(version: &str) -> String {
    format!("/{version}/actions/{{uid}}")
}

async fn pairs(
    app: &Router,
    what: &str,
    other: impl Fn(usize) -> String,
    absent: impl Fn(usize) -> String,
) {
    let ratio = times(app, what, other, absent).await;
    let aim = format!("the medians differ by less than {:.0} %", MOST * 100.0);
    met(&aim, (ratio - 1.0).abs() < MOST);
}

/// Prints the medians of both and gives their ratio.
async fn times(
    app: &Router,
    what: &str,
    other: impl Fn(usize) -> String,
    absent: impl Fn(usize) -> String,
) -> f64 {
    let mut sides = [Vec::new(), Vec::new()];
    // The first tenth warms up.
    for pair in 0..PAIRS + PAIRS / 10 {
        let mut paths = [(0, other(pair)), (1, absent(pair))];
        if pair % 2 == 1 {
            paths.reverse();
        }
        for (side, path) in paths {
            let begun = Instant::now();
            let (status, _, _) = ask(app, &path).await;
            let took = begun.elapsed();
            assert_eq!(status, 404, "{path}");
            if pair >= PAIRS / 10 {
                sides[side].push(took.as_secs_f64() * 1e6);
            }
        }
    }
    let [other, absent] = sides.map(|times| middle(times.into_iter()));
    let ratio = other / absent;
    println!("  {what}: somebody else's {other:.1} us, absent {absent:.1} us, ratio {ratio:.3}");
    ratio
}
