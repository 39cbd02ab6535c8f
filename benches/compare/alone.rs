//! Runs lives on one contestant in one task, for a profiler: see `scripts/instructions`.

use std::path::Path;

use crate::contestant::{New, life};
use crate::kinds::{DURABLE, VOLATILE};

/// Runs this many whole lives, one after the other.
pub async fn run(name: &str, lives: usize, scratch: &Path) {
    let mut kinds = VOLATILE.into_iter().chain(DURABLE);
    let kind = kinds.find(|kind| kind.name() == name);
    let kind = kind.unwrap_or_else(|| panic!("there is no contestant {name:?}"));
    let contestant = kind.open(scratch).await;
    for number in 0..lives {
        let new = New::of(number as u64 % 64);
        let uid = new.uid;
        contestant.create(new).await;
        for change in life(uid) {
            contestant.change(change).await;
        }
    }
    contestant.close().await;
}
