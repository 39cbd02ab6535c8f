//! Checks the version of SQLite.

use sqlx::sqlite::SqliteConnection;

use super::schema::single;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};

/// The oldest version with all functions that our statements use (`unixepoch('subsec')`; `unhex`
/// needs 3.41).
const OLDEST: Version = Version([3, 42, 0]);

/// A version of the SQLite library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version([u32; 3]);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl Version {
    fn parse(text: &str) -> Option<Version> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        let mut next = || parts.next().unwrap_or(Some(0));
        Some(Version([next()?, next()?, next()?]))
    }

    /// Returns true if two connections that write or checkpoint at the same moment can damage the
    /// database. Affected are 3.7.0 to 3.51.2. Fixed in 3.51.3, and for older lines in 3.50.7 and
    /// 3.44.6 (sqlite.org/wal.html, section 11).
    pub(super) fn has_wal_reset_bug(self) -> bool {
        let repaired = match self.0 {
            [3, 44, patch] => patch >= 6,
            [3, 50, patch] => patch >= 7,
            _ => self >= Version([3, 51, 3]),
        };
        !repaired && self >= Version([3, 7, 0])
    }
}

/// Returns the version in use. `several` means that several connections may write: a version with
/// the WAL-reset bug is then refused unless the host allows it.
pub(super) async fn check(
    connection: &mut SqliteConnection,
    several: bool,
    allow_wal_reset_bug: bool,
) -> Result<Version, StoreError> {
    let text: String = single(connection, "SELECT sqlite_version()").await?;
    judge(&text, several, allow_wal_reset_bug)
}

fn judge(text: &str, several: bool, allow_wal_reset_bug: bool) -> Result<Version, StoreError> {
    let refuse = |message: String| Err(StoreError::new(ErrorKind::Incompatible, "open", message));
    let Some(version) = Version::parse(text) else {
        return refuse(format!("SQLite's version {text} cannot be read"));
    };
    if version < OLDEST {
        return refuse(format!("SQLite is {version}, at least {OLDEST} is needed"));
    }
    if several && !allow_wal_reset_bug && version.has_wal_reset_bug() {
        return refuse(format!(
            "SQLite {version} can damage a database that several connections write \
             (the log-reset bug); use 3.51.3 or newer, or allow it"
        ));
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_ordered() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("3.9.2") < version("3.42.0"));
        assert!(version("3.51") == version("3.51.0"));
        assert_eq!(version("3.51.3").to_string(), "3.51.3");
        assert_eq!(Version::parse("three"), None);
        assert_eq!(Version::parse("3.x.1"), None);
    }

    #[test]
    fn a_version_is_refused_for_what_it_is_not_fit_for_and_for_nothing_else() {
        let refused = |text, several, allowed| {
            let judged = judge(text, several, allowed);
            judged.map_err(|error| (error.kind(), error.to_string()))
        };
        // With one connection, or if the host allows it, the bug is accepted.
        for (text, several, allowed) in [
            ("3.42.0", false, false),
            ("3.46.0", false, false),
            ("3.46.0", true, true),
            ("3.51.3", true, false),
        ] {
            let version = Version::parse(text).unwrap();
            assert_eq!(refused(text, several, allowed), Ok(version));
        }
        for (text, several, allowed, why) in [
            ("3.41.2", false, true, "at least 3.42.0"),
            ("3.46.0", true, false, "log-reset bug"),
            ("three", true, true, "cannot be read"),
        ] {
            let (kind, message) = refused(text, several, allowed).unwrap_err();
            assert_eq!(kind, ErrorKind::Incompatible);
            assert!(message.contains(why), "{message}");
        }
    }

    #[test]
    fn the_versions_with_the_log_reset_bug_are_known() {
        for (text, affected) in [
            ("3.6.23", false),
            ("3.7.0", true),
            ("3.44.5", true),
            ("3.44.6", false),
            ("3.45.0", true),
            ("3.46.0", true),
            ("3.50.2", true),
            ("3.50.7", false),
            ("3.51.0", true),
            ("3.51.2", true),
            ("3.51.3", false),
            ("3.52.0", false),
            ("4.0.0", false),
        ] {
            let version = Version::parse(text).unwrap();
            assert_eq!(version.has_wal_reset_bug(), affected, "{text}");
        }
    }
}
