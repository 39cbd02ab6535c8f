//! Who sees what: every role on every endpoint with every method, asked for what is theirs, for
//! somebody else's and for what is not there. What each may see is worked out here, from how the
//! actions were recorded, and not by the library.

use std::collections::BTreeSet;
use std::sync::Arc;

use action_store::http::{Denied, Permission, RouterOptions, Scope, router_with};
use action_store::{
    ActionError, ActionStore, ActionStoreExt, ActionUid, Command, Finish, MemoryStore, NewAction,
    ObjectRef, OwnerRef, RelatedObject, Source,
};
use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, Request, StatusCode};

use crate::support::{Answer, send};

/// What stands in every error's detail.
const DETAIL: &str = "SECRET-DETAIL";

/// What an endpoint is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    All,
    /// `{uid}` in its path.
    One,
    /// `{bdb}` in its path.
    OfBdb,
    /// All, and goes on by positions.
    Feed,
}

/// Every endpoint there is. A new one is a line here.
const ENDPOINTS: &[(&str, Reads)] = &[
    ("/v1/actions", Reads::All),
    ("/v1/actions/{uid}", Reads::One),
    ("/v1/actions/bdb/{bdb}", Reads::OfBdb),
    ("/v1/actions?order=oldest&since=0", Reads::All),
    ("/v1/actions/{uid}?wait=1ms", Reads::One),
    ("/v1/actions/{uid}/history", Reads::One),
    ("/v1/actions/changes?after=0", Reads::Feed),
    ("/v2/actions", Reads::All),
    ("/v2/actions/{uid}", Reads::One),
];

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];

/// Who asks, by a header that the authorizer reads.
#[derive(Debug, Clone, Copy)]
struct Role {
    name: &'static str,
    admitted: Result<Rights, StatusCode>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Rights {
    tenant: Option<&'static str>,
    objects: Option<&'static [&'static str]>,
    operator: bool,
}

const ALL: Rights = Rights {
    tenant: None,
    objects: None,
    operator: false,
};

const fn role(name: &'static str, rights: Rights) -> Role {
    Role {
        name,
        admitted: Ok(rights),
    }
}

const fn denied(name: &'static str, status: StatusCode) -> Role {
    Role {
        name,
        admitted: Err(status),
    }
}

const ACME: Option<&str> = Some("acme");
const ONE: Option<&[&str]> = Some(&["bdb:1"]);
const SOME: Option<&[&str]> = Some(&["bdb:2", "node:1", "crdb:x", "bdb:3"]);

#[rustfmt::skip]
const ROLES: &[Role] = &[
    denied("nobody", StatusCode::UNAUTHORIZED),
    denied("stranger", StatusCode::FORBIDDEN),
    denied("undecided", StatusCode::SERVICE_UNAVAILABLE),
    role("viewer", ALL),
    role("operator", Rights { operator: true, ..ALL }),
    role("acme", Rights { tenant: ACME, ..ALL }),
    role("acme's operator", Rights { tenant: ACME, operator: true, ..ALL }),
    role("globex", Rights { tenant: Some("globex"), ..ALL }),
    role("default's", Rights { tenant: Some("default"), ..ALL }),
    role("nobody's tenant", Rights { tenant: Some("initech"), ..ALL }),
    role("one object", Rights { objects: ONE, ..ALL }),
    role("one object's operator", Rights { objects: ONE, operator: true, ..ALL }),
    role("some objects", Rights { objects: SOME, ..ALL }),
    role("no objects", Rights { objects: Some(&[]), ..ALL }),
    role("one object of acme", Rights { tenant: ACME, objects: ONE, ..ALL }),
    role("some objects of acme", Rights { tenant: ACME, objects: SOME, operator: true }),
];

impl Rights {
    fn scope(&self) -> Scope {
        let objects = |texts: &[&str]| -> Vec<ObjectRef> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let mut scope = match (self.tenant, self.objects) {
            (None, None) => Scope::everything(),
            (Some(tenant), None) => Scope::tenant(tenant),
            (None, Some(texts)) => Scope::objects(objects(texts)),
            (Some(tenant), Some(texts)) => Scope::tenant(tenant).with_objects(objects(texts)),
        };
        if self.operator {
            scope = scope.with_operator_detail();
        }
        scope
    }

    fn sees(&self, recorded: &Recorded) -> bool {
        let touched = |objects: &[&str]| objects.iter().any(|o| recorded.touches.contains(o));
        self.tenant.is_none_or(|tenant| tenant == recorded.tenant)
            && self.objects.is_none_or(touched)
    }
}

