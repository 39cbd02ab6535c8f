//! The file of a store: its canonical name, its lock, and how it is created.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::beside::{beside, size};
use super::inode_lock::InodeLock;
use super::lock_mode::{LockMode, io_error};
use crate::backend::sql::corrupt;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};

/// The lock a store holds on its file until its last connection is closed. The operating system
/// releases it when the process dies.
#[derive(Debug)]
pub(super) struct Lock {
    // Dropped first: an opener that finds the side file unlocked must find this one unlocked too.
    file: Option<InodeLock>,
    side: SideLock,
}

/// A lock on `<path>.lock`. This side file exists before the database does.
#[derive(Debug)]
struct SideLock {
    file: File,
    /// A forked child has a copy of this, and must not release the lock.
    process: u32,
}

impl Drop for SideLock {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        // Unlocks explicitly. A child process that is being started still has a copy of the
        // descriptor. Until it runs its own program, closing our copy would not release the lock.
        let _closed_next = self.file.unlock();
    }
}

impl SideLock {
    fn try_take(path: &Path, hold: LockMode) -> Result<Option<SideLock>, StoreError> {
        let file = create(&beside(path, ".lock"), false)?;
        let process = std::process::id();
        let side = SideLock { file, process };
        Ok(side.lock(hold)?.then_some(side))
    }

    fn lock(&self, hold: LockMode) -> Result<bool, StoreError> {
        let taken = match hold {
            LockMode::Exclusive => self.file.try_lock(),
            LockMode::Shared => self.file.try_lock_shared(),
        };
        match taken {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(io_error("the lock cannot be taken", error)),
        }
    }
}

impl Lock {
    /// Takes the lock on a path that has no store yet. Returns `None` if a conflicting lock is
    /// held.
    pub(super) fn try_take_place(path: &Path) -> Result<Option<Lock>, StoreError> {
        let side = SideLock::try_take(path, LockMode::Exclusive)?;
        Ok(side.map(|side| Lock { file: None, side }))
    }

    /// Takes the lock on the file that exists now. Returns false if it is held, under any name.
    pub(super) fn try_take_file(&mut self, path: &Path) -> Result<bool, StoreError> {
        self.file = InodeLock::try_take(path, LockMode::Exclusive)?;
        Ok(self.file.is_some())
    }

    /// Takes the lock on a path and on its file. Returns `None` if a conflicting lock is held, or
    /// if there is no file.
    pub(super) fn try_take(path: &Path, hold: LockMode) -> Result<Option<Lock>, StoreError> {
        match hold {
            LockMode::Exclusive => {
                let Some(mut lock) = Lock::try_take_place(path)? else {
                    return Ok(None);
                };
                Ok(lock.try_take_file(path)?.then_some(lock))
            }
            LockMode::Shared => Lock::try_share(path),
        }
    }

    /// All sharers must use one name for the file, because SQLite names the WAL after the path. The
    /// first opener under a name therefore locks the file exclusively. This shows that no process
    /// has it open under another name. It then shares the lock.
    fn try_share(path: &Path) -> Result<Option<Lock>, StoreError> {
        if InodeLock::FOLLOWS_FILE
            && let Some(mut alone) = Lock::try_take_place(path)?
        {
            let shared = alone.try_take_file(path)?
                && alone.file.as_ref().map_or(Ok(false), InodeLock::share)?
                && alone.side.lock(LockMode::Shared)?;
            return Ok(shared.then_some(alone));
        }
        let Some(side) = SideLock::try_take(path, LockMode::Shared)? else {
            return Ok(None);
        };
        let file = InodeLock::try_take(path, LockMode::Shared)?;
        Ok(file.map(|file| Lock {
            file: Some(file),
            side,
        }))
    }
}

/// Checks that SQLite would use a path as it is.
fn check_path(path: &Path) -> Result<(), StoreError> {
    let refuse = |reason: &'static str| Err(StoreError::new(ErrorKind::Invalid, "open", reason));
    let Some(text) = path.to_str() else {
        return refuse("path: is not UTF-8");
    };
    if text.is_empty() || text.contains('\0') {
        return refuse("path: is empty or contains U+0000");
    }
    if text.starts_with("file:") {
        return refuse("path: SQLite would read it as a URI");
    }
    if text.starts_with(":memory:") {
        return refuse("path: is in memory; use MemoryStore");
    }
    if path.file_name().is_none() {
        return refuse("path: has no file name");
    }
    Ok(())
}

