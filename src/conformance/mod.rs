//! Conformance suite for implementations of [`ActionStore`](crate::ActionStore). Each
//! rule of the trait's contract is one case.
//!
//! [`conformance_tests!`](crate::conformance_tests) generates a test for each case.
//! [`cases`] lists the cases for other test harnesses.
//!
//! A case opens empty stores through a [`Fixture`]. If the store breaks the contract, the
//! case returns a [`Failure`] with the case name, its failed step, the expected behaviour
//! and the observed behaviour. The cases do not panic, do not sleep and do not measure
//! time. A panic of the store is a failure of its case. The timeout is 30 seconds for a
//! wait and ten minutes for a case.
//!
//! Other tools for tests:
//!
//! - [`check_store`] reads a whole store and checks that it is consistent. Use it after a
//!   crash, a full disk or a load test.
//!
//! - [`FaultyStore`] makes any store fail according to a [`FaultPlan`]. Use it to test
//!   the code that calls a store.
//!
//! - [`kill`] kills processes that write to a store, and checks that the store has every
//!   acknowledged write.
//!
//! - [`Clock::manual`](crate::Clock::manual) is a clock that a test sets.
//!
//! - [`workload`] measures the performance of a store and verifies its content
//!   afterwards.

// A store under test may return anything. So nothing here relies on the length of an
// answer.
#![deny(clippy::indexing_slicing)]

mod cases;
mod check;
mod failure;
mod fault_plan;
mod faulty;
mod generate;
mod harness;
pub mod kill;
mod list;
mod steps;
mod subject;
pub mod workload;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

pub use check::{Checked, check_store};
pub use failure::Failure;
use failure::{Proof, Stop};
pub use fault_plan::{Call, Fault, FaultPlan, Method};
pub use faulty::FaultyStore;
pub use subject::{Fixture, Subject};

/// Timeout of a case.
const LIMIT: Duration = Duration::from_secs(600);

type Run = for<'f> fn(&'f dyn Fixture) -> Pin<Box<dyn Future<Output = Proof> + Send + 'f>>;

/// One rule that every store must follow, and the test of it.
#[derive(Clone, Copy)]
pub struct Case {
    group: &'static str,
    name: &'static str,
    run: Run,
}

/// Result of a case that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The store follows the rule.
    Held,
    /// The store or its fixture lacks something that the case needs, for this reason. The
    /// case tested nothing.
    NotApplicable(&'static str),
}

impl Case {
    /// Returns the topic of the case, for example `create` or `owners`.
    #[must_use]
    pub fn group(&self) -> &'static str {
        self.group
    }

    /// Returns the rule as a sentence with underscores. It is also the name of the test.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the case. Needs a tokio runtime with time enabled. Cases of the group
    /// `contention` need a runtime with several threads.
    ///
    /// # Errors
    /// Returns [`Failure`] if the store breaks the contract, if the store or its fixture
    /// panics, or if the case takes more than ten minutes.
    pub async fn run(&self, fixture: &dyn Fixture) -> Result<Verdict, Failure> {
        let case = tokio::time::timeout(LIMIT, (self.run)(fixture));
        let stop = match without_panic(case).await {
            Ok(Ok(Ok(()))) => return Ok(Verdict::Held),
            Ok(Ok(Err(stop))) => stop,
            Ok(Err(_)) => Failure::new("the end of the case", "not within ten minutes").into(),
            Err(message) => Failure::new("no panic", format!("a panic: {message}")).into(),
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

/// Returns the output of a future, or the message of its panic.
async fn without_panic<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        // After a panic the future is not polled again.
        let poll = AssertUnwindSafe(|| future.as_mut().poll(context));
        match std::panic::catch_unwind(poll) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(message(&*panic))),
        }
    })
    .await
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({}: {})", self.group, self.name)
    }
}

/// Returns every case, ordered by group.
#[must_use]
pub fn cases() -> &'static [Case] {
    cases::CASES
}

/// Returns the case with this name.
#[must_use]
pub fn case(name: &str) -> Option<&'static Case> {
    cases().iter().find(|case| case.name == name)
}

/// Runs one case as a test of [`conformance_tests!`](crate::conformance_tests).
///
/// A case that is not applicable is a failure here. Cases that need something the fixture
/// does not declare are not among its tests.
///
/// # Errors
/// Returns [`Failure`] if the store breaks the contract.
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

/// Checks that a fixture declares a clock and reopening exactly if it offers them.
///
/// # Errors
/// Returns [`Failure`] if not: the suite would leave out cases that can run.
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
