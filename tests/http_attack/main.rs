//! Attacks on the HTTP adapter over a real listener: invalid HTTP, and clients that
//! disconnect. The default number of requests is small. To run them at full size:
//!
//!     FUZZ_REQUESTS=50000 HANG_UPS=5000 \
//!     cargo test --release --all-features --test http_attack -- --nocapture
//!
//! `ATTACK_SEED` repeats the random choices of a run. The order of tasks may still
//! differ.
#![cfg(all(unix, feature = "conformance", feature = "sqlite", feature = "http"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// This program does not use every helper.
#[allow(dead_code)]
#[path = "../support/attack.rs"]
mod attack;
mod fuzz;
mod hang_ups;
mod server;
