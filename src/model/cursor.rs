//! Where a store stands, and where a page ended.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

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

/// One branch of a store's history. A backup that goes on is another branch than the original that
/// goes on: both have the same history up to where they parted, and different ones after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BranchId(u64);

impl BranchId {
    /// The branch that a new store begins in. A store that is never copied stays in it.
    pub const FIRST: BranchId = BranchId(0);

    /// Draws the identity of a new branch.
    #[must_use]
    #[allow(clippy::new_without_default)] // a default that differs each time surprises
    pub fn new() -> BranchId {
        // The random half of the UUID, as a positive number that any column holds.
        let (_, random) = Uuid::now_v7().as_u64_pair();
        BranchId((random & (i64::MAX as u64)).max(1))
    }

    /// Wraps a number that a store kept.
    #[must_use]
    pub const fn from_u64(number: u64) -> BranchId {
        BranchId(number)
    }

    /// The number, at most `i64::MAX`.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Where a store stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Which store.
    pub life: StoreId,
    /// Which branch of it.
    pub branch: BranchId,
    /// The highest revision that is readable.
    pub revision: Revision,
    /// The highest revision of an action that was removed: a feed resumed below it may have
    /// missed something for good.
    pub removed_to: Revision,
    /// When the youngest action was created that was ever removed: what was created later is all
    /// there. None if nothing was.
    pub removed_created: Option<Timestamp>,
}

/// Which kind of walk a cursor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Walk {
    Newest,
    Oldest,
    Feed,
    Log,
    Owners,
}

impl Walk {
    const LETTERS: [(Walk, &'static str); 5] = [
        (Walk::Newest, "n"),
        (Walk::Oldest, "o"),
        (Walk::Feed, "f"),
        (Walk::Log, "l"),
        (Walk::Owners, "w"),
    ];
}

/// Where a page ended. Opaque to users; text by `Display` and back by `FromStr`.
///
/// It is valid for the store's life and carries no authority. In a branch of the store that parted
/// before the position it is [`CursorExpired`](crate::ErrorKind::CursorExpired), unless it is of a
/// newest-first list. In the feed it expires once an
/// action whose latest change the walk has not come to, and which was changed since the walk
/// began, is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub(super) walk: Walk,
    life: StoreId,
    branch: BranchId,
    position: u64,
    /// Feed only: the store's revision when the walk began, below which nothing the walk has
    /// shown can have changed and gone.
    began: u64,
    /// Feed only: the store's revision when the walk's last page was read. The page may have ended
    /// at an earlier revision, and yet shows actions as of this one.
    seen: u64,
}

/// A cursor's text that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a cursor")]
pub struct CursorError;

impl Cursor {
    /// After a row of a newest-first list of a store that stands at `at` and numbers its actions in
    /// creation order.
    #[must_use]
    pub const fn newest(at: Position, number: u64) -> Cursor {
        Cursor::new(Walk::Newest, at, number, 0, 0)
    }

    /// After a row of an oldest-first list.
    #[must_use]
    pub const fn oldest(at: Position, number: u64) -> Cursor {
        Cursor::new(Walk::Oldest, at, number, 0, 0)
    }

    /// After an entry of a log, for a store that numbers the entries as they are written.
    #[must_use]
    pub const fn log(at: Position, number: u64) -> Cursor {
        Cursor::new(Walk::Log, at, number, 0, 0)
    }

    /// After an owner, for a store that numbers the claims as they are made.
    #[must_use]
    pub const fn owners(at: Position, number: u64) -> Cursor {
        Cursor::new(Walk::Owners, at, number, 0, 0)
    }

    /// After a revision of the feed: everything above it, or `CursorExpired`.
    #[must_use]
    pub const fn feed(at: Position, revision: Revision) -> Cursor {
        let revision = revision.get();
        Cursor::new(Walk::Feed, at, revision, revision, revision)
    }

    /// After a revision, in a feed walk that goes on from `before`, or began at `at`.
    #[must_use]
    pub fn feed_after(revision: Revision, before: Option<Cursor>, at: Position) -> Cursor {
        let began = before.map_or(at.revision.get(), |before| before.began);
        Cursor::new(Walk::Feed, at, revision.get(), began, at.revision.get())
    }

    const fn new(walk: Walk, at: Position, position: u64, began: u64, seen: u64) -> Cursor {
        Cursor {
            walk,
            life: at.life,
            branch: at.branch,
            position,
            began,
            seen,
        }
    }

    /// The store it belongs to.
    #[must_use]
    pub const fn life(&self) -> StoreId {
        self.life
    }

    /// The branch of the store that it belongs to.
    #[must_use]
    pub const fn branch(&self) -> BranchId {
        self.branch
    }

    /// The same place in another branch.
    #[cfg(feature = "conformance")]
    pub(crate) const fn in_branch(mut self, branch: BranchId) -> Cursor {
        self.branch = branch;
        self
    }

    /// The number it was made with.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// How far the store had come when the walk's last page was read.
    pub(super) const fn seen(&self) -> u64 {
        match self.seen > self.position {
            true => self.seen,
            false => self.position,
        }
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
        write!(f, "1{letter}.{life}")?;
        // Left out of the first one, which most stores never leave.
        if self.branch != BranchId::FIRST {
            write!(f, "-{:x}", self.branch.get())?;
        }
        write!(f, ".{}", self.position)?;
        if self.walk == Walk::Feed {
            write!(f, ".{}.{}", self.began, self.seen)?;
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
        if text.len() > 128 {
            return Err(CursorError);
        }
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or(CursorError);
        let (kind, life, position) = (part()?, part()?, part()?);
        let (life, branch) = life.split_once('-').unwrap_or((life, "0"));
        let letter = kind.strip_prefix('1').ok_or(CursorError)?;
        let (walk, _) = *Walk::LETTERS
            .iter()
            .find(|(_, known)| *known == letter)
            .ok_or(CursorError)?;
        let uuid = Uuid::try_parse(life).map_err(|_| CursorError)?;
        let branch = u64::from_str_radix(branch, 16).map_err(|_| CursorError)?;
        let (mut began, mut seen) = (0, 0);
        if walk == Walk::Feed {
            (began, seen) = (number(part()?)?, number(part()?)?);
        }
        let cursor = Cursor {
            walk,
            life: StoreId(uuid),
            branch: BranchId(branch),
            position: number(position)?,
            began,
            seen,
        };
        if branch > i64::MAX as u64 {
            return Err(CursorError);
        }
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
            branch: BranchId::new(),
            revision: Revision::new(9),
            removed_to: Revision::ZERO,
            removed_created: None,
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
            branch: BranchId::FIRST,
            revision: Revision::new(revision),
            removed_to: Revision::new(removed_to),
            removed_created: None,
        };
        // A walk from the beginning of a store that has removed before.
        let walk = Cursor::feed_after(Revision::new(5), None, at(100, 50));
        assert!(!walk.is_expired(Revision::new(50)));
        assert!(!walk.is_expired(Revision::new(100)));
        assert!(walk.is_expired(Revision::new(101)));
        // A resumed one promises everything above its revision.
        let resumed = Cursor::feed(at(5, 0), Revision::new(5));
        assert!(!resumed.is_expired(Revision::new(5)));
        assert!(resumed.is_expired(Revision::new(6)));
        let next = Cursor::feed_after(Revision::new(8), Some(resumed), at(100, 5));
        assert!(next.is_expired(Revision::new(9)));
    }
}
