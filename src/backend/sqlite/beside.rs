//! The files beside a database: its WAL, its journal, its lock file.

use std::path::{Path, PathBuf};

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Returns the size of a file in bytes; 0 if it does not exist.
pub(super) fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}
