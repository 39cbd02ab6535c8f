//! Query parameters and percent-encoding, read by ourselves: axum's extractors refuse in plain
//! text and may quote what they were sent.

use axum::http::request::Parts;

use super::error::Problem;

/// What percent-encoding stood for.
pub(super) struct Decoded(Vec<u8>);

impl Decoded {
    /// As text to look up or to show: what is no UTF-8 is replaced.
    pub(super) fn text(self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// As text to work with: none if it is no UTF-8.
    fn exact(self) -> Option<String> {
        String::from_utf8(self.0).ok()
    }
}

/// Decodes `%xx`. A percent sign without two hexadecimal digits stands for itself.
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

/// A segment of a request's path, counted from its end: right wherever the router is nested. Not
/// by an extractor, for axum's refuse in plain text.
pub(super) fn segment(parts: &Parts, from_end: usize) -> String {
    let segment = parts.uri.path().rsplit('/').nth(from_end);
    decode(segment.unwrap_or_default()).text()
}

/// Encodes a value so that it can stand in a query, and within a header.
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

/// Reads the known parameters of a query, in the order in which they are named. Whatever is
/// unknown, stands there twice, has no value or is no UTF-8 is refused: a client that misspells
/// a filter must not get everything.
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
    fn percent_encoding_is_decoded_and_garbage_stands_for_itself() {
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
    fn what_is_encoded_is_decoded_to_the_same() {
        let all: String = (1..=255).filter_map(char::from_u32).collect();
        let encoded = encode(&all);
        assert!(encoded.bytes().all(|b| b.is_ascii_graphic()));
        assert!(!encoded.contains(['&', '=', '+', '<', '>', '"', '#']));
        assert_eq!(decode(&encoded).text(), all);
    }

    #[test]
    fn known_parameters_are_read_once_each() {
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
