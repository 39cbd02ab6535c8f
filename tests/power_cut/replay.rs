//! A disk that a recording is replayed onto, up to a cut, and what a power cut may leave of it.
//!
//! A page (4 KiB) of a file is durable once a sync of the file succeeded after its last change. After
//! a sync that failed its pages count as clean, as in Linux: programs read them, later syncs pass them
//! over, and only a new change of a page writes it. Of what was changed since the last sync, each
//! change is kept, dropped, or torn at sectors of 512 bytes. Directories themselves are durable.
//!
//! [`Names::Ordered`] also keeps sizes in order: what was written after a file was cut is on blocks that
//! only the cut file has.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::attack::Dice;
use super::recording::Entry;

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// When a name that was made, moved or removed is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// Once its directory is synced, as POSIX says. Each is kept or lost by itself.
    Strict,
    /// In order, and with any sync of a file: a journaled file system such as ext4.
    Ordered,
}

#[derive(Default)]
struct File {
    /// The bytes that programs read.
    cached: Vec<u8>,
    /// The bytes that are durable.
    durable: Vec<u8>,
    /// Changes since the last sync, whether that succeeded or not.
    changes: Vec<FileChange>,
    /// Pages whose sync failed and that did not change since.
    lost: BTreeSet<usize>,
}

#[derive(Clone)]
enum FileChange {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// A change of names: each path, and the file it then leads to.
type NameChange = Vec<(String, Option<usize>)>;

pub(crate) struct Replay {
    names: Names,
    files: Vec<File>,
    handles: HashMap<u64, usize>,
    live: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    changed: Vec<NameChange>,
}

impl Replay {
    pub(crate) fn new(names: Names) -> Replay {
        Replay {
            names,
            files: Vec::new(),
            handles: HashMap::new(),
            live: BTreeMap::new(),
            durable: BTreeMap::new(),
            changed: Vec::new(),
        }
    }

    /// Goes on by one entry.
    pub(crate) fn step(&mut self, entry: &Entry) {
        match entry {
            Entry::Open {
                handle,
                created,
                truncated,
                path,
            } => self.open(*handle, *created, *truncated, path),
            Entry::Write {
                handle,
                offset,
                bytes,
            } => {
                let (offset, bytes) = (*offset, bytes.clone());
                self.change(*handle, FileChange::Write { offset, bytes });
            }
            Entry::Truncate { handle, size } => self.change(*handle, FileChange::Truncate(*size)),
            Entry::Sync { handle, succeeded } => {
                self.files[self.handles[handle]].sync(*succeeded);
                if *succeeded && self.names == Names::Ordered {
                    self.sync_names(|_| true);
                }
            }
            Entry::SyncDirectory { path, succeeded } => {
                if *succeeded {
                    let all = self.names == Names::Ordered;
                    self.sync_names(|name| all || directory(name) == path);
                }
            }
            Entry::Unlink(path) => self.rename(vec![(path.clone(), None)]),
            Entry::Rename(from, to) => {
                let file = self.live[from];
                self.rename(vec![(from.clone(), None), (to.clone(), Some(file))]);
            }
            Entry::Link(from, to) => {
                let file = self.live[from];
                self.rename(vec![(to.clone(), Some(file))]);
            }
            Entry::Mark(_) => {}
        }
    }

    fn open(&mut self, handle: u64, created: bool, truncated: bool, path: &str) {
        let file = match self.live.get(path) {
            Some(file) if !created => *file,
            _ => {
                assert!(created, "{path} was there before the recording");
                self.files.push(File::default());
                let file = self.files.len() - 1;
                self.rename(vec![(path.to_owned(), Some(file))]);
                file
            }
        };
        self.handles.insert(handle, file);
        if truncated {
            self.change(handle, FileChange::Truncate(0));
        }
    }

    fn change(&mut self, handle: u64, change: FileChange) {
        let file = &mut self.files[self.handles[&handle]];
        change.apply(&mut file.cached, |_| true);
        if let FileChange::Write { offset, bytes } = &change {
            for page in pages(*offset, bytes.len()) {
                file.lost.remove(&page);
            }
        }
        file.changes.push(change);
    }

    fn rename(&mut self, change: NameChange) {
        apply_names(&mut self.live, &change);
        self.changed.push(change);
    }

    fn sync_names(&mut self, covers: impl Fn(&str) -> bool) {
        for change in std::mem::take(&mut self.changed) {
            // A file moved from one directory to another: its new place counts.
            match covers(&change[change.len() - 1].0) {
                true => apply_names(&mut self.durable, &change),
                false => self.changed.push(change),
            }
        }
    }

