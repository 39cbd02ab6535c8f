//! Waiting for actions and watching them: one look for all, nothing missed, nothing left behind.
// Helpers of tests are test code too, which clippy sees only in the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod changes;
mod cost;
mod feed;
mod spy;
mod stores;
mod troubles;
mod wait;
