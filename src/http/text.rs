//! The JSON of what clients poll: written in one go, names and words as they are, and a text that
//! needs no escape copied whole. A page of a thousand is hundreds of kilobytes; looked at byte for
//! byte, writing it down would be most of what an answer costs.

use std::ops::Range;

use serde::Serialize;

use super::error::{Problem, not_json};
use crate::model::{ActionUid, Progress};

/// What is written into an answer.
pub(super) trait Written {
    fn write(&self, to: &mut Text);
}

/// JSON text that is being written.
#[derive(Debug)]
pub(super) struct Text(String);

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text(text.to_owned())
    }
}

impl Text {
    pub(super) fn of(value: &impl Written) -> Text {
        // Few take more.
        let mut text = Text(String::with_capacity(1024));
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

    /// Takes back what was written beyond a length that it had.
    pub(super) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// Where the next element of an array goes that begins somewhere in this text.
    pub(super) fn element(&mut self) -> &mut Text {
        if !self.0.ends_with('[') {
            self.0.push(',');
        }
        self
    }

    /// Takes an element out again that takes up this range, the comma before it included.
    pub(super) fn take_out(&mut self, Range { start, end }: Range<usize>) {
        let bytes = self.0.as_bytes();
        // The first has no comma before it, so that of the next goes with it.
        let is_first = bytes.get(start) != Some(&b',');
        let end = end + usize::from(is_first && bytes.get(end) == Some(&b','));
        self.0.replace_range(start..end, "");
    }

    /// Writes what others know how to write.
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

    /// What is JSON already.
    #[inline]
    pub(super) fn json(&mut self, json: &str) {
        self.0.push_str(json);
    }

    /// A word of ours, or what else needs no escape.
    #[inline]
    pub(super) fn word(&mut self, word: &str) {
        self.0.push('"');
        self.0.push_str(word);
        self.0.push('"');
    }

    #[inline]
    pub(super) fn string(&mut self, text: &str) {
        self.0.push('"');
        // Nearly always there is nothing to escape, which is seen many bytes at a time.
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

    /// A percentage with at least one decimal and at most two.
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
            // One byte each: no more than those needs an escape.
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

/// Whether a byte cannot stand in a JSON string as it is.
#[inline]
fn needs_escape(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}

fn digit(value: u16) -> Option<char> {
    char::from_digit(u32::from(value), 16)
}

/// An object that is being written, member by member.
#[derive(Debug)]
#[must_use = "an object that is not ended is no JSON"]
pub(super) struct Object<'t> {
    text: &'t mut Text,
    is_empty: bool,
}

impl Object<'_> {
    #[inline]
    pub(super) fn member<T>(
        &mut self,
        name: &'static str,
        value: T,
        write: impl FnOnce(&mut Text, T),
    ) {
        write(self.named(name), value);
    }

    /// A member that is left out where there is none.
    #[inline]
    pub(super) fn maybe<T>(
        &mut self,
        name: &'static str,
        value: Option<T>,
        write: impl FnOnce(&mut Text, T),
    ) {
        if let Some(value) = value {
            self.member(name, value, write);
        }
    }

    /// Where the value of a member goes whose name needs no escape, or has been escaped.
    #[inline]
    pub(super) fn named(&mut self, name: &str) -> &mut Text {
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
    fn a_text_is_written_as_serde_json_writes_it() {
        let all: String = (0..=0x2028).filter_map(char::from_u32).collect();
        let each = all.chars().map(String::from);
        let within = all
            .chars()
            .map(|c| format!("plain text before it {c} and after it"));
        for text in each.chain(within).chain([String::new(), all.clone()]) {
            let mut written = Text::from("");
            written.string(&text);
            assert_eq!(written.0, serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn a_percentage_is_written_as_a_float_is() {
        for hundredths in 0..=10_000 {
            let progress = Progress::from_hundredths(hundredths).unwrap();
            let mut written = Text::from("");
            written.percent(progress);
            let float = serde_json::to_string(&progress.as_percent()).unwrap();
            assert_eq!(written.0, float);
        }
    }

    struct Pair(i64, Option<&'static str>);

    impl Written for Pair {
        fn write(&self, to: &mut Text) {
            let mut object = to.object();
            object.maybe("word", self.1, Text::word);
            object.member("number", self.0, Text::integer);
            object.end();
        }
    }

    #[test]
    fn members_and_elements_are_parted_and_nothing_else_is() {
        let mut written = Text::from("[");
        for pair in [Pair(-1, None), Pair(i64::MAX, Some("yes"))] {
            pair.write(written.element());
        }
        let expected = r#"[{"number":-1},{"word":"yes","number":9223372036854775807}"#;
        assert_eq!(written.as_str(), expected);
        let mut nothing = Text::from("");
        nothing.object().end();
        assert_eq!(nothing.as_str(), "{}");
    }
}
