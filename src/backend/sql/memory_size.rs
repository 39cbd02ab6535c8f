//! Estimates how much memory an action takes.

use std::sync::Arc;

use crate::model::{Action, Limits};

/// Approximate size of an action without its long texts, in bytes.
const BASE_BYTES: usize = 1024;

/// Returns the approximate memory of an action with its operations, in bytes.
pub(crate) fn bytes(action: &Action) -> usize {
    let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
    let attributes = action.attributes.as_ref().map_or(0, |a| a.as_str().len());
    let warnings: usize = action.warnings.iter().map(|text| text.len()).sum();
    let lists = action.related.len() * 128 + action.exclusive.len() * 64;
    // A pair is two shared texts: two pointers with a length, and two allocations with counters.
    let labels: usize = action
        .labels
        .iter()
        .map(|(key, value)| 64 + key.len() + value.len())
        .sum();
    let log = (action.log_entries.min(Limits::LOG_ENTRIES) as usize) * 18;
    let result = action
        .result
        .as_ref()
        .map_or(0, |result| result.as_str().len());
    let error = action.error.as_ref();
    let error = error.map_or(0, |error| error.message.len() + text(&error.detail));
    let texts = text(&action.description) + attributes + warnings + result + error;
    BASE_BYTES + texts + lists + labels + log
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NewAction, Timestamp};

    #[test]
    fn labels_count() {
        let size =
            |new: NewAction| bytes(&Action::new(&new, new.digest(), Timestamp::from_seconds(1)));
        let plain = size(NewAction::task("a"));
        let labels = (0..Limits::LABELS).map(|n| (format!("key {n:02}"), "v".repeat(100)));
        let labelled = labels.fold(NewAction::task("a"), |new, (key, value)| {
            new.with_label(key, value)
        });
        assert!(size(labelled) >= plain + Limits::LABELS * 106);
    }
}
