//! Parses the query parameters of a list.

use std::fmt::Write as _;
use std::str::FromStr;

use axum::http::{HeaderValue, header};
use axum::response::Response;

use super::authorize::{Denied, Scope};
use super::error::Problem;
use super::get_one::read_uid;
use super::list_writer::Shape;
use super::parameters;
use super::time_param;
use super::walk::{Walk, not_a_cursor};
use crate::model::{Filter, Limits, ObjectRef, Order, Query, StateSet, Timestamp};

/// The parameters that filter a list or the counts.
const FILTERS: [&str; 12] = [
    "status",
    "outcome",
    "name",
    "object",
    "tenant",
    "since",
    "until",
    "label",
    "parent",
    "owner",
    "finished_since",
    "finished_until",
];

/// The parameters that may be given several times.
const SEVERAL: [&str; 3] = ["status", "outcome", "label"];

/// A request for one page of a list.
#[derive(Debug)]
pub(super) struct ListRequest {
    pub(super) filters: Vec<Filter>,
    /// True if neither a filter nor an order was given.
    bare: bool,
    pub(super) from: Walk,
    pub(super) limit: u16,
    /// True if the actions are shown as in the feed.
    as_records: bool,
    /// All parameters but the cursor, as the link repeats them.
    kept: String,
}

