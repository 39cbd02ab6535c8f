//! The tracker, as its users see it, on a store that counts and misbehaves on demand.
// A test that fails may panic, outside of a function marked as one, too.
#![allow(clippy::unwrap_used, clippy::panic)]

mod children;
mod drain;
mod ends;
mod fitting;
#[cfg(feature = "conformance")]
mod health;
mod idle;
mod life;
mod owner;
#[cfg(feature = "sqlite")]
mod prepared;
mod recovery;
mod repeats;
mod settled;
mod spans;
mod spy;
mod stop;
mod sweep;
mod unknown;
