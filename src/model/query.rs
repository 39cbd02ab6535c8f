//! Queries for lists of actions and log entries, and the pages that answer them.

use std::sync::Arc;

use super::action::Action;
use super::cursor::{Cursor, Walk};
use super::identity::ActionUid;
use super::labels::{check_key, check_value};
use super::limits::{Invalid, Limits, at_most, label};
use super::object::{ObjectRef, ObjectSet};
use super::owner::OwnerRef;
use super::position::Position;
use super::state_set::StateSet;
use super::time::Timestamp;
use super::words::{Outcome, Source, Status};

/// One condition of a query. An action must meet all conditions of the query.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Filter {
    /// The action has this uid.
    Uid(ActionUid),
    /// The action has this status.
    Status(Status),
    /// The action is queued or executing.
    Unfinished,
    /// The action is completed with this outcome.
    Outcome(Outcome),
    /// The action is in one of these states.
    States(StateSet),
    /// The action has this source.
    Source(Source),
    /// The action has this name.
    Name(Arc<str>),
    /// The name of the action begins with this text, byte for byte.
    NamePrefix(Arc<str>),
    /// The action has a label with this key, and with this value if there is one. See
    /// [`Filter::label`] and [`Filter::label_key`].
    Label {
        /// Key of the label.
        key: Arc<str>,
        /// Value of the label; `None` matches every value.
        value: Option<Arc<str>>,
    },
    /// The action works on this object.
    Object(ObjectRef),
    /// The action touches this object, as its own object or as a related one.
    Touches(ObjectRef),
    /// The action touches one of these objects, as its own object or as a related one.
    TouchesAny(ObjectSet),
    /// The action belongs to this tenant.
    Tenant(Arc<str>),
    /// The action was asked for by this actor.
    Actor(Arc<str>),
    /// The action is owned by this incarnation.
    Owner(OwnerRef),
    /// The action is owned by an incarnation of this name.
    OwnerName(Arc<str>),
    /// The action is a part of this action.
    Parent(ActionUid),
    /// The action retries this action.
    RetryOf(ActionUid),
    /// The action has this correlation.
    Correlation(Arc<str>),
    /// The action was created at this time or later.
    CreatedFrom(Timestamp),
    /// The action was created before this time.
    CreatedBefore(Timestamp),
    /// The action was completed at this time or later.
    FinishedFrom(Timestamp),
    /// The action was completed before this time.
    FinishedBefore(Timestamp),
    /// The action has a cancel request.
    CancelRequested,
    /// Condition of a later version of this library. The conformance suite uses it to test that a
    /// store refuses unknown conditions.
    #[doc(hidden)]
    Unknown,
}

