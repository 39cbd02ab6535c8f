//! Cursors into the lists of a store.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::position::{BranchId, Position, Revision, StoreId};
use super::text_serde::text_serde;
use super::time::Timestamp;

/// Kind of list that a cursor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Walk {
    Newest,
    Oldest,
    Finished,
    Feed,
    Log,
    Owners,
}

impl Walk {
    const LETTERS: [(Walk, &'static str); 6] = [
        (Walk::Newest, "n"),
        (Walk::Oldest, "o"),
        (Walk::Finished, "c"),
        (Walk::Feed, "f"),
        (Walk::Log, "l"),
        (Walk::Owners, "w"),
    ];
}

/// Position after the last item of a page.
///
/// The content is opaque to users. `Display` writes a cursor as text, and `FromStr` reads it back.
/// Serde uses the same text.
/// A cursor is valid for the lifetime of the store. It grants no access.
///
/// A cursor can expire with [`CursorExpired`](crate::ErrorKind::CursorExpired) in two cases:
///
/// - The store is on a branch that does not contain all that the list has shown. Cursors of
///   newest-first lists and of lists in order of completion do not expire this way. Cursors of owner lists expire on every other
///   branch.
///
/// - Feed only: an action was removed that changed after the walk began, and the walk had not
///   reached that change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub(super) walk: Walk,
    store_id: StoreId,
    branch: BranchId,
    position: u64,
    /// Feed: revision of the store when the walk began. A removed action with a lower revision does
    /// not expire the cursor. Order of completion: when the action was completed.
    began: u64,
    /// Feed only: revision of the store when the last page was read. It may be higher than the
    /// revision at which the page ended.
    seen: u64,
}

/// The text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a cursor")]
pub struct CursorError;

text_serde!(Cursor);

impl Cursor {
    /// Creates a cursor after a row of a newest-first list.
    ///
    /// `at` is the position of the store. `number` is the row's number in creation order.
    #[must_use]
    pub const fn newest(at: Position, number: u64) -> Cursor {
        Cursor::new(Walk::Newest, at, number, 0, 0)
    }

    /// Creates a cursor after a row of an oldest-first list, by the row's number in creation order.
    #[must_use]
    pub const fn oldest(at: Position, number: u64) -> Cursor {
        Cursor::new(Walk::Oldest, at, number, 0, 0)
    }

    /// Creates a cursor after a row of a list in order of completion, by the time of its completion
    /// and its number in creation order.
    #[must_use]
    pub const fn finished(at: Position, finished_at: Timestamp, number: u64) -> Cursor {
        // As in the stored form: a time before 1970 is a number, too.
        let micros = finished_at.as_micros();
        let time = ((micros << 1) ^ (micros >> 63)) as u64;
        Cursor::new(Walk::Finished, at, number, time, 0)
    }

    /// Creates a cursor after a log entry, by the entry's number in write order.
    #[must_use]
    pub const fn log(at: Position, number: u64) -> Cursor {
        Cursor::new(Walk::Log, at, number, 0, 0)
    }

    /// Creates a cursor after an owner, by the number of its claim.
    #[must_use]
    pub const fn owners(at: Position, number: u64) -> Cursor {
        Cursor::new(Walk::Owners, at, number, 0, 0)
    }

    /// Creates a feed cursor that resumes after a revision. It returns every change above it, or
    /// expires.
    #[must_use]
    pub const fn feed(at: Position, revision: Revision) -> Cursor {
        let revision = revision.get();
        Cursor::new(Walk::Feed, at, revision, revision, revision)
    }

    /// Creates a feed cursor after a revision. The walk continues from `before`, or begins at `at`
    /// if `before` is `None`.
    #[must_use]
    pub fn feed_after(revision: Revision, before: Option<Cursor>, at: Position) -> Cursor {
        let began = before.map_or(at.revision.get(), |before| before.began);
        Cursor::new(Walk::Feed, at, revision.get(), began, at.revision.get())
    }

    const fn new(walk: Walk, at: Position, position: u64, began: u64, seen: u64) -> Cursor {
        Cursor {
            walk,
            store_id: at.store_id,
            branch: at.branch,
            position,
            began,
            seen,
        }
    }

    /// Returns the store of the cursor.
    #[must_use]
    pub const fn store_id(&self) -> StoreId {
        self.store_id
    }

    /// Returns the branch of the cursor.
    #[must_use]
    pub const fn branch(&self) -> BranchId {
        self.branch
    }

    /// Returns the same cursor in another branch.
    #[cfg(feature = "conformance")]
    pub(crate) const fn in_branch(mut self, branch: BranchId) -> Cursor {
        self.branch = branch;
        self
    }

    /// Returns the number that the cursor was created with.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Returns the time that the cursor was created with. Only for an order of completion.
    #[must_use]
    pub const fn finished_at(&self) -> Timestamp {
        let time = self.began;
        Timestamp::from_micros((time >> 1) as i64 ^ -((time & 1) as i64))
    }

