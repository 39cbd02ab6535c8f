//! Export, import and copy, as their users see them.
// A test that fails may panic, outside of a function marked as one, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../codec/by_hand.rs"]
#[allow(dead_code, reason = "the tests of the codec use all of it")]
mod by_hand;
mod copying;
mod damage;
mod golden;
mod plant;
mod races;
mod random;
mod roundtrip;
#[path = "../codec/samples.rs"]
#[allow(dead_code, reason = "the tests of the codec use all of it")]
mod samples;
mod whole;