impl Filter {
    /// Creates the condition that the action has this label.
    #[must_use]
    pub fn label(key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Filter {
        Filter::Label {
            key: key.into(),
            value: Some(value.into()),
        }
    }

    /// Creates the condition that the action has a label with this key, whatever its value.
    #[must_use]
    pub fn label_key(key: impl Into<Arc<str>>) -> Filter {
        Filter::Label {
            key: key.into(),
            value: None,
        }
    }

    /// Creates the condition of a text that a person wrote: `backup_bdb` for this name, `SM*` for
    /// names that begin with `SM`. Only a `*` at the end has this meaning.
    #[must_use]
    pub fn name_or_prefix(text: &str) -> Filter {
        match text.strip_suffix('*') {
            Some(prefix) => Filter::NamePrefix(prefix.into()),
            None => Filter::Name(text.into()),
        }
    }

    /// Creates the condition of a text that a person wrote: `region=eu-1` for this label, `region`
    /// for a label with this key. The value begins after the first `=`.
    #[must_use]
    pub fn label_text(text: &str) -> Filter {
        match text.split_once('=') {
            Some((key, value)) => Filter::label(key, value),
            None => Filter::label_key(text),
        }
    }

    /// Returns true if the action meets the condition.
    #[must_use]
    pub fn matches(&self, action: &Action) -> bool {
        match self {
            Filter::Uid(uid) => action.uid == *uid,
            Filter::Status(status) => action.status == *status,
            Filter::Unfinished => action.is_unfinished(),
            Filter::Outcome(outcome) => action.outcome == Some(*outcome),
            Filter::States(states) => states.contains(action),
            Filter::Source(source) => action.source == *source,
            Filter::Name(name) => action.name == *name,
            Filter::NamePrefix(prefix) => action.name.starts_with(&**prefix),
            Filter::Label { key, value } => match (action.labels.get(key), value) {
                (Some(found), Some(value)) => *found == **value,
                (found, None) => found.is_some(),
                (None, Some(_)) => false,
            },
            Filter::Object(object) => action.object.as_ref() == Some(object),
            Filter::Touches(object) => action.touches(object),
            Filter::TouchesAny(objects) => action.touches_any(objects),
            Filter::Tenant(tenant) => action.tenant == *tenant,
            Filter::Actor(actor) => action.actor.as_ref() == Some(actor),
            Filter::Owner(owner) => action.owner.as_ref() == Some(owner),
            Filter::OwnerName(name) => action.owner.as_ref().is_some_and(|o| o.name == *name),
            Filter::Parent(parent) => action.parent == Some(*parent),
            Filter::RetryOf(retry_of) => action.retry_of == Some(*retry_of),
            Filter::Correlation(correlation) => action.correlation.as_ref() == Some(correlation),
            Filter::CreatedFrom(time) => action.created_at >= *time,
            Filter::CreatedBefore(time) => action.created_at < *time,
            Filter::FinishedFrom(time) => action.finished_at.is_some_and(|at| at >= *time),
            Filter::FinishedBefore(time) => action.finished_at.is_some_and(|at| at < *time),
            Filter::CancelRequested => action.cancel.is_some(),
            Filter::Unknown => false,
        }
    }

    fn check(&self) -> Result<(), CheckError> {
        match self {
            Filter::Name(text)
            | Filter::NamePrefix(text)
            | Filter::Tenant(text)
            | Filter::Actor(text)
            | Filter::OwnerName(text)
            | Filter::Correlation(text) => Ok(label("filters", text)?),
            Filter::Label { key, value } => {
                check_key(key)?;
                Ok(value.as_deref().map_or(Ok(()), check_value)?)
            }
            Filter::Owner(owner) => Ok(owner.check()?),
            Filter::TouchesAny(objects) => Ok(objects.check()?),
            Filter::Unknown => Err(CheckError::Unsupported("this filter")),
            _ => Ok(()),
        }
    }
}

/// Order of a list of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Order {
    /// By creation, newest first. The default.
    #[default]
    Newest,
    /// By creation, oldest first.
    Oldest,
    /// By completion, the action that was completed last first. Only completed actions are listed.
    Finished,
    /// The feed: each action once, by the revision of its latest change, oldest change first.
    Feed,
    /// Order of a later version of this library.
    #[doc(hidden)]
    Unknown,
}

/// Fields of each action that a list returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Detail {
    /// All fields. The default.
    #[default]
    Full,
    /// All fields except `result` and the `detail` of the error. These are left out even if the
    /// action has them.
    Summary,
}

impl Detail {
    /// Returns the action with the fields of this detail.
    #[must_use]
    pub fn of(self, action: Arc<Action>) -> Arc<Action> {
        let has_detail = action.error.as_ref().is_some_and(|e| e.detail.is_some());
        if self == Detail::Full || (action.result.is_none() && !has_detail) {
            return action;
        }
        let mut summary = Action::clone(&action);
        summary.result = None;
        if let Some(error) = &mut summary.error {
            error.detail = None;
        }
        Arc::new(summary)
    }
}

/// A query for a list of actions.
///
/// A page reads at most [`Limits::SCAN`] rows. If few of the rows match, a page may be short or
/// even empty and still have a cursor for the next page.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query {
    /// Conditions that an action must meet; at most [`Limits::FILTERS`].
    pub filters: Vec<Filter>,
    /// Order of the list.
    pub order: Order,
    /// Cursor of the previous page; `None` for the first page.
    pub after: Option<Cursor>,
    /// Page size, 1 to [`Limits::PAGE`]; [`Limits::DEFAULT_PAGE`] by default.
    pub limit: u16,
    /// Fields of each action.
    pub detail: Detail,
}

impl Default for Query {
    fn default() -> Query {
        Query {
            filters: Vec::new(),
            order: Order::Newest,
            after: None,
            limit: Limits::DEFAULT_PAGE,
            detail: Detail::Full,
        }
    }
}

impl Query {
    /// Creates a query for all actions, newest first.
    #[must_use]
    pub fn new() -> Query {
        Query::default()
    }

    /// Adds a condition.
    #[must_use]
    pub fn with_filter(mut self, filter: Filter) -> Query {
        self.filters.push(filter);
        self
    }

    /// Sets the order.
    #[must_use]
    pub fn with_order(mut self, order: Order) -> Query {
        self.order = order;
        self
    }

