//! Names of actions as labels. Their number is limited, because each one costs memory in the
//! host's recorder and in the database that collects metrics.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Maximum number of names with a label of their own.
const MAX_NAMES: usize = 100;

/// The names that have a label: the first that were seen.
#[derive(Debug, Default)]
pub(super) struct ActionNames(Mutex<HashSet<Arc<str>>>);

impl ActionNames {
    /// Returns the label for a name: itself, or `other`.
    pub(super) fn label(&self, name: &Arc<str>) -> Arc<str> {
        // A panic cannot leave the set half changed.
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.contains(name) {
            if names.len() >= MAX_NAMES {
                return "other".into();
            }
            names.insert(name.clone());
        }
        name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_first_hundred_are_other() {
        let names = ActionNames::default();
        for number in 0..MAX_NAMES {
            let name: Arc<str> = format!("task_{number}").into();
            assert_eq!(names.label(&name), name);
        }
        assert_eq!(&*names.label(&"one_more".into()), "other");
        assert_eq!(&*names.label(&"task_7".into()), "task_7");
    }
}
