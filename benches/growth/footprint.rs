//! What a store takes beside time: memory, the file, its log file.

use std::path::Path;

/// The size of a file, 0 if it is not there.
pub fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// The size of a database's write-ahead log.
pub fn wal(path: &Path) -> u64 {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    size(Path::new(&name))
}

/// Bytes this process has given the system to write, to whatever file; none where it is not said.
pub fn written() -> Option<u64> {
    number("/proc/self/io", "wchar:")
}

/// Bytes that came from the disk for this process, since the system's memory did not have them.
pub fn from_disk() -> Option<u64> {
    number("/proc/self/io", "read_bytes:")
}

/// A number of what Linux says about this process.
fn number(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How things stood at the end of a part of the run.
#[derive(Debug, Clone)]
pub struct Footprint {
    pub after: String,
    /// Memory of the whole process, now and at most so far; none where the system does not say.
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
