//! Each list parameter, alone and in pairs, compared with a model.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use action_store::{
    Action, ActionError, ActionStore, ActionStoreExt, ActionUid, Finish, NewAction, ObjectRef,
    Outcome, Query, Status, Timestamp,
};
use axum::Router;
use axum::http::StatusCode;

use crate::support::{Answer, Plane, get, ok, on_each_store};

on_each_store! {
    each_parameter_selects_the_matching_actions,
    the_next_link_keeps_every_parameter,
    the_error_names_the_malformed_parameter,
    a_path_with_an_object_refuses_an_object_parameter,
    a_cursor_is_valid_only_for_its_kind_of_list;
    in_memory:
    each_pair_of_parameters_selects_the_actions_that_match_both,
}

const NAMES: [&str; 2] = ["backup bdb", "a&b=c+d%20é"];
const TENANTS: [&str; 3] = ["default", "eu", "us/1"];
const BEGIN: i64 = 1_700_000_000;

fn objects() -> [Option<ObjectRef>; 4] {
    let fleet = ObjectRef::new("fleet", "eu/7:b").unwrap();
    [
        None,
        Some(ObjectRef::bdb(1)),
        Some(ObjectRef::cluster()),
        Some(fleet),
    ]
}

/// Actions of nearly every kind, one second apart, in creation order.
async fn dataset(plane: &Plane) -> Vec<Arc<Action>> {
    for n in 0..160_usize {
        let mut new = NewAction::task(NAMES[n % 2]).with_tenant(TENANTS[n / 2 % 3]);
        if n % 5 < 2 {
            new = new.with_label("region", ["eu=1", "us 2"][n % 5]);
        }
        let labels = new.labels.clone();
        if let Some(object) = &objects()[n / 6 % 4] {
            new = match n % 3 {
                0 => NewAction::state_machine(&*new.name, object.clone()).with_tenant(new.tenant),
                _ => new.with_object(object.clone()),
            };
            new.labels = labels;
        }
        let uid = plane.queued(new).await;
        // Every seventh action is in another phase than the others of its kind.
        let phase = (n / 24 + n % 7) % 7;
        if phase > 0 {
            plane.store.start(uid, &plane.owner).await.unwrap();
        }
        let error = || ActionError::new("code", "message");
        match phase {
            2 => plane.finish(uid, Finish::succeeded()).await,
            3 => plane.finish(uid, Finish::failed(error())).await,
            4 => plane.finish(uid, Finish::new(Outcome::Cancelled)).await,
            5 => plane.finish(uid, Finish::new(Outcome::Interrupted)).await,
            _ => {}
        }
        plane.clock.advance(Duration::from_secs(1));
    }
    let all = plane.store.list(&Query::new().with_limit(1000)).await;
    let mut all = all.unwrap().items;
    all.reverse();
    assert_eq!(all.len(), 160);
    all
}

type Holds = Box<dyn Fn(&Action) -> bool>;

