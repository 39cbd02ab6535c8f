//! A lock on the database file itself, under all of its names.
//!
//! A lock on a side file depends on the path. A hard link, a bind mount or a deleted side file
//! would let a second opener in. So on Linux the database file is locked too, with `flock`, which
//! does not conflict with SQLite's own locks there (`fcntl`). On other platforms the two would
//! conflict, so only the side file is locked.
//!
//! SQLite's locks have a trap: when a process closes any descriptor of a file, it loses all of its
//! locks on that file. So a process has one locking descriptor for each file, which its stores
//! share. It closes this descriptor only while nothing else in the process has the file open.

use std::path::Path;

use super::lock_mode::LockMode;
use crate::error::StoreError;

#[cfg(target_os = "linux")]
pub(super) use self::linux::InodeLock;

/// Locks nothing: every lock of this platform would conflict with SQLite's own.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) struct InodeLock;

#[cfg(not(target_os = "linux"))]
impl InodeLock {
    pub(super) fn try_take(_: &Path, _: LockMode) -> Result<Option<InodeLock>, StoreError> {
        Ok(Some(InodeLock))
    }

    /// True if this platform also locks the file under its other names.
    pub(super) const FOLLOWS_FILE: bool = false;

    pub(super) fn share(&self) -> Result<bool, StoreError> {
        Ok(true)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::{HashMap, HashSet};
    use std::fs::{File, TryLockError};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::super::identity::FileId;
    use super::{LockMode, Path, StoreError};
    use crate::backend::sqlite::lock_mode::io_error;

    /// A store's share in the lock that its process holds on a file.
    #[derive(Debug)]
    pub(in crate::backend::sqlite) struct InodeLock {
        id: FileId,
        /// A forked child has a copy of this, and must not release the lock.
        process: u32,
    }

    /// The process's descriptor of a file.
    struct Held {
        file: File,
        hold: LockMode,
        /// Number of stores that share it. At 0 it stays open only because other code in the
        /// process has the file open.
        stores: usize,
    }

    static HELD: Mutex<Option<HashMap<FileId, Held>>> = Mutex::new(None);

    fn held() -> MutexGuard<'static, Option<HashMap<FileId, Held>>> {
        HELD.lock().unwrap_or_else(PoisonError::into_inner)
    }

    impl InodeLock {
        pub(in crate::backend::sqlite) const FOLLOWS_FILE: bool = true;

        /// Takes the lock on the file at a path. Returns `None` if a conflicting lock is held, or
        /// if the file no longer exists.
        pub(in crate::backend::sqlite) fn try_take(
            path: &Path,
            hold: LockMode,
        ) -> Result<Option<InodeLock>, StoreError> {
            let look = |error| io_error("the file's metadata cannot be read", error);
            let mut guard = held();
            let held = guard.get_or_insert_default();
            let Some(id) = FileId::at(path).map_err(look)? else {
                return Ok(None);
            };
            if !held.contains_key(&id) {
                let file = File::open(path).map_err(look)?;
                // The file was replaced meanwhile; the caller tries again.
                let opened = FileId::of(&file.metadata().map_err(look)?).unwrap_or(id);
                let stores = 0;
                held.insert(opened, Held { file, hold, stores });
            }
            let Some(found) = held.get_mut(&id) else {
                close_unused(held);
                return Ok(None);
            };
            let taken = match found.stores {
                0 => found.lock(hold)?,
                _ => hold == LockMode::Shared && found.hold == LockMode::Shared,
            };
            if !taken {
                close_unused(held);
                return Ok(None);
            }
            found.stores += 1;
            let process = std::process::id();
            Ok(Some(InodeLock { id, process }))
        }

        /// Changes an exclusive lock into a shared one. Returns false if another process took the
        /// lock in between; this lock is then lost.
        pub(in crate::backend::sqlite) fn share(&self) -> Result<bool, StoreError> {
            match held().as_mut().and_then(|held| held.get_mut(&self.id)) {
                Some(held) => held.lock(LockMode::Shared),
                None => Ok(false),
            }
        }
    }

    impl Held {
        fn lock(&mut self, hold: LockMode) -> Result<bool, StoreError> {
            let locked = match hold {
                LockMode::Exclusive => self.file.try_lock(),
                LockMode::Shared => self.file.try_lock_shared(),
            };
            self.hold = hold;
            match locked {
                Ok(()) => Ok(true),
                Err(TryLockError::WouldBlock) => Ok(false),
                Err(TryLockError::Error(error)) => {
                    Err(io_error("the file cannot be locked", error))
                }
            }
        }
    }

    impl Drop for InodeLock {
        fn drop(&mut self) {
            if self.process != std::process::id() {
                return;
            }
            let mut guard = held();
            let held = guard.get_or_insert_default();
            if let Some(found) = held.get_mut(&self.id) {
                found.stores -= 1;
                if found.stores == 0 {
                    // A child process that is being started has a copy of the descriptor, and with
                    // it the lock, until it runs its own program.
                    let _unlocked = found.file.unlock();
                }
            }
            close_unused(held);
        }
    }

    /// Closes the descriptors that no store needs. Keeps those of files that other code in this
    /// process has open, because closing them would release its locks.
    fn close_unused(held: &mut HashMap<FileId, Held>) {
        if held.values().all(|held| held.stores > 0) {
            return;
        }
        let Some(opened) = open_more_than_once() else {
            return;
        };
        held.retain(|id, held| held.stores > 0 || opened.contains(id));
    }

    /// Returns the files that this process has open more than once; `None` if the platform does
    /// not report it.
    fn open_more_than_once() -> Option<HashSet<FileId>> {
        let (mut once, mut more) = (HashSet::new(), HashSet::new());
        for descriptor in std::fs::read_dir("/proc/self/fd").ok()? {
            // The descriptor was closed meanwhile.
            if let Ok(Some(id)) = FileId::at(&descriptor.ok()?.path())
                && !once.insert(id)
            {
                more.insert(id);
            }
        }
        Some(more)
    }
}
