//! `GET /v1/actions/changes`: each action with its latest change, in the order of the changes.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use tokio::time::{Instant, sleep, timeout};

use super::adapter::Adapter;
use super::error::{Problem, written};
use super::json_writer::{JsonWriter, Written};
use super::list_writer::Shape;
use super::query::limit_of;
use super::walk::{self, Bound, Walk};
use super::{authorize::Scope, parameters, sse, wait};
use crate::error::{StoreError, StoreErrorKind};
use crate::model::{Cursor, Filter, Limits, Order, Position, Query, Revision};
use crate::store::ActionStore;

/// Minimum time between two polls of a waiting client. Changes in between are sent together.
const PAUSE: Duration = Duration::from_millis(100);

const LAST_EVENT_ID: &str = "Last-Event-ID";

/// One page of the change feed.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct Changes<'a> {
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<super::record::Record<'_>>))]
    changes: &'a JsonWriter,
    /// Position to resume from.
    position: String,
    /// Revision of the store when the page was read.
    revision: u64,
    /// True if more changes are already available.
    more: bool,
}

impl Written for Changes<'_> {
    fn write(&self, to: &mut JsonWriter) {
        let mut page = to.object();
        page.member("changes", self.changes.as_str(), JsonWriter::json);
        page.member("position", &*self.position, JsonWriter::word);
        page.member("revision", self.revision, JsonWriter::integer);
        page.member("more", self.more, JsonWriter::truth);
        page.end();
    }
}

/// A page as it was read from the store.
pub(super) struct Page {
    /// Records of the changed actions.
    changes: JsonWriter,
    pub(super) is_empty: bool,
    revision: Revision,
    more: bool,
}

impl Page {
    /// Returns true if the page is empty and no further page is ready.
    fn is_over(&self) -> bool {
        self.is_empty && !self.more
    }
}

/// Reader of the change feed, limited to a scope. Holds its position.
pub(super) struct Feed {
    store: Arc<dyn ActionStore>,
    filters: Vec<Filter>,
    bound: Bound,
    shape: Shape,
    /// Cursor after the last page that was read; `None` before the first action.
    after: Option<Cursor>,
    /// Set once all changes up to this revision were read. The reader can then wait for a newer
    /// one.
    read: Option<Revision>,
    at: Position,
}

impl Feed {
    /// Reads the next page, which may be empty. The position changes only after a successful read.
    pub(super) async fn read(&mut self) -> Result<Page, Problem> {
        let from = Walk::Plain(Order::Feed, self.after);
        let found = walk::read(&*self.store, &self.filters, from, self.bound, self.shape).await?;
        let at = found.at.unwrap_or(self.at);
        // Another copy of the store was put in its place.
        let is_same = (at.store_id, at.branch) == (self.at.store_id, self.at.branch);
        if !is_same || at.revision < self.at.revision {
            return Err(Problem::Expired);
        }
        self.at = at;
        let more = match found.next {
            Some(Walk::Plain(_, next)) => {
                (self.after, self.read) = (next, None);
                true
            }
            _ => {
                self.after = Some(Cursor::feed(at, at.revision));
                self.read = Some(at.revision);
                false
            }
        };
        Ok(Page {
            is_empty: found.list_writer.count() == 0,
            changes: found.list_writer.finish(),
            revision: at.revision,
            more,
        })
    }

    /// Reads until a page is not empty. Nothing is lost when the future is dropped.
    pub(super) async fn news(&mut self) -> Result<Page, Problem> {
        loop {
            if let Some(read) = self.read {
                let begun = Instant::now();
                self.store.changed(Some(read)).await.map_err(behind)?;
                // Changes often come in bursts, so wait for the rest.
                sleep(PAUSE.saturating_sub(begun.elapsed())).await;
                self.read = None;
            }
            let page = self.read().await?;
            if !page.is_empty {
                return Ok(page);
            }
        }
    }

    /// Returns the position to resume from, as text.
    pub(super) fn position(&self) -> String {
        let beginning = || "0".to_owned();
        self.after.map_or_else(beginning, |after| after.to_string())
    }

    /// Returns the page as the JSON body of the response.
    pub(super) fn json(&self, page: &Page) -> JsonWriter {
        JsonWriter::of(&Changes {
            changes: &page.changes,
            position: self.position(),
            revision: page.revision.get(),
            more: page.more,
        })
    }
}

