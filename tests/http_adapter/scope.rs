//! The query that a scope sends to the store, and a scope that exceeds the limits of a
//! query.

use std::sync::{Arc, Mutex};

use action_store::http::{RouterOptions, Scope, router, router_with};
use action_store::{
    ActionStore, ActionStoreExt as _, ActionUid, Filter, Limits, NewAction, ObjectRef, Query,
};
use async_trait::async_trait;
use axum::http::StatusCode;

use crate::support::{Between, GetAnswer, ListAnswer, Plane, Through, get, ok, on_each_store};

on_each_store! {
    a_scope_is_part_of_the_query,
    a_scope_beyond_the_limits_returns_nothing_and_is_reported,
    the_search_behind_many_hidden_actions_is_bounded,
}

/// Records each query and the number of actions found.
#[derive(Debug, Clone, Default)]
struct Asked(Arc<Mutex<Vec<(Query, usize)>>>);

#[async_trait]
impl Between for Asked {
    async fn list(&self, store: &dyn ActionStore, query: &Query) -> ListAnswer {
        let page = store.list(query).await?;
        self.0
            .lock()
            .unwrap()
            .push((query.clone(), page.items.len()));
        Ok(page)
    }
    async fn get(&self, _: &dyn ActionStore, _: &[ActionUid]) -> GetAnswer {
        panic!("a lookup by uid cannot include the scope");
    }
}

async fn a_scope_is_part_of_the_query(plane: Plane) {
    let object = ObjectRef::bdb(1);
    let new = |tenant: &str| {
        NewAction::task("t")
            .with_tenant(tenant)
            .with_object(ObjectRef::bdb(1))
    };
    let mine = plane.queued(new("acme")).await;
    let other = plane.queued(new("globex")).await;
    let asked = Asked::default();
    let scope = Scope::tenant("acme").with_objects([object]);
    let given = scope.clone();
    let app = router(
        Through(plane.store.clone(), asked.clone()),
        move |_: &_, _| Ok(given.clone()),
    );
    for (uid, found) in [(mine, 1), (other, 0), (ActionUid::new(), 0)] {
        for version in ["v1", "v2"] {
            let answer = get(&app, &format!("/{version}/actions/{uid}")).await;
            assert_eq!(answer.status == StatusCode::OK, found == 1, "{answer:?}");
            let questions = std::mem::take(&mut *asked.0.lock().unwrap());
            let [(query, items)] = &questions[..] else {
                panic!("{questions:?}");
            };
            assert_eq!(*items, found);
            assert_eq!(query.filters.len(), 3);
            assert!(query.filters.contains(&Filter::Uid(uid)));
            assert!(query.filters.contains(&Filter::Tenant("acme".into())));
        }
    }
    // An invalid uid needs no query.
    get(&app, "/v1/actions/nonsense")
        .await
        .error(StatusCode::NOT_FOUND);
    assert!(asked.0.lock().unwrap().is_empty());
    // Lists find exactly the actions that they return.
    for path in ["/v1/actions", "/v2/actions", "/v1/actions/bdb/1"] {
        ok(get(&app, path).await);
        let questions = std::mem::take(&mut *asked.0.lock().unwrap());
        let found: usize = questions.iter().map(|(_, items)| items).sum();
        assert_eq!(found, 1, "{path}: {questions:?}");
    }
}

async fn a_scope_beyond_the_limits_returns_nothing_and_is_reported(plane: Plane) {
    let uid = plane
        .queued(NewAction::task("t").with_object(ObjectRef::bdb(1)))
        .await;
    let objects = |count: usize| (1..=count as u64).map(ObjectRef::bdb);
    let cases = [
        (Scope::tenant(""), false),
        (Scope::tenant("x".repeat(Limits::LABEL + 1)), false),
        (Scope::objects(objects(Limits::OBJECTS + 1)), false),
        (Scope::objects(objects(Limits::OBJECTS)), true),
        // A duplicate object counts once.
        (Scope::objects(objects(600).chain(objects(600))), true),
    ];
    for (scope, good) in cases {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = told.clone();
        let options = RouterOptions::new()
            .with_failure_hook(move |failure| sink.lock().unwrap().push(failure.to_string()));
        let app = router_with(
            plane.store.clone(),
            move |_: &_, _| Ok(scope.clone()),
            options,
        );
        for path in [
            "/v1/actions".to_owned(),
            format!("/v1/actions/{uid}"),
            "/v1/actions/bdb/1".to_owned(),
            "/v1/actions/x".to_owned(),
        ] {
            let answer = get(&app, &path).await;
            if good {
                assert_eq!(
                    answer.status.is_success(),
                    !path.ends_with('x'),
                    "{path} {answer:?}"
                );
                continue;
            }
            assert_eq!(
                answer.error(StatusCode::INTERNAL_SERVER_ERROR).0,
                "internal_error"
            );
            let told = told.lock().unwrap().pop().unwrap();
            assert!(told.starts_with("authorize: "), "{told}");
        }
        assert!(told.lock().unwrap().is_empty());
    }
    let found = plane.store.action(uid).await.unwrap();
    assert!(found.is_some());
    plane.store.close().await.unwrap();
}

/// Behaves as if this many empty pages came before every action.
#[derive(Debug, Clone)]
struct Behind {
    others: usize,
    asked: Arc<Mutex<usize>>,
}

#[async_trait]
impl Between for Behind {
    async fn list(&self, store: &dyn ActionStore, query: &Query) -> ListAnswer {
        let asked = {
            let mut asked = self.asked.lock().unwrap();
            *asked += 1;
            *asked
        };
        if asked > self.others {
            return store.list(&query.clone().with_after(None)).await;
        }
        let mut page = store.list(&Query::new().with_limit(1)).await?;
        page.items.clear();
        assert!(page.next.is_some());
        Ok(page)
    }
}

async fn the_search_behind_many_hidden_actions_is_bounded(plane: Plane) {
    let new = NewAction::task("t").with_object(ObjectRef::bdb(1));
    plane.queued(new.clone().with_tenant("acme")).await;
    plane
        .queued(NewAction::task("t").with_tenant("globex"))
        .await;
    let everything = Scope::everything();
    let acme = Scope::tenant("acme");
    for (scope, others, most) in [(&acme, 31, 32), (&acme, 32, 32), (&everything, 32, 8)] {
        for path in ["/v1/actions/bdb/1", "/v1/actions?object=bdb:1"] {
            let asked = Arc::default();
            let behind = Behind {
                others,
                asked: Arc::clone(&asked),
            };
            let scope = scope.clone();
            let app = router(Through(plane.store.clone(), behind), move |_: &_, _| {
                Ok(scope.clone())
            });
            let answer = get(&app, path).await;
            assert_eq!(*asked.lock().unwrap(), most, "{path}");
            if others < most {
                assert!(ok(answer).contains("bdb:1"), "{path}");
            } else if path.contains('?') {
                assert!(answer.next().is_some(), "{answer:?}");
                assert!(!ok(answer).contains("bdb:1"), "{path}");
            } else {
                answer.error(StatusCode::NOT_FOUND);
                // A request with an order gets a next link, and finds the action there.
                let mut answer = get(&app, &format!("{path}?order=newest")).await;
                for _ in 0..4 {
                    if let Some(next) = answer.next() {
                        answer = get(&app, &format!("{path}{next}")).await;
                    }
                }
                assert!(ok(answer).contains("bdb:1"), "{path}");
            }
        }
    }
}
