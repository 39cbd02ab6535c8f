//! Which calls of a store fail, and how.

use std::fmt;
use std::time::Duration;

use crate::model::{Batch, Command};

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The call is not executed and returns `Unavailable`. Exception: `close` still
    /// closes the store.
    Unavailable,
    /// The call is executed, but its answer is lost. A write returns `OutcomeUnknown`;
    /// any other method returns `Unavailable`. If the store itself returns an error, the
    /// call returns that error.
    UnknownButDone,
    /// The call is not executed, but returns the same error as
    /// [`UnknownButDone`](Fault::UnknownButDone).
    UnknownNotDone,
    /// The call is executed normally after this delay. If its future is dropped during
    /// the delay, the call is not executed.
    Delay(Duration),
    /// The call is executed but its future never resolves.
    SilentButDone,
    /// The call is not executed and its future never resolves.
    SilentNotDone,
}

/// A method of [`ActionStore`](crate::ActionStore) that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// `write`.
    Write,
    /// `get`.
    Get,
    /// `list`.
    List,
    /// `log`.
    Log,
    /// `owners`.
    Owners,
    /// `changed`.
    Changed,
    /// `close`.
    Close,
}

impl Method {
    /// All methods.
    pub const ALL: [Method; 7] = [
        Method::Write,
        Method::Get,
        Method::List,
        Method::Log,
        Method::Owners,
        Method::Changed,
        Method::Close,
    ];

    /// Returns the name of the method in the trait.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Write => "write",
            Method::Get => "get",
            Method::List => "list",
            Method::Log => "log",
            Method::Owners => "owners",
            Method::Changed => "changed",
            Method::Close => "close",
        }
    }
}

/// A call, as a rule of a [`FaultPlan`] sees it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Call<'c> {
    /// The method.
    pub method: Method,
    /// Number of this call among the calls of its method since the plan was set, counted
    /// from 1, in the order of their first poll.
    pub number: u64,
    /// The commands of a `write`. Empty for the other methods.
    pub commands: &'c [Command],
}

impl<'c> Call<'c> {
    pub(super) fn new(method: Method, number: u64, batch: Option<&'c Batch>) -> Call<'c> {
        Call {
            method,
            number,
            commands: batch.map_or(&[], |batch| &batch.commands),
        }
    }
}

type Rule = Box<dyn Fn(&Call<'_>) -> Option<Fault> + Send + Sync>;

/// Decides which calls of a [`FaultyStore`](super::FaultyStore) fail, and how. Rules are
/// evaluated in the order in which they were added. The first rule that returns a fault
/// decides.
///
/// A plan without rules causes no faults. Random choices depend on a seed. The seed is 0
/// by default; [`seeded`](FaultPlan::seeded) sets it and [`drawn`](FaultPlan::drawn)
/// picks a random one. A test with a random seed should print [`seed`](FaultPlan::seed),
/// so that its failure can be reproduced.
///
/// ```
/// use std::time::Duration;
///
/// use action_store::Command;
/// use action_store::conformance::{Fault, FaultPlan, Method};
///
/// let plan = FaultPlan::drawn()
///     // The second call of `list` fails.
///     .with_call(Method::List, 2, Fault::Unavailable)
///     // A release is never executed or answered.
///     .with_rule(|call| {
///         let releases = |command: &Command| matches!(command, Command::Release(_));
///         call.commands.iter().any(releases).then_some(Fault::SilentNotDone)
///     })
///     // Of the other writes, 30 % are executed but their answer is lost. Then 5 % are delayed.
///     .with_percent(Method::Write, 30, Fault::UnknownButDone)
///     .with_percent(Method::Write, 5, Fault::Delay(Duration::from_millis(20)));
/// println!("seed {}", plan.seed());
/// ```
#[derive(Default)]
#[must_use]
pub struct FaultPlan {
    seed: u64,
    rules: Vec<(Rule, String)>,
}

impl FaultPlan {
    /// Creates a plan without faults and with seed 0.
    pub fn new() -> FaultPlan {
        FaultPlan::default()
    }

    /// Creates a plan without faults and with this seed for random choices.
    pub fn seeded(seed: u64) -> FaultPlan {
        FaultPlan {
            seed,
            rules: Vec::new(),
        }
    }

    /// Creates a plan without faults and with a random seed.
    pub fn drawn() -> FaultPlan {
        FaultPlan::seeded(uuid::Uuid::now_v7().as_u64_pair().1)
    }

    /// Returns the seed of the random choices.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Adds a fault for the `nth` call of a method, counted from 1 from when the plan was
    /// [set](super::FaultyStore::set_plan).
    pub fn with_call(self, method: Method, nth: u64, fault: Fault) -> FaultPlan {
        let text = format!("{} {nth}: {fault:?}", method.as_str());
        let hits = move |call: &Call<'_>| call.method == method && call.number == nth;
        self.with(move |call| hits(call).then_some(fault), text)
    }

    /// Adds a fault for every `nth` call of a method. 0 adds none.
    pub fn with_every(self, method: Method, nth: u64, fault: Fault) -> FaultPlan {
        let text = format!("every {nth} of {}: {fault:?}", method.as_str());
        let hits = move |call: &Call<'_>| {
            call.method == method && nth > 0 && call.number.is_multiple_of(nth)
        };
        self.with(move |call| hits(call).then_some(fault), text)
    }

    /// Adds a fault for a random share of the calls of a method: `percent` from 0 to 100.
    /// Each call is chosen independently.
    pub fn with_percent(self, method: Method, percent: u8, fault: Fault) -> FaultPlan {
        let text = format!("{percent} % of {}: {fault:?}", method.as_str());
        // Each rule has its own random sequence.
        let (seed, rule) = (self.seed, self.rules.len() as u64);
        let hits = move |call: &Call<'_>| {
            let drawn = draw(draw(draw(seed, rule), method as u64), call.number) % 100;
            call.method == method && drawn < u64::from(percent)
        };
        self.with(move |call| hits(call).then_some(fault), text)
    }

    /// Adds a rule as a function. It is called for each call that no earlier rule
    /// decided.
    pub fn with_rule<R>(self, rule: R) -> FaultPlan
    where
        R: Fn(&Call<'_>) -> Option<Fault> + Send + Sync + 'static,
    {
        self.with(rule, "a rule".to_owned())
    }

    fn with<R>(mut self, rule: R, text: String) -> FaultPlan
    where
        R: Fn(&Call<'_>) -> Option<Fault> + Send + Sync + 'static,
    {
        self.rules.push((Box::new(rule), text));
        self
    }

    pub(super) fn fault(&self, call: &Call<'_>) -> Option<Fault> {
        self.rules.iter().find_map(|(rule, _)| rule(call))
    }
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<&String> = self.rules.iter().map(|(_, text)| text).collect();
        f.debug_struct("FaultPlan")
            .field("seed", &self.seed)
            .field("rules", &rules)
            .finish()
    }
}

/// SplitMix64. Its output is the same on every platform and version; generators in
/// dependencies do not promise that.
fn draw(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