/// A store whose revision is lower than a position it has issued is an older copy of itself.
fn behind(error: StoreError) -> Problem {
    match error.kind() {
        StoreErrorKind::Invalid => Problem::Expired,
        _ => Problem::Store(error),
    }
}

/// Position at which a reader starts.
enum Start {
    Now,
    Beginning,
    Revision(Revision),
    Position(Cursor),
}

impl Start {
    fn read(text: &str) -> Option<Start> {
        if let Ok(cursor) = text.parse::<Cursor>() {
            let feed = Query::new().with_order(Order::Feed);
            let is_fit = feed.with_after(Some(cursor)).check().is_ok();
            return is_fit.then_some(Start::Position(cursor));
        }
        let canonical = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u64>() {
            Ok(0) if canonical => Some(Start::Beginning),
            Ok(number) if canonical => Some(Start::Revision(Revision::new(number))),
            _ => None,
        }
    }

    /// Returns the cursor to start after, for a store at position `at`.
    fn cursor(self, at: Position) -> Result<Option<Cursor>, Problem> {
        let cursor = match self {
            Start::Now => Cursor::feed(at, at.revision),
            Start::Beginning => return Ok(None),
            Start::Revision(revision) => Cursor::feed(at, revision),
            Start::Position(cursor) => cursor,
        };
        // The cursor belongs to another store, or is ahead of this one. The store itself refuses
        // another branch.
        if cursor.store_id() != at.store_id || cursor.position() > at.revision.get() {
            return Err(Problem::Expired);
        }
        Ok(Some(cursor))
    }
}

impl Adapter {
    pub(super) async fn changes(
        self: &Arc<Adapter>,
        parts: &Parts,
        scope: &Scope,
    ) -> Result<Response, Problem> {
        let known = ["after", "limit", "wait"];
        let [after, limit, wait] = parameters::read(parts.uri.query(), known)?;
        let limit = limit_of(limit.as_deref())?.unwrap_or(Limits::DEFAULT_PAGE);
        let streamed = sse::is_asked_for(&parts.headers);
        if streamed && wait.is_some() {
            let fault = "cannot be used with an event stream, which always waits";
            return Err(Problem::Parameter("wait".to_owned(), fault));
        }
        let wait = wait::read(wait.as_deref(), &self.options.bounds)?;
        let start = match after.as_deref().map(Start::read) {
            None => Start::Now,
            Some(Some(start)) => start,
            Some(None) => {
                let fault = "is neither a position issued by this feed nor a revision";
                return Err(Problem::Parameter("after".to_owned(), fault));
            }
        };
        // `Last-Event-ID` is newer than the `after` in the URL of a reconnecting client.
        let last = if streamed {
            last_event(&parts.headers)?
        } else {
            None
        };
        let start = last.unwrap_or(start);
        let mut feed = self.feed(scope, limit, start).await?;
        if streamed {
            return sse::stream(self.clone(), feed, scope).await;
        }
        let mut page = feed.read().await?;
        if page.is_over() && !wait.is_zero() {
            let _permit = self.waiting.permit(scope)?;
            tokio::select! {
                news = timeout(wait, feed.news()) => if let Ok(news) = news {
                    page = news?;
                },
                () = self.options.shutdown.begun() => {}
            }
        }
        Ok(written(feed.json(&page)))
    }

    async fn feed(&self, scope: &Scope, limit: u16, start: Start) -> Result<Feed, Problem> {
        let at = self.store.changed(None).await?;
        let after = start.cursor(at)?;
        let bound = Bound {
            actions: limit.min(self.options.bounds.cap),
            bytes: self.options.bounds.page_bytes,
            is_scoped: !scope.filters().is_empty(),
        };
        Ok(Feed {
            store: self.store.clone(),
            filters: scope.filters().to_vec(),
            bound,
            shape: Shape::Records(scope.shows_detail()),
            after,
            read: None,
            at,
        })
    }
}

/// Reads the id of the last event that the client has seen.
fn last_event(headers: &HeaderMap) -> Result<Option<Start>, Problem> {
    let fault = || Problem::Header(LAST_EVENT_ID, "is not a position issued by this feed");
    let mut ids = headers.get_all(LAST_EVENT_ID).iter();
    let Some(id) = ids.next() else {
        return Ok(None);
    };
    if ids.next().is_some() {
        return Err(fault());
    }
    let start = id.to_str().ok().and_then(Start::read);
    start.map(Some).ok_or_else(fault)
}
