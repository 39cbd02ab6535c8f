//! Authorization matrix: every role, endpoint and method, for actions that the role may
//! see, actions it may not see and unknown actions. The expected answers are computed
//! here from the recorded actions, not by the library.

mod recorded;
mod roles;
mod streams;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use action_store::http::{RouterOptions, router_with};
use action_store::{ActionStore, ActionUid, MemoryStore};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};

use crate::support::{Answer, send};
use recorded::{DETAIL, History, Recorded, record};
use roles::{ROLES, Rights, Role, authorize};

/// The kind of data that an endpoint returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    All,
    /// `{uid}` in its path.
    One,
    /// The same, from a client that sends the current `ETag`.
    Known,
    /// `{bdb}` in its path.
    OfBdb,
    /// All actions, paged by positions.
    Feed,
    /// The same, as events.
    Stream,
    /// A list that only operators may ask for.
    Owned,
    /// Numbers of actions.
    Counts,
}

/// A request, and the actions that match it.
struct Endpoint {
    path: &'static str,
    reads: Reads,
    asks_for: fn(&Recorded) -> bool,
}

const fn asking(path: &'static str, reads: Reads, asks_for: fn(&Recorded) -> bool) -> Endpoint {
    Endpoint {
        path,
        reads,
        asks_for,
    }
}

const fn plain(path: &'static str, reads: Reads) -> Endpoint {
    asking(path, reads, |_| true)
}

fn is_on_1(recorded: &Recorded) -> bool {
    recorded.touches.first() == Some(&"bdb:1")
}

/// Every endpoint, one per line. A new endpoint needs a line here.
#[rustfmt::skip]
const ENDPOINTS: &[Endpoint] = &[
    plain("/v1/actions", Reads::All),
    plain("/v1/actions/{uid}", Reads::One),
    plain("/v1/actions/{uid}", Reads::Known),
    plain("/v1/actions/bdb/{bdb}", Reads::OfBdb),
    plain("/v1/actions?order=oldest&since=0", Reads::All),
    plain("/v1/actions/{uid}?wait=1ms", Reads::One),
    plain("/v1/actions/{uid}/history", Reads::One),
    plain("/v1/actions/changes?after=0", Reads::Feed),
    plain("/v1/actions/changes?after=0&wait=1ms", Reads::Feed),
    asking("/v1/actions/changes?wait=1ms", Reads::Feed, |_| false),
    plain("/v1/actions/changes?after=0", Reads::Stream),
    plain("/v2/actions", Reads::All),
    plain("/v2/actions/{uid}", Reads::One),
    plain("/v2/actions/{uid}", Reads::Known),
    asking("/v1/actions?tenant=acme", Reads::All, |r| r.tenant == "acme"),
    asking("/v1/actions?object=bdb:1", Reads::All, is_on_1),
    asking("/v1/actions?object=bdb:9", Reads::All, |_| false),
    asking("/v1/actions?object=bdb:1&tenant=acme", Reads::All, |r| is_on_1(r) && r.tenant == "acme"),
    asking("/v1/actions?status=completed", Reads::All, |r| r.failed),
    asking("/v1/actions?status=executing&order=oldest", Reads::All, |r| !r.failed),
    asking("/v1/actions?outcome=failed&name=o", Reads::All, |r| r.failed && r.name == "o"),
    asking("/v2/actions?until=0", Reads::All, |_| false),
    asking("/v2/actions?tenant=globex&order=oldest", Reads::All, |r| r.tenant == "globex"),
    asking("/v1/actions/bdb/{bdb}?tenant=acme", Reads::OfBdb, |r| r.tenant == "acme"),
    asking("/v1/actions/bdb/{bdb}?status=executing", Reads::OfBdb, |r| !r.failed),
    plain("/v1/actions/{uid}?view=full", Reads::One),
    plain("/v2/actions/{uid}?view=full&wait=1ms", Reads::One),
    asking("/v1/actions?label=group=acme", Reads::All, |r| r.tenant == "acme"),
    asking("/v1/actions?label=group&label=parity=1", Reads::All, |r| r.parity == 1),
    asking("/v1/actions?label=none", Reads::All, |_| false),
    asking("/v1/actions?name=S*&order=oldest", Reads::All, |r| r.name == "SM"),
    asking("/v1/actions?status=completed&order=finished", Reads::All, |r| r.failed),
    asking("/v2/actions?order=finished&finished_since=0&outcome=failed,lost", Reads::All, |r| r.failed),
    asking("/v1/actions?finished_until=0", Reads::All, |_| false),
    asking("/v1/actions?status=queued,executing", Reads::All, |r| !r.failed),
    asking("/v1/actions?parent={parent}", Reads::All, |r| r.tenant == "acme" && r.parent.is_some()),
    plain("/v1/actions?view=records", Reads::All),
    asking("/v2/actions?view=records&order=oldest&name=S*", Reads::All, |r| r.name == "SM"),
    asking("/v1/actions/bdb/{bdb}?view=records&status=executing", Reads::OfBdb, |r| !r.failed),
    asking("/v1/actions/bdb/{bdb}?label=parity=0&order=finished", Reads::OfBdb, |r| r.parity == 0 && r.failed),
    plain("/v1/actions?owner=plane", Reads::Owned),
    asking("/v2/actions?owner=nobody", Reads::Owned, |_| false),
    plain("/v1/actions/counts", Reads::Counts),
    plain("/v2/actions/counts", Reads::Counts),
    asking("/v1/actions/counts?tenant=acme&label=parity=0", Reads::Counts, |r| r.tenant == "acme" && r.parity == 0),
    asking("/v1/actions/counts?parent={parent}&outcome=failed", Reads::Counts, |r| r.tenant == "acme" && r.parent.is_some()),
    asking("/v1/actions/counts?object=bdb:9", Reads::Counts, |_| false),
];

const METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
];

/// The values in a path.
#[derive(Debug, Clone)]
struct Target {
    text: String,
    /// The value that takes its place in the expected text of a "not found" answer.
    absent: String,
}

fn targets(reads: Reads, history: &History) -> Vec<Target> {
    let target = |text: String, absent: &str| Target {
        text,
        absent: absent.to_owned(),
    };
    match reads {
        Reads::All | Reads::Feed | Reads::Stream | Reads::Owned | Reads::Counts => {
            vec![target(String::new(), "")]
        }
        Reads::One | Reads::Known => {
            let fresh = ActionUid::new().to_string();
            let there = history.all.iter().map(|r| r.uid);
            let known = there.chain(history.removed.iter().copied()).map(|uid| {
                // A uid of the same time, because the time decides between 404 and 410.
                let text = uid.to_string();
                let absent = format!("{}{}", &text[..24], &fresh[24..]);
                target(text, &absent)
            });
            let none = [fresh.clone(), "x".repeat(36)].map(|text| target(text, &fresh));
            known.chain(none).collect()
        }
        Reads::OfBdb => ["1", "2", "3", "4", "5", "9"]
            .map(|text| target(text.to_owned(), "9"))
            .to_vec(),
    }
}

/// The actions that an endpoint must return to a role.
fn expected(
    rights: Rights,
    asked: &Endpoint,
    target: &Target,
    all: &[Recorded],
) -> BTreeSet<String> {
    let bdb = format!("bdb:{}", target.text);
    all.iter()
        .filter(|r| rights.sees(r) && (asked.asks_for)(r))
        .filter(|r| match asked.reads {
            Reads::All | Reads::Feed | Reads::Stream | Reads::Owned | Reads::Counts => true,
            Reads::One | Reads::Known => r.uid.to_string() == target.text,
            Reads::OfBdb => r.touches.contains(&&*bdb),
        })
        .map(|r| r.uid.to_string())
        .collect()
}

/// All uids in a body, at any place.
fn shown(json: &serde_json::Value, uids: &mut Vec<String>) {
    match json {
        serde_json::Value::Array(items) => items.iter().for_each(|item| shown(item, uids)),
        serde_json::Value::Object(fields) => match fields.get("action_uid") {
            Some(uid) => uids.push(uid.as_str().unwrap().to_owned()),
            None => fields.values().for_each(|field| shown(field, uids)),
        },
        _ => {}
    }
}

fn request(role: &Role, method: &str, path: &str, reads: Reads) -> Request<Body> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = Request::builder().method(method).uri(path);
    let request = request.header("x-role", role.name);
    let request = match reads {
        Reads::Stream => request.header("accept", "text/event-stream"),
        Reads::Known => request.header("if-none-match", "*"),
        _ => request,
    };
    request.body(Body::empty()).unwrap()
}

async fn ask(app: &Router, role: &Role, method: &str, path: &str, reads: Reads) -> Answer {
    send(app, request(role, method, path, reads)).await
}

/// The link to the next page, if there is one.
fn next(answer: &Answer) -> Option<String> {
    let json = answer.json();
    match json["more"] == true {
        true => Some(format!("?after={}", json["position"].as_str().unwrap())),
        false => answer.next(),
    }
}

