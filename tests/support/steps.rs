//! The steps of a conformance case: the lines of its function.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use action_store::conformance::Failure;

/// Returns true if a failure points at a line of its own case.
pub(crate) fn is_at_a_step(failure: &Failure) -> bool {
    static SOURCES: Mutex<Option<HashMap<String, String>>> = Mutex::new(None);
    let mut sources = SOURCES.lock().unwrap_or_else(PoisonError::into_inner);
    let file = failure.at.file().to_owned();
    let read = |file: &String| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        std::fs::read_to_string(path).unwrap()
    };
    let source = sources.get_or_insert_default();
    let source = source.entry(file).or_insert_with_key(read);
    let lines: Vec<&str> = source.lines().collect();
    let head = format!("async fn {}(", failure.case);
    let Some(first) = lines.iter().position(|line| line.contains(&head)) else {
        return false;
    };
    let end = lines[first..].iter().position(|line| *line == "}").unwrap();
    // Lines are counted from 1.
    (first + 1..first + 1 + end).contains(&(failure.at.line() as usize))
}
