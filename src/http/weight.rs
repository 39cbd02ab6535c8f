//! How long an action is in an answer, before it is written.

use crate::model::Action;

/// What surrounds the actions of any answer.
pub(super) const FRAME: usize = 256;

/// The names, numbers and times of an action, and the marks between them, in the longest shape.
const FLAT: usize = 640;

/// At least as many bytes as an action takes in a list or in the feed, in whatever shape.
///
/// Texts count as what they are written as: prose may hold control characters, each of which is
/// written as six. An answer is bounded by this, so what is left out here is not bounded at all.
pub(super) fn weight(action: &Action) -> usize {
    let labels = [&action.actor, &action.correlation, &action.step];
    let labels = labels.into_iter().flatten().map(|text| label(text));
    let description = action.description.as_deref().map_or(0, written);
    let error = action.error.as_ref().map_or(0, |error| {
        let detail = error.detail.as_deref().map_or(0, written);
        // A task's message stands there twice.
        written(&error.code) + 2 * written(&error.message) + detail
    });
    let warnings = action
        .warnings
        .iter()
        .map(|text| written(text) + "\"\",".len());
    FLAT + label(&action.name)
        + label(&action.tenant)
        + action.object.as_ref().map_or(0, |object| label(object.as_str()))
        + action.owner.as_ref().map_or(0, |owner| label(&owner.name))
        // A task's are strings, so what is none is written as text within a string. The quotes
        // that this puts around it count as those of its name do.
        + action.attributes.as_ref().map_or(0, |json| written(json.as_str()))
        + labels.sum::<usize>()
        + description
        + error
        + warnings.sum::<usize>()
}

/// The same of a label, which holds no control characters: not worth a look.
fn label(text: &str) -> usize {
    2 * text.len()
}

/// How long a text is within a JSON string; rather too long than too short.
fn written(text: &str) -> usize {
    // By blocks whose sums fit into a byte, which is many times faster: each page is counted.
    let (blocks, rest) = text.as_bytes().as_chunks::<32>();
    let escapes = |bytes: &[u8]| usize::from(bytes.iter().map(|byte| escape(*byte)).sum::<u8>());
    text.len() + blocks.iter().map(|block| escapes(block)).sum::<usize>() + escapes(rest)
}

/// How many bytes are added where one is escaped.
fn escape(byte: u8) -> u8 {
    u8::from(byte < b' ') * 5 + u8::from(byte == b'"') + u8::from(byte == b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_never_longer_than_it_was_taken_for() {
        for byte in 0..=u8::MAX {
            let text = char::from(byte).to_string().repeat(77);
            let json = serde_json::to_string(&text).unwrap();
            assert!(written(&text) >= json.len() - "\"\"".len(), "{byte}");
        }
        assert_eq!(written("plain text, and é"), "plain text, and é".len());
    }
}
