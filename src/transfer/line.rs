//! The lines of an export.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use uuid::Uuid;

use super::error::BadLine;
use super::wire::{Unreadable, WireAction, WireEntry, canonical};
use crate::error::{StoreError, StoreErrorKind};
use crate::model::{Action, Cursor, LogEntry, Revision, StoreId};

/// Version of the format that is written. No other version is read.
pub const VERSION: u32 = 1;

/// Maximum length of a line that is read, in bytes. The longest line that can be written has about
/// 8 MiB.
pub(super) const LONGEST: usize = 16 * 1024 * 1024;

/// Number of bytes since the last checkpoint after which the next one is due.
pub(super) const DUE: usize = 4 * 1024 * 1024;

/// Maximum number of actions between two checkpoints.
pub(super) const MOST: usize = 1000;

/// Checksum over the lines of an export so far, chained as UUIDs of version 5.
///
/// The name is the bytes of a line; the namespace is the previous checksum. It detects damage, not
/// forgery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum(Uuid);

impl Sum {
    pub(super) const NONE: Sum = Sum(Uuid::nil());

    pub(super) fn and(self, line: &str) -> Sum {
        Sum(Uuid::new_v5(&self.0, line.as_bytes()))
    }
}

/// Number of actions and log entries since the beginning of the export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Count {
    /// Number of actions.
    pub actions: u64,
    /// Number of log entries.
    pub entries: u64,
}

impl Count {
    pub(super) fn add(&mut self, entries: usize) {
        // A checkpoint to resume from may contain any number.
        self.actions = self.actions.saturating_add(1);
        self.entries = self.entries.saturating_add(entries as u64);
    }
}

/// Origin of an export, from its first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// Identity of the exported store.
    pub store: StoreId,
    /// Revision of the store when the export began.
    pub revision: Revision,
}

/// Checkpoint line of an export, with the number of actions and entries and the checksum of all
/// lines before it.
///
/// A broken-off export can [resume](super::Exporter::resume) from most checkpoints. `Display`
/// writes the line as in the export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    pub(super) count: Count,
    pub(super) after: Option<Cursor>,
    pub(super) sum: Sum,
}

impl Checkpoint {
    /// Returns the number of actions and entries before the checkpoint.
    #[must_use]
    pub fn count(&self) -> Count {
        self.count
    }
}