impl ListRequest {
    /// Parses the parameters. `touched` is the object in the path, if any. Such a list is plain,
    /// and the parameter `object` is rejected.
    pub(super) fn read(
        query: Option<&str>,
        touched: Option<&ObjectRef>,
        scope: &Scope,
    ) -> Result<ListRequest, Problem> {
        let mut values =
            Values::read(query, &[&["limit", "cursor", "view"], &FILTERS, &["order"]])?;
        let kept = values.kept();
        let limit = values.one("limit");
        let cursor = values.one("cursor");
        let as_records = match values.one("view") {
            None => false,
            Some(view) if view.eq_ignore_ascii_case("records") => true,
            Some(_) => return Err(fault("view", "must be records")),
        };
        let order = values.one("order");
        let order = order.as_deref().map(read_order).transpose()?;
        let mut filters = values.filters(touched, scope)?;
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
            as_records,
            kept,
        })
    }

    /// Returns true if neither a filter nor an order was given.
    pub(super) fn is_bare(&self) -> bool {
        self.bare
    }

    /// Returns the shape that was asked for. Lists show no operator detail in any shape.
    pub(super) fn shape(&self, otherwise: Shape) -> Shape {
        if self.as_records {
            Shape::Records(false)
        } else {
            otherwise
        }
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

/// Parses the parameters of the counts: the filters, and the bound.
pub(super) fn read_counts(
    query: Option<&str>,
    scope: &Scope,
) -> Result<(Vec<Filter>, u32), Problem> {
    let mut values = Values::read(query, &[&FILTERS, &["bound"]])?;
    let bound = values.one("bound").map(|text| {
        let number = time_param::digits(&text).filter(|number| *number > 0);
        let number = number.map(|number| number.min(MOST_COUNTED));
        number.ok_or_else(|| {
            fault(
                "bound",
                "must be a number from 1; at most 10000 are counted",
            )
        })
    });
    let bound = bound.transpose()?.unwrap_or(COUNTED);
    Ok((values.filters(None, scope)?, bound))
}

/// Number of actions up to which each state is counted, unless the client asks for another one.
pub(super) const COUNTED: u32 = 1_000;

/// The largest bound of a count.
pub(super) const MOST_COUNTED: u32 = 10_000;

/// The values of the parameters.
struct Values(Vec<(&'static str, Vec<String>)>);

impl Values {
    /// Reads these groups of parameters.
    fn read(query: Option<&str>, groups: &[&[&'static str]]) -> Result<Values, Problem> {
        let known = groups.concat();
        let values = parameters::read_several(query, &known, &SEVERAL)?;
        Ok(Values(known.into_iter().zip(values).collect()))
    }

    /// Returns the query string of all parameters but the cursor, in the order of the groups.
    fn kept(&self) -> String {
        let mut kept = String::new();
        let parameters = self.0.iter().filter(|(name, _)| *name != "cursor");
        for (name, values) in parameters {
            for value in values {
                let and = if kept.is_empty() { "" } else { "&" };
                // Writing to a string cannot fail.
                let _ = write!(kept, "{and}{name}={}", parameters::encode(value));
            }
        }
        kept
    }

    /// Takes the values of a parameter.
    fn take(&mut self, name: &str) -> Vec<String> {
        let found = self.0.iter_mut().find(|(known, _)| *known == name);
        found.map_or(Vec::new(), |(_, values)| std::mem::take(values))
    }

    /// Takes the value of a parameter that is given at most once.
    fn one(&mut self, name: &str) -> Option<String> {
        self.take(name).pop()
    }

    /// Parses a parameter that is given at most once.
    fn filter(
        &mut self,
        name: &str,
        otherwise: &'static str,
        filter: impl Fn(&str) -> Option<Filter>,
    ) -> Result<Option<Filter>, Problem> {
        let read = |value: String| filter(&value).ok_or_else(|| fault(name, otherwise));
        self.one(name).map(read).transpose()
    }

    /// Parses the parameters that filter.
    fn filters(
        &mut self,
        touched: Option<&ObjectRef>,
        scope: &Scope,
    ) -> Result<Vec<Filter>, Problem> {
        let object = self.filter("object", NO_OBJECT, |s| s.parse().ok().map(Filter::Object))?;
        if touched.is_some() && object.is_some() {
            return Err(fault(
                "object",
                "cannot be combined with an object in the path",
            ));
        }
        let owner = self.filter("owner", NO_LABEL, |s| checked(Filter::OwnerName(s.into())))?;
        // Owners are operator detail: the answer to such a list would tell who they are.
        if owner.is_some() && !scope.shows_detail() {
            return Err(Problem::Denied(Denied::Forbidden));
        }
        let mut time = |name: &str, filter: fn(Timestamp) -> Filter| {
            self.filter(name, NO_TIME, |s| time_param::time(s).map(filter))
        };
        let times = [
            time("since", Filter::CreatedFrom)?,
            time("until", Filter::CreatedBefore)?,
            time("finished_since", Filter::FinishedFrom)?,
            time("finished_until", Filter::FinishedBefore)?,
        ];
        let texts = [
            self.states()?,
            self.filter("name", NO_LABEL, |s| checked(Filter::name_or_prefix(s)))?,
            object,
            self.filter("tenant", NO_LABEL, |s| checked(Filter::Tenant(s.into())))?,
            self.filter("parent", NO_UID, |s| read_uid(s).map(Filter::Parent))?,
            owner,
        ];
        let mut filters: Vec<Filter> = texts.into_iter().chain(times).flatten().collect();
        let labels = self.take("label");
        if labels.len() > Limits::LABELS {
            return Err(fault("label", "is given more than 16 times"));
        }
        for text in labels {
            let label = checked(Filter::label_text(&text));
            filters.push(label.ok_or_else(|| fault("label", NO_PAIR))?);
        }
        Ok(filters)
    }

    /// Parses the statuses and the outcomes. An action must have one of the statuses, and one of
    /// the outcomes.
    fn states(&mut self) -> Result<Option<Filter>, Problem> {
        let statuses = self.words("status", NO_STATUS)?;
        let outcomes = self.words("outcome", NO_OUTCOME)?;
        let statuses = statuses.map(|known| StateSet::new().with_statuses(known));
        let outcomes = outcomes.map(|known| StateSet::new().with_outcomes(known));
        let states = [statuses, outcomes].into_iter().flatten();
        Ok(states.reduce(StateSet::intersection).map(Filter::States))
    }

    /// Takes the words of a parameter, which commas separate.
    fn words<T: FromStr>(
        &mut self,
        name: &str,
        otherwise: &'static str,
    ) -> Result<Option<Vec<T>>, Problem> {
        let values = self.take(name);
        if values.is_empty() {
            return Ok(None);
        }
        let words = values.iter().flat_map(|value| value.split(','));
        let words = words.map(|word| word.to_ascii_lowercase().parse().ok());
        let words: Option<Vec<T>> = words.collect();
        words.map(Some).ok_or_else(|| fault(name, otherwise))
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

const NO_STATUS: &str = "must be of queued, executing, completed";
const NO_OUTCOME: &str = "must be of succeeded, failed, cancelled, interrupted, lost";
const NO_LABEL: &str = "must have 1 to 255 bytes and no control characters";
const NO_PAIR: &str =
    "must be key or key=value; a key has 1 to 63 bytes, a value 1 to 127, no control characters";
const NO_UID: &str = "must be a UUID";
const NO_OBJECT: &str = "must be kind:id or cluster";
const NO_TIME: &str = "must be Unix seconds, a time with an offset (RFC 3339) or a date";

fn fault(name: &str, fault: &'static str) -> Problem {
    Problem::Parameter(name.to_owned(), fault)
}

fn read_order(text: &str) -> Result<Order, Problem> {
    match &*text.to_ascii_lowercase() {
        "newest" => Ok(Order::Newest),
        "oldest" => Ok(Order::Oldest),
        "finished" => Ok(Order::Finished),
        _ => Err(fault("order", "must be newest, oldest or finished")),
    }
}

/// Returns the term if stores accept it.
fn checked(filter: Filter) -> Option<Filter> {
    let query = Query::new().with_filter(filter);
    query.check().ok()?;
    query.filters.into_iter().next()
}