    /// Continues after a previous page; `None` starts with the first page.
    #[must_use]
    pub fn with_after(mut self, after: Option<Cursor>) -> Query {
        self.after = after;
        self
    }

    /// Sets the page size, 1 to [`Limits::PAGE`].
    #[must_use]
    pub fn with_limit(mut self, limit: u16) -> Query {
        self.limit = limit;
        self
    }

    /// Sets the fields that each action has.
    #[must_use]
    pub fn with_detail(mut self, detail: Detail) -> Query {
        self.detail = detail;
        self
    }

    /// Returns true if the action meets all conditions.
    #[must_use]
    pub fn matches(&self, action: &Action) -> bool {
        self.filters.iter().all(|filter| filter.matches(action))
    }

    /// Checks the limits, the conditions, the order, and that the cursor belongs to this order.
    ///
    /// # Errors
    /// Returns [`CheckError`] with the first rule that is broken.
    pub fn check(&self) -> Result<(), CheckError> {
        check_limit(self.limit)?;
        at_most("filters", self.filters.len(), Limits::FILTERS)?;
        self.filters.iter().try_for_each(Filter::check)?;
        let walk = match self.order {
            Order::Newest => Walk::Newest,
            Order::Oldest => Walk::Oldest,
            Order::Finished => Walk::Finished,
            Order::Feed => Walk::Feed,
            Order::Unknown => return Err(CheckError::Unsupported("this order")),
        };
        check_cursor(self.after, walk)
    }
}

/// A query for log entries: the log of one action from its first entry on, or the log of all
/// actions in write order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogQuery {
    /// Action whose log is read; `None` for all actions.
    pub uid: Option<ActionUid>,
    /// Cursor of the previous page; `None` for the first page.
    pub after: Option<Cursor>,
    /// Page size, 1 to [`Limits::PAGE`]; [`Limits::DEFAULT_PAGE`] by default.
    pub limit: u16,
}

impl Default for LogQuery {
    fn default() -> LogQuery {
        LogQuery {
            uid: None,
            after: None,
            limit: Limits::DEFAULT_PAGE,
        }
    }
}

impl LogQuery {
    /// Creates a query for the log of one action.
    #[must_use]
    pub fn of(uid: ActionUid) -> LogQuery {
        LogQuery {
            uid: Some(uid),
            ..LogQuery::default()
        }
    }

    /// Creates a query for the log of all actions.
    #[must_use]
    pub fn all() -> LogQuery {
        LogQuery::default()
    }

    /// Continues after a previous page; `None` starts with the first page.
    #[must_use]
    pub fn with_after(mut self, after: Option<Cursor>) -> LogQuery {
        self.after = after;
        self
    }

    /// Sets the page size, 1 to [`Limits::PAGE`].
    #[must_use]
    pub fn with_limit(mut self, limit: u16) -> LogQuery {
        self.limit = limit;
        self
    }

    /// Checks the limit, and that the cursor belongs to a log.
    ///
    /// # Errors
    /// Returns [`CheckError`] with the first rule that is broken.
    pub fn check(&self) -> Result<(), CheckError> {
        check_limit(self.limit)?;
        check_cursor(self.after, Walk::Log)
    }
}

pub(super) fn check_limit(limit: u16) -> Result<(), Invalid> {
    if !(1..=Limits::PAGE).contains(&limit) {
        return Err(Invalid::new(
            "limit",
            format!("is {limit}; must be between 1 and {}", Limits::PAGE),
        ));
    }
    Ok(())
}

pub(super) fn check_cursor(cursor: Option<Cursor>, walk: Walk) -> Result<(), CheckError> {
    match cursor {
        Some(cursor) if cursor.walk != walk => Err(Invalid::new(
            "after",
            "is a cursor of another kind of list or of another order",
        )
        .into()),
        _ => Ok(()),
    }
}

/// Reason why a query or a batch was refused before anything was read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The query or the batch breaks a rule.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// The query or the batch uses a feature of a later version of this library.
    #[error("{0} is not supported by this version")]
    Unsupported(&'static str),
}

/// One page of a list.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Page<T> {
    /// Items of the page.
    pub items: Vec<T>,
    /// Cursor for the next page; `None` at the end of the list. A short page may have one.
    pub next: Option<Cursor>,
    /// Position of the store when the page was read.
    pub at: Position,
}

impl<T> Page<T> {
    /// Creates a page.
    #[must_use]
    pub fn new(items: Vec<T>, next: Option<Cursor>, at: Position) -> Page<T> {
        Page { items, next, at }
    }
}
