//! JSON texts that are validated once and kept unchanged.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::limits::{Invalid, Limits};

/// A JSON text that has been checked.
///
/// It is well-formed, at most [`Limits::JSON`] bytes long and at most [`Limits::JSON_DEPTH`] levels
/// deep. Its numbers are finite. Its strings contain no U+0000 and no lone surrogates.
///
/// The text is kept byte for byte, not as a parsed value. HTTP responses contain it without
/// encoding it again.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Arc<str>);

impl Json {
    /// Checks a JSON text.
    ///
    /// # Errors
    /// Returns [`Invalid`] with the broken limit, or with the position of the syntax error.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Json, Invalid> {
        let text = text.into();
        if text.len() > Limits::JSON {
            return Err(Invalid::new(
                "json",
                format!("has {} bytes; the limit is {}", text.len(), Limits::JSON),
            ));
        }
        let mut parser = serde_json::Deserializer::from_str(&text);
        Check { depth: 0 }
            .deserialize(&mut parser)
            .and_then(|()| parser.end())
            .map_err(|e| Invalid::new("json", e.to_string()))?;
        Ok(Json(text))
    }

    /// Encodes a value and checks the text. serde_json writes NaN and infinite floats as `null`.
    ///
    /// # Errors
    /// Returns [`Invalid`] if the value cannot be written as JSON or breaks a limit.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Json, Invalid> {
        let text = serde_json::to_string(value).map_err(|e| Invalid::new("json", e.to_string()))?;
        Json::new(text)
    }

    /// Wraps a text that [`Json::new`] has accepted before, and that a store has kept since. Does not
    /// check it again.
    ///
    /// For a store that keeps the text in a column and can rely on reading what it wrote. Any other
    /// text breaks the JSON of lists and exports. If the text may be damaged, use [`Json::new`].
    ///
    /// ```
    /// use action_store::Json;
    ///
    /// # fn main() -> Result<(), action_store::action::Invalid> {
    /// let column = Json::new(r#"{"shards": 4}"#)?.as_str().to_owned();
    /// assert!(Json::from_stored(column).is_object());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn from_stored(text: impl Into<Arc<str>>) -> Json {
        Json(text.into())
    }

    /// Returns the text, byte for byte as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if the text is a JSON object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.trim_ascii_start().starts_with('{')
    }

    /// Returns the members of an object, in order, each value as its JSON text. Empty if the text
    /// is not an object.
    #[must_use]
    pub fn members(&self) -> Vec<(String, &str)> {
        let members = self.raw_members();
        members
            .map(|member| (member.name().into_owned(), member.value))
            .collect()
    }

    /// Like [`members`](Json::members), without copies.
    pub(crate) fn raw_members(&self) -> Members<'_> {
        Members::of(&self.0)
    }
}

/// A member of an object, as it is written in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    /// Text between the quotes of the name.
    pub(crate) written_name: &'a str,
    /// True if the name contains escapes.
    escaped: bool,
    pub(crate) value: &'a str,
}

impl<'a> Member<'a> {
    /// Returns the name. Borrowed, unless it contains escapes.
    pub(crate) fn name(&self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.written_name);
        }
        let quoted = format!("\"{}\"", self.written_name);
        // The text was checked, so every name can be read.
        let name = serde_json::from_str(&quoted).unwrap_or_default();
        Cow::Owned(name)
    }
}

/// Iterator over the members of an object.
///
/// The text has been checked, so the iterator only looks for the end of each value. This is many
/// times as fast as parsing; a page may contain the attributes of 1000 actions. If the text is not
/// an object, the iterator ends.
#[derive(Debug, Clone)]
pub(crate) struct Members<'a> {
    rest: &'a str,
}

impl<'a> Members<'a> {
    fn of(text: &'a str) -> Members<'a> {
        let inside = text.trim_ascii_start().strip_prefix('{');
        Members {
            rest: inside.unwrap_or_default(),
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let rest = self.rest.trim_ascii_start();
        let rest = rest.strip_prefix(',').unwrap_or(rest).trim_ascii_start();
        let inside = rest.strip_prefix('"')?;
        let (written_name, escaped) = string(inside)?;
        let rest = inside.get(written_name.len() + 1..)?.trim_ascii_start();
        let rest = rest.strip_prefix(':')?.trim_ascii_start();
        let (value, rest) = rest.split_at_checked(value_length(rest)?)?;
        self.rest = rest;
        Some(Member {
            written_name,
            escaped,
            value: value.trim_ascii_end(),
        })
    }
}

/// Returns the text before the closing quote of a string, and whether it contains escapes.
fn string(text: &str) -> Option<(&str, bool)> {
    let (mut bytes, mut escaped) = (text.bytes().enumerate(), false);
    loop {
        match bytes.next()? {
            (at, b'"') => return Some((text.get(..at)?, escaped)),
            (_, b'\\') => {
                escaped = true;
                bytes.next();
            }
            _ => {}
        }
    }
}

/// Returns the length of the value at the start of a text. For a number or a word it includes the
/// white space after it.
fn value_length(text: &str) -> Option<usize> {
    let (mut bytes, mut depth) = (text.bytes().enumerate(), 0_usize);
    loop {
        let (at, byte) = bytes.next()?;
        match byte {
            b',' | b'}' if depth == 0 => return Some(at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b'"' => {
                let (inside, _) = string(text.get(at + 1..)?)?;
                bytes.nth(inside.len())?;
            }
            _ => continue,
        }
        if depth == 0 {
            return bytes.next().map(|(end, _)| end);
        }
    }
}

impl fmt::Debug for Json {
    /// Shows the size only: payloads may hold secrets, and `Debug` output ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} bytes)", self.0.len())
    }
}

impl Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Json::new(raw.get()).map_err(serde::de::Error::custom)
    }
}

