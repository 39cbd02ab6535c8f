//! JSON payloads: validated once, kept as the text they came as.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::limits::{Invalid, Limits};

/// A JSON text that has been checked: well-formed, at most [`Limits::JSON`] bytes, nested at most
/// [`Limits::JSON_DEPTH`] deep, finite numbers, no U+0000 and no lone surrogate in any string.
///
/// The text is kept byte for byte and never as a parsed value, so it comes back exactly as given
/// and goes out over HTTP without being encoded again.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Arc<str>);

impl Json {
    /// Checks a JSON text.
    ///
    /// # Errors
    /// [`Invalid`] names the limit that is broken or where the text stops being JSON.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Json, Invalid> {
        let text = text.into();
        if text.len() > Limits::JSON {
            return Err(Invalid::new(
                "json",
                format!("has {} bytes, at most {} fit", text.len(), Limits::JSON),
            ));
        }
        let mut parser = serde_json::Deserializer::from_str(&text);
        Check { depth: 0 }
            .deserialize(&mut parser)
            .and_then(|()| parser.end())
            .map_err(|e| Invalid::new("json", e.to_string()))?;
        Ok(Json(text))
    }

    /// Encodes a value and checks the text. Note that serde_json writes a float that is not finite
    /// as `null`.
    ///
    /// # Errors
    /// [`Invalid`] if the value cannot be written as JSON or breaks a limit.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Json, Invalid> {
        let text = serde_json::to_string(value).map_err(|e| Invalid::new("json", e.to_string()))?;
        Json::new(text)
    }

    /// A text that was checked before it was stored.
    #[cfg(feature = "sqlite-unbundled")]
    pub(crate) fn stored(text: Arc<str>) -> Json {
        Json(text)
    }

    /// The text, byte for byte as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the text is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.trim_ascii_start().starts_with('{')
    }

    /// The members of an object, each value as the text it is, in the order they stand.
    /// Empty for anything but an object.
    #[must_use]
    pub fn members(&self) -> Vec<(String, &str)> {
        let members = self.raw_members().into_iter();
        members
            .map(|(name, value)| (name.into_owned(), value.get()))
            .collect()
    }

    /// As [`members`](Json::members), without a copy of a name that is written without escapes.
    pub(crate) fn raw_members(&self) -> Vec<(Cow<'_, str>, &RawValue)> {
        let mut parser = serde_json::Deserializer::from_str(&self.0);
        // A checked text that is no object is the only way to fail here.
        (&mut parser).deserialize_map(Members).unwrap_or_default()
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key_seed(Name)? {
            members.push((name, map.next_value()?));
        }
        Ok(members)
    }
}

/// A name, borrowed where the text allows it.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

impl fmt::Debug for Json {
    /// Shows the size only: payloads may hold secrets and `Debug` ends up in logs.
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

/// Walks a whole text. Strings are decoded (not skipped), which is what finds lone surrogates.
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
    fn a_good_text_is_kept_byte_for_byte() {
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
        assert!(Json::new("[1]").unwrap().members().is_empty());
        assert_eq!(format!("{json:?}"), "Json(25 bytes)");
    }
}
