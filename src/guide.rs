//! The guide: one page for each task, with examples that are compiled and run.
//!
//! | page | answers |
//! | --- | --- |
//! | [`host_transactions`] | How do I record an action together with my own row? |
//! | [`recovery`] | What happens after a crash, and what must my code do? |
//! | [`settled`] | How do I keep my own rows in step with actions that a crash ended? |
//! | [`waiting`] | How do I wait for an action, or follow all of them? |
//! | [`finding`] | How do I find, filter and count actions? |
//! | [`retention`] | How do I keep the store small? |
//! | [`http`] | Who may see what at the read endpoints? |
//! | [`console`] | What does the page at `/console` show, and how do I search? |
//! | [`axum_host`] | How do I mount the endpoints in a complete axum host? |
//! | [`observability`] | Which metrics, spans and events are there? |
//! | [`operations`] | What do I alert on? How do I back up, restore and upgrade? |
//! | [`postgres`] | How do planes on several machines share one store? |
//! | [`command_line`] | How do I look at a store and act on it from a shell? |
//! | [`custom_store`] | How do I write a store of my own, and prove it? |
//! | [`testing`] | How do I test my own code? |
//!
//! The pages are only part of the documentation; they add nothing to the compiled crate.

#[doc = include_str!("../docs/guide/host_transactions.md")]
pub mod host_transactions {}

#[doc = include_str!("../docs/guide/recovery.md")]
pub mod recovery {}

#[doc = include_str!("../docs/guide/settled.md")]
pub mod settled {}

#[doc = include_str!("../docs/guide/waiting.md")]
pub mod waiting {}

#[doc = include_str!("../docs/guide/finding.md")]
pub mod finding {}

#[doc = include_str!("../docs/guide/retention.md")]
pub mod retention {}

#[doc = include_str!("../docs/guide/http.md")]
pub mod http {}

#[doc = include_str!("../docs/guide/console.md")]
pub mod console {}

#[doc = include_str!("../docs/guide/axum_host.md")]
pub mod axum_host {}

#[doc = include_str!("../docs/guide/observability.md")]
pub mod observability {}

#[doc = include_str!("../docs/guide/operations.md")]
pub mod operations {}

#[doc = include_str!("../docs/guide/postgres.md")]
pub mod postgres {}

#[doc = include_str!("../docs/guide/command_line.md")]
pub mod command_line {}

#[doc = include_str!("../docs/guide/custom_store.md")]
pub mod custom_store {}

#[doc = include_str!("../docs/guide/testing.md")]
pub mod testing {}