/// Returns the canonical path of a file, with links resolved: two names must not mean two locks.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    check_path(path)?;
    match path.canonicalize() {
        Ok(path) => Ok(path),
        // Refused: the target of the link may appear later, with the store in it.
        Err(error) if path.is_symlink() => Err(io_error(
            "the path is a symbolic link whose target does not exist",
            error,
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = directory(path);
            let directory = directory.canonicalize().map_err(|error| {
                let directory = directory.display();
                let message = format!("the directory {directory} does not exist; create it first");
                io_error(message, error)
            })?;
            Ok(directory.join(path.file_name().unwrap_or_default()))
        }
        Err(error) => Err(io_error("the file's metadata cannot be read", error)),
    }
}

fn directory(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Returns true if a file exists that may be a store. An empty file is an error: a new store
/// appears whole.
pub(super) fn is_there(path: &Path) -> Result<bool, StoreError> {
    match std::fs::metadata(path) {
        Ok(file) if file.len() == 0 => {
            Err(corrupt("open", "the file is empty; a store is never empty"))
        }
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("the file's metadata cannot be read", error)),
    }
}

/// Returns true if the file has a log with data. Without its database, such a log may hold the last
/// writes of a store that was moved away. SQLite would replay it into the next file at this path,
/// so it is neither used nor removed.
pub(super) fn has_log(path: &Path) -> bool {
    let left = |suffix| size(&beside(path, suffix)) > 0;
    left("-wal") || left("-journal")
}

/// A new file under a temporary name. It is moved to its final path when it is complete, so other
/// processes never see half a store.
#[derive(Debug)]
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    place: PathBuf,
}

impl Drop for NewFile {
    /// Removes a file that did not reach its final path.
    fn drop(&mut self) {
        // An error is ignored: the next creation at this path removes the rest.
        let _left = self.remove();
    }
}

impl NewFile {
    pub(super) fn beside(place: &Path) -> Result<NewFile, StoreError> {
        let (path, place) = (beside(place, ".new"), place.to_owned());
        let new = NewFile { path, place };
        new.remove().map_err(|error| {
            io_error(
                "a temporary file of an earlier attempt cannot be removed",
                error,
            )
        })?;
        drop(create(&new.path, true)?);
        Ok(new)
    }

    fn remove(&self) -> io::Result<()> {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            match std::fs::remove_file(beside(&self.path, suffix)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Moves the complete file to its final path, durably.
    pub(super) fn finish(self) -> Result<(), StoreError> {
        // Closing checkpoints the WAL into the file, and does not report a failure.
        if size(&beside(&self.path, "-wal")) > 0 {
            let message = "the new file could not be written in full";
            return Err(StoreError::new(ErrorKind::Unavailable, "open", message));
        }
        File::open(&self.path)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(&self.path, &self.place))
            .and_then(|()| sync_directory(&self.place))
            .map_err(|error| io_error("the new file cannot be moved to its place", error))
    }
}

/// Syncs the directory, so that a new or renamed file survives a power cut.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(directory(path))?.sync_all()?;
    }
    Ok(())
}

/// Opens a file that only its owner can read, and creates it if it is missing.
fn create(path: &Path, must_be_new: bool) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .create_new(must_be_new);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path);
    file.map_err(|error| io_error("the file cannot be created or opened", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(path: &Path, hold: LockMode) -> Option<Lock> {
        Lock::try_take(path, hold).unwrap()
    }

    /// A path with a file at it.
    fn with_file(dir: &tempfile::TempDir) -> PathBuf {
        let path = dir.path().join("actions.db");
        std::fs::write(&path, "a file").unwrap();
        path
    }

    #[test]
    fn the_error_for_a_missing_directory_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let error = resolve(&missing.join("actions.db")).unwrap_err();
        let named = format!("the directory {} does not exist", missing.display());
        assert!(error.to_string().contains(&named), "{error}");
    }

    #[test]
    fn a_copy_of_the_lock_file_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = with_file(&dir);
        let held = take(&path, LockMode::Exclusive).unwrap();
        // As in a forked process that does not run its own program yet.
        let copy = held.side.file.try_clone().unwrap();
        assert!(take(&path, LockMode::Exclusive).is_none());
        drop(held);
        drop(take(&path, LockMode::Exclusive).unwrap());
        drop(copy);
    }

    #[test]
    fn a_new_file_that_is_not_finished_is_not_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("actions.db");
        let new = NewFile::beside(&path).unwrap();
        std::fs::write(beside(&new.path, "-wal"), "a log").unwrap();
        drop(new);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
        NewFile::beside(&path).unwrap().finish().unwrap();
        assert!(path.exists());
    }

    #[test]
    fn those_who_share_keep_out_whoever_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = with_file(&dir);
        let one = take(&path, LockMode::Shared).unwrap();
        let other = take(&path, LockMode::Shared).unwrap();
        drop(one);
        assert!(take(&path, LockMode::Exclusive).is_none());
        drop(other);
        let alone = take(&path, LockMode::Exclusive).unwrap();
        assert!(take(&path, LockMode::Shared).is_none());
        drop(alone);
    }
}
