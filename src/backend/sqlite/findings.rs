//! The result of a check, and how its statements are run.

use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::errors::store_error;
use super::known_damage::{Part, Parts};
use super::script::Script;
use crate::backend::sql::Phase;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};

/// Number of findings that a check returns; it counts all of them.
const FINDINGS: usize = 100;

/// Result of [`SqliteStore::check`](crate::SqliteStore::check).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteCheck {
    /// Number of actions that were read.
    pub actions: u64,
    /// Number of log entries that were read.
    pub entries: u64,
    /// Number of owners that were read.
    pub owners: u64,
    /// Number of findings. 0 means that no damage was found.
    pub damaged: u64,
    /// The first 100 findings, one sentence each. They contain no action data.
    pub findings: Vec<String>,
    /// The parts from which rows may be missing.
    pub(super) parts: Parts,
}

impl SqliteCheck {
    /// Counts a finding that hides rows of this part.
    pub(super) fn find_in(&mut self, part: Part, what: String) {
        self.find(what);
        self.parts.add(part);
    }

    /// Counts a finding that hides no rows.
    pub(super) fn find(&mut self, what: String) {
        self.damaged += 1;
        if self.findings.len() < FINDINGS {
            self.findings.push(what);
        }
    }

    /// Turns an error that says `Corrupt` into a finding. Its part of the check did not end, so
    /// every part of the store may be damaged. Returns `None` then.
    pub(super) fn unfinished<T>(
        &mut self,
        what: &str,
        ended: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match ended {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.find(format!("not checked to the end: {what}: {error}"));
                Part::ALL.into_iter().for_each(|part| self.parts.add(part));
                Ok(None)
            }
            ended => ended.map(Some),
        }
    }
}

/// Runs a statement, whose `$1` is `after`.
pub(super) async fn run(
    connection: &mut SqliteConnection,
    statement: &str,
    after: Option<i64>,
) -> Result<Vec<SqliteRow>, StoreError> {
    let before = |error| store_error("check", Phase::Before, error);
    let mut script = Script::new();
    script.push(statement);
    if let Some(after) = after {
        script.bind(after).map_err(before)?;
    }
    let results = script.run(connection).await;
    let results = results.map_err(|failed| before(failed.error))?;
    Ok(results.into_iter().flatten().collect())
}
