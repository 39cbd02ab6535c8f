//! The error of a case when a store breaks the contract.

use std::fmt;
use std::panic::Location;
use std::slice::SliceIndex;

use crate::error::{Error, StoreError};
use crate::model::{Invalid, Rejection};

/// A rule of the contract that a store broke.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Name of the case and of its test.
    pub case: &'static str,
    /// Behaviour that the contract requires.
    pub expected: String,
    /// Behaviour that the store showed.
    pub found: String,
    /// Location of the failed step: a line of the case, or the call of
    /// [`check_store`](super::check_store).
    pub at: &'static Location<'static>,
}

impl Failure {
    #[track_caller]
    pub(super) fn new(expected: impl Into<String>, found: impl Into<String>) -> Failure {
        Failure {
            case: "",
            expected: expected.into(),
            found: found.into(),
            at: Location::caller(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} does not hold ({})", self.case, self.at)?;
        writeln!(f, "  expected: {}", self.expected)?;
        write!(f, "     found: {}", self.found)
    }
}

impl fmt::Debug for Failure {
    /// Same as `Display`, because a test that returns a failure prints it with `Debug`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

/// Reason why a case stopped early.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(Box<Failure>),
    NotApplicable(&'static str),
}

/// Result of a case or of a step in it.
pub(super) type Proof<T = ()> = Result<T, Stop>;

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(Box::new(failure))
    }
}

impl Stop {
    fn at(mut self, caller: &'static Location<'static>) -> Stop {
        if let Stop::Failed(failure) = &mut self {
            failure.at = caller;
        }
        self
    }
}

/// Runs the work of a helper. Its failures get the location of the call of the helper, so
/// they point at the step of the case. The helper must be `#[track_caller]`.
#[track_caller]
pub(super) fn at_call<T>(work: impl Future<Output = Proof<T>>) -> impl Future<Output = Proof<T>> {
    let caller = Location::caller();
    // On the heap, because an unoptimized build doubles the size of a future that is moved
    // into another one.
    let work = Box::pin(work);
    async move { work.await.map_err(|stop| stop.at(caller)) }
}

macro_rules! unexpected {
    ($($error:ty)+) => {$(
        impl From<$error> for Stop {
            #[track_caller]
            fn from(error: $error) -> Stop {
                Failure::new("success", format!("{error:?}")).into()
            }
        }
    )+};
}
unexpected!(StoreError Error Rejection Invalid tokio::task::JoinError);

/// Fails unless `condition` is true. `found` is the value shown in the failure.
#[track_caller]
pub(super) fn holds(expected: &str, condition: bool, found: impl fmt::Debug) -> Proof {
    if condition {
        return Ok(());
    }
    Err(Failure::new(expected, shown(&found)).into())
}

/// Fails unless the two values are equal.
#[track_caller]
pub(super) fn same<A, B>(what: &str, found: A, expected: B) -> Proof
where
    A: PartialEq<B> + fmt::Debug,
    B: fmt::Debug,
{
    if found == expected {
        return Ok(());
    }
    let expected = format!("{what}: {}", shown(&expected));
    Err(Failure::new(expected, shown(&found)).into())
}

/// Returns an item, or a range of items, of a store's answer. Fails if the answer is too
/// short.
#[track_caller]
pub(super) fn pick<'l, T, I>(what: &str, items: &'l [T], index: I) -> Proof<&'l I::Output>
where
    T: fmt::Debug,
    I: SliceIndex<[T]> + fmt::Debug + Clone,
{
    // Not in a closure, which would hide the caller.
    let Some(found) = items.get(index.clone()) else {
        let expected = format!("{what}: items at {index:?}");
        let found = format!("{} items: {}", items.len(), shown(&items));
        return Err(Failure::new(expected, found).into());
    };
    Ok(found)
}

/// Truncates a long value so that the failure stays readable.
pub(super) fn shown(what: &impl fmt::Debug) -> String {
    const MOST: usize = 2000;
    let mut text = format!("{what:?}");
    if text.len() > MOST {
        let mut end = MOST;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(" ...");
    }
    text
}

/// Fails unless a value matches a pattern. Yields the values that the pattern binds.
macro_rules! demand {
    ($value:expr, $pattern:pat $(if $guard:expr)? $(=> $yield:expr)?) => {
        match $value {
            #[allow(unused_variables)]
            $pattern $(if $guard)? => { $($yield)? }
            #[allow(unreachable_patterns)]
            other => {
                let expected = concat!(stringify!($pattern) $(, " if ", stringify!($guard))?);
                return Err($crate::conformance::failure::Failure::new(
                    expected,
                    $crate::conformance::failure::shown(&other),
                )
                .into());
            }
        }
    };
}
pub(super) use demand;
