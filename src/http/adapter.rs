//! Serves the endpoints: authorizes each request and reads the store.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{MethodRouter, get};

use super::authorize::{Authorizer, Permission, Scope};
use super::error::{Problem, written};
use super::etag::{self, Shape};
use super::get_one::located;
use super::json_writer::JsonWriter;
use super::options::RouterOptions;
use super::query::ListRequest;
use super::wait::Waiting;
use super::walk::{self, Bound};
use super::{list_writer, parameters, v1, v2};
use crate::model::ObjectRef;
use crate::store::ActionStore;

/// The endpoints. Each has one path; the counts have one in each version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    V1Actions,
    V1Action,
    V1OfBdb,
    V1History,
    V1Changes,
    V2Actions,
    V2Action,
    Counts,
}

/// Uses `get` rather than `any`. If the host routes `GET` on the same path by mistake, the merge
/// panics. If the host adds another method there, axum lists it in `Allow`.
pub(super) fn on(endpoint: Endpoint) -> MethodRouter<Arc<Adapter>> {
    let handler = async move |State(adapter): State<Arc<Adapter>>, request: Request| {
        let (parts, _) = request.into_parts();
        adapter.finish(adapter.read(endpoint, &parts).await)
    };
    get(handler).fallback(no_such_method)
}

/// State shared by the handlers.
pub(super) struct Adapter {
    pub(super) store: Arc<dyn ActionStore>,
    pub(super) waiting: Waiting,
    pub(super) authorizer: Box<dyn Authorizer>,
    pub(super) options: RouterOptions,
}

pub(super) async fn no_such_path(
    State(adapter): State<Arc<Adapter>>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let denied = adapter.admit(&parts).await.err();
    adapter.finish(Err(denied.unwrap_or(Problem::NoSuchPath)))
}

/// Authorizes first, so that a request without credentials gets the same answer on every path and
/// with every method.
async fn no_such_method(State(adapter): State<Arc<Adapter>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let denied = adapter.admit(&parts).await.err();
    adapter.finish(Err(denied.unwrap_or(Problem::NoSuchMethod)))
}

impl Adapter {
    /// Authorizes a request. This must come before any step that depends on stored data, including
    /// the parameters.
    pub(super) async fn admit(&self, parts: &Parts) -> Result<Scope, Problem> {
        let permission = Permission::ViewStatusOfClusterAction;
        let verdict = self.authorizer.authorize(parts, permission).await;
        let scope = verdict.map_err(Problem::Denied)?;
        scope.check()?;
        Ok(scope)
    }

    /// Authorizes the request, then serves the endpoint.
    async fn read(
        self: &Arc<Adapter>,
        endpoint: Endpoint,
        parts: &Parts,
    ) -> Result<Response, Problem> {
        let scope = self.admit(parts).await?;
        let words = self.options.words;
        match endpoint {
            Endpoint::V1Actions => {
                let asked = ListRequest::read(parts.uri.query(), None, &scope)?;
                self.list(&scope, &asked, list_writer::Shape::V1(words))
                    .await
            }
            Endpoint::V2Actions => {
                let asked = ListRequest::read(parts.uri.query(), None, &scope)?;
                self.list(&scope, &asked, list_writer::Shape::V2).await
            }
            Endpoint::V1OfBdb => self.of_bdb(parts, &scope).await,
            Endpoint::V1Action => {
                let (action, is_full) = self.one(parts, &scope).await?;
                if is_full {
                    return self.full(parts, &action, &scope).await;
                }
                let response = written(JsonWriter::of(&v1::entry(&action, words)));
                let shape = Shape::V1(words, scope.shows_detail());
                let response = etag::tagged(response, &action, shape, parts);
                Ok(located(response, parts, 0, action.uid, ""))
            }
            Endpoint::V2Action => {
                let (action, is_full) = self.one(parts, &scope).await?;
                if is_full {
                    return self.full(parts, &action, &scope).await;
                }
                let response = written(JsonWriter::of(&v2::Entry::of(&action)));
                let shape = Shape::V2(scope.shows_detail());
                let response = etag::tagged(response, &action, shape, parts);
                Ok(located(response, parts, 0, action.uid, ""))
            }
            Endpoint::V1History => self.history(parts, &scope).await,
            Endpoint::V1Changes => self.changes(parts, &scope).await,
            Endpoint::Counts => self.counts(parts, &scope).await,
        }
    }

    async fn list(
        &self,
        scope: &Scope,
        asked: &ListRequest,
        shape: list_writer::Shape,
    ) -> Result<Response, Problem> {
        let page = self.page(scope, asked, shape).await?;
        asked.linked(written(page.list_writer.finish()), page.next)
    }

    /// Reads a page of a list.
    async fn page(
        &self,
        scope: &Scope,
        asked: &ListRequest,
        shape: list_writer::Shape,
    ) -> Result<walk::Answer, Problem> {
        let filters = [scope.filters(), &asked.filters].concat();
        let bound = Bound {
            actions: asked.limit.min(self.options.bounds.cap),
            bytes: self.options.bounds.page_bytes,
            is_scoped: !scope.filters().is_empty(),
        };
        let shape = asked.shape(shape);
        walk::read(&*self.store, &filters, asked.from, bound, shape).await
    }

    /// Lists the actions that touch the database in the path.
    async fn of_bdb(&self, parts: &Parts, scope: &Scope) -> Result<Response, Problem> {
        let text = parameters::segment(parts, 0);
        let bdb = ObjectRef::new("bdb", &text);
        let asked = ListRequest::read(parts.uri.query(), bdb.as_ref().ok(), scope)?;
        if bdb.is_err() {
            return Err(Problem::NoActionOfBdb(text));
        }
        let shape = list_writer::Shape::V1Entries(self.options.words);
        let mut page = self.page(scope, &asked, shape).await?;
        if page.list_writer.count() == 0 && asked.is_bare() {
            // End the list here. A `Link` would tell a caller who may see nothing that the database
            // has a long history. The cost is documented on `Scope`: an action behind very many
            // actions of others is not found.
            page.next = None;
            if asked.is_first() {
                return Err(Problem::NoActionOfBdb(text));
            }
        }
        asked.linked(written(page.list_writer.finish()), page.next)
    }

    fn finish(&self, result: Result<Response, Problem>) -> Response {
        result.unwrap_or_else(|problem| problem.into_response(&*self.options.on_failure))
    }
}
