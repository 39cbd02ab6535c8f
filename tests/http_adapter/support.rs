//! A plane that records actions, an HTTP client, and a wrapper for the store.

use std::fmt;
use std::sync::Arc;

use action_store::http::{AllowAll, RouterOptions, StatusVocabulary, router, router_with};
use action_store::owner::{Owner, OwnerQuery};
use action_store::query::{Position, Revision};
use action_store::{
    Action, ActionError, ActionStore, ActionStoreExt, ActionUid, Batch, Capabilities, Clock,
    Command, Done, Finish, LogEntry, LogQuery, MemoryStore, NewAction, Outcome, OwnerRef, Page,
    Progress, Query, Rejection, Report, StoreError, Timestamp,
};
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use tower::ServiceExt as _;

#[cfg(all(unix, feature = "postgres"))]
#[path = "../support/postgres.rs"]
#[allow(dead_code)]
mod server;

/// Runs tests, which are functions of a plane: over a store in memory, and over one in PostgreSQL
/// if there is a server. Tests after `in_memory:` write thousands of times, and do only the first.
macro_rules! on_each_store {
    ($($test:ident),* $(,)? $(; in_memory: $($large:ident),* $(,)?)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::support::Plane::new().await).await;
            })*
            $($(#[tokio::test]
            async fn $large() {
                super::$large(crate::support::Plane::new().await).await;
            })*)?
        }

        #[cfg(all(unix, feature = "postgres"))]
        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                let name = concat!(module_path!(), "::", stringify!($test));
                if let Some(plane) = crate::support::Plane::postgres(name).await {
                    super::$test(plane).await;
                }
            })*
        }
    };
}
pub(crate) use on_each_store;

/// A store, its clock and an owner that is alive.
pub(crate) struct Plane {
    pub(crate) store: Arc<dyn ActionStore>,
    pub(crate) clock: Clock,
    pub(crate) owner: OwnerRef,
}

impl Plane {
    pub(crate) async fn new() -> Plane {
        let clock = Plane::clock();
        Plane::on(Arc::new(MemoryStore::with_clock(clock.clone())), clock).await
    }

    /// A plane over PostgreSQL. `None` if there is no server; `test` is then reported as skipped.
    #[cfg(all(unix, feature = "postgres"))]
    pub(crate) async fn postgres(test: &str) -> Option<Plane> {
        let clock = Plane::clock();
        let store = postgres(test, Some(clock.clone())).await?;
        Some(Plane::on(store, clock).await)
    }

    fn clock() -> Clock {
        Clock::manual(Timestamp::from_seconds(1_700_000_000))
    }

    async fn on(store: Arc<dyn ActionStore>, clock: Clock) -> Plane {
        let owner = OwnerRef::new("plane");
        let claim = Command::claim(owner.clone());
        store.command(claim).await.unwrap();
        Plane {
            store,
            clock,
            owner,
        }
    }

    pub(crate) fn router(&self) -> Router {
        router(self.store.clone(), AllowAll)
    }

    /// Returns a router with this vocabulary in version 1.
    pub(crate) fn router_in(&self, words: StatusVocabulary) -> Router {
        let options = RouterOptions::new().with_vocabulary(words);
        router_with(self.store.clone(), AllowAll, options)
    }

    pub(crate) async fn queued(&self, new: NewAction) -> ActionUid {
        self.store.create(new).await.unwrap().uid
    }

    pub(crate) async fn started(&self, new: NewAction) -> ActionUid {
        let uid = self.queued(new).await;
        self.store.start(uid, &self.owner).await.unwrap();
        uid
    }

    pub(crate) async fn report(&self, uid: ActionUid, report: Report) {
        self.store.report(uid, report, &self.owner).await.unwrap();
    }

    pub(crate) async fn finish(&self, uid: ActionUid, finish: Finish) {
        let by = Some(&self.owner);
        self.store.finish(uid, finish, by).await.unwrap();
    }

    pub(crate) async fn succeeded(&self, new: NewAction) -> ActionUid {
        let uid = self.started(new).await;
        self.finish(uid, Finish::succeeded()).await;
        uid
    }

    pub(crate) async fn failed(&self, new: NewAction, error: ActionError) -> ActionUid {
        let uid = self.started(new).await;
        self.finish(uid, Finish::failed(error)).await;
        uid
    }