/// A line of an export.
#[derive(Debug)]
pub(super) enum Line {
    Header,
    Action(Box<Action>, Vec<LogEntry>),
    Checkpoint(Checkpoint),
    /// The last line. Its cursor has no meaning.
    End(Checkpoint),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireHeader {
    action_store_export: u32,
    store: String,
    revision: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireMark {
    actions: u64,
    entries: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    checksum: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireCheckpoint {
    checkpoint: WireMark,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireEnd {
    end: WireMark,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireLine {
    action: WireAction,
    log: Vec<WireEntry>,
}

/// The part of a first line that is read before its version is known.
#[derive(Deserialize)]
struct AnyHeader {
    action_store_export: u64,
}

fn written<T: Serialize>(wire: &T) -> String {
    // Strings, integers and lists of them always serialize.
    serde_json::to_string(wire).unwrap_or_default()
}

fn read<'l, T: Deserialize<'l>>(line: &'l str) -> Result<T, BadLine> {
    serde_json::from_str(line).map_err(|error| {
        // Keep the column that serde_json adds, but not its "line 1".
        let reason = error.to_string().replace(" at line 1 column", ", column");
        match error.classify() {
            Category::Data => BadLine::new(StoreErrorKind::Incompatible, reason),
            _ => BadLine::corrupt(reason),
        }
    })
}

/// Returns an action and its log as a line, without the newline.
///
/// Only fields of a later version can make it exceed the length limit. Such a line is refused here,
/// because it could not be read back.
pub(super) fn action_line(action: &Action, log: &[LogEntry]) -> Result<String, StoreError> {
    let line = written(&WireLine {
        action: WireAction::from(action),
        log: log.iter().map(WireEntry::from).collect(),
    });
    if line.len() > LONGEST {
        let (uid, bytes) = (action.uid, line.len());
        let what = format!("action {uid}: its line has {bytes} bytes; the limit is {LONGEST}");
        return Err(StoreError::new(
            StoreErrorKind::Incompatible,
            "export",
            what,
        ));
    }
    Ok(line)
}

impl fmt::Display for Origin {
    /// Writes the line as in the export.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(&WireHeader {
            action_store_export: VERSION,
            store: self.store.to_string(),
            revision: self.revision.get(),
        }))
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checkpoint = WireMark::from(self);
        f.write_str(&written(&WireCheckpoint { checkpoint }))
    }
}

impl Checkpoint {
    /// Returns the counts and the checksum as the last line.
    pub(super) fn end_line(&self) -> String {
        let end = WireMark::from(self);
        written(&WireEnd { end })
    }
}

impl From<&Checkpoint> for WireMark {
    fn from(checkpoint: &Checkpoint) -> WireMark {
        WireMark {
            actions: checkpoint.count.actions,
            entries: checkpoint.count.entries,
            after: checkpoint.after.map(|after| after.to_string()),
            checksum: checkpoint.sum.0.to_string(),
        }
    }
}

impl WireMark {
    fn read(self) -> Result<Checkpoint, BadLine> {
        let after = self.after.map(|after| after.parse()).transpose();
        Ok(Checkpoint {
            count: Count {
                actions: self.actions,
                entries: self.entries,
            },
            after: after
                .map_err(|_| BadLine::new(StoreErrorKind::Invalid, "after: is not a cursor"))?,
            sum: Sum(canonical("checksum", &self.checksum)?),
        })
    }
}

impl Line {
    /// Reads the first line.
    pub(super) fn first(line: &str) -> Result<Origin, BadLine> {
        // Check the version first, because a later version may have other fields.
        let any: AnyHeader = read(line).map_err(|bad| {
            let reason = format!("this is not an export of an action store: {}", bad.reason);
            BadLine { reason, ..bad }
        })?;
        if any.action_store_export != u64::from(VERSION) {
            let found = any.action_store_export;
            return Err(BadLine::new(
                StoreErrorKind::Incompatible,
                format!(
                    "the export has version {found}; this library reads version {VERSION} only"
                ),
            ));
        }
        let header: WireHeader = read(line)?;
        Ok(Origin {
            store: StoreId::from_uuid(canonical("store", &header.store)?),
            revision: Revision::new(header.revision),
        })
    }

    /// Reads any line.
    pub(super) fn read(line: &str) -> Result<Line, BadLine> {
        // The beginning of a line identifies its type; nothing else is written there.
        if line.starts_with("{\"checkpoint\"") {
            let wire: WireCheckpoint = read(line)?;
            return Ok(Line::Checkpoint(wire.checkpoint.read()?));
        }
        if line.starts_with("{\"end\"") {
            let wire: WireEnd = read(line)?;
            return Ok(Line::End(wire.end.read()?));
        }
        if line.starts_with("{\"action_store_export\"") {
            return Ok(Line::Header);
        }
        let wire: WireLine = read(line)?;
        match wire.action.read(wire.log) {
            Ok((action, log)) => Ok(Line::Action(Box::new(action), log)),
            Err(Unreadable::Invalid(invalid)) => Err(invalid.into()),
            Err(Unreadable::Word(word)) => {
                Err(BadLine::new(StoreErrorKind::Incompatible, word.to_string()))
            }
            Err(Unreadable::Codec(error)) => {
                let kind = StoreError::from_codec("import", error.clone()).kind();
                Err(BadLine::new(kind, format!("unknown_fields: {error}")))
            }
        }
    }
}
