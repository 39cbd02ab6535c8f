//! Parses query parameters and percent-encoding. axum's extractors are not used: they answer errors
//! in plain text and may quote the input.

use axum::http::request::Parts;

use super::error::Problem;

/// Percent-decoded bytes.
pub(super) struct Decoded(Vec<u8>);

impl Decoded {
    /// Returns text for a lookup or a message. Invalid UTF-8 is replaced.
    pub(super) fn text(self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// Returns the exact text, or none if it is not UTF-8.
    fn exact(self) -> Option<String> {
        String::from_utf8(self.0).ok()
    }
}

/// Decodes `%xx`. A percent sign without two hexadecimal digits is kept.
pub(super) fn decode(text: &str) -> Decoded {
    let hex = |byte: u8| char::from(byte).to_digit(16);
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = &tail[2..];
            }
            None => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    Decoded(decoded)
}

/// Returns a segment of the request's path, counted from the end, so that nesting does not matter.
pub(super) fn segment(parts: &Parts, from_end: usize) -> String {
    let segment = parts.uri.path().rsplit('/').nth(from_end);
    decode(segment.unwrap_or_default()).text()
}

/// Encodes a value for a query string within a header.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b':' => encoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Reads the known parameters of a query, in the order of `known`. Rejects a parameter that is
/// unknown, repeated, without a value or not UTF-8: a misspelt filter must not show everything.
pub(super) fn read<const N: usize>(
    query: Option<&str>,
    known: [&str; N],
) -> Result<[Option<String>; N], Problem> {
    let mut values = [const { None }; N];
    for pair in query
        .unwrap_or_default()
        .split('&')
        .filter(|p| !p.is_empty())
    {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (pair, None),
        };
        let name = decode(&name.replace('+', " ")).text();
        let Some(at) = known.iter().position(|known| *known == name) else {
            return Err(Problem::Parameter(name, "is not known here"));
        };
        let Some(value) = value.and_then(|v| decode(&v.replace('+', " ")).exact()) else {
            return Err(Problem::Parameter(name, "has no readable value"));
        };
        if values[at].replace(value).is_some() {
            return Err(Problem::Parameter(name, "is given twice"));
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_decoded_and_malformed_escapes_are_kept() {
        for (text, decoded) in [
            ("", ""),
            ("a%41%2fb", "aA/b"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz%+1", "%zz%+1"),
            ("%%41", "%A"),
            ("%ff", "\u{fffd}"),
            ("%00", "\0"),
            ("é%C3%A9", "éé"),
        ] {
            assert_eq!(decode(text).text(), decoded, "{text}");
        }
    }

    #[test]
    fn encoded_text_is_decoded_to_the_same_text() {
        let all: String = (1..=255).filter_map(char::from_u32).collect();
        let encoded = encode(&all);
        assert!(encoded.bytes().all(|b| b.is_ascii_graphic()));
        assert!(!encoded.contains(['&', '=', '+', '<', '>', '"', '#']));
        assert_eq!(decode(&encoded).text(), all);
    }

    #[test]
    fn only_known_parameters_are_read_and_each_only_once() {
        let [a, b] = read(Some("&b=x%3Dy+z=&&"), ["a", "b"]).ok().unwrap();
        assert_eq!((a, b), (None, Some("x=y z=".to_owned())));
        assert!(read(None, []).is_ok());
        assert!(read(Some(""), []).is_ok());
        for bad in [
            "c=1",
            "a=1&a=1",
            "a=1&%61=2",
            "a",
            "a=%ff",
            "A=1",
            "=",
            "%61%00=1",
        ] {
            assert!(read(Some(bad), ["a", "b"]).is_err(), "{bad}");
        }
    }
}
