//! Measures the memory, disk and WAL use of a store.

use std::path::Path;

/// Returns the size of a file; 0 if it does not exist.
pub fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// Returns the size of a database's write-ahead log.
pub fn wal(path: &Path) -> u64 {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    size(Path::new(&name))
}

/// Returns the bytes that this process passed to the system for writing, to any file. `None` if the
/// system does not report it.
pub fn written() -> Option<u64> {
    number("/proc/self/io", "wchar:")
}

/// Returns the bytes that were read from the disk for this process, because the page cache did not
/// hold them.
pub fn from_disk() -> Option<u64> {
    number("/proc/self/io", "read_bytes:")
}

/// Reads a number that Linux reports about this process.
fn number(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Resource use at the end of a part of the run.
#[derive(Debug, Clone)]
pub struct Footprint {
    pub after: String,
    /// Memory of the whole process: current and peak. `None` if the system does not report it.
    pub resident: Option<u64>,
    pub most_resident: Option<u64>,
    /// The largest write-ahead log of the stores that are open.
    pub wal: u64,
}

impl Footprint {
    pub fn now(after: impl Into<String>, stores: &[&Path]) -> Footprint {
        let kibibytes = |name| Some(number("/proc/self/status", name)? * 1024);
        Footprint {
            after: after.into(),
            resident: kibibytes("VmRSS:"),
            most_resident: kibibytes("VmHWM:"),
            wal: stores.iter().map(|path| wal(path)).max().unwrap_or(0),
        }
    }
}
