//! Parses the query parameters of a list.

use std::fmt::Write as _;

use axum::http::{HeaderValue, header};
use axum::response::Response;

use super::error::Problem;
use super::parameters;
use super::time_param;
use super::walk::{Walk, not_a_cursor};
use crate::model::{Filter, Limits, ObjectRef, Order, Query};

/// The known parameters. Every one after the first two makes the list a plain one.
const KNOWN: [&str; 10] = [
    "limit", "cursor", "status", "outcome", "name", "object", "tenant", "since", "until", "order",
];

/// A request for one page of a list.
#[derive(Debug)]
pub(super) struct ListRequest {
    pub(super) filters: Vec<Filter>,
    /// True if neither a filter nor an order was given.
    bare: bool,
    pub(super) from: Walk,
    pub(super) limit: u16,
    /// All parameters but the cursor, as the link repeats them.
    kept: String,
}

impl ListRequest {
    /// Parses the parameters. `touched` is the object in the path, if any. Such a list is plain,
    /// and the parameter `object` is rejected.
    pub(super) fn read(
        query: Option<&str>,
        touched: Option<&ObjectRef>,
    ) -> Result<ListRequest, Problem> {
        let values = parameters::read(query, KNOWN)?;
        let kept = kept(&values);
        let [
            limit,
            cursor,
            status,
            outcome,
            name,
            object,
            tenant,
            since,
            until,
            order,
        ] = values;
        if touched.is_some() && object.is_some() {
            return Err(fault(
                "object",
                "cannot be combined with an object in the path",
            ));
        }
        let order = order.as_deref().map(read_order).transpose()?;
        let filters = [
            read(status, "status", NO_STATUS, |s| {
                s.to_ascii_lowercase().parse().ok().map(Filter::Status)
            })?,
            read(outcome, "outcome", NO_OUTCOME, |s| {
                s.to_ascii_lowercase().parse().ok().map(Filter::Outcome)
            })?,
            read(name, "name", NO_LABEL, |s| checked(Filter::Name(s.into())))?,
            read(object, "object", NO_OBJECT, |s| {
                s.parse().ok().map(Filter::Object)
            })?,
            read(tenant, "tenant", NO_LABEL, |s| {
                checked(Filter::Tenant(s.into()))
            })?,
            read(since, "since", NO_TIME, |s| {
                time_param::time(s).map(Filter::CreatedFrom)
            })?,
            read(until, "until", NO_TIME, |s| {
                time_param::time(s).map(Filter::CreatedBefore)
            })?,
        ];
        let mut filters: Vec<Filter> = filters.into_iter().flatten().collect();
        let bare = order.is_none() && filters.is_empty();
        filters.extend(touched.cloned().map(Filter::Touches));
        let plain = !bare || touched.is_some();
        let from = match (plain, cursor) {
            (false, None) => Walk::BEGIN,
            (false, Some(text)) => text.parse().map_err(|_| not_a_cursor())?,
            (true, cursor) => {
                let after = cursor.map(|text| text.parse()).transpose();
                let after = after.map_err(|_| not_a_cursor())?;
                Walk::Plain(order.unwrap_or_default(), after)
            }
        };
        Ok(ListRequest {
            filters,
            bare,
            from,
            limit: limit_of(limit.as_deref())?.unwrap_or(Limits::PAGE),
            kept,
        })
    }

    /// Returns true if neither a filter nor an order was given.
    pub(super) fn is_bare(&self) -> bool {
        self.bare
    }

    /// Returns true for the first page.
    pub(super) fn is_first(&self) -> bool {
        self.from.after().is_none()
    }

    /// Adds the `Link` to the next page. It is relative to the request's own path, so it stays
    /// right behind a nested router or a proxy.
    pub(super) fn linked(
        &self,
        mut response: Response,
        next: Option<Walk>,
    ) -> Result<Response, Problem> {
        if let Some(link) = next.and_then(|next| link(&self.kept, &next.to_string())) {
            response.headers_mut().insert(header::LINK, link);
        }
        Ok(response)
    }
}

/// Builds `Link: <?kept&cursor=...>; rel="next"`.
pub(super) fn link(kept: &str, cursor: &str) -> Option<HeaderValue> {
    let and = if kept.is_empty() { "" } else { "&" };
    HeaderValue::try_from(format!("<?{kept}{and}cursor={cursor}>; rel=\"next\"")).ok()
}

/// Parses a page size. Caps it, like a server that returns fewer.
pub(super) fn limit_of(text: Option<&str>) -> Result<Option<u16>, Problem> {
    let number = |text| {
        let number = time_param::digits(text);
        let number =
            number.map(|number| u16::try_from(number).unwrap_or(u16::MAX).min(Limits::PAGE));
        number.filter(|number| *number > 0).ok_or_else(|| {
            fault(
                "limit",
                "must be a number from 1; at most 1000 are returned",
            )
        })
    };
    text.map(number).transpose()
}

const NO_STATUS: &str = "must be one of queued, executing, completed";
const NO_OUTCOME: &str = "must be one of succeeded, failed, cancelled, interrupted, lost";
const NO_LABEL: &str = "must have 1 to 255 bytes and no control characters";
const NO_OBJECT: &str = "must be kind:id or cluster";
const NO_TIME: &str = "must be Unix seconds, a time with an offset (RFC 3339) or a date";

fn fault(name: &str, fault: &'static str) -> Problem {
    Problem::Parameter(name.to_owned(), fault)
}

fn read(
    value: Option<String>,
    name: &str,
    otherwise: &'static str,
    filter: impl Fn(&str) -> Option<Filter>,
) -> Result<Option<Filter>, Problem> {
    let read = |value: String| filter(&value).ok_or_else(|| fault(name, otherwise));
    value.map(read).transpose()
}

fn read_order(text: &str) -> Result<Order, Problem> {
    match &*text.to_ascii_lowercase() {
        "newest" => Ok(Order::Newest),
        "oldest" => Ok(Order::Oldest),
        _ => Err(fault("order", "must be newest or oldest")),
    }
}

/// Returns the term if stores accept it.
fn checked(filter: Filter) -> Option<Filter> {
    let query = Query::new().with_filter(filter);
    query.check().ok()?;
    query.filters.into_iter().next()
}

fn kept(values: &[Option<String>; KNOWN.len()]) -> String {
    let mut kept = String::new();
    for (name, value) in KNOWN.iter().zip(values) {
        if let Some(value) = value.as_ref().filter(|_| *name != "cursor") {
            let and = if kept.is_empty() { "" } else { "&" };
            // Writing to a string cannot fail.
            let _ = write!(kept, "{and}{name}={}", parameters::encode(value));
        }
    }
    kept
}
