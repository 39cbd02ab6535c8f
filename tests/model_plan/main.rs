//! The model proved and attacked: what is legal, who may, what a repeat comes to, and that any
//! grouping of batches into transactions comes to the same.

mod batches;
mod edges;
mod harness;
mod input;
mod owners;
mod random;
mod repeats;
mod rules;