    /// Writes what a power cut at this moment may leave into a directory. The dice decide.
    pub(crate) fn leave(&self, dice: &Dice, to: &Path) {
        let fate = Fate::drawn(dice);
        let mut names = self.durable.clone();
        let mut broken: BTreeSet<&str> = BTreeSet::new();
        let mut ended = false;
        for change in &self.changed {
            let follows_lost = change.iter().any(|(path, _)| broken.contains(&**path));
            let kept = !ended && !follows_lost && fate.keeps(dice);
            match kept {
                true => apply_names(&mut names, change),
                false => {
                    ended = self.names == Names::Ordered;
                    broken.extend(change.iter().map(|(path, _)| &**path));
                }
            }
        }
        for (path, file) in names {
            let place = to.join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            let left = self.files[file].left(self.names, &fate, dice);
            std::fs::write(place, left).unwrap();
        }
    }
}

impl File {
    fn sync(&mut self, succeeded: bool) {
        let mut dirty = BTreeSet::new();
        for change in std::mem::take(&mut self.changes) {
            match change {
                FileChange::Write { offset, bytes } => dirty.extend(pages(offset, bytes.len())),
                FileChange::Truncate(size) if succeeded => self.durable.resize(size, 0),
                // A size is not part of a page, so a later sync may still write it.
                size @ FileChange::Truncate(_) => self.changes.push(size),
            }
        }
        if !succeeded {
            self.lost.extend(dirty);
            return;
        }
        self.durable.resize(self.cached.len(), 0);
        for page in dirty {
            self.keep(page);
        }
    }

    fn keep(&mut self, page: usize) {
        keep_page(&self.cached, &mut self.durable, page);
    }

    fn left(&self, names: Names, fate: &Fate, dice: &Dice) -> Vec<u8> {
        let mut left = self.durable.clone();
        for page in &self.lost {
            if fate.keeps_lost && dice.roll(2) == 0 {
                keep_page(&self.cached, &mut left, *page);
            }
        }
        for change in &self.changes {
            match dice.roll(3) {
                0 if fate.tears && !change.is_size() => {
                    change.apply(&mut left, |_| dice.roll(2) == 0)
                }
                _ if fate.keeps(dice) => change.apply(&mut left, |_| true),
                _ if names == Names::Ordered && change.is_size() => break,
                _ => {}
            }
        }
        left
    }
}

/// How a power cut treats what was not durable.
struct Fate {
    /// Of four changes, how many are kept: none to all.
    kept: u64,
    tears: bool,
    keeps_lost: bool,
}

impl Fate {
    fn drawn(dice: &Dice) -> Fate {
        Fate {
            kept: dice.roll(5),
            tears: dice.roll(2) == 0,
            keeps_lost: dice.roll(2) == 0,
        }
    }

    fn keeps(&self, dice: &Dice) -> bool {
        dice.roll(4) < self.kept
    }
}

impl FileChange {
    fn is_size(&self) -> bool {
        matches!(self, FileChange::Truncate(_))
    }

    /// Changes bytes in so far as its sectors are kept.
    fn apply(&self, to: &mut Vec<u8>, keeps_sector: impl Fn(usize) -> bool) {
        match self {
            FileChange::Truncate(size) => to.resize(*size, 0),
            FileChange::Write { offset, bytes } => {
                let mut at = 0;
                while at < bytes.len() {
                    let sector = (offset + at) / SECTOR;
                    let end = bytes.len().min((sector + 1) * SECTOR - offset);
                    if keeps_sector(sector) {
                        let (from, until) = (offset + at, offset + end);
                        to.resize(to.len().max(until), 0);
                        to[from..until].copy_from_slice(&bytes[at..end]);
                    }
                    at = end;
                }
            }
        }
    }
}

fn pages(offset: usize, length: usize) -> impl Iterator<Item = usize> {
    offset / PAGE..(offset + length).div_ceil(PAGE)
}

/// Copies one page, in so far as it is there.
fn keep_page(from: &[u8], to: &mut Vec<u8>, page: usize) {
    let end = from.len().min((page + 1) * PAGE);
    let start = page * PAGE;
    if start < end {
        to.resize(to.len().max(end), 0);
        to[start..end].copy_from_slice(&from[start..end]);
    }
}

fn apply_names(names: &mut BTreeMap<String, usize>, change: &NameChange) {
    for (path, file) in change {
        match file {
            Some(file) => drop(names.insert(path.clone(), *file)),
            None => drop(names.remove(path)),
        }
    }
}

fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}