    /// Returns the revision of the store when the last page was read.
    pub(super) const fn seen(&self) -> u64 {
        if self.seen > self.position {
            self.seen
        } else {
            self.position
        }
    }

    /// Returns true if a removal up to `pruned_through` may have deleted actions that this feed cursor
    /// has not returned yet.
    #[must_use]
    pub fn is_expired(&self, pruned_through: Revision) -> bool {
        self.walk == Walk::Feed && pruned_through.get() > self.position.max(self.began)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = Walk::LETTERS
            .iter()
            .find_map(|(walk, letter)| (*walk == self.walk).then_some(*letter))
            .unwrap_or_default();
        let store_id = self.store_id.as_uuid().simple();
        write!(f, "1{letter}.{store_id}")?;
        // The first branch is left out: most stores never leave it.
        if self.branch != BranchId::FIRST {
            write!(f, "-{:x}", self.branch.get())?;
        }
        write!(f, ".{}", self.position)?;
        match self.walk {
            Walk::Feed => write!(f, ".{}.{}", self.began, self.seen),
            Walk::Finished => write!(f, ".{}", self.began),
            _ => Ok(()),
        }
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Cursor, CursorError> {
        // Numbers must fit a signed 64-bit column, and each number has one spelling.
        fn number(text: &str) -> Result<u64, CursorError> {
            let canonical = !text.starts_with('+') && (text == "0" || !text.starts_with('0'));
            match text.parse::<i64>() {
                Ok(number) if canonical => u64::try_from(number).map_err(|_| CursorError),
                _ => Err(CursorError),
            }
        }
        if text.len() > 128 {
            return Err(CursorError);
        }
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or(CursorError);
        let (kind, store_id, position) = (part()?, part()?, part()?);
        let (store_id, branch) = store_id.split_once('-').unwrap_or((store_id, "0"));
        let letter = kind.strip_prefix('1').ok_or(CursorError)?;
        let (walk, _) = *Walk::LETTERS
            .iter()
            .find(|(_, known)| *known == letter)
            .ok_or(CursorError)?;
        let uuid = Uuid::try_parse(store_id).map_err(|_| CursorError)?;
        let branch = u64::from_str_radix(branch, 16).map_err(|_| CursorError)?;
        let (mut began, mut seen) = (0, 0);
        if walk == Walk::Feed {
            (began, seen) = (number(part()?)?, number(part()?)?);
        }
        if walk == Walk::Finished {
            began = number(part()?)?;
        }
        let cursor = Cursor {
            walk,
            store_id: StoreId::from_uuid(uuid),
            branch: BranchId::from_u64(branch),
            position: number(position)?,
            began,
            seen,
        };
        if branch > i64::MAX as u64 {
            return Err(CursorError);
        }
        // Refuses every spelling but the one that `Display` writes.
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
    fn a_cursor_round_trips_and_other_texts_are_refused() {
        let store_id = StoreId::new();
        let at = Position {
            store_id,
            branch: BranchId::new(),
            revision: Revision::new(9),
            pruned_through: Revision::ZERO,
            pruned_created: None,
            actions: 0,
        };
        let first = Position {
            branch: BranchId::FIRST,
            ..at
        };
        for cursor in [
            Cursor::newest(at, 7),
            Cursor::oldest(at, 0),
            Cursor::log(at, i64::MAX as u64),
            Cursor::owners(at, 1),
            Cursor::feed(at, Revision::new(3)),
            Cursor::feed(first, Revision::new(3)),
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
            format!("1n.{}.18446744073709551615", store_id.as_uuid().simple())
                .parse::<Cursor>()
                .is_err()
        );
    }

    #[test]
    fn removing_an_action_unchanged_since_a_feed_began_does_not_expire_its_cursor() {
        let store_id = StoreId::new();
        let at = |revision, pruned_through| Position {
            store_id,
            branch: BranchId::FIRST,
            revision: Revision::new(revision),
            pruned_through: Revision::new(pruned_through),
            pruned_created: None,
            actions: 0,
        };
        // A walk from the beginning, in a store that has removed actions before.
        let walk = Cursor::feed_after(Revision::new(5), None, at(100, 50));
        assert!(!walk.is_expired(Revision::new(50)));
        assert!(!walk.is_expired(Revision::new(100)));
        assert!(walk.is_expired(Revision::new(101)));
        // A resumed walk must return every change above its revision.
        let resumed = Cursor::feed(at(5, 0), Revision::new(5));
        assert!(!resumed.is_expired(Revision::new(5)));
        assert!(resumed.is_expired(Revision::new(6)));
        let next = Cursor::feed_after(Revision::new(8), Some(resumed), at(100, 5));
        assert!(next.is_expired(Revision::new(9)));
    }
}
