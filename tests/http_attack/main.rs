//! Attacks on the HTTP adapter over a real listener: what is no HTTP, and clients that hang up.
//! Few of each by default; at full size:
//!
//!     FUZZ_REQUESTS=50000 HANG_UPS=5000 \
//!         cargo test --release --all-features --test http_attack -- --nocapture
//!
//! `ATTACK_SEED` repeats a run, as far as its tasks run in the same order.
#![cfg(all(unix, feature = "conformance", feature = "sqlite", feature = "http"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// It takes what it needs of these.
#[allow(dead_code)]
#[path = "../support/attack.rs"]
mod attack;
mod fuzz;
mod hang_ups;
mod server;
