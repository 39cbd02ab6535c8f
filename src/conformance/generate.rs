//! The macros that make tests of the list of cases.

/// Generates one test for each case of the suite, in the module that calls the macro. The
/// test has the name of the case.
///
/// The first argument is a [`Fixture`](crate::conformance::Fixture), for example an async
/// function without arguments. The other arguments declare what the fixture offers:
///
/// - `clock`: its stores take their timestamps from a manual clock that the fixture
///   provides.
/// - `reopen`: its stores can be closed and opened again.
///
/// Cases that need something undeclared are left out. The test
/// `the_fixture_offers_what_it_declares` fails if the declaration does not match the
/// fixture.
///
/// The tests need `tokio` with the features `macros` and `rt-multi-thread` as a
/// dev-dependency, and `action-store` with the feature `conformance`.
///
/// ```
/// # #![allow(unexpected_cfgs)]
/// mod my_store {
///     use action_store::conformance::Subject;
///     use action_store::{Clock, MemoryStore, Timestamp};
///
///     async fn open() -> Subject {
///         let clock = Clock::manual(Timestamp::from_seconds(1_760_400_000));
///         Subject::new(MemoryStore::with_clock(clock.clone())).with_clock(clock)
///     }
///
///     action_store::conformance_tests!(open, clock);
/// }
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($fixture:expr $(,)?) => {
        $crate::__conformance_cases! { __conformance_tests [$fixture, no, no] }
    };
    ($fixture:expr, clock $(,)?) => {
        $crate::__conformance_cases! { __conformance_tests [$fixture, yes, no] }
    };
    ($fixture:expr, reopen $(,)?) => {
        $crate::__conformance_cases! { __conformance_tests [$fixture, no, yes] }
    };
    ($fixture:expr, clock, reopen $(,)?) => {
        $crate::__conformance_cases! { __conformance_tests [$fixture, yes, yes] }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ([$fixture:expr, $clock:ident, $reopen:ident] {
        $($group:ident { $($need:ident $case:ident;)* })*
    }) => {
        $($($crate::__conformance_test! { $need $clock $reopen $case $fixture })*)*

        #[tokio::test]
        async fn the_fixture_offers_what_it_declares(
        ) -> ::core::result::Result<(), $crate::conformance::Failure> {
            let declared = (stringify!($clock) == "yes", stringify!($reopen) == "yes");
            $crate::conformance::check_fixture(&$fixture, declared.0, declared.1).await
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_test {
    (plain $clock:ident $reopen:ident $case:ident $fixture:expr) => {
        $crate::__conformance_test! { @test $case $fixture, #[tokio::test] }
    };
    (crowd $clock:ident $reopen:ident $case:ident $fixture:expr) => {
        $crate::__conformance_test! { @test $case $fixture,
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)] }
    };
    (clock yes $reopen:ident $case:ident $fixture:expr) => {
        $crate::__conformance_test! { @test $case $fixture, #[tokio::test] }
    };
    // Not applicable, so there is no test.
    (clock no $reopen:ident $case:ident $fixture:expr) => {};
    (reopen $clock:ident yes $case:ident $fixture:expr) => {
        $crate::__conformance_test! { @test $case $fixture, #[tokio::test] }
    };
    (reopen $clock:ident no $case:ident $fixture:expr) => {};
    (@test $case:ident $fixture:expr, $(#[$attribute:meta])*) => {
        $(#[$attribute])*
        async fn $case() -> ::core::result::Result<(), $crate::conformance::Failure> {
            $crate::conformance::prove(stringify!($case), &$fixture).await
        }
    };
}

/// Defines `CASES` from the list.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_register {
    ([] { $($group:ident { $($need:ident $case:ident;)* })* }) => {
        /// Every case, by group.
        pub(super) const CASES: &[Case] = &[$($(Case {
            group: stringify!($group),
            name: stringify!($case),
            run: |fixture| Box::pin($group::$case(fixture)),
        },)*)*];
    };
}
