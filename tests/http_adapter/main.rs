//! The HTTP adapter as its clients see it.
#![cfg(feature = "http")]
// What only tests call is a test too, which clippy cannot see.
#![allow(clippy::unwrap_used, clippy::panic)]

mod auth;
mod failures;
mod fixtures;
mod list;
mod one;
mod shapes;
mod support;
mod wire;
