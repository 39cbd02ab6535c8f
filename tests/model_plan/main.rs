//! Tests of the model: legal changes, permissions and repeated commands. Any grouping of batches
//! into transactions gives the same result.
// Helpers of tests are test code too, which clippy sees only in the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod batches;
mod edges;
mod fitting;
mod harness;
mod imports;
mod input;
mod naive;
mod owners;
mod random;
mod repeats;
mod rules;
mod trim;
