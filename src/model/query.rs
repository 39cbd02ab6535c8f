//! What can be asked about many actions, and how an answer goes on.

use std::sync::Arc;

use super::action::Action;
use super::cursor::{Cursor, Position, Walk};
use super::identity::ActionUid;
use super::limits::{Invalid, Limits, at_most, label};
use super::object::{ObjectRef, ObjectSet};
use super::owner::OwnerRef;
use super::time::Timestamp;
use super::words::{Outcome, Source, Status};

/// One condition. A query's terms must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Term {
    /// It is this action.
    Uid(ActionUid),
    /// It has this status.
    Status(Status),
    /// It is queued or executing.
    Unfinished,
    /// It ended so.
    Outcome(Outcome),
    /// It is of this source.
    Source(Source),
    /// It has this name.
    Name(Arc<str>),
    /// This is its object.
    Object(ObjectRef),
    /// This is its object or a related one.
    Touches(ObjectRef),
    /// Its object or a related one is among these.
    TouchesAny(ObjectSet),
    /// It belongs to this tenant.
    Tenant(Arc<str>),
    /// This one asked for it.
    Actor(Arc<str>),
    /// This incarnation owns it.
    Owner(OwnerRef),
    /// An incarnation of this name owns it.
    OwnerName(Arc<str>),
    /// It is a part of this action.
    Parent(ActionUid),
    /// It tries this action again.
    RetryOf(ActionUid),
    /// It carries this correlation.
    Correlation(Arc<str>),
    /// It was created at this time or later.
    CreatedFrom(Timestamp),
    /// It was created before this time.
    CreatedBefore(Timestamp),
    /// It was completed at this time or later.
    FinishedFrom(Timestamp),
    /// It was completed before this time.
    FinishedBefore(Timestamp),
    /// Somebody asked to cancel it.
    CancelRequested,
    /// Stands for a term of a later version of this library, so that the conformance suite can
    /// show that a store refuses what it does not know.
    #[doc(hidden)]
    Unknown,
}

impl Term {
    /// Whether the term holds for an action.
    #[must_use]
    pub fn matches(&self, action: &Action) -> bool {
        match self {
            Term::Uid(uid) => action.uid == *uid,
            Term::Status(status) => action.status == *status,
            Term::Unfinished => action.is_unfinished(),
            Term::Outcome(outcome) => action.outcome == Some(*outcome),
            Term::Source(source) => action.source == *source,
            Term::Name(name) => action.name == *name,
            Term::Object(object) => action.object.as_ref() == Some(object),
            Term::Touches(object) => action.touches(object),
            Term::TouchesAny(objects) => action.touches_any(objects),
            Term::Tenant(tenant) => action.tenant == *tenant,
            Term::Actor(actor) => action.actor.as_ref() == Some(actor),
            Term::Owner(owner) => action.owner.as_ref() == Some(owner),
            Term::OwnerName(name) => action.owner.as_ref().is_some_and(|o| o.name == *name),
            Term::Parent(parent) => action.parent == Some(*parent),
            Term::RetryOf(retry_of) => action.retry_of == Some(*retry_of),
            Term::Correlation(correlation) => action.correlation.as_ref() == Some(correlation),
            Term::CreatedFrom(time) => action.created_at >= *time,
            Term::CreatedBefore(time) => action.created_at < *time,
            Term::FinishedFrom(time) => action.finished_at.is_some_and(|at| at >= *time),
            Term::FinishedBefore(time) => action.finished_at.is_some_and(|at| at < *time),
            Term::CancelRequested => action.cancel.is_some(),
            Term::Unknown => false,
        }
    }

    fn check(&self) -> Result<(), CheckError> {
        match self {
            Term::Name(text)
            | Term::Tenant(text)
            | Term::Actor(text)
            | Term::OwnerName(text)
            | Term::Correlation(text) => Ok(label("terms", text)?),
            Term::Owner(owner) => Ok(owner.check()?),
            Term::TouchesAny(objects) => Ok(objects.check()?),
            Term::Unknown => Err(CheckError::Unsupported("this term")),
            _ => Ok(()),
        }
    }
}

/// In which order a list comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Order {
    /// The one created last first.
    #[default]
    Newest,
    /// The one created first first.
    Oldest,
    /// Each action once, at its latest change, the earliest change first: the feed.
    Feed,
    /// Stands for an order of a later version of this library.
    #[doc(hidden)]
    Unknown,
}

/// How much of each action a list brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Detail {
    /// Everything.
    #[default]
    Full,
    /// All but what only its starter or an operator wants: `result` and the error's `detail` are
    /// left out, whether the action has them or not.
    Summary,
}

