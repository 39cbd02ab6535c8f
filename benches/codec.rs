//! Measures the time to encode and decode an action, and its size.
//!
//! `cargo bench --all-features --bench codec` prints a row for each kind of action. It measures the
//! whole action, and the action with the filter fields of a SQL store in columns. Each figure is
//! the median of several rounds; `-- --quick` runs few. Each decoded action is compared with the
//! original.
#![allow(missing_docs, unreachable_pub, reason = "nobody imports a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what fails has lost"
)]

#[path = "shared/flags.rs"]
#[allow(dead_code, reason = "other benchmarks use all of it")]
mod flags;
#[path = "shared/middle.rs"]
mod middle;
#[path = "../tests/codec/samples.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod samples;

use std::hint::black_box;
use std::time::Instant;

use action_store::Action;
use action_store::spi::codec::{Layout, Value};

use flags::Flags;

fn main() {
    let flags = Flags::read(&["rounds", "calls"]);
    let rounds: usize = flags.number("rounds", 3, 15);
    let calls: u32 = flags.number("calls", 5_000, 100_000);
    println!("| action | bytes | encode, ns | decode, ns |\n| --- | --: | --: | --: |");
    for (name, action) in samples::actions() {
        row(name, Layout::WHOLE, &action, rounds, calls);
        let apart = format!(
            "{name}, without {} columns",
            samples::COLUMNS.columns().len()
        );
        row(&apart, samples::COLUMNS, &action, rounds, calls);
    }
}

fn row(name: &str, layout: Layout<Action>, action: &Action, rounds: usize, calls: u32) {
    let values: Vec<Value<'_>> = layout.values(action).collect();
    let mut body = Vec::new();
    layout.encode(action, &mut body).unwrap();
    assert_eq!(layout.decode(&values, &body).as_ref(), Ok(action));
    let mut out = Vec::with_capacity(body.len() + 1024);
    let encode = time(rounds, calls, || {
        out.clear();
        layout.encode(black_box(action), &mut out).unwrap();
    });
    let decode = time(rounds, calls, || {
        layout.decode(black_box(&values), black_box(&body)).unwrap();
    });
    let bytes = body.len();
    println!("| {name} | {bytes} | {encode:.0} | {decode:.0} |");
}

/// Nanoseconds per call.
fn time(rounds: usize, calls: u32, mut call: impl FnMut()) -> f64 {
    let rounds = (0..rounds).map(|_| {
        let begun = Instant::now();
        (0..calls).for_each(|_| call());
        begun.elapsed().as_nanos() as f64 / f64::from(calls)
    });
    middle::middle(rounds)
}
