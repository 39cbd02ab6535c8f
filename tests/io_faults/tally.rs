//! The counts of a walk.

use std::collections::BTreeMap;
use std::fmt;

use super::children::say;

/// Counts that must be 0, for any failure. `misnamed`: reported as corrupt although nothing is
/// damaged.
pub(crate) const NEVER: [&str; 6] = ["lost", "phantom", "torn", "stuck", "panicked", "misnamed"];

/// Counts by name: `calls`, a kind of refusal, or one of [`NEVER`].
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally(BTreeMap<String, u64>);

impl Tally {
    pub(crate) fn count(&mut self, what: &str) {
        *self.0.entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    pub(crate) fn add(&mut self, other: &Tally) {
        for (what, count) in &other.0 {
            *self.0.entry(what.clone()).or_default() += count;
        }
    }

    /// In a child: says it to the parent.
    pub(crate) fn tell(&self) {
        let said: Vec<String> = self.0.iter().map(|(k, v)| format!("{k}={v}")).collect();
        say(&format!("tally {}", said.join(" ")));
    }

    /// In the parent: what a child has said.
    pub(crate) fn heard(said: &str) -> Tally {
        let pairs = said.split_whitespace().map(|pair| {
            let (what, count) = pair.split_once('=').unwrap();
            (what.to_owned(), count.parse().unwrap())
        });
        Tally(pairs.collect())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = ["runs", "hit", "calls", "acknowledged"];
        let never = NEVER.map(|what| format!("{what} {}", self.of(what)));
        let known =
            |what: &&String| !order.contains(&what.as_str()) && !NEVER.contains(&what.as_str());
        let kinds = self.0.keys().filter(known);
        let kinds: Vec<String> = kinds
            .map(|kind| format!("{kind} {}", self.of(kind)))
            .collect();
        let order = order.map(|what| format!("{what} {}", self.of(what)));
        write!(
            f,
            "{}; {}; {}",
            order.join(", "),
            kinds.join(", "),
            never.join(", ")
        )
    }
}
