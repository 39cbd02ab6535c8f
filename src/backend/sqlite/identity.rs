//! Identifies the file that a store has open, and checks that its path still leads to it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::beside::{beside, size};
use crate::backend::sql::Phase;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};

/// Path of a database in memory. No file has this name: `file::resolve` refuses it.
pub(super) const IN_MEMORY: &str = ":memory:";

/// The file at a store's path. On Windows it is always [`Same`](SqliteFile::Same), because the
/// platform does not report it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SqliteFile {
    /// The path leads to the file that the store has open.
    Same,
    /// The file was removed or moved away. The store refuses every call.
    Removed,
    /// Another file was put in its place. The store refuses every call.
    Replaced,
}

/// Identity of a file, independent of its name: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    #[cfg(unix)]
    pub(super) fn of(metadata: &std::fs::Metadata) -> Option<FileId> {
        use std::os::unix::fs::MetadataExt;
        let (device, inode) = (metadata.dev(), metadata.ino());
        Some(FileId { device, inode })
    }

    #[cfg(not(unix))]
    pub(super) fn of(_: &std::fs::Metadata) -> Option<FileId> {
        None
    }

    /// Returns the file at a path. `None` if there is no file, or the platform does not report it.
    pub(super) fn at(path: &Path) -> io::Result<Option<FileId>> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(FileId::of(&metadata)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Distinguishes a file from a copy of it: inode and creation time, which survive a rename. The
/// device is left out, because its number may change when the machine restarts.
pub(super) fn home(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    let id = FileId::of(&metadata)?;
    let made = metadata.created().ok();
    let made = made.and_then(|made| made.duration_since(std::time::UNIX_EPOCH).ok());
    Some(match made {
        Some(made) => format!("{}-{}", id.inode, made.as_nanos()),
        None => format!("{}-on-{}", id.inode, id.device),
    })
}

/// Reason why a path does not lead to the store's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Removed,
    Replaced,
}

/// The path no longer leads to the file, or the check failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct FileLost(String);

impl FileLost {
    /// Returns the error for a call that met the loss. Before COMMIT nothing was applied. After it,
    /// the change is in a file that may no longer be this store.
    pub(super) fn into_error(self, operation: &'static str, phase: Phase) -> StoreError {
        let kind = match phase {
            Phase::Before => ErrorKind::Unavailable,
            Phase::Commit => ErrorKind::OutcomeUnknown,
        };
        StoreError::new(kind, operation, self.0)
    }
}

impl From<FileLost> for sqlx::Error {
    fn from(lost: FileLost) -> sqlx::Error {
        sqlx::Error::Io(io::Error::other(lost))
    }
}

/// Returns the loss that made a statement fail, if there is one.
pub(super) fn lost_file(error: &sqlx::Error) -> Option<FileLost> {
    match error {
        sqlx::Error::Io(error) => error.get_ref()?.downcast_ref().cloned(),
        _ => None,
    }
}

/// The file that a store has open.
#[derive(Debug)]
pub(super) struct OpenFile {
    path: PathBuf,
    id: Option<FileId>,
    /// The process that opened it. A forked process has a copy of the store's memory, but none of
    /// its threads.
    process: u32,
    /// Set once and never cleared, because the writer then stops acknowledging writes.
    loss: OnceLock<Loss>,
    /// The WAL and its index (`-shm`), as they were when a connection was last opened.
    beside: Mutex<[Option<FileId>; 2]>,
    in_doubt: AtomicBool,
}

const BESIDE: [&str; 2] = ["-wal", "-shm"];

impl OpenFile {
    /// Stores the identity of the file that is at a path now.
    pub(super) fn at(path: &Path) -> Result<OpenFile, StoreError> {
        let id = FileId::at(path).map_err(|error| {
            let message = "the file's metadata cannot be read";
            StoreError::new(ErrorKind::Unavailable, "open", message).with_source(error)
        })?;
        Ok(OpenFile {
            path: path.to_owned(),
            id,
            process: std::process::id(),
            loss: OnceLock::new(),
            beside: Mutex::default(),
            in_doubt: AtomicBool::new(false),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns true while the store may hold unsynced bytes. Readers answer nothing then.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Acquire)
    }

    pub(super) fn set_in_doubt(&self, in_doubt: bool) {
        self.in_doubt.store(in_doubt, Ordering::Release);
    }

    /// Fails in a forked process.
    pub(super) fn check_process(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.process == std::process::id() {
            return Ok(());
        }
        let message = format!(
            "the store was opened by process {}, and this one was forked off: open it here",
            self.process
        );
        Err(StoreError::new(ErrorKind::Closed, operation, message))
    }

    /// Fails unless the path leads to the open file. Costs one `stat`.
    pub(super) fn check(&self) -> Result<(), FileLost> {
        self.check_known()?;
        let Some(id) = self.id else {
            return Ok(());
        };
        let loss = match FileId::at(&self.path) {
            Ok(Some(found)) if found == id => return Ok(()),
            Ok(Some(_)) => Loss::Replaced,
            Ok(None) => Loss::Removed,
            // The error may be temporary, so it is not stored.
            Err(error) => {
                let path = self.path.display();
                return Err(FileLost(format!("cannot look at the file {path}: {error}")));
            }
        };
        Err(self.lost(*self.loss.get_or_init(|| loss)))
    }

    /// Fails if the file is known to be lost. Makes no system call.
    pub(super) fn check_known(&self) -> Result<(), FileLost> {
        match self.loss.get() {
            Some(loss) => Err(self.lost(*loss)),
            None => Ok(()),
        }
    }

    /// Calls [`check`](OpenFile::check) before anything was applied.
    pub(super) fn check_before(&self, operation: &'static str) -> Result<(), StoreError> {
        self.check()
            .map_err(|lost| lost.into_error(operation, Phase::Before))
    }

    fn lost(&self, loss: Loss) -> FileLost {
        let what = match loss {
            Loss::Removed => "removed or moved away",
            Loss::Replaced => "replaced",
        };
        FileLost(format!(
            "the file {} was {what} while the store had it open; close the store and open it again",
            self.path.display()
        ))
    }

    /// Returns the last known state of the path.
    pub(super) fn state(&self) -> SqliteFile {
        match self.loss.get() {
            None => SqliteFile::Same,
            Some(Loss::Removed) => SqliteFile::Removed,
            Some(Loss::Replaced) => SqliteFile::Replaced,
        }
    }

    /// Stores the identity of the WAL that belongs to the file. Call it while a connection is open:
    /// the connection keeps the WAL in place.
    pub(super) fn remember_log(&self) {
        let now = BESIDE.map(|suffix| FileId::at(&beside(&self.path, suffix)).ok().flatten());
        let mut known = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        for (known, now) in known.iter_mut().zip(now) {
            *known = now.or(*known);
        }
    }

    /// Moves the lost file's WAL away from the path: SQLite would replay it into any file that is
    /// there. Removes a WAL that was checkpointed. Keeps another one as `<path>-wal.lost`. Leaves
    /// files of other stores alone.
    pub(super) fn put_log_aside(&self) {
        let known = *self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        for (suffix, known) in BESIDE.into_iter().zip(known) {
            let path = beside(&self.path, suffix);
            let found = FileId::at(&path).ok().flatten();
            if found.is_none() || found != known {
                continue;
            }
            let is_worth_keeping = suffix == "-wal" && size(&path) > 0;
            // Nothing more can be done here: the following close tries again.
            let _moved = match is_worth_keeping {
                true => std::fs::rename(&path, beside(&path, ".lost")),
                false => std::fs::remove_file(&path),
            };
        }
    }
}
