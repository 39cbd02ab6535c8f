//! Estimates of the size of actions and commands, in bytes.

use std::sync::Arc;

use super::action::{Action, ActionError};
use super::json::Json;

/// Size of an action or a command without its long texts.
pub(super) const BASE: usize = 512;

/// Size of a related object.
pub(super) const RELATED: usize = 256;

pub(super) fn text(text: &Option<Arc<str>>) -> usize {
    text.as_ref().map_or(0, |text| text.len())
}

pub(super) fn json(json: &Option<Json>) -> usize {
    json.as_ref().map_or(0, |json| json.as_str().len())
}

pub(super) fn list(texts: &[Arc<str>]) -> usize {
    texts.iter().map(|text| text.len()).sum()
}

pub(super) fn error(error: &Option<ActionError>) -> usize {
    let bytes = |e: &ActionError| e.message.len() + text(&e.detail);
    error.as_ref().map_or(0, bytes)
}

impl Action {
    /// Estimates the size of an action without its log.
    pub(crate) fn bytes(&self) -> usize {
        let reason = self.cancel.as_ref().map_or(0, |c| text(&c.reason));
        let asked = text(&self.description) + json(&self.attributes) + reason;
        let told = json(&self.result) + error(&self.error) + list(&self.warnings);
        let found = self.labels.bytes() + list(&self.exclusive);
        BASE + asked + told + found + self.related.len() * RELATED
    }
}
