//! Measures whether response times distinguish another tenant's action from an absent one.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use action_store::http::{Denied, Permission, Scope, router};
use action_store::{ActionStore, ActionUid, MemoryStore, ObjectRef, SqliteStore};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::request::Parts;

use crate::dataset::{Load, fill};
use crate::middle::middle;
use crate::wire::{Client, Server};
use crate::{Options, met, send};

/// Number of interleaved pairs.
const PAIRS: usize = 2000;

/// Maximum relative difference of the two medians.
const MOST: f64 = 0.2;

/// Fills both stores and sends requests as one of their two tenants.
pub async fn measure(options: &Options, scratch: &Path) {
    println!(
        "\nblind: {PAIRS} interleaved pairs, {} actions",
        options.size
    );
    let sqlite = SqliteStore::open(scratch.join("blind.db")).await.unwrap();
    let sqlite: Arc<dyn ActionStore> = Arc::new(sqlite);
    let stores = [("SQLite", sqlite), ("memory", Arc::new(MemoryStore::new()))];
    for (name, store) in stores {
        println!(" {name}");
        of_store(options, &store).await;
        store.close().await.unwrap();
    }
}

async fn of_store(options: &Options, store: &Arc<dyn ActionStore>) {
    let uids = fill(&**store, options.size, Load::Plain).await;
    let others: Vec<ActionUid> = uids.into_iter().skip(1).step_by(2).collect();
    let other = |pair: usize| others[pair * 7919 % others.len()].to_string();
    let fresh = || ActionUid::new().to_string();
    // Of the time of one that is there; and of no time at all.
    let old = |pair: usize| format!("{}{}", &other(pair)[..24], &fresh()[24..]);
    let random = || fresh().replacen("-7", "-4", 1);
    let mine = (0..500).map(|number| ObjectRef::new("mine", &number.to_string()).unwrap());
    let scopes = [
        ("a tenant", Scope::tenant("acme")),
        ("a set of 500 objects", Scope::objects(mine)),
    ];
    for (name, scope) in scopes {
        let authorizer = move |_: &Parts, _: Permission| Ok::<_, Denied>(scope.clone());
        let app = router(store.clone(), authorizer);
        for (known, path) in [
            (false, "/v1/actions/{uid}"),
            (false, "/v2/actions/{uid}"),
            (false, "/v1/actions/{uid}/history"),
            (false, "/v1/actions/{uid}?wait=0s"),
            (true, "/v1/actions/{uid}"),
        ] {
            let tag = if known { " with If-None-Match" } else { "" };
            let what = format!("{name}, {path}{tag}");
            let fill = |uid: String| path.replace("{uid}", &uid);
            let asked = Asked { app: &app, known };
            pairs(&asked, &what, |n| fill(other(n)), |_| fill(fresh())).await;
        }
        let asked = Asked {
            app: &app,
            known: false,
        };
        let path = |uid: String| format!("/v1/actions/{uid}");
        let what = format!("{name}, absent of an old time");
        pairs(&asked, &what, |n| path(other(n)), |n| path(old(n))).await;
        let what = format!("{name}, absent of version 4");
        pairs(&asked, &what, |n| path(other(n)), |_| path(random())).await;
    }
    // Of this tenant's databases, none has a number beyond a hundred.
    let scope = Scope::tenant("initech");
    let authorizer = move |_: &Parts, _: Permission| Ok::<_, Denied>(scope.clone());
    let app = router(store.clone(), authorizer);
    let asked = Asked {
        app: &app,
        known: false,
    };
    let path = |uid: usize| format!("/v1/actions/bdb/{uid}");
    let what =
        "a tenant, /v1/actions/bdb/{bdb_uid}, for information: it depends on how much is hidden";
    let _ = times(&asked, what, |n| path(n % 90), |n| path(1000 + n)).await;
}

/// Target of the requests, and whether they carry the client's known state.
struct Asked<'r> {
    app: &'r Router,
    known: bool,
}

impl Asked<'_> {
    /// Sends a request within this process, where no network noise hides the adapter's time.
    async fn within(&self, path: &str) -> u16 {
        let mut request = Request::get(path);
        if self.known {
            request = request.header("if-none-match", "*");
        }
        let request = request.body(Body::empty()).unwrap();
        send(self.app, request).await.0
    }

    /// Sends a request over a connection, as a client does.
    async fn over(&self, client: &mut Client, path: &str) -> u16 {
        let known = if self.known {
            "If-None-Match: *\r\n"
        } else {
            ""
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{known}\r\n");
        client.ask(request.as_bytes()).await.0
    }
}

async fn pairs(
    asked: &Asked<'_>,
    what: &str,
    other: impl Fn(usize) -> String,
    absent: impl Fn(usize) -> String,
) {
    let ratio = times(asked, what, other, absent).await;
    let aim = format!("the medians differ by less than {:.0} %", MOST * 100.0);
    met(&aim, (ratio - 1.0).abs() < MOST);
}

/// Prints both medians, and returns their ratio over a connection.
async fn times(
    asked: &Asked<'_>,
    what: &str,
    other: impl Fn(usize) -> String,
    absent: impl Fn(usize) -> String,
) -> f64 {
    let server = Server::start(asked.app.clone()).await;
    let mut client = Client::connect(server.address).await;
    let mut sides = [const { Vec::new() }; 4];
    // The first tenth warms up.
    for pair in 0..PAIRS + PAIRS / 10 {
        for within in [false, true] {
            // Skip the action that was just requested, because it is cached.
            let one = pair + 3 * PAIRS * usize::from(within);
            let mut paths = [(0, other(one)), (1, absent(one))];
            if pair % 2 == 1 {
                paths.reverse();
            }
            for (side, path) in &paths {
                let begun = Instant::now();
                let status = match within {
                    true => asked.within(path).await,
                    false => asked.over(&mut client, path).await,
                };
                let took = begun.elapsed();
                assert_eq!(status, 404, "{path}");
                if pair >= PAIRS / 10 {
                    sides[side + 2 * usize::from(within)].push(took.as_secs_f64() * 1e6);
                }
            }
        }
    }
    let [other, absent, other_within, absent_within] = sides.map(|times| middle(times.into_iter()));
    let ratio = other / absent;
    println!(
        "  {what}: somebody else's {other:.1} us, absent {absent:.1} us, ratio {ratio:.3}; \
         within this process {other_within:.1} us, {absent_within:.1} us"
    );
    ratio
}
