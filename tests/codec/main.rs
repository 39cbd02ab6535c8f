//! The stored form: what is written comes back, damage is found, later versions are recognised.
// Helpers of tests are test code too, which clippy sees only in the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod by_hand;
mod columns;
mod damage;
mod golden;
mod newer;
mod random;
mod samples;