/// Visits a whole text. It decodes strings instead of skipping them, because that finds lone
/// surrogates.
#[derive(Clone, Copy)]
struct Check {
    depth: usize,
}

impl Check {
    fn deeper<E: serde::de::Error>(self) -> Result<Check, E> {
        if self.depth == Limits::JSON_DEPTH {
            return Err(E::custom(format_args!(
                "nested deeper than {}",
                Limits::JSON_DEPTH
            )));
        }
        Ok(Check {
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Check {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text.contains('\0') {
            return Err(E::custom("a string contains U+0000"));
        }
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while seq.next_element_seed(inner)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while map.next_key_seed(inner)?.is_some() {
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn a_valid_text_is_kept_byte_for_byte() {
        for good in [
            "{ \"a\" : 1.50 }",
            "null",
            "\"\\u00e9\"",
            " [1,\n2] ",
            "1e300",
        ] {
            assert_eq!(Json::new(good).unwrap().as_str(), good);
        }
        assert!(Json::new(nested(32)).is_ok());
    }

    #[test]
    fn a_bad_text_is_refused() {
        let long = format!("\"{}\"", "x".repeat(Limits::JSON));
        for bad in [
            "",
            "{",
            "{} {}",
            "NaN",
            "1e999",
            r#""\u0000""#,
            r#"{"\u0000":1}"#,
            r#""\ud800""#,
            r#"["\udc00 x"]"#,
            &nested(33),
            &long,
        ] {
            assert!(Json::new(bad).is_err(), "{}", &bad[..bad.len().min(40)]);
        }
    }

    #[test]
    fn members_keep_each_value_as_text() {
        let json = Json::new(r#"{"a": 1.0, "b":{"c":[ ]}}"#).unwrap();
        assert_eq!(
            json.members(),
            [("a".to_owned(), "1.0"), ("b".to_owned(), r#"{"c":[ ]}"#)]
        );
        let escaped = Json::new(r#"{"\u0061\"": null}"#).unwrap();
        assert_eq!(escaped.members(), [("a\"".to_owned(), "null")]);
        assert_eq!(format!("{json:?}"), "Json(25 bytes)");
    }

    #[test]
    fn members_of_an_unchecked_text_end_at_the_first_syntax_error() {
        for text in [
            r#"{"a":]"#,
            r#"{"a":}"#,
            r#"{"a":[1}"#,
            r#"{"a":"\"#,
            r#"{"a" 1}"#,
            r#"{"a""#,
            r#"{"é"#,
            r#"{"a":{"#,
            "{",
            "",
            "[1]",
        ] {
            assert!(Members::of(text).count() <= 1, "{text}");
        }
        // Nor in the middle of a text that is valid as a whole.
        let whole = r#" {"é\"":[{"b":"]\\"},1], "c" : -1e5 ,"d":{"e":[]}} "#;
        let ends = whole.char_indices().map(|(at, _)| at);
        assert!(
            ends.map(|end| &whole[..end])
                .all(|text| Members::of(text).count() <= 3)
        );
    }

    #[test]
    fn members_match_a_full_parser() {
        let names = [
            "a",
            "",
            r"\u00e9",
            r"\\",
            r#"x\"y"#,
            "é, \u{1f600}",
            "{[:,]}",
        ];
        let values = [
            "1",
            "-1.5e+3",
            "true",
            "null",
            "\"\"",
            r#""\\""#,
            r#""a\"},{\"b\":1""#,
            "[]",
            "{}",
            r#"[[1,{"a":"]"}],[ ] ]"#,
            r#"{"a":{"b":{"c":"}"}},"d":[{}]}"#,
            "\"\u{1f600}\"",
        ];
        let spaces = ["", " ", "\n\t\r "];
        for space in spaces {
            for (n, value) in values.iter().enumerate() {
                let members: Vec<String> = (names.iter().enumerate())
                    .map(|(at, name)| {
                        let value = values[(n + at) % values.len()];
                        format!("{space}\"{name}\"{space}:{space}{value}{space}")
                    })
                    .collect();
                for some in 0..=members.len() {
                    let inside = members[..some].join(",");
                    let text = format!("{space}{{{space}{inside}}}{space}");
                    let json = Json::new(text.as_str()).unwrap();
                    let parsed: std::collections::HashMap<String, Box<RawValue>> =
                        serde_json::from_str(&text).unwrap();
                    let found = json.members();
                    assert_eq!((found.len(), parsed.len()), (some, some), "{text}");
                    for (name, value) in found {
                        assert_eq!(parsed[&name].get(), value, "{text}");
                    }
                }
                assert!(
                    Json::new(*value).unwrap().members().is_empty() || value.starts_with("{\"")
                );
            }
        }
    }
}
