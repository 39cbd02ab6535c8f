//! A question about owners.

use std::sync::Arc;

use super::cursor::{Cursor, Walk};
use super::limits::{Limits, label_opt};
use super::query::{CheckError, check_cursor, check_limit};

/// A question about owners, which come in the order in which they claimed their names.
///
/// ```
/// # use action_store::OwnerQuery;
/// let of_one_name = OwnerQuery::new().with_name("plane@host-1");
/// let in_use = OwnerQuery::active().with_limit(50);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnerQuery {
    /// Only owners that are alive or own an unfinished action. False unless set.
    pub active: bool,
    /// Only incarnations of this name.
    pub name: Option<Arc<str>>,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// At most so many, 1..=[`Limits::PAGE`]; [`Limits::DEFAULT_PAGE`] unless set.
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
    /// All owners the store remembers.
    #[must_use]
    pub fn new() -> OwnerQuery {
        OwnerQuery::default()
    }

    /// Owners that are alive or own an unfinished action.
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

    /// Goes on where a page ended; `None` begins.
    #[must_use]
    pub fn with_after(mut self, after: Option<Cursor>) -> OwnerQuery {
        self.after = after;
        self
    }

    /// Sets the page size.
    #[must_use]
    pub fn with_limit(mut self, limit: u16) -> OwnerQuery {
        self.limit = limit;
        self
    }

    /// Checks the limit, the name and that the cursor is one of a list of owners.
    ///
    /// # Errors
    /// [`CheckError`].
    pub fn check(&self) -> Result<(), CheckError> {
        check_limit(self.limit)?;
        label_opt("name", self.name.as_deref())?;
        check_cursor(self.after, Walk::Owners)
    }
}
