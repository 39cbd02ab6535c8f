//! The public proof of a store: every clause of the contract on
//! [`ActionStore`](crate::ActionStore) as a case of its own, for whoever writes a store.
//!
//! [`conformance_tests!`](crate::conformance_tests) makes tests of all of them; [`cases`] lists
//! them for harnesses of another kind. A case opens fresh stores through a [`Fixture`], and ends
//! with a [`Failure`] that names the case, what the contract asks for and what the store did.
//! Nothing here panics, sleeps or measures time; waits that must end are given 30 seconds, a case
//! ten minutes.
//!
//! [`check_store`] reads a whole store and checks that it agrees with itself, for tests of one's
//! own that crash, fill or crowd a store. [`FaultyStore`] makes any store fail as a [`FaultPlan`]
//! says, for tests of what you build on one; [`Clock::manual`](crate::Clock::manual) is the clock
//! that such tests set. [`workload`] measures a store, and verifies what it measured.

// A store under test may answer anything, so nothing here relies on the length of an answer.
#![deny(clippy::indexing_slicing)]

mod bench;
mod cases;
mod check;
mod failure;
mod fault_plan;
mod faulty;
mod list;
mod subject;
pub mod workload;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use check::{Checked, check_store};
pub use failure::Failure;
use failure::{Proof, Stop};
pub use fault_plan::{Call, Fault, FaultPlan, Method};
pub use faulty::FaultyStore;
pub use subject::{Fixture, Subject};

/// How long a case may take before that counts as hanging.
const LIMIT: Duration = Duration::from_secs(600);

type Run = for<'f> fn(&'f dyn Fixture) -> Pin<Box<dyn Future<Output = Proof> + Send + 'f>>;

/// One sentence about every store, and its proof.
#[derive(Clone, Copy)]
pub struct Case {
    group: &'static str,
    name: &'static str,
    run: Run,
}

/// What a case came to when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The store keeps what the case is about.
    Held,
    /// The case is about something the store or its fixture does not offer, for this reason.
    /// It has shown nothing.
    NotApplicable(&'static str),
}

impl Case {
    /// What it is about: the part of the contract.
    #[must_use]
    pub fn group(&self) -> &'static str {
        self.group
    }

    /// The sentence, with underscores: the name of its test.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs it, within a tokio runtime with time enabled. Cases of the group `contention` want
    /// several threads.
    ///
    /// # Errors
    /// [`Failure`] if the store breaks the contract, or takes ten minutes.
    pub async fn run(&self, fixture: &dyn Fixture) -> Result<Verdict, Failure> {
        let stop = match tokio::time::timeout(LIMIT, (self.run)(fixture)).await {
            Ok(Ok(())) => return Ok(Verdict::Held),
            Ok(Err(stop)) => stop,
            Err(_) => Failure::new("an end", "none within ten minutes").into(),
        };
        match stop {
            Stop::NotApplicable(why) => Ok(Verdict::NotApplicable(why)),
            Stop::Failed(mut failure) => {
                failure.case = self.name;
                Err(*failure)
            }
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({}: {})", self.group, self.name)
    }
}

/// Every case, by group.
#[must_use]
pub fn cases() -> &'static [Case] {
    cases::CASES
}

/// The case of a name.
#[must_use]
pub fn case(name: &str) -> Option<&'static Case> {
    cases().iter().find(|case| case.name == name)
}

/// What a test of [`conformance_tests!`](crate::conformance_tests) does.
///
/// A case that turns out not to be applicable is a failure here: what needs something that a
/// fixture does not declare is not among its tests.
///
/// # Errors
/// [`Failure`] if the store breaks the contract.
#[doc(hidden)]
pub async fn prove(name: &'static str, fixture: &dyn Fixture) -> Result<(), Failure> {
    let Some(case) = case(name) else {
        return Err(Failure::new("a case of this name", name));
    };
    match case.run(fixture).await? {
        Verdict::Held => Ok(()),
        Verdict::NotApplicable(why) => {
            let mut failure = Failure::new("a fixture that offers what it declares", why);
            failure.case = case.name;
            Err(failure)
        }
    }
}

/// Checks that a fixture brings a clock and can reopen exactly if it is said to.
///
/// # Errors
/// [`Failure`] if not: a case would be left out that could run.
#[doc(hidden)]
pub async fn check_fixture(
    fixture: &dyn Fixture,
    clock: bool,
    reopen: bool,
) -> Result<(), Failure> {
    let subject = fixture.open().await;
    let found = (subject.clock.is_some(), subject.reopen.is_some());
    if found == (clock, reopen) {
        return Ok(());
    }
    let mut failure = Failure::new(
        format!("clock: {clock}, reopen: {reopen}, as declared"),
        format!("clock: {}, reopen: {}", found.0, found.1),
    );
    failure.case = "the_fixture_offers_what_it_declares";
    Err(failure)
}