/// An answer as one text, without the parts that differ between answers on purpose.
fn whole(answer: &Answer, target: &Target) -> String {
    let mut body = answer.body.clone();
    if let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(&body)
        && let Some(reference) = fields.get("reference").and_then(|r| r.as_str())
    {
        body = body.replace(reference, "");
    }
    if !target.text.is_empty() {
        body = body.replace(&target.text, &target.absent);
    }
    let mut headers: Vec<String> = answer.headers.iter().map(|h| format!("{h:?}")).collect();
    headers.sort();
    format!("{} {headers:?} {body}", answer.status)
}

struct Matrix {
    app: Router,
    history: History,
    cells: usize,
    wrong: Vec<String>,
}

impl Matrix {
    /// Reads a list to its end, in pages of at most two actions. Only the last page may
    /// have fewer.
    async fn walk(&self, role: &Role, path: &str, first: &Answer) -> Result<Vec<String>, String> {
        let mut uids = Vec::new();
        shown(&first.json(), &mut uids);
        let (mut next, mut last) = (next(first), uids.len());
        let path = path.split('?').next().unwrap();
        while let Some(reference) = next {
            if last != 2 || uids.len() > 100 {
                return Err(format!("a page of {last} has a next link"));
            }
            let page = ask(
                &self.app,
                role,
                "GET",
                &format!("{path}{reference}"),
                Reads::All,
            )
            .await;
            if page.status != StatusCode::OK {
                return Err(format!("a page is {}", page.status));
            }
            let before = uids.len();
            shown(&page.json(), &mut uids);
            (next, last) = (self::next(&page), uids.len() - before);
        }
        Ok(uids)
    }

    /// Returns the error in numbers of actions, if there is one.
    fn miscounted(&self, counts: &serde_json::Value, uids: &BTreeSet<String>) -> Option<String> {
        let of = |failed: bool| {
            let all = self.history.all.iter();
            let counted = all.filter(|r| uids.contains(&r.uid.to_string()) && r.failed == failed);
            counted.count()
        };
        let states = ["queued", "succeeded", "cancelled", "interrupted", "lost"];
        let others = states.map(|state| (state, 0));
        let some = [
            ("executing", of(false)),
            ("failed", of(true)),
            ("total", uids.len()),
        ];
        let right = |(state, number): (&str, usize)| {
            counts[state] == serde_json::json!({ "number": number, "exact": true })
        };
        let all = others.into_iter().chain(some).all(right);
        (!all).then(|| format!("{counts} is not the numbers of {uids:?}"))
    }

