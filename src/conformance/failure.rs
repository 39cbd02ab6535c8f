//! What a case says when a store breaks the contract.

use std::fmt;
use std::panic::Location;
use std::slice::SliceIndex;

use crate::error::{Error, StoreError};
use crate::model::{Invalid, Refused};

/// A clause of the contract that a store was seen to break.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The case, as its test is called.
    pub case: &'static str,
    /// What the contract asks for.
    pub expected: String,
    /// What the store did.
    pub found: String,
    /// Where in the suite.
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
    /// As `Display`: it is what a test that returns a failure prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

/// Why a case stopped before its end.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(Box<Failure>),
    NotApplicable(&'static str),
}

/// What a case comes to.
pub(super) type Proof<T = ()> = Result<T, Stop>;

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(Box::new(failure))
    }
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
unexpected!(StoreError Error Refused Invalid tokio::task::JoinError);

/// Demands that something holds; `found` says what there was instead.
#[track_caller]
pub(super) fn holds(expected: &str, condition: bool, found: impl fmt::Debug) -> Proof {
    if condition {
        return Ok(());
    }
    Err(Failure::new(expected, shown(&found)).into())
}

/// Demands that two things are the same.
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

/// An item, or a range of items, of something that a store answered. Fails if the answer is too
/// short for it.
#[track_caller]
pub(super) fn pick<'l, T, I>(what: &str, items: &'l [T], index: I) -> Proof<&'l I::Output>
where
    T: fmt::Debug,
    I: SliceIndex<[T]> + fmt::Debug + Clone,
{
    let found = items.get(index.clone());
    found.ok_or_else(|| {
        let expected = format!("{what}: items at {index:?}");
        Failure::new(
            expected,
            format!("{} items: {}", items.len(), shown(&items)),
        )
        .into()
    })
}

/// Cuts what would bury the message.
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

/// Demands that a value has a shape; yields what the shape binds.
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
