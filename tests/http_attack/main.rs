//! Attacks on the HTTP adapter over a real listener: what is no HTTP, and clients that hang up.
#![cfg(all(unix, feature = "conformance", feature = "sqlite", feature = "http"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// It takes what it needs of these.
#[allow(dead_code)]
#[path = "../support/attack.rs"]
mod attack;
mod fuzz;
mod hang_ups;
mod server;
