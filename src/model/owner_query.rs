//! Queries for owners.

use std::sync::Arc;

use super::cursor::{Cursor, Walk};
use super::limits::{Limits, label_opt};
use super::owner::Owner;
use super::query::{CheckError, check_cursor, check_limit};

/// A query for owners, in the order in which they claimed their names.
///
/// ```
/// # use action_store::owner::OwnerQuery;
/// let of_one_name = OwnerQuery::new().with_name("plane@host-1");
/// let in_use = OwnerQuery::active().with_limit(50);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnerQuery {
    /// If true, only owners that are alive or own an unfinished action. False by default.
    pub active: bool,
    /// Only incarnations of this name. A [label](Limits::LABEL).
    pub name: Option<Arc<str>>,
    /// Cursor of the previous page; `None` for the first page.
    pub after: Option<Cursor>,
    /// Page size, 1 to [`Limits::PAGE`]; [`Limits::DEFAULT_PAGE`] by default.
    pub limit: u16,
}

impl Default for OwnerQuery {
    fn default() -> OwnerQuery {
        OwnerQuery {
            active: false,
            name: None,
            after: None,
            limit: Limits::DEFAULT_PAGE,
        }
    }
}

impl OwnerQuery {
    /// Creates a query for all owners that the store remembers.
    #[must_use]
    pub fn new() -> OwnerQuery {
        OwnerQuery::default()
    }

    /// Creates a query for owners that are alive or own an unfinished action.
    #[must_use]
    pub fn active() -> OwnerQuery {
        OwnerQuery {
            active: true,
            ..OwnerQuery::default()
        }
    }

    /// Sets the name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> OwnerQuery {
        self.name = Some(name.into());
        self
    }

    /// Continues after a previous page; `None` starts with the first page.
    #[must_use]
    pub fn with_after(mut self, after: Option<Cursor>) -> OwnerQuery {
        self.after = after;
        self
    }

    /// Sets the page size, 1 to [`Limits::PAGE`].
    #[must_use]
    pub fn with_limit(mut self, limit: u16) -> OwnerQuery {
        self.limit = limit;
        self
    }

    /// Returns true if the owner meets the conditions. `owns_unfinished` is true if it owns an
    /// unfinished action. It is used only by a query for [active](OwnerQuery::active) owners, and
    /// only for an owner that has ended.
    #[must_use]
    pub fn matches(&self, owner: &Owner, owns_unfinished: bool) -> bool {
        let named = self
            .name
            .as_ref()
            .is_none_or(|name| *name == owner.owner.name);
        named && (!self.active || owner.is_alive() || owns_unfinished)
    }

    /// Checks the limit, the name, and that the cursor belongs to a list of owners.
    ///
    /// # Errors
    /// Returns [`CheckError`] with the first rule that is broken.
    pub fn check(&self) -> Result<(), CheckError> {
        check_limit(self.limit)?;
        label_opt("name", self.name.as_deref())?;
        check_cursor(self.after, Walk::Owners)
    }
}
