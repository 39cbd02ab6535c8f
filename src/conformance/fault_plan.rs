//! Which calls of a store fail, and how.

use std::fmt;
use std::time::Duration;

use crate::model::{Batch, Command};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing is done, and that is said: `Unavailable`. (A `close` closes all the same.)
    Unavailable,
    /// It is done, and the answer is lost: `OutcomeUnknown` of a write, `Unavailable` of anything
    /// else. If the store refuses the whole call, that is its answer.
    UnknownButDone,
    /// Nothing is done, and nobody can tell: as [`UnknownButDone`](Fault::UnknownButDone) to whoever
    /// looks at the error alone.
    UnknownNotDone,
    /// It is done as ever, this much later. Given up meanwhile, it is not done.
    Delay(Duration),
    /// It is done, and never answered.
    SilentButDone,
    /// Nothing is done, nor ever answered.
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
    /// All of them.
    pub const ALL: [Method; 7] = [
        Method::Write,
        Method::Get,
        Method::List,
        Method::Log,
        Method::Owners,
        Method::Changed,
        Method::Close,
    ];

    /// Its name, as in the trait.
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
    /// Of which method.
    pub method: Method,
    /// The how manyth of that method, from 1, in the order in which they were first polled.
    pub number: u64,
    /// What it asks to be written; empty for the other methods.
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

/// Which calls meet which fault, for a [`FaultyStore`](super::FaultyStore). Its rules are asked in
/// the order in which they were given; the first that names a fault decides.
///
/// A plan without rules has no faults. Chances are drawn from a seed: 0 unless set, or
/// [`drawn`](FaultPlan::drawn) by chance itself. A test that draws prints
/// [`seed`](FaultPlan::seed), so that what it found can be had again.
///
/// ```
/// use std::time::Duration;
///
/// use action_store::Command;
/// use action_store::conformance::{Fault, FaultPlan, Method};
///
/// let plan = FaultPlan::drawn()
///     // The second list.
///     .with_call(Method::List, 2, Fault::Unavailable)
///     // The name is never given back.
///     .with_rule(|call| {
///         let releases = |command: &Command| matches!(command, Command::Release(_));
///         call.commands.iter().any(releases).then_some(Fault::SilentNotDone)
///     })
///     // Of what is left, 30 % of the writes are done and then said to have failed, and 5 % late.
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
    /// No faults; seed 0.
    pub fn new() -> FaultPlan {
        FaultPlan::default()
    }

    /// No faults yet; chances are drawn from this seed.
    pub fn seeded(seed: u64) -> FaultPlan {
        FaultPlan {
            seed,
            rules: Vec::new(),
        }
    }

    /// No faults yet; another seed each time.
    pub fn drawn() -> FaultPlan {
        FaultPlan::seeded(uuid::Uuid::now_v7().as_u64_pair().1)
    }

    /// What chances are drawn from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The nth call of a method, counted from 1, meets a fault.
    pub fn with_call(self, method: Method, nth: u64, fault: Fault) -> FaultPlan {
        let text = format!("{} {nth}: {fault:?}", method.as_str());
        let hits = move |call: &Call<'_>| call.method == method && call.number == nth;
        self.with(move |call| hits(call).then_some(fault), text)
    }

    /// Each nth call of a method meets a fault; none does for 0.
    pub fn with_every(self, method: Method, nth: u64, fault: Fault) -> FaultPlan {
        let text = format!("every {nth} of {}: {fault:?}", method.as_str());
        let hits = move |call: &Call<'_>| {
            call.method == method && nth > 0 && call.number.is_multiple_of(nth)
        };
        self.with(move |call| hits(call).then_some(fault), text)
    }

    /// That many percent of the calls of a method, 0 to 100, meet a fault, each for itself.
    pub fn with_percent(self, method: Method, percent: u8, fault: Fault) -> FaultPlan {
        let text = format!("{percent} % of {}: {fault:?}", method.as_str());
        // Rules draw apart from each other.
        let (seed, rule) = (self.seed, self.rules.len() as u64);
        let hits = move |call: &Call<'_>| {
            let drawn = draw(draw(draw(seed, rule), method as u64), call.number) % 100;
            call.method == method && drawn < u64::from(percent)
        };
        self.with(move |call| hits(call).then_some(fault), text)
    }

    /// Calls meet what a function says, which sees each call that no rule before it decided.
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

/// splitmix64: the same everywhere and for ever, which no generator of a dependency promises.
fn draw(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