/// Each parameter and value, as sent, and the actions that match it.
fn parameters() -> Vec<(&'static str, String, Holds)> {
    let mut all: Vec<(&'static str, String, Holds)> = Vec::new();
    for status in Status::ALL {
        let holds = Box::new(move |a: &Action| a.status == *status);
        all.push(("status", status.to_string(), holds));
    }
    for outcome in Outcome::ALL {
        let holds = Box::new(move |a: &Action| a.outcome == Some(*outcome));
        all.push(("outcome", outcome.to_string(), holds));
    }
    for (sent, words) in [
        ("queued,EXECUTING", [Status::Queued, Status::Executing]),
        (
            "executing&status=completed",
            [Status::Executing, Status::Completed],
        ),
    ] {
        let holds = Box::new(move |a: &Action| words.contains(&a.status));
        all.push(("status", sent.to_owned(), holds));
    }
    for sent in ["failed,cancelled", "failed&outcome=cancelled"] {
        let holds = Box::new(move |a: &Action| {
            matches!(a.outcome, Some(Outcome::Failed | Outcome::Cancelled))
        });
        all.push(("outcome", sent.to_owned(), holds));
    }
    for (sent, prefix) in [
        ("back*", "back"),
        ("a%26*", "a&"),
        ("b%2A", "b"),
        ("x*", "x"),
    ] {
        let holds = Box::new(move |a: &Action| a.name.starts_with(prefix));
        all.push(("name", sent.to_owned(), holds));
    }
    for (sent, value) in [
        ("region", None),
        ("region=eu%3D1", Some("eu=1")),
        ("region%3Dus+2", Some("us 2")),
        ("region=eu", Some("eu")),
    ] {
        let holds = Box::new(move |a: &Action| {
            let found = a.labels.get("region");
            found.is_some() && (value.is_none() || found == value)
        });
        all.push(("label", sent.to_owned(), holds));
    }
    for (name, sent) in NAMES.iter().zip(["backup+bdb", "a%26b%3Dc%2Bd%2520%C3%A9"]) {
        let holds = Box::new(move |a: &Action| &*a.name == *name);
        all.push(("name", sent.to_owned(), holds));
    }
    for (object, sent) in
        objects()
            .into_iter()
            .zip(["bdb%3A99", "bdb:1", "cluster", "fleet:eu/7:b"])
    {
        let holds = Box::new(move |a: &Action| object.is_some() && a.object == object);
        all.push(("object", sent.to_owned(), holds));
    }
    for tenant in TENANTS {
        let holds = Box::new(move |a: &Action| *a.tenant == *tenant);
        all.push(("tenant", tenant.to_owned(), holds));
    }
    for (sent, seconds) in [
        ("1700000050", BEGIN + 50),
        ("2023-11-14T22:14:30Z", BEGIN + 70),
        ("2023-11-14T23:13:20%2B01:00", BEGIN),
    ] {
        let time = Timestamp::from_seconds(seconds);
        all.push((
            "since",
            sent.to_owned(),
            Box::new(move |a: &Action| a.created_at >= time),
        ));
        all.push((
            "until",
            sent.to_owned(),
            Box::new(move |a: &Action| a.created_at < time),
        ));
        all.push((
            "finished_since",
            sent.to_owned(),
            Box::new(move |a: &Action| a.finished_at.is_some_and(|at| at >= time)),
        ));
        all.push((
            "finished_until",
            sent.to_owned(),
            Box::new(move |a: &Action| a.finished_at.is_some_and(|at| at < time)),
        ));
    }
    all
}

/// The uids of an answer, in the order of each array.
fn shown(answer: &Answer) -> [Vec<ActionUid>; 2] {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let json = answer.json();
    ["actions", "state-machines"].map(|array| {
        let entries = json[array].as_array().unwrap().iter();
        let uid = |entry: &serde_json::Value| entry["action_uid"].as_str().unwrap().parse();
        entries.map(|entry| uid(entry).unwrap()).collect()
    })
}

async fn walk(app: &Router, query: &str) -> [Vec<ActionUid>; 2] {
    let mut all = [Vec::new(), Vec::new()];
    let mut path = format!("/v1/actions?{query}");
    for _ in 0..400 {
        let answer = get(app, &path).await;
        for (all, page) in all.iter_mut().zip(shown(&answer)) {
            all.extend(page);
        }
        match answer.next() {
            Some(next) => path = format!("/v1/actions{next}"),
            None => return all,
        }
    }
    panic!("{query}: paging did not end");
}

/// The expected answer of a plain query: each array in creation order.
fn expected(
    dataset: &[Arc<Action>],
    oldest: bool,
    holds: impl Fn(&Action) -> bool,
) -> [Vec<ActionUid>; 2] {
    [false, true].map(|machines| {
        let is_machine = |a: &Action| a.source == action_store::Source::StateMachine;
        let found = dataset
            .iter()
            .filter(|a| is_machine(a) == machines && holds(a));
        let mut found: Vec<ActionUid> = found.map(|a| a.uid).collect();
        if !oldest {
            found.reverse();
        }
        found
    })
}

async fn each_parameter_selects_the_matching_actions(plane: Plane) {
    let dataset = dataset(&plane).await;
    let app = plane.router();
    let mut hits: HashMap<&str, usize> = HashMap::new();
    for (name, value, holds) in parameters() {
        for (order, oldest) in [
            ("", false),
            ("&order=newest", false),
            ("&order=oldest", true),
        ] {
            let query = format!("{name}={value}{order}");
            let expected = expected(&dataset, oldest, &holds);
            *hits.entry(name).or_default() += expected.concat().len();
            assert_eq!(walk(&app, &query).await, expected, "{query}");
        }
    }
    for (order, oldest) in [("newest", false), ("oldest", true)] {
        let expected = expected(&dataset, oldest, |_| true);
        assert_eq!(walk(&app, &format!("order={order}")).await, expected);
    }
    // Each parameter matched some actions, so no comparison was empty on both sides.
    assert_eq!(hits.len(), 10);
    assert!(hits.values().all(|hits| *hits > 20), "{hits:?}");
}

async fn each_pair_of_parameters_selects_the_actions_that_match_both(plane: Plane) {
    let dataset = dataset(&plane).await;
    let app = plane.router();
    let parameters = parameters();
    let mut hits = 0;
    for (n, (name, value, holds)) in parameters.iter().enumerate() {
        for (m, (other, other_value, also)) in parameters.iter().enumerate().take(n) {
            if name == other {
                continue;
            }
            let oldest = (n + m) % 2 == 0;
            let order = if oldest { "oldest" } else { "newest" };
            let limit = 1 + (n * 7 + m) % 40;
            let query = format!("{name}={value}&limit={limit}&order={order}&{other}={other_value}");
            let expected = expected(&dataset, oldest, |a| holds(a) && also(a));
            hits += usize::from(!expected.concat().is_empty());
            assert_eq!(walk(&app, &query).await, expected, "{query}");
        }
    }
    assert!(hits > 100, "{hits}");
}

async fn the_next_link_keeps_every_parameter(plane: Plane) {
    dataset(&plane).await;
    let app = plane.router();
    let query = "order=oldest&limit=2&name=a%26b%3Dc%2Bd%2520%C3%A9&since=1700000001.5\
                 &tenant=us/1&status=completed";
    let answer = get(&app, &format!("/v1/actions?{query}")).await;
    let next = answer.next().unwrap();
    let (kept, cursor) = next.rsplit_once("&cursor=").unwrap();
    assert!(cursor.starts_with("1o."), "{next}");
    assert_eq!(
        kept,
        "?limit=2&status=completed&name=a%26b%3Dc%2Bd%2520%C3%A9&tenant=us%2F1\
         &since=1700000001.5&order=oldest"
    );
    // The link after that keeps them too.
    let next = get(&app, &format!("/v1/actions{next}"))
        .await
        .next()
        .unwrap();
    assert_eq!(next.rsplit_once("&cursor=").unwrap().0, kept);
    // A limit alone does not change the kind of list.
    let answer = get(&app, "/v1/actions?limit=3").await;
    assert!(answer.next().unwrap().starts_with("?limit=3&cursor=u."));
    assert_eq!(shown(&answer).concat().len(), 3);
}

async fn the_error_names_the_malformed_parameter(plane: Plane) {
    dataset(&plane).await;
    let app = plane.router();
    let long = format!("name={}", "x".repeat(256));
    let mut cases = vec![("name", long.as_str())];
    cases.extend([
        ("limit", "limit=0"),
        ("limit", "limit=-1"),
        ("limit", "limit=%2B1"),
        ("limit", "limit=1.0"),
        ("limit", "limit="),
        ("status", "status=running"),
        ("status", "status="),
        ("outcome", "outcome=completed"),
        ("name", "name="),
        ("name", "name=a%00"),
        ("name", "name=a%0Ab"),
        ("object", "object=bdb"),
        ("object", "object=cluster:1"),
        ("object", "object=bdb:%00"),
        ("tenant", "tenant="),
        ("since", "since=yesterday"),
        ("since", "since=2023-11-14T22:14:30"),
        ("until", "until=1e9"),
        ("until", "until="),
        ("order", "order=feed"),
        ("status", "status=queued,running"),
        ("status", "status=queued,"),
        ("outcome", "outcome=failed&outcome=completed"),
        ("name", "name=*"),
        ("name", "name=a%00*"),
        ("label", "label="),
        ("label", "label==eu"),
        ("label", "label=region="),
        ("label", "label=region=a%00"),
        ("parent", "parent=1"),
        ("parent", "parent=&parent="),
        ("finished_since", "finished_since=later"),
        ("finished_until", "finished_until="),
        ("name", "name=a&limit=1&name=a"),
        ("bound", "bound=1"),
        ("view", "view=full"),
        ("order", "order=oldest&order=newest"),
        ("after", "after=1"),
        ("wait", "wait=1s"),
        ("tenants", "tenants=eu"),
    ]);
    for (name, query) in cases {
        let answer = get(&app, &format!("/v1/actions?{query}")).await;
        let (code, description) = answer.error(StatusCode::BAD_REQUEST);
        assert_eq!(code, "invalid_parameter", "{query}");
        let named = format!("Query parameter '{name}' ");
        assert!(description.starts_with(&named), "{query}: {description}");
    }
}

async fn a_path_with_an_object_refuses_an_object_parameter(plane: Plane) {
    dataset(&plane).await;
    let app = plane.router();
    for query in ["object=bdb:1", "object=bdb:2", "object=bdb:1&cursor=x"] {
        let answer = get(&app, &format!("/v1/actions/bdb/1?{query}")).await;
        let (_, description) = answer.error(StatusCode::BAD_REQUEST);
        assert!(description.contains("'object'"), "{description}");
    }
}

async fn a_cursor_is_valid_only_for_its_kind_of_list(plane: Plane) {
    dataset(&plane).await;
    let app = plane.router();
    let cursor = async |query: &str| {
        let next = get(&app, &format!("/v1/actions?{query}")).await.next();
        next.unwrap().rsplit_once("cursor=").unwrap().1.to_owned()
    };
    let plain = cursor("order=newest&limit=1").await;
    let oldest = cursor("order=oldest&limit=1").await;
    let walk = cursor("limit=1").await;
    let log = action_store::LogQuery::all().with_limit(1);
    let log = plane.store.log(&log).await.unwrap();
    let log = log.next.unwrap().to_string();
    for query in [
        format!("cursor={plain}"),
        format!("order=oldest&cursor={plain}"),
        format!("order=newest&cursor={oldest}"),
        format!("order=newest&cursor={walk}"),
        format!("cursor=u.{oldest}"),
        format!("name=x&cursor={log}"),
        "order=newest&cursor=f".to_owned(),
    ] {
        let answer = get(&app, &format!("/v1/actions?{query}")).await;
        let (_, description) = answer.error(StatusCode::BAD_REQUEST);
        let fault = "Query parameter 'cursor' is not a cursor of this list";
        assert_eq!(description, fault, "{query}");
    }
    // A cursor holds a position and no filter, so another filter may use it.
    ok(get(&app, &format!("/v1/actions?name=x&cursor={plain}")).await);
}
