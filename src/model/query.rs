//! What can be asked about many actions, and how an answer goes on.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use super::action::{Action, ActionUid, Outcome, Source, Status};
use super::limits::{Invalid, Limits, at_most, label};
use super::new_action::DEFAULT_TENANT;
use super::object::ObjectRef;
use super::owner::OwnerRef;
use super::time::Timestamp;

/// The store-wide position of a change: one for each changed action in each commit, unique,
/// readable in order. One that is not readable once a higher one is never appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(u64);

impl Revision {
    /// Before the first change.
    pub const ZERO: Revision = Revision(0);

    /// Wraps a number.
    #[must_use]
    pub const fn new(number: u64) -> Revision {
        Revision(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Which store, from its creation on: cursors and revisions of one mean nothing to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(Uuid);

impl StoreId {
    /// Draws the identity of a new store.
    #[must_use]
    #[allow(clippy::new_without_default)] // a default that differs each time surprises
    pub fn new() -> StoreId {
        StoreId(Uuid::now_v7())
    }

    /// Wraps a UUID that a store kept.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> StoreId {
        StoreId(uuid)
    }

    /// The UUID.
    #[must_use]
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

/// Where a store stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Which store.
    pub life: StoreId,
    /// The highest revision that is readable.
    pub revision: Revision,
    /// The highest revision of an action that was removed: a feed resumed below it may have
    /// missed something for good.
    pub removed_to: Revision,
}

/// One condition. A query's terms must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Term {
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
            Term::Status(status) => action.status == *status,
            Term::Unfinished => action.is_unfinished(),
            Term::Outcome(outcome) => action.outcome == Some(*outcome),
            Term::Source(source) => action.source == *source,
            Term::Name(name) => action.name == *name,
            Term::Object(object) => action.object.as_ref() == Some(object),
            Term::Touches(object) => action.touches(object),
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

    /// The index that drives this query; its other terms filter what that finds. One choice for
    /// all backends, most selective first.
    pub(crate) fn driver(&self) -> Driver {
        let unfinished = self.terms.iter().any(|term| {
            matches!(
                term,
                Term::Unfinished | Term::Status(Status::Queued | Status::Executing)
            )
        });
        self.terms
            .iter()
            .filter_map(|term| match term {
                Term::Parent(parent) => Some(Driver::Parent(*parent)),
                Term::RetryOf(retry_of) => Some(Driver::RetryOf(*retry_of)),
                Term::Correlation(text) => Some(Driver::Correlation(text.clone())),
                Term::OwnerName(name) if unfinished => Some(Driver::UnfinishedOf(name.clone())),
                Term::Owner(owner) if unfinished => Some(Driver::UnfinishedOf(owner.name.clone())),
                Term::Object(object) | Term::Touches(object) => {
                    Some(Driver::Touches(object.clone()))
                }
                Term::Unfinished | Term::Status(Status::Queued | Status::Executing) => {
                    Some(Driver::Unfinished)
                }
                Term::Outcome(outcome) if *outcome != Outcome::Succeeded => {
                    Some(Driver::Ended(*outcome))
                }
                Term::Tenant(tenant) if **tenant != *DEFAULT_TENANT => {
                    Some(Driver::Tenant(tenant.clone()))
                }
                Term::Name(name) => Some(Driver::Name(name.clone())),
                _ => None,
            })
            .min_by_key(Driver::rank)
            .unwrap_or(Driver::All)
    }
}

/// The index that drives a query. Each but `All` is a set of actions in creation order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Driver {
    /// The parts of an action.
    Parent(ActionUid),
    /// The retries of an action.
    RetryOf(ActionUid),
    /// What belongs to a request or trace.
    Correlation(Arc<str>),
    /// The unfinished actions of an owner name.
    UnfinishedOf(Arc<str>),
    /// The actions that touch an object.
    Touches(ObjectRef),
    /// The unfinished actions.
    Unfinished,
    /// The actions that ended so; succeeded ones, nearly all there are, have no index.
    Ended(Outcome),
    /// The actions of a tenant; those of the default tenant have no index.
    Tenant(Arc<str>),
    /// The actions of a name.
    Name(Arc<str>),
    /// All actions.
    All,
}

impl Driver {
    fn rank(&self) -> u8 {
        match self {
            Driver::Parent(_) => 0,
            Driver::RetryOf(_) => 1,
            Driver::Correlation(_) => 2,
            Driver::UnfinishedOf(_) => 3,
            Driver::Touches(_) => 4,
            Driver::Unfinished => 5,
            Driver::Ended(_) => 6,
            Driver::Tenant(_) => 7,
            Driver::Name(_) => 8,
            Driver::All => 9,
        }
    }

