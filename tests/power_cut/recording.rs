//! Reads a recording that `disk.c` made.

use std::path::Path;

/// One entry of a recording. Handles are unique for each opening of a file.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    Open {
        handle: u64,
        created: bool,
        truncated: bool,
        path: String,
    },
    Write {
        handle: u64,
        offset: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        handle: u64,
        size: usize,
    },
    Sync {
        handle: u64,
        succeeded: bool,
    },
    SyncDirectory {
        path: String,
        succeeded: bool,
    },
    Unlink(String),
    Rename(String, String),
    Link(String, String),
    Mark(String),
}

/// Reads a recording; what is below `dir` gets the path it has there.
pub(crate) fn read(log: &Path, dir: &Path) -> Vec<Entry> {
    let bytes = std::fs::read(log).unwrap();
    let mut rest = &bytes[..];
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let line = std::str::from_utf8(&rest[..end]).unwrap();
        rest = &rest[end + 1..];
        let (kind, line) = line.split_once(' ').unwrap();
        entries.push(entry(kind, line, dir, &mut rest));
    }
    entries
}

fn entry(kind: &str, line: &str, dir: &Path, rest: &mut &[u8]) -> Entry {
    let words: Vec<&str> = line.split(' ').collect();
    let handle = || u64::from_str_radix(words[0], 16).unwrap();
    let number = |index: usize| words[index].parse::<usize>().unwrap();
    // The path is the last, and may have blanks in it.
    let path = |before: usize| below(line.splitn(before + 1, ' ').last().unwrap(), dir);
    let both = || {
        let (from, to) = line.split_once('\t').unwrap();
        (below(from, dir), below(to, dir))
    };
    match kind {
        "O" => Entry::Open {
            handle: handle(),
            created: number(1) == 1,
            truncated: number(2) == 1,
            path: path(3),
        },
        "W" => {
            let (bytes, after) = rest.split_at(number(2));
            *rest = after;
            Entry::Write {
                handle: handle(),
                offset: number(1),
                bytes: bytes.to_vec(),
            }
        }
        "T" => Entry::Truncate {
            handle: handle(),
            size: number(1),
        },
        "S" => Entry::Sync {
            handle: handle(),
            succeeded: number(1) == 1,
        },
        "D" => Entry::SyncDirectory {
            path: path(1),
            succeeded: number(0) == 1,
        },
        "U" => Entry::Unlink(path(0)),
        "R" => {
            let (from, to) = both();
            Entry::Rename(from, to)
        }
        "L" => {
            let (from, to) = both();
            Entry::Link(from, to)
        }
        "M" => Entry::Mark(line.to_owned()),
        other => panic!("no kind of entry {other:?}"),
    }
}

fn below(path: &str, dir: &Path) -> String {
    let path = Path::new(path).strip_prefix(dir).unwrap();
    path.to_str().unwrap().to_owned()
}
