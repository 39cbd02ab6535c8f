//! The HTTP adapter as its clients see it.
#![cfg(feature = "http")]
// What only tests call is a test too, which clippy cannot see.
#![allow(clippy::unwrap_used, clippy::panic)]

mod auth;
mod changes;
mod events;
mod failures;
mod filters;
mod fixtures;
mod gone;
mod history;
mod limits;
mod list;
mod matrix;
mod one;
mod paging;
mod poll;
mod scope;
mod shapes;
mod support;
mod versions;
mod wire;
