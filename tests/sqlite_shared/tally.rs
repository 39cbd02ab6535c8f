//! Output of the racing processes, for the comparison with the stored actions.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use action_store::action::Version;
use action_store::command::OpId;
use action_store::{ActionUid, Outcome};

/// One accepted change, as its caller was told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) op: Option<OpId>,
    /// How the action had ended then.
    pub(crate) outcome: Option<Outcome>,
}

/// Attempts and their results.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Every accepted change of an action, by the version it made.
    pub(crate) told: HashMap<ActionUid, BTreeMap<Version, Told>>,
    /// How callers saw actions ended.
    pub(crate) seen: HashMap<ActionUid, BTreeSet<Outcome>>,
    /// Number of changes with an unknown result.
    pub(crate) unknown_changes: HashMap<ActionUid, u64>,
    /// Two callers who were told of the same version.
    pub(crate) twice: u64,
    pub(crate) batches: u64,
    pub(crate) commands: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) unavailable: u64,
    pub(crate) unknown: u64,
    pub(crate) rolled_back: u64,
    /// In microseconds, by racer.
    pub(crate) latencies: BTreeMap<String, Vec<u64>>,
}

/// Writes of one process that are in progress: for each task, the actions of its batch.
pub(crate) type UnderWay = HashMap<String, Vec<ActionUid>>;

impl Tally {
    /// Takes in a line that a racer said.
    pub(crate) fn hear(&mut self, racer: &str, under_way: &mut UnderWay, line: &str) {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_default();
        match word() {
            "try" => {
                let task = word().to_owned();
                let uids = words.map(|uid| uid.parse().unwrap()).collect();
                assert_eq!(under_way.insert(task, uids), None, "one batch a task");
            }
            "did" => {
                let (task, micros, how) = (word().to_owned(), word(), word());
                let uids = under_way.remove(&task).unwrap();
                self.batches += 1;
                let latencies = self.latencies.entry(racer.to_owned()).or_default();
                latencies.push(micros.parse().unwrap());
                match how {
                    "ok" => words.for_each(|answer| self.answer(answer)),
                    "unavailable" => self.unavailable += 1,
                    "rolled-back" => self.rolled_back += 1,
                    "unknown" => {
                        self.unknown += 1;
                        self.nobody_knows(uids);
                    }
                    other => panic!("how did {other:?} end?"),
                }
            }
            other => panic!("what is {other:?}?"),
        }
    }

    /// One command's answer.
    fn answer(&mut self, answer: &str) {
        self.commands += 1;
        let parts: Vec<&str> = answer.split(':').collect();
        let outcome = |text: &str| (text != "-").then(|| text.parse::<Outcome>().unwrap());
        match parts[..] {
            ["applied", uid, version, how, op] => {
                self.accepted += 1;
                let version = Version::new(version.parse().unwrap()).unwrap();
                let told = Told {
                    op: (op != "-").then(|| op.parse().unwrap()),
                    outcome: outcome(how),
                };
                let of_action = self.told.entry(uid.parse().unwrap()).or_default();
                self.twice += u64::from(of_action.insert(version, told).is_some());
            }
            ["owner"] => self.accepted += 1,
            [kind @ ("already" | "refused"), uid, how] => {
                match kind {
                    "already" => self.accepted += 1,
                    _ => self.refused += 1,
                }
                if let Some(outcome) = outcome(how) {
                    let seen = self.seen.entry(uid.parse().unwrap()).or_default();
                    seen.insert(outcome);
                }
            }
            ["refused"] => self.refused += 1,
            _ => panic!("what is {answer:?}?"),
        }
    }

    /// Records that the result of changes to these actions is unknown.
    pub(crate) fn nobody_knows(&mut self, uids: Vec<ActionUid>) {
        for uid in uids {
            *self.unknown_changes.entry(uid).or_default() += 1;
        }
    }

    /// How many writes, and the time that so many in a hundred and the slowest took at most.
    pub(crate) fn latencies(&mut self) -> Vec<String> {
        let line = |(racer, all): (&String, &mut Vec<u64>)| {
            all.sort_unstable();
            let at = |percent: usize| all[(all.len() - 1) * percent / 100] as f64 / 1000.0;
            format!(
                "{racer}: {} writes, p50 {:.1} ms, p99 {:.1} ms, slowest {:.0} ms",
                all.len(),
                at(50),
                at(99),
                at(100)
            )
        };
        self.latencies.iter_mut().map(line).collect()
    }
}