fn authorize(parts: &Parts, _: Permission) -> Result<Scope, Denied> {
    let name = parts.headers.get("x-role").and_then(|h| h.to_str().ok());
    let role = ROLES.iter().find(|role| Some(role.name) == name);
    match role.unwrap().admitted {
        Ok(rights) => Ok(rights.scope()),
        Err(StatusCode::UNAUTHORIZED) => Err(Denied::basic("r")),
        Err(StatusCode::FORBIDDEN) => Err(Denied::Forbidden),
        Err(_) => Err(Denied::Unavailable),
    }
}

/// An action as it was recorded.
struct Recorded {
    uid: ActionUid,
    tenant: &'static str,
    touches: Vec<&'static str>,
    failed: bool,
}

/// Records actions of each tenant on objects of its own and on shared ones, unfinished and failed.
async fn record(store: &dyn ActionStore) -> Vec<Recorded> {
    let owner = OwnerRef::new("plane");
    let claim = Command::Claim {
        owner: owner.clone(),
        take_over: true,
    };
    store.command(claim).await.unwrap();
    let mut recorded = Vec::new();
    for tenant in ["default", "acme", "globex"] {
        for (number, touches) in [
            vec![],
            vec!["bdb:1"],
            vec!["bdb:2"],
            vec!["node:1", "bdb:1"],
            vec!["crdb:x", "bdb:2", "bdb:1"],
            vec!["cluster"],
            vec![if tenant == "acme" { "bdb:4" } else { "bdb:5" }],
        ]
        .into_iter()
        .enumerate()
        {
            let mut objects = touches
                .iter()
                .map(|text| text.parse::<ObjectRef>().unwrap());
            let mut new = match objects.next() {
                None => NewAction::task("t"),
                Some(object) if number % 2 == 0 => NewAction::state_machine("SM", object),
                Some(object) => NewAction::new(Source::Other, "o").with_object(object),
            };
            new = new.with_tenant(tenant);
            for object in objects {
                new = new.with_related(RelatedObject::new("with", object));
            }
            let failed = number != 2;
            let uid = store.create(new).await.unwrap().uid;
            store.start(uid, &owner).await.unwrap();
            if failed {
                let error = ActionError::new("broken", "it broke").with_detail(DETAIL);
                let finish = Finish::failed(error);
                store.finish(uid, finish, Some(&owner)).await.unwrap();
            }
            recorded.push(Recorded {
                uid,
                tenant,
                touches,
                failed,
            });
        }
    }
    recorded
}

/// What a path is filled with.
#[derive(Debug, Clone)]
struct Target {
    text: String,
    /// What takes its place in the text of an answer about something that is not there.
    absent: String,
}

fn targets(reads: Reads, recorded: &[Recorded]) -> Vec<Target> {
    let target = |text: String, absent: &str| Target {
        text,
        absent: absent.to_owned(),
    };
    match reads {
        Reads::All | Reads::Feed => vec![target(String::new(), "")],
        Reads::One => {
            let absent = ActionUid::new().to_string();
            let known = recorded.iter().map(|r| r.uid.to_string());
            let others = [absent.clone(), "x".repeat(36)];
            let all = known.chain(others);
            all.map(|text| target(text, &absent)).collect()
        }
        Reads::OfBdb => ["1", "2", "3", "4", "5", "9"]
            .map(|text| target(text.to_owned(), "9"))
            .to_vec(),
    }
}

/// The actions that an endpoint has to show a role.
fn expected(rights: Rights, reads: Reads, target: &Target, all: &[Recorded]) -> BTreeSet<String> {
    let bdb = format!("bdb:{}", target.text);
    all.iter()
        .filter(|r| rights.sees(r))
        .filter(|r| match reads {
            Reads::All | Reads::Feed => true,
            Reads::One => r.uid.to_string() == target.text,
            Reads::OfBdb => r.touches.contains(&&*bdb),
        })
        .map(|r| r.uid.to_string())
        .collect()
}

/// The uids that a body shows, wherever they stand in it.
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

async fn ask(app: &Router, role: &Role, method: &str, path: &str) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = Request::builder().method(method).uri(path);
    let request = request.header("x-role", role.name);
    send(app, request.body(Body::empty()).unwrap()).await
}

/// Where it goes on, if it does.
fn next(answer: &Answer) -> Option<String> {
    let json = answer.json();
    match json["more"] == true {
        true => Some(format!("?after={}", json["position"].as_str().unwrap())),
        false => answer.next(),
    }
}

