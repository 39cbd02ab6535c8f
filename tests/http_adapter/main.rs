//! The HTTP adapter from the point of view of its clients.
#![cfg(feature = "http")]
// Helpers of tests are test code, but clippy does not recognise them.
#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(clippy::future_not_send, reason = "each test runs on one thread")]

mod auth;
mod basic;
mod changes;
mod events;
mod failures;
mod filters;
mod finding;
mod fixtures;
mod gone;
mod history;
mod liberal;
mod limits;
mod list;
mod matrix;
mod mounting;
mod one;
mod paging;
mod poll;
mod scope;
mod shapes;
mod support;
mod versions;
mod wire;
