//! Identities of actions and operations, versions and digests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::limits::Invalid;
use super::text_serde::text_serde;
use crate::id_gen;

/// Defines an identity that wraps a UUID. Its text is the lower-case hyphenated form.
macro_rules! identity {
    ($(#[$meta:meta])* $name:ident, $field:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Generates a new identity (UUID version 7).
            ///
            /// Within one thread, later ones sort after earlier ones. Across threads and processes
            /// they sort by the clock.
            #[must_use]
            #[allow(clippy::new_without_default)] // a default that differs each time surprises
            pub fn new() -> $name {
                $name(id_gen::uuid())
            }

            /// Wraps a UUID of any version.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> $name {
                $name(uuid)
            }

            /// Returns the UUID.
            #[must_use]
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            /// Parses the lower-case hyphenated form only, so that each identity has exactly one
            /// spelling.
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

        text_serde!($name);

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
    /// Identity of an action. [`NewAction::new`](crate::NewAction::new) generates it; a caller may
    /// also bring its own.
    ActionUid, "uid"
}

identity! {
    /// Identity of an operation. A command that is sent twice with the same one is applied once.
    ///
    /// An action remembers its last operation and the operations in its log. A report of progress
    /// alone writes no log entry, so it is remembered only until the next change. If its whole
    /// batch is written again, the commands after it show that it was applied. If it is sent again
    /// later, alone, it is decided anew; that never lowers the progress.
    OpId, "op"
}

/// Number of changes of an action: 1 after the create, then one more with each change, without
/// gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Version(u64);

impl Version {
    /// The version of a new action.
    pub const FIRST: Version = Version(1);
    /// The highest version that a store can keep: 2^63 - 1, the largest signed 64-bit integer.
    pub const MAX: Version = Version(i64::MAX as u64);

    /// Wraps a number.
    ///
    /// # Errors
    /// Returns [`Invalid`] for 0 and for numbers above [`Version::MAX`].
    pub fn new(number: u64) -> Result<Version, Invalid> {
        if (1..=Version::MAX.0).contains(&number) {
            return Ok(Version(number));
        }
        let reason = format!("{number}; must be between 1 and {}", Version::MAX);
        Err(Invalid::new("version", reason))
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the next version. [`Version::MAX`] returns itself.
    #[must_use]
    pub const fn next(self) -> Version {
        if self.0 < Version::MAX.0 {
            Version(self.0 + 1)
        } else {
            Version::MAX
        }
    }
}

impl TryFrom<u64> for Version {
    type Error = Invalid;

    fn try_from(number: u64) -> Result<Version, Invalid> {
        Version::new(number)
    }
}

impl From<Version> for u64 {
    fn from(version: Version) -> u64 {
        version.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Digest of the content of a [`NewAction`](crate::NewAction). It tells a repeated create from a
/// different one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(Uuid);

impl Digest {
    /// Wraps a digest that a store has saved.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Digest {
        Digest(uuid)
    }

    /// Returns the 16 bytes.
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
    fn only_the_lower_case_hyphenated_form_of_a_uid_is_parsed() {
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
        assert_eq!(Version::MAX.next(), Version::MAX);
    }

    #[test]
    fn deserialising_a_version_checks_its_range() {
        for good in [1, 2, 1 << 62, Version::MAX.get()] {
            let version = Version::new(good).unwrap();
            let text = serde_json::to_string(&version).unwrap();
            assert_eq!(text, good.to_string());
            assert_eq!(serde_json::from_str::<Version>(&text).unwrap(), version);
        }
        for bad in [0, Version::MAX.get() + 1, u64::MAX] {
            assert!(Version::new(bad).is_err(), "{bad}");
            let error = serde_json::from_str::<Version>(&bad.to_string()).unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("version") && text.contains(&bad.to_string()),
                "{text}"
            );
        }
    }
}