    /// The sets that an action belongs to. `Unfinished`, `UnfinishedOf` and `Ended` change with
    /// its status and owner, the others never.
    pub(crate) fn sets_of(action: &Action) -> Vec<Driver> {
        let mut sets = vec![Driver::Name(action.name.clone())];
        sets.extend(action.parent.map(Driver::Parent));
        sets.extend(action.retry_of.map(Driver::RetryOf));
        sets.extend(action.correlation.clone().map(Driver::Correlation));
        sets.extend(touched(action).into_iter().cloned().map(Driver::Touches));
        if *action.tenant != *DEFAULT_TENANT {
            sets.push(Driver::Tenant(action.tenant.clone()));
        }
        sets.extend(Driver::moving_sets_of(action));
        sets
    }

    /// Those of its sets that its status and owner decide.
    pub(crate) fn moving_sets_of(action: &Action) -> Vec<Driver> {
        match action.outcome {
            None => {
                let owner = action.owner.as_ref().map(|owner| owner.name.clone());
                let mut sets = vec![Driver::Unfinished];
                sets.extend(owner.map(Driver::UnfinishedOf));
                sets
            }
            Some(Outcome::Succeeded) => Vec::new(),
            Some(outcome) => vec![Driver::Ended(outcome)],
        }
    }
}