    /// Creates an action and brings it to this outcome, with a report of 12.5 percent.
    pub(crate) async fn ended(&self, new: NewAction, outcome: Outcome) -> ActionUid {
        let uid = self.started(new).await;
        let half = Report::new().with_progress(Progress::percent(12.5).unwrap());
        self.report(uid, half.with_step("copy")).await;
        match outcome {
            Outcome::Failed => {
                let error = ActionError::new("disk_full", "no space left").with_detail("/dev/sda1");
                self.finish(uid, Finish::failed(error)).await;
            }
            Outcome::Lost => {
                // The successor fences the owner and settles its actions.
                let next = OwnerRef::new(self.owner.name.clone());
                let claim = Command::claim(next.clone());
                self.store.command(claim).await.unwrap();
                let lost = Finish::new(Outcome::Lost);
                self.store.finish(uid, lost, Some(&next)).await.unwrap();
            }
            _ => self.finish(uid, Finish::new(outcome)).await,
        }
        uid
    }
}

/// Opens a new store in PostgreSQL.
#[cfg(all(unix, feature = "postgres"))]
pub(crate) async fn postgres(test: &str, clock: Option<Clock>) -> Option<Arc<dyn ActionStore>> {
    let server = server::Server::shared(test)?;
    let mut options = action_store::PostgresOptions::new().with_schema(server::new_schema());
    if let Some(clock) = clock {
        options = options.with_clock(clock);
    }
    Some(Arc::new(options.connect(&server.url()).await.unwrap()))
}

pub(crate) fn uid(text: &str) -> ActionUid {
    text.parse().unwrap()
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut all = self.headers.get_all(name).iter();
        let value = all.next().unwrap_or_else(|| panic!("no {name}: {self:?}"));
        assert!(all.next().is_none(), "{name} twice: {self:?}");
        value.to_str().unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Returns `error_code` and description of an error. Checks that the error has the
    /// common shape.
    #[track_caller]
    pub(crate) fn error(&self, status: StatusCode) -> (String, String) {
        assert_eq!(self.status, status, "{self:?}");
        self.assert_framed();
        let json = self.json();
        let text = |name: &str| json[name].as_str().unwrap().to_owned();
        (text("error_code"), text("description"))
    }

    /// Checks the headers that every answer has.
    #[track_caller]
    pub(crate) fn assert_framed(&self) {
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.header("x-content-type-options"), "nosniff");
    }

    /// Returns the link to the next page.
    pub(crate) fn next(&self) -> Option<String> {
        self.headers.get(header::LINK)?;
        let link = self.header("link");
        let target = link.strip_suffix(">; rel=\"next\"").unwrap();
        Some(target.strip_prefix('<').unwrap().to_owned())
    }
}

pub(crate) async fn send(app: &Router, request: Request<Body>) -> Answer {
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

pub(crate) async fn ask(app: &Router, method: Method, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    send(app, request.body(Body::empty()).unwrap()).await
}

pub(crate) async fn get(app: &Router, path: &str) -> Answer {
    ask(app, Method::GET, path).await
}

/// Sends a GET with headers.
pub(crate) async fn get_with(app: &Router, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(app, request.body(Body::empty()).unwrap()).await
}

/// Returns the body of an answer that must be a 200.
#[track_caller]
pub(crate) fn ok(answer: Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.assert_framed();
    answer.body
}

/// Removes the white space between the tokens of a JSON text. Keeps everything else, for
/// example the order of keys and the digits of numbers.
pub(crate) fn compact(json: &str) -> String {
    let (mut compact, mut in_string, mut escaped) = (String::new(), false, false);
    for c in json.chars() {
        if in_string || !c.is_ascii_whitespace() {
            compact.push(c);
        }
        in_string ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    compact
}

/// Intercepts calls between the adapter and a store. It answers a `list` or a `get`
/// itself or passes it on.
#[async_trait]
pub(crate) trait Between: fmt::Debug + Send + Sync + 'static {
    async fn list(&self, store: &dyn ActionStore, query: &Query) -> ListAnswer {
        store.list(query).await
    }
    async fn get(&self, store: &dyn ActionStore, uids: &[ActionUid]) -> GetAnswer {
        store.get(uids).await
    }
}

pub(crate) type ListAnswer = Result<Page<Arc<Action>>, StoreError>;
pub(crate) type GetAnswer = Result<Vec<Option<Arc<Action>>>, StoreError>;

#[derive(Debug)]
pub(crate) struct Through<B>(pub(crate) Arc<dyn ActionStore>, pub(crate) B);

#[async_trait]
impl<B: Between> ActionStore for Through<B> {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    async fn write(&self, batch: Batch) -> Result<Vec<Result<Done, Rejection>>, StoreError> {
        self.0.write(batch).await
    }
    async fn get(&self, uids: &[ActionUid]) -> GetAnswer {
        self.1.get(&*self.0, uids).await
    }
    async fn list(&self, query: &Query) -> ListAnswer {
        self.1.list(&*self.0, query).await
    }
    async fn log(&self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        self.0.log(query).await
    }
    async fn owners(&self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        self.0.owners(query).await
    }
    async fn changed(&self, after: Option<Revision>) -> Result<Position, StoreError> {
        self.0.changed(after).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.0.close().await
    }
}
