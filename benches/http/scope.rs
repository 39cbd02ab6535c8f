//! Measures lists under a scope of many objects in a large store.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::http::{Denied, Permission, Scope, router};
use action_store::{ActionStore, Change, Finish, NewAction, ObjectRef, Outcome, SqliteStore};
use axum::http::request::Parts;

use crate::dataset::{apply, create, write};
use crate::{Options, ask, met};

/// Number of objects in a scope.
const OBJECTS: u64 = 500;

/// Each action has its own object, except the newest and one in a hundred, which use one of 500.
async fn fill(store: &dyn ActionStore, rows: usize) {
    let mut commands = Vec::new();
    for row in 0..rows as u64 {
        let object = match row % 100 {
            0 => ObjectRef::bdb(row / 100 % OBJECTS),
            _ => ObjectRef::node(row),
        };
        let new = NewAction::task("t").with_object(object);
        let uid = new.uid;
        commands.push(create(new));
        let finish = Finish::new(Outcome::Interrupted);
        commands.push(apply(uid, Change::Finish(finish), None));
        if commands.len() >= 900 {
            write(store, std::mem::take(&mut commands)).await;
        }
    }
    write(store, commands).await;
}

/// Requests the first page a few times, then reads to the end.
pub async fn measure(options: &Options, scratch: &Path) {
    println!("\nscope: SQLite, {} actions", options.large);
    let store = SqliteStore::open(scratch.join("scope.db")).await.unwrap();
    let begun = Instant::now();
    fill(&store, options.large).await;
    println!("  filled in {:.1?}", begun.elapsed());
    let store = Arc::new(store);
    let known = || (0..OBJECTS).map(ObjectRef::bdb);
    let unknown = (0..OBJECTS).map(|n| ObjectRef::new("gone", &n.to_string()).unwrap());
    let scopes = [
        ("everything", Scope::everything()),
        ("one object", Scope::objects([ObjectRef::bdb(7)])),
        (
            "500 objects of one action in a hundred",
            Scope::objects(known()),
        ),
        (
            "the same, of a tenant without any",
            Scope::tenant("acme").with_objects(known()),
        ),
        ("500 objects of none", Scope::objects(unknown)),
        (
            "500 of one action each",
            Scope::objects((1..=OBJECTS).map(ObjectRef::node)),
        ),
    ];
    let mut worst = Duration::ZERO;
    for (name, scope) in scopes {
        let authorizer = move |_: &Parts, _: Permission| Ok::<_, Denied>(scope.clone());
        let app = router(store.clone(), authorizer);
        let mut firsts = Vec::new();
        let (mut reference, mut pages, mut shown) = (String::new(), 0, 0);
        let mut slowest = Duration::ZERO;
        // Enough pages to represent a scan of a large store.
        while pages < 50 {
            let begun = Instant::now();
            let (status, link, body) = ask(&app, &format!("/v2/actions{reference}")).await;
            let took = begun.elapsed();
            assert_eq!(status, 200);
            let entries: Vec<serde::de::IgnoredAny> = serde_json::from_slice(&body).unwrap();
            (pages, shown) = (pages + 1, shown + entries.len());
            slowest = slowest.max(took);
            if firsts.is_empty() {
                firsts.push((took, entries.len()));
            }
            match link {
                Some(link) => {
                    let target = link.split(['<', '>']).nth(1).unwrap();
                    reference = target.to_owned();
                }
                None => break,
            }
        }
        for _ in 1..options.rounds {
            let begun = Instant::now();
            ask(&app, "/v2/actions").await;
            firsts.push((begun.elapsed(), 0));
        }
        let entries = firsts[0].1;
        firsts.sort();
        let (first, _) = firsts[(firsts.len() - 1) / 2];
        worst = worst.max(slowest);
        println!(
            "  {name}: first answer {first:.1?} with {entries} entries; {shown} in {pages} answers, \
             the slowest {slowest:.1?}"
        );
    }
    met("no answer takes a second", worst < Duration::from_secs(1));
    store.close().await.unwrap();
}
