//! Writes the JSON of polled answers. Text that needs no escape is copied as a whole. A page of a
//! thousand actions has hundreds of kilobytes. Byte-by-byte writing would be most of its cost.

use std::ops::Range;

use serde::Serialize;

use super::error::{Problem, not_json};
use crate::model::{ActionUid, Progress};

/// A value that can be written as JSON.
pub(super) trait Written {
    fn write(&self, to: &mut JsonWriter);
}

/// JSON text that is being written.
#[derive(Debug)]
pub(super) struct JsonWriter(String);

impl From<&str> for JsonWriter {
    fn from(text: &str) -> JsonWriter {
        JsonWriter(text.to_owned())
    }
}

impl JsonWriter {
    pub(super) fn of(value: &impl Written) -> JsonWriter {
        // Enough for most actions.
        let mut text = JsonWriter(String::with_capacity(1024));
        value.write(&mut text);
        text
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Cuts the text back to an earlier length.
    pub(super) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// Starts the next element of an array that begins in this text.
    pub(super) fn element(&mut self) -> &mut JsonWriter {
        if !self.0.ends_with('[') {
            self.0.push(',');
        }
        self
    }

    /// Removes the element in this range, which includes the comma before it.
    pub(super) fn take_out(&mut self, Range { start, end }: Range<usize>) {
        let bytes = self.0.as_bytes();
        // The first element has no comma before it, so the comma after it is removed.
        let is_first = bytes.get(start) != Some(&b',');
        let end = end + usize::from(is_first && bytes.get(end) == Some(&b','));
        self.0.replace_range(start..end, "");
    }

    /// Appends a value that serde serializes.
    pub(super) fn serialized(&mut self, value: &impl Serialize) -> Result<(), Problem> {
        self.json(&serde_json::to_string(value).map_err(not_json)?);
        Ok(())
    }

    pub(super) fn object(&mut self) -> Object<'_> {
        self.0.push('{');
        Object {
            text: self,
            is_empty: true,
        }
    }

    /// Appends JSON text.
    #[inline]
    pub(super) fn json(&mut self, json: &str) {
        self.0.push_str(json);
    }

    /// Appends a string that needs no escape.
    #[inline]
    pub(super) fn word(&mut self, word: &str) {
        self.0.push('"');
        self.0.push_str(word);
        self.0.push('"');
    }

    #[inline]
    pub(super) fn string(&mut self, text: &str) {
        self.0.push('"');
        // Most strings need no escape. The compiler vectorizes this check.
        match text
            .bytes()
            .fold(false, |any, byte| any | needs_escape(byte))
        {
            true => self.escaped(text),
            false => self.0.push_str(text),
        }
        self.0.push('"');
    }

    #[inline]
    pub(super) fn uid(&mut self, uid: ActionUid) {
        let mut text = [0; 36];
        self.word(uid.as_uuid().hyphenated().encode_lower(&mut text));
    }

    pub(super) fn truth(&mut self, truth: bool) {
        self.json(if truth { "true" } else { "false" });
    }

    #[inline]
    pub(super) fn integer(&mut self, number: impl itoa::Integer) {
        self.json(itoa::Buffer::new().format(number));
    }

    /// Appends a percentage with one or two decimals.
    pub(super) fn percent(&mut self, progress: Progress) {
        let (whole, rest) = (progress.hundredths() / 100, progress.hundredths() % 100);
        self.json(itoa::Buffer::new().format(whole));
        self.0.push('.');
        self.0.extend(digit(rest / 10));
        self.0.extend(digit(rest % 10).filter(|_| rest % 10 != 0));
    }

    fn escaped(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.bytes().position(needs_escape) {
            let (plain, from) = rest.split_at(at);
            self.0.push_str(plain);
            // Every byte that needs an escape is ASCII, so the split is at a character boundary.
            let (escaped, after) = from.split_at(1);
            escaped.bytes().for_each(|byte| self.escape(byte));
            rest = after;
        }
        self.0.push_str(rest);
    }

    fn escape(&mut self, byte: u8) {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            b'\t' => "\\t",
            b'\n' => "\\n",
            0x0c => "\\f",
            b'\r' => "\\r",
            _ => {
                self.json("\\u00");
                self.0.extend(digit(u16::from(byte >> 4)));
                self.0.extend(digit(u16::from(byte & 15)));
                return;
            }
        };
        self.json(short);
    }
}

/// Returns true if a byte must be escaped in a JSON string.
#[inline]
fn needs_escape(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}

fn digit(value: u16) -> Option<char> {
    char::from_digit(u32::from(value), 16)
}

/// An object that is being written, member by member.
#[derive(Debug)]
#[must_use = "an object that is not ended is invalid JSON"]
pub(super) struct Object<'t> {
    text: &'t mut JsonWriter,
    is_empty: bool,
}

impl Object<'_> {
    #[inline]
    pub(super) fn member<T>(
        &mut self,
        name: &'static str,
        value: T,
        write: impl FnOnce(&mut JsonWriter, T),
    ) {
        write(self.named(name), value);
    }

    /// Appends a member if there is a value.
    #[inline]
    pub(super) fn maybe<T>(
        &mut self,
        name: &'static str,
        value: Option<T>,
        write: impl FnOnce(&mut JsonWriter, T),
    ) {
        if let Some(value) = value {
            self.member(name, value, write);
        }
    }

    /// Starts a member. The name must be escaped already.
    #[inline]
    pub(super) fn named(&mut self, name: &str) -> &mut JsonWriter {
        self.text.json(if self.is_empty { "\"" } else { ",\"" });
        self.is_empty = false;
        self.text.json(name);
        self.text.json("\":");
        self.text
    }

    pub(super) fn end(self) {
        self.text.0.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_escaped_like_serde_json_does() {
        let all: String = (0..=0x2028).filter_map(char::from_u32).collect();
        let each = all.chars().map(String::from);
        let within = all
            .chars()
            .map(|c| format!("plain text before it {c} and after it"));
        for text in each.chain(within).chain([String::new(), all.clone()]) {
            let mut written = JsonWriter::from("");
            written.string(&text);
            assert_eq!(written.0, serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn a_percentage_is_written_like_a_float() {
        for hundredths in 0..=10_000 {
            let progress = Progress::from_hundredths(hundredths).unwrap();
            let mut written = JsonWriter::from("");
            written.percent(progress);
            let float = serde_json::to_string(&progress.as_percent()).unwrap();
            assert_eq!(written.0, float);
        }
    }

    struct Pair(i64, Option<&'static str>);

    impl Written for Pair {
        fn write(&self, to: &mut JsonWriter) {
            let mut object = to.object();
            object.maybe("word", self.1, JsonWriter::word);
            object.member("number", self.0, JsonWriter::integer);
            object.end();
        }
    }

    #[test]
    fn commas_separate_members_and_elements_only() {
        let mut written = JsonWriter::from("[");
        for pair in [Pair(-1, None), Pair(i64::MAX, Some("yes"))] {
            pair.write(written.element());
        }
        let expected = r#"[{"number":-1},{"word":"yes","number":9223372036854775807}"#;
        assert_eq!(written.as_str(), expected);
        let mut nothing = JsonWriter::from("");
        nothing.object().end();
        assert_eq!(nothing.as_str(), "{}");
    }
}