    /// Returns the error in an answer, if there is one.
    async fn fault(
        &self,
        role: &Role,
        method: &str,
        asked: &Endpoint,
        target: &Target,
    ) -> Option<String> {
        let reads = asked.reads;
        let parent = self.history.parent.to_string();
        let filled = |text: &str| {
            let path = asked.path.replace("{uid}", text).replace("{bdb}", text);
            path.replace("{parent}", &parent)
        };
        if let (Reads::Stream, "GET", Ok(rights)) = (reads, method, role.admitted) {
            let expected = expected(rights, asked, target, &self.history.all);
            return streams::fault(
                &self.app,
                request(role, method, asked.path, reads),
                &expected,
            )
            .await;
        }
        let answer = ask(&self.app, role, method, &filled(&target.text), reads).await;
        let absent = ask(&self.app, role, method, &filled(&target.absent), reads).await;
        let like_absent = whole(&answer, target) == whole(&absent, target);
        let differs = || Some(format!("{answer:?} is not {absent:?}"));
        let status = |expected: StatusCode| {
            (answer.status != expected).then(|| format!("{} is not {expected}", answer.status))
        };
        let rights = match role.admitted {
            Ok(rights) => rights,
            Err(expected) => {
                return status(expected).or_else(|| if like_absent { None } else { differs() });
            }
        };
        if !["GET", "HEAD"].contains(&method) {
            let allow = answer.headers.get("allow").map(|allow| allow.as_bytes());
            if allow != Some(b"GET,HEAD") || !like_absent {
                return differs();
            }
            return status(StatusCode::METHOD_NOT_ALLOWED);
        }
        if reads == Reads::Owned && !rights.operator {
            return status(StatusCode::FORBIDDEN);
        }
        let expected = expected(rights, asked, target, &self.history.all);
        let names_one = matches!(reads, Reads::One | Reads::Known | Reads::OfBdb);
        if names_one && expected.is_empty() {
            let wrong = status(match reads {
                // With a filter it is a list, which may be empty.
                Reads::OfBdb if asked.path.contains('?') => StatusCode::OK,
                Reads::OfBdb => StatusCode::NOT_FOUND,
                _ if self.history.is_gone(&target.text) => StatusCode::GONE,
                _ => StatusCode::NOT_FOUND,
            });
            return wrong.or_else(|| if like_absent { None } else { differs() });
        }
        if reads == Reads::Known {
            let empty = answer.body.is_empty() && answer.headers.contains_key("etag");
            let wrong = status(StatusCode::NOT_MODIFIED);
            return wrong.or_else(|| (!empty).then(|| format!("{answer:?}")));
        }
        if let Some(wrong) = status(StatusCode::OK) {
            return Some(wrong);
        }
        if method == "HEAD" {
            if reads == Reads::Stream {
                return (!answer.body.is_empty()).then(|| format!("{answer:?}"));
            }
            let get = ask(&self.app, role, "GET", &filled(&target.text), reads).await;
            let length = answer.headers.get("content-length").cloned();
            let right = answer.body.is_empty()
                && length.is_some_and(|length| length == get.body.len().to_string())
                && answer.headers.get("link") == get.headers.get("link");
            return (!right).then(|| format!("{answer:?} is not the head of {get:?}"));
        }
        // An owner is operator detail.
        if !rights.operator && answer.body.contains("\"plane\"") {
            return Some(format!("owner: {}", answer.body));
        }
        if reads == Reads::Counts {
            return self.miscounted(&answer.json(), &expected);
        }
        if asked.path.contains("view=full") {
            let parts = |r: &&Recorded| {
                rights.sees(r) && r.parent.map(|uid| uid.to_string()).as_ref() == Some(&target.text)
            };
            let parts = self.history.all.iter().filter(parts);
            let parts = parts.map(|r| r.uid.to_string()).collect();
            let wrong = self.miscounted(&answer.json()["parts"], &parts);
            if wrong.is_some() {
                return wrong;
            }
        }
        let uids = match self.walk(role, &filled(&target.text), &answer).await {
            Ok(uids) => uids,
            Err(wrong) => return Some(wrong),
        };
        let found: BTreeSet<String> = uids.iter().cloned().collect();
        if found != expected || uids.len() != expected.len() {
            return Some(format!("{uids:?} is not {expected:?}"));
        }
        let has_detail = answer.body.contains(DETAIL);
        let failed = self
            .history
            .all
            .iter()
            .any(|r| r.failed && expected.contains(&r.uid.to_string()));
        let may = rights.operator && reads == Reads::One && failed;
        (has_detail != may).then(|| format!("operator detail: {}", answer.body))
    }

    async fn check(store: Arc<dyn ActionStore>) -> Matrix {
        let history = record(&*store).await;
        let options = RouterOptions::new()
            .with_cap(2)
            .with_stream_time(Duration::from_millis(300));
        let mut matrix = Matrix {
            app: router_with(store, authorize, options),
            history,
            cells: 0,
            wrong: Vec::new(),
        };
        for role in ROLES {
            for endpoint in ENDPOINTS {
                for target in targets(endpoint.reads, &matrix.history) {
                    for method in METHODS {
                        matrix.cells += 1;
                        let fault = matrix.fault(role, method, endpoint, &target).await;
                        matrix.wrong.extend(fault.map(|fault| {
                            format!(
                                "{}, {method} {}, {}: {fault}",
                                role.name, endpoint.path, target.text
                            )
                        }));
                    }
                }
            }
        }
        matrix
    }

    fn report(&self, store: &str) {
        println!("{store}: {} cells, {} wrong", self.cells, self.wrong.len());
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}

#[tokio::test]
async fn every_role_sees_only_its_own_actions_in_memory() {
    Matrix::check(Arc::new(MemoryStore::new()))
        .await
        .report("memory");
}

#[cfg(feature = "sqlite-unbundled")]
#[tokio::test]
async fn every_role_sees_only_its_own_actions_in_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let store = action_store::SqliteStore::open(dir.path().join("actions.db")).await;
    let store = Arc::new(store.unwrap());
    Matrix::check(store.clone()).await.report("sqlite");
    store.close().await.unwrap();
}

#[cfg(all(unix, feature = "postgres"))]
#[tokio::test]
async fn every_role_sees_only_its_own_actions_in_postgresql() {
    let name = "every_role_sees_only_its_own_actions_in_postgresql";
    if let Some(store) = crate::support::postgres(name, None).await {
        Matrix::check(store.clone()).await.report("postgresql");
        store.close().await.unwrap();
    }
}