/// The objects an action touches, each once, its subject first.
pub(crate) fn touched(action: &Action) -> Vec<&ObjectRef> {
    let mut touched: Vec<&ObjectRef> = action.object.iter().collect();
    for related in &*action.related {
        if !touched.contains(&&related.object) {
            touched.push(&related.object);
        }
    }
    touched
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

fn check_limit(limit: u16) -> Result<(), Invalid> {
    if !(1..=Limits::PAGE).contains(&limit) {
        return Err(Invalid::new(
            "limit",
            format!("is {limit}, not between 1 and {}", Limits::PAGE),
        ));
    }
    Ok(())
}

fn check_cursor(cursor: Option<Cursor>, walk: Walk) -> Result<(), CheckError> {
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

/// Which kind of walk a cursor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Walk {
    Newest,
    Oldest,
    Feed,
    Log,
}

impl Walk {
    const LETTERS: [(Walk, &'static str); 4] = [
        (Walk::Newest, "n"),
        (Walk::Oldest, "o"),
        (Walk::Feed, "f"),
        (Walk::Log, "l"),
    ];
}

/// Where a page ended. Opaque to users; text by `Display` and back by `FromStr`.
///
/// It is valid for the store's life and carries no authority. In the feed it expires once an
/// action whose latest change the walk has not come to, and which was changed since the walk
/// began, is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    walk: Walk,
    life: StoreId,
    position: u64,
    /// Feed only: the store's revision when the walk began, below which nothing the walk has
    /// shown can have changed and gone.
    began: u64,
}

/// A cursor's text that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a cursor")]
pub struct CursorError;

impl Cursor {
    /// After a row of a newest-first list, for a store that numbers its actions in creation order.
    #[must_use]
    pub const fn newest(life: StoreId, number: u64) -> Cursor {
        Cursor::new(Walk::Newest, life, number, 0)
    }

    /// After a row of an oldest-first list.
    #[must_use]
    pub const fn oldest(life: StoreId, number: u64) -> Cursor {
        Cursor::new(Walk::Oldest, life, number, 0)
    }

    /// After an entry of a log, for a store that numbers the entries as they are written.
    #[must_use]
    pub const fn log(life: StoreId, number: u64) -> Cursor {
        Cursor::new(Walk::Log, life, number, 0)
    }

    /// After a revision of the feed: everything above it, or `CursorExpired`.
    #[must_use]
    pub const fn feed(life: StoreId, revision: Revision) -> Cursor {
        Cursor::new(Walk::Feed, life, revision.get(), revision.get())
    }

    /// After a revision, in a feed walk that goes on from `before`, or began at `at`.
    #[must_use]
    pub fn feed_after(revision: Revision, before: Option<Cursor>, at: Position) -> Cursor {
        let began = before.map_or(at.revision.get(), |before| before.began);
        Cursor::new(Walk::Feed, at.life, revision.get(), began)
    }

    const fn new(walk: Walk, life: StoreId, position: u64, began: u64) -> Cursor {
        Cursor {
            walk,
            life,
            position,
            began,
        }
    }

    /// The store it belongs to.
    #[must_use]
    pub const fn life(&self) -> StoreId {
        self.life
    }

    /// The number it was made with.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Whether a feed that has removed up to `removed_to` may have lost what this cursor's walk
    /// has yet to see.
    #[must_use]
    pub fn is_expired(&self, removed_to: Revision) -> bool {
        self.walk == Walk::Feed && removed_to.get() > self.position.max(self.began)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = Walk::LETTERS
            .iter()
            .find_map(|(walk, letter)| (*walk == self.walk).then_some(*letter))
            .unwrap_or_default();
        let life = self.life.0.simple();
        write!(f, "1{letter}.{life}.{}", self.position)?;
        if self.walk == Walk::Feed {
            write!(f, ".{}", self.began)?;
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Cursor, CursorError> {
        // The range a signed 64-bit column holds, and one spelling for each number.
        fn number(text: &str) -> Result<u64, CursorError> {
            let canonical = !text.starts_with('+') && (text == "0" || !text.starts_with('0'));
            match text.parse::<i64>() {
                Ok(number) if canonical => u64::try_from(number).map_err(|_| CursorError),
                _ => Err(CursorError),
            }
        }
        if text.len() > 96 {
            return Err(CursorError);
        }
        let mut parts = text.split('.');
        let (Some(kind), Some(life), Some(position)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(CursorError);
        };
        let letter = kind.strip_prefix('1').ok_or(CursorError)?;
        let (walk, _) = *Walk::LETTERS
            .iter()
            .find(|(_, known)| *known == letter)
            .ok_or(CursorError)?;
        let uuid = Uuid::try_parse(life).map_err(|_| CursorError)?;
        let position = number(position)?;
        let began = match (walk, parts.next()) {
            (Walk::Feed, Some(began)) => number(began)?,
            (Walk::Feed, None) | (_, Some(_)) => return Err(CursorError),
            (_, None) => 0,
        };
        let cursor = Cursor::new(walk, StoreId(uuid), position, began);
        // Whatever another spelling could say is refused with it.
        if parts.next().is_some() || cursor.to_string() != text {
            return Err(CursorError);
        }
        Ok(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_from_its_text_and_nothing_else_does() {
        let life = StoreId::new();
        let at = Position {
            life,
            revision: Revision::new(9),
            removed_to: Revision::ZERO,
        };
        for cursor in [
            Cursor::newest(life, 7),
            Cursor::oldest(life, 0),
            Cursor::log(life, i64::MAX as u64),
            Cursor::feed(life, Revision::new(3)),
            Cursor::feed_after(Revision::new(3), None, at),
        ] {
            let text = cursor.to_string();
            assert_eq!(text.parse(), Ok(cursor));
            for bad in [
                format!("{text}.1"),
                format!("{text} "),
                text.to_uppercase(),
                text.replacen('1', "2", 1),
                text.replacen('.', ".+", 2),
                text[..text.len() - 1]
                    .rsplit_once('.')
                    .unwrap()
                    .0
                    .to_owned(),
            ] {
                if bad != text {
                    assert_eq!(bad.parse::<Cursor>(), Err(CursorError), "{bad}");
                }
            }
        }
        assert!("1n.x.1".parse::<Cursor>().is_err());
        assert!(
            format!("1n.{}.18446744073709551615", life.0.simple())
                .parse::<Cursor>()
                .is_err()
        );
    }

    #[test]
    fn a_feed_walk_outlives_removals_of_what_was_unchanged_since_it_began() {
        let life = StoreId::new();
        let at = |revision, removed_to| Position {
            life,
            revision: Revision::new(revision),
            removed_to: Revision::new(removed_to),
        };
        // A walk from the beginning of a store that has removed before.
        let walk = Cursor::feed_after(Revision::new(5), None, at(100, 50));
        assert!(!walk.is_expired(Revision::new(50)));
        assert!(!walk.is_expired(Revision::new(100)));
        assert!(walk.is_expired(Revision::new(101)));
        // A resumed one promises everything above its revision.
        let resumed = Cursor::feed(life, Revision::new(5));
        assert!(!resumed.is_expired(Revision::new(5)));
        assert!(resumed.is_expired(Revision::new(6)));
        let next = Cursor::feed_after(Revision::new(8), Some(resumed), at(100, 5));
        assert!(next.is_expired(Revision::new(9)));
    }
}
