//! The warnings of an action, which are bounded.

use std::sync::Arc;

use super::fit::{CUT, MORE_WARNINGS, cut};
use super::limits::Limits;

/// The warnings of an action, while more are added.
pub(crate) struct Warnings {
    texts: Vec<Arc<str>>,
    /// The first warning that was added.
    added: Option<Arc<str>>,
}

impl Warnings {
    /// Starts with the warnings that an action has.
    pub(crate) fn new(texts: &[Arc<str>]) -> Warnings {
        let texts = texts.to_vec();
        Warnings { texts, added: None }
    }

    /// Creates the warnings of a new action.
    pub(crate) fn of(notes: &[Arc<str>]) -> Arc<[Arc<str>]> {
        let mut warnings = Warnings::new(&[]);
        notes.iter().for_each(|note| warnings.note(note));
        warnings.texts.into()
    }

    /// Adds a warning that is not there yet. At the limit, the last warning says that more were
    /// left out.
    pub(crate) fn add(&mut self, warning: &Arc<str>) {
        if self.texts.contains(warning) {
            return;
        }
        if self.texts.len() + 1 < Limits::WARNINGS {
            self.push(warning.clone())
        } else {
            self.overflow(MORE_WARNINGS)
        }
    }

    /// Adds a note, unless there is one of the same kind. A note is never left out: if the list is
    /// full, it is put in front of the last warning.
    pub(crate) fn note(&mut self, note: &Arc<str>) {
        let kind = note.find(": ").map_or(&**note, |end| &note[..end + 2]);
        if self.texts.iter().any(|text| text.contains(kind)) {
            return;
        }
        if self.texts.len() + 1 < Limits::WARNINGS {
            self.push(note.clone())
        } else {
            self.overflow(note)
        }
    }

    /// Returns all warnings, and the first that was added.
    pub(crate) fn into_parts(self) -> (Vec<Arc<str>>, Option<Arc<str>>) {
        (self.texts, self.added)
    }

    fn push(&mut self, text: Arc<str>) {
        self.added.get_or_insert_with(|| text.clone());
        self.texts.push(text);
    }

    /// Puts a text in front of the last warning. If the result is too long, the older text is cut.
    fn overflow(&mut self, text: &str) {
        if self.texts.len() < Limits::WARNINGS {
            return self.push(text.into());
        }
        if let Some(last) = self.texts.last_mut().filter(|last| !last.contains(text)) {
            let before = last.strip_suffix(CUT).unwrap_or(last);
            let mut joined = format!("{text}; {before}");
            if before.len() < last.len() {
                joined.push_str(CUT);
            }
            *last = cut(joined, Limits::TEXT);
            self.added.get_or_insert_with(|| text.into());
        }
    }
}
