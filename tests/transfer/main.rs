//! Export, import and copy, as their users see them.
// A test that fails may panic, outside of a function marked as one, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod copying;
mod damage;
mod golden;
mod plant;
mod races;
mod random;
mod roundtrip;