/// An answer as one text, without what differs from one answer to the next by intent.
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
    all: Vec<Recorded>,
    cells: usize,
    wrong: Vec<String>,
}

impl Matrix {
    /// Walks a list to its end, by pages that may hold two. Only the last one may hold fewer.
    async fn walk(&self, role: &Role, path: &str, first: &Answer) -> Result<Vec<String>, String> {
        let mut uids = Vec::new();
        shown(&first.json(), &mut uids);
        let (mut next, mut last) = (next(first), uids.len());
        let path = path.split('?').next().unwrap();
        while let Some(reference) = next {
            if last != 2 || uids.len() > 100 {
                return Err(format!("a page of {last} goes on"));
            }
            let page = ask(&self.app, role, "GET", &format!("{path}{reference}")).await;
            if page.status != StatusCode::OK {
                return Err(format!("a page is {}", page.status));
            }
            let before = uids.len();
            shown(&page.json(), &mut uids);
            (next, last) = (self::next(&page), uids.len() - before);
        }
        Ok(uids)
    }

    /// What is wrong with an answer, if anything.
    async fn fault(
        &self,
        role: &Role,
        method: &str,
        (path, reads): (&str, Reads),
        target: &Target,
    ) -> Option<String> {
        let filled = |text: &str| path.replace("{uid}", text).replace("{bdb}", text);
        let answer = ask(&self.app, role, method, &filled(&target.text)).await;
        let absent = ask(&self.app, role, method, &filled(&target.absent)).await;
        let like_absent = whole(&answer, target) == whole(&absent, target);
        let differs = || Some(format!("{answer:?} is not {absent:?}"));
        let status = |expected: StatusCode| {
            (answer.status != expected).then(|| format!("{} is not {expected}", answer.status))
        };
        if !["GET", "HEAD"].contains(&method) {
            // Before anybody is asked who it is.
            let allow = answer.headers.get("allow").map(|allow| allow.as_bytes());
            if allow != Some(b"GET,HEAD") || !like_absent {
                return differs();
            }
            return status(StatusCode::METHOD_NOT_ALLOWED);
        }
        let rights = match role.admitted {
            Ok(rights) => rights,
            Err(expected) => {
                return status(expected).or_else(|| if like_absent { None } else { differs() });
            }
        };
        let expected = expected(rights, reads, target, &self.all);
        let names_one = matches!(reads, Reads::One | Reads::OfBdb);
        if names_one && expected.is_empty() {
            let wrong = status(StatusCode::NOT_FOUND);
            return wrong.or_else(|| if like_absent { None } else { differs() });
        }
        if let Some(wrong) = status(StatusCode::OK) {
            return Some(wrong);
        }
        if method == "HEAD" {
            let get = ask(&self.app, role, "GET", &filled(&target.text)).await;
            let length = answer.headers.get("content-length").cloned();
            let right = answer.body.is_empty()
                && length.is_some_and(|length| length == get.body.len().to_string())
                && answer.headers.get("link") == get.headers.get("link");
            return (!right).then(|| format!("{answer:?} is not the head of {get:?}"));
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
            .all
            .iter()
            .any(|r| r.failed && expected.contains(&r.uid.to_string()));
        let may = rights.operator && reads == Reads::One && failed;
        (has_detail != may).then(|| format!("operator detail: {}", answer.body))
    }

    async fn check(store: Arc<dyn ActionStore>) -> Matrix {
        let all = record(&*store).await;
        let options = RouterOptions::new().with_cap(2);
        let mut matrix = Matrix {
            app: router_with(store, authorize, options),
            all,
            cells: 0,
            wrong: Vec::new(),
        };
        for role in ROLES {
            for endpoint in ENDPOINTS {
                for target in targets(endpoint.1, &matrix.all) {
                    for method in METHODS {
                        matrix.cells += 1;
                        let fault = matrix.fault(role, method, *endpoint, &target).await;
                        matrix.wrong.extend(fault.map(|fault| {
                            format!(
                                "{}, {method} {}, {}: {fault}",
                                role.name, endpoint.0, target.text
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
async fn everybody_sees_what_is_theirs_and_nothing_of_the_rest_in_memory() {
    Matrix::check(Arc::new(MemoryStore::new()))
        .await
        .report("memory");
}

#[cfg(feature = "sqlite-unbundled")]
#[tokio::test]
async fn everybody_sees_what_is_theirs_and_nothing_of_the_rest_in_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let store = action_store::SqliteStore::open(dir.path().join("actions.db")).await;
    let store = Arc::new(store.unwrap());
    Matrix::check(store.clone()).await.report("sqlite");
    store.close().await.unwrap();
}
