//! The program `actions`, driven as operators and scripts drive it. It works on stores of its own,
//! beside a living plane with an exclusive store, and on a store that a plane shares.
// Helpers of tests are test code too, which clippy sees only in the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod acting;
mod beside;
mod cancelling;
mod live;
mod moving;
#[cfg(all(unix, feature = "postgres"))]
mod postgres;
#[cfg(all(unix, feature = "postgres"))]
#[path = "../support/postgres.rs"]
mod postgres_server;
mod reading;
mod removing;
mod serving;
mod settling;
mod support;
mod terminal;
mod usage;
