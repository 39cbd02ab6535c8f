//! Identities and counts: which action, which operation, which change.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::draw;
use super::limits::Invalid;

/// An identity made of a UUID and written in the one canonical form: lower-case, hyphenated.
macro_rules! identity {
    ($(#[$meta:meta])* $name:ident, $field:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Draws a new one (UUID version 7: later ones sort after earlier ones of the same
            /// thread, and by the clock after those of others).
            #[must_use]
            #[allow(clippy::new_without_default)] // a default that differs each time surprises
            pub fn new() -> $name {
                $name(draw::uuid())
            }

            /// Wraps a UUID, of any version.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> $name {
                $name(uuid)
            }

            /// The UUID.
            #[must_use]
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            /// Reads the canonical form only: the other spellings a UUID has would give one
            /// thing several names.
            fn from_str(text: &str) -> Result<$name, Invalid> {
                let canonical = text.len() == 36
                    && !text.bytes().any(|b| b.is_ascii_uppercase())
                    && text.as_bytes().get(8) == Some(&b'-');
                match Uuid::try_parse(text) {
                    Ok(uuid) if canonical => Ok($name(uuid)),
                    _ => Err(Invalid::new(
                        $field,
                        "is not a UUID in lower-case hyphenated form",
                    )),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

identity! {
    /// Which action. Drawn by [`NewAction::new`](crate::NewAction::new), or brought by the caller.
    ActionUid, "uid"
}

identity! {
    /// Which operation. A command sent twice with the same one acts once.
    ///
    /// An action remembers its last operation and those of the entries its log still has. A report
    /// that makes no entry (progress alone) is therefore remembered until the next change; within
    /// a batch that is written again it is recognised by what follows it there. Sent again later,
    /// on its own, it is judged anew, which does not lower progress.
    OpId, "op"
}

/// Counts one action's changes: 1 when it is created, then one more with each change, no hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(u64);

impl Version {
    /// The version of an action nobody has changed since it was created.
    pub const FIRST: Version = Version(1);

    /// Wraps a number; versions start at 1.
    ///
    /// # Errors
    /// [`Invalid`] for 0 and above 2^62: a signed 64-bit column holds twice as many, so whatever
    /// comes in leaves room to go on.
    pub fn new(number: u64) -> Result<Version, Invalid> {
        match number {
            1..=0x4000_0000_0000_0000 => Ok(Version(number)),
            _ => Err(Invalid::new("version", "is not between 1 and 2^62")),
        }
    }

    /// A number that was stored: one that came in at the limit has gone on from there.
    pub(crate) fn stored(number: u64) -> Option<Version> {
        (number > 0).then_some(Version(number))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version after one more change.
    #[must_use]
    pub const fn next(self) -> Version {
        Version(self.0.saturating_add(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A digest of what a [`NewAction`](crate::NewAction) asks for, to tell a repeated create from a different one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(Uuid);

impl Digest {
    /// Wraps what a store kept.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Digest {
        Digest(uuid)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.0.simple())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_form_of_a_uid_is_read() {
        let canonical = "159ca2f8-7bf3-4cda-97e8-4eb560665c28";
        assert_eq!(
            canonical.parse::<ActionUid>().unwrap().to_string(),
            canonical
        );
        for bad in [
            "",
            "159ca2f87bf34cda97e84eb560665c28",
            "159CA2F8-7BF3-4CDA-97E8-4EB560665C28",
            "{159ca2f8-7bf3-4cda-97e8-4eb560665c28}",
            "urn:uuid:159ca2f8-7bf3-4cda-97e8-4eb560665c28",
            "159ca2f8-7bf3-4cda-97e8-4eb560665c2",
            "159ca2f8-7bf3-4cda-97e8-4eb560665c2g",
            "é59ca2f8-7bf3-4cda-97e8-4eb560665c2",
        ] {
            assert!(bad.parse::<ActionUid>().is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_start_at_one() {
        assert!(Version::new(0).is_err());
        assert!(Version::new(u64::MAX).is_err());
        assert_eq!(Version::new(1), Ok(Version::FIRST));
        assert_eq!(Version::FIRST.next().get(), 2);
    }
}