impl Detail {
    /// An action as a list of this detail brings it.
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

/// A question about many actions.
///
/// A page looks at no more than [`Limits::SCAN`] rows: when the terms beside the one that drives
/// the query are rare, it may be short, even empty, and still go on with its cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Query {
    /// What must hold, all of it; at most [`Limits::TERMS`].
    pub terms: Vec<Term>,
    /// In which order.
    pub order: Order,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// At most so many, 1..=[`Limits::PAGE`]; [`Limits::DEFAULT_PAGE`] unless set.
    pub limit: u16,
    /// How much of each.
    pub detail: Detail,
}

impl Default for Query {
    fn default() -> Query {
        Query {
            terms: Vec::new(),
            order: Order::Newest,
            after: None,
            limit: Limits::DEFAULT_PAGE,
            detail: Detail::Full,
        }
    }
}

impl Query {
    /// All actions, newest first.
    #[must_use]
    pub fn new() -> Query {
        Query::default()
    }

    /// Adds a condition.
    #[must_use]
    pub fn with_term(mut self, term: Term) -> Query {
        self.terms.push(term);
        self
    }

    /// Sets the order.
    #[must_use]
    pub fn with_order(mut self, order: Order) -> Query {
        self.order = order;
        self
    }

    /// Goes on where a page ended; `None` begins.
    #[must_use]
    pub fn with_after(mut self, after: Option<Cursor>) -> Query {
        self.after = after;
        self
    }

    /// Sets the page size.
    #[must_use]
    pub fn with_limit(mut self, limit: u16) -> Query {
        self.limit = limit;
        self
    }

    /// Sets how much of each action comes.
    #[must_use]
    pub fn with_detail(mut self, detail: Detail) -> Query {
        self.detail = detail;
        self
    }

    /// Whether all terms hold for an action.
    #[must_use]
    pub fn matches(&self, action: &Action) -> bool {
        self.terms.iter().all(|term| term.matches(action))
    }

    /// Checks limits, terms, order and that the cursor is one of this order.
    ///
    /// # Errors
    /// [`CheckError`].
    pub fn check(&self) -> Result<(), CheckError> {
        check_limit(self.limit)?;
        at_most("terms", self.terms.len(), Limits::TERMS)?;
        self.terms.iter().try_for_each(Term::check)?;
        let walk = match self.order {
            Order::Newest => Walk::Newest,
            Order::Oldest => Walk::Oldest,
            Order::Feed => Walk::Feed,
            Order::Unknown => return Err(CheckError::Unsupported("this order")),
        };
        check_cursor(self.after, walk)
    }
}

/// A question about logs: of one action from its first entry on, or of all in the order in which
/// the entries were written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogQuery {
    /// Only the log of this action.
    pub uid: Option<ActionUid>,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// At most so many, 1..=[`Limits::PAGE`]; [`Limits::DEFAULT_PAGE`] unless set.
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
    /// The log of one action.
    #[must_use]
    pub fn of(uid: ActionUid) -> LogQuery {
        LogQuery {
            uid: Some(uid),
            ..LogQuery::default()
        }
    }

    /// The log of all actions.
    #[must_use]
    pub fn all() -> LogQuery {
        LogQuery::default()
    }

    /// Goes on where a page ended; `None` begins.
    #[must_use]
    pub fn with_after(mut self, after: Option<Cursor>) -> LogQuery {
        self.after = after;
        self
    }

    /// Sets the page size.
    #[must_use]
    pub fn with_limit(mut self, limit: u16) -> LogQuery {
        self.limit = limit;
        self
    }

    /// Checks the limit and that the cursor is one of a log.
    ///
    /// # Errors
    /// [`CheckError`].
    pub fn check(&self) -> Result<(), CheckError> {
        check_limit(self.limit)?;
        check_cursor(self.after, Walk::Log)
    }
}

pub(super) fn check_limit(limit: u16) -> Result<(), Invalid> {
    if !(1..=Limits::PAGE).contains(&limit) {
        return Err(Invalid::new(
            "limit",
            format!("is {limit}, not between 1 and {}", Limits::PAGE),
        ));
    }
    Ok(())
}

pub(super) fn check_cursor(cursor: Option<Cursor>, walk: Walk) -> Result<(), CheckError> {
    match cursor {
        Some(cursor) if cursor.walk != walk => {
            Err(Invalid::new("after", "is a cursor of another kind of list").into())
        }
        _ => Ok(()),
    }
}

/// Why a question or a batch is refused before anything is looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// It breaks a rule.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// It uses something of a later version of this library.
    #[error("{0} is not supported by this version")]
    Unsupported(&'static str),
}

/// One page of an answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Page<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Where to go on; none at the end. A page may be short and go on.
    pub next: Option<Cursor>,
    /// Where the store stood when the page was read.
    pub at: Position,
}

impl<T> Page<T> {
    /// A page.
    #[must_use]
    pub fn new(items: Vec<T>, next: Option<Cursor>, at: Position) -> Page<T> {
        Page { items, next, at }
    }
}
