//! A recording of a child's work on a store, and the power cuts that are tried on it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::attack::{Dice, asked_for, ends};
use super::children::Child;
use super::disk::{Disk, scratch};
use super::ledger::{Damage, Ledger};
use super::recording::{Entry, read};
use super::replay::{Names, Replay};
use super::ways::Way;

/// Name of the file in which children work.
pub(crate) const STORE: &str = "actions.db";

/// A directory in which children work, each after the one before, on one recorded disk.
pub(crate) struct Recorder {
    disk: Disk,
    way: Way,
    path: PathBuf,
    log: PathBuf,
    _scratch: [tempfile::TempDir; 2],
}

/// The entries of all children, in order.
pub(crate) struct Recording {
    way: Way,
    pub(crate) entries: Vec<Entry>,
}

/// The counts of the power cuts in one recording.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) images: usize,
    pub(crate) acknowledged: usize,
    /// In how many images something is missing.
    pub(crate) short: usize,
    pub(crate) damage: Damage,
}

/// How many images each way of opening a store gets.
pub(crate) fn image_count(ordinary: u64) -> u64 {
    asked_for("POWER_CUT_IMAGES", ordinary)
}

/// The seed of a test; a failure prints it.
pub(crate) fn seed() -> u64 {
    asked_for("POWER_CUT_SEED", u64::from(std::process::id()))
}

impl Recorder {
    pub(crate) fn new(disk: Disk, way: Way) -> Recorder {
        let ((files, dir), (logs, log)) = (scratch(), scratch());
        Recorder {
            disk,
            way,
            path: dir.join(STORE),
            log: log.join("recording"),
            _scratch: [files, logs],
        }
    }

    /// Lets a child play a role to its end; whether it succeeded.
    pub(crate) fn run(&self, role: &str, more: &str) -> bool {
        let dir = self.path.parent().unwrap();
        let environment = self.disk.environment(dir, Some(&self.log));
        let more = format!("{} {more}", self.way);
        let mut child = Child::start_with(role, &self.path, &more, environment);
        // It says nothing, but the test harness in it does.
        while child.heard().is_some() {}
        child.ended().success()
    }

    pub(crate) fn end(self) -> Recording {
        let entries = read(&self.log, self.path.parent().unwrap());
        Recording {
            way: self.way,
            entries,
        }
    }
}

impl Recording {
    /// Returns true if the store said `Disk` of its durability.
    pub(crate) fn says_disk(&self) -> bool {
        let said = self.position("durability Disk");
        assert!(said.is_some() || self.position("durability Process").is_some());
        said.is_some()
    }

    /// Where a mark is.
    pub(crate) fn position(&self, mark: &str) -> Option<usize> {
        let is_it = |entry: &Entry| matches!(entry, Entry::Mark(text) if text == mark);
        self.entries.iter().position(is_it)
    }

    /// From a mark to the end.
    pub(crate) fn since(&self, mark: &str) -> Range<usize> {
        let at = self.position(mark).expect("the mark");
        at + 1..self.entries.len() + 1
    }

    /// While it was made.
    pub(crate) fn until_opened(&self) -> Range<usize> {
        1..self.since_opened().start
    }

    /// Where it was first open, to the end.
    pub(crate) fn since_opened(&self) -> Range<usize> {
        let is_it =
            |entry: &Entry| matches!(entry, Entry::Mark(text) if text.starts_with("durability"));
        let opened = self.entries.iter().position(is_it).expect("to be opened");
        opened + 1..self.entries.len() + 1
    }

    /// Cuts the power at moments of a range, every second time right after an answer, and compares what
    /// is left with what was acknowledged by then. The kinds of names take turns.
    pub(crate) async fn cut(&self, within: Range<usize>, plan: &Plan<'_>) -> Found {
        let is_answer = |at: &usize| {
            let before = self.entries.get(at - 1);
            matches!(before, Some(Entry::Mark(text)) if text.starts_with("ack "))
        };
        let answers: Vec<usize> = within.clone().filter(is_answer).collect();
        let dice = Dice::seeded(plan.seed);
        let mut cuts = Vec::new();
        for image in 0..plan.images {
            let at = match answers.is_empty() || image % 2 == 0 {
                true => within.start + dice.roll(within.len() as u64) as usize,
                false => *dice.one_of(&answers),
            };
            let names = plan.names[(image / 2) as usize % plan.names.len()];
            cuts.push((at, names, dice.roll(u64::MAX)));
        }
        cuts.sort_by_key(|(at, _, _)| *at);
        let mut found = Found::default();
        let mut replays =
            [Names::Strict, Names::Ordered].map(|names| (names, Replay::new(names), 0));
        for (at, names, seed) in cuts {
            let place = replays.iter_mut().find(|(kind, _, _)| *kind == names);
            let (_, replay, done) = place.unwrap();
            for entry in &self.entries[*done..at] {
                replay.step(entry);
            }
            *done = at;
            let (_scratch, dir) = scratch();
            replay.leave(&Dice::seeded(seed), &dir);
            let ledger = Ledger::of(&self.entries[..at]);
            let damage = self.compare(&dir, &ledger).await;
            if damage != Damage::default() {
                println!(
                    "{}, {names:?}, cut at {at}, dice {seed}: {damage:?}",
                    self.way
                );
            }
            found.images += 1;
            found.acknowledged += ledger.acknowledged();
            found.short += usize::from(damage.lost > 0);
            found.damage += damage;
        }
        println!("{}: {found}", self.way);
        found
    }

    async fn compare(&self, dir: &Path, ledger: &Ledger) -> Damage {
        let opened = match ends(self.way.open(&dir.join(STORE))).await {
            Ok(opened) => opened,
            Err(error) => {
                println!("cannot be opened: {error:?}");
                let torn = 1;
                return Damage {
                    torn,
                    ..Damage::default()
                };
            }
        };
        let damage = ends(ledger.compare(&opened.store)).await;
        ends(opened.close()).await.unwrap();
        damage
    }
}

/// Which power cuts to try.
pub(crate) struct Plan<'a> {
    pub(crate) seed: u64,
    pub(crate) images: u64,
    pub(crate) names: &'a [Names],
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage {
            lost,
            out_of_order,
            phantom,
            torn,
        } = self.damage;
        let (images, acknowledged, short) = (self.images, self.acknowledged, self.short);
        write!(
            f,
            "{images} images, {acknowledged} changes acknowledged; lost {lost} in {short} images, \
             {out_of_order} of them out of order; phantom {phantom}, torn {torn}"
        )
    }
}
