//! Parses query parameters and percent-encoding. axum's extractors are not used: they answer errors
//! in plain text and may quote the input. `form_urlencoded` is not used: it replaces invalid UTF-8, and
//! does not tell `a` from `a=`.

use std::fmt::Display;

use axum::http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::error::Problem;

/// Bytes that are encoded in a query string within a header.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

/// Returns a segment of the request's path, counted from the end, so that nesting does not matter.
/// Invalid UTF-8 is replaced.
pub(super) fn segment(parts: &Parts, from_end: usize) -> String {
    let segment = parts.uri.path().rsplit('/').nth(from_end);
    let decoded = percent_decode_str(segment.unwrap_or_default());
    decoded.decode_utf8_lossy().into_owned()
}

/// Encodes a value for a query string within a header.
pub(super) fn encode(text: &str) -> impl Display {
    utf8_percent_encode(text, ENCODED)
}

/// Reads the known parameters of a query, in the order of `known`. Rejects a parameter that is
/// unknown, repeated, without a value or not UTF-8: a misspelt filter must not show everything.
pub(super) fn read<const N: usize>(
    query: Option<&str>,
    known: [&str; N],
) -> Result<[Option<String>; N], Problem> {
    let mut values = read_several(query, &known, &[])?;
    Ok(std::array::from_fn(|at| values[at].pop()))
}

/// As [`read`]. The parameters in `several` may be repeated.
pub(super) fn read_several(
    query: Option<&str>,
    known: &[&str],
    several: &[&str],
) -> Result<Vec<Vec<String>>, Problem> {
    let bytes = |text: &str| Vec::from_iter(percent_decode_str(&text.replace('+', " ")));
    let mut values = vec![Vec::new(); known.len()];
    for pair in query
        .unwrap_or_default()
        .split('&')
        .filter(|p| !p.is_empty())
    {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (pair, None),
        };
        let name = String::from_utf8_lossy(&bytes(name)).into_owned();
        let Some(at) = known.iter().position(|known| *known == name) else {
            return Err(Problem::Parameter(name, "is not known here"));
        };
        let Some(value) = value.and_then(|value| String::from_utf8(bytes(value)).ok()) else {
            return Err(Problem::Parameter(name, "has no readable value"));
        };
        if !values[at].is_empty() && !several.contains(&&*name) {
            return Err(Problem::Parameter(name, "is given twice"));
        }
        values[at].push(value);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

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
            let request = Request::get(format!("/v1/{text}/log")).body(()).unwrap();
            assert_eq!(segment(&request.into_parts().0, 1), decoded, "{text}");
        }
    }

    #[test]
    fn encoded_text_is_decoded_to_the_same_text() {
        let all: String = (1..=255).filter_map(char::from_u32).collect();
        let encoded = encode(&all).to_string();
        assert!(encoded.bytes().all(|b| b.is_ascii_graphic()));
        assert!(!encoded.contains(['&', '=', '+', '<', '>', '"', '#']));
        let [read] = read(Some(&format!("a={encoded}")), ["a"]).ok().unwrap();
        assert_eq!(read, Some(all));
        assert_eq!(encode("aZ09-._~: é/").to_string(), "aZ09-._~:%20%C3%A9%2F");
    }

    #[test]
    fn only_known_parameters_are_read_and_each_only_once() {
        let [a, b] = read(Some("&b=x%3Dy+z=&&"), ["a", "b"]).ok().unwrap();
        assert_eq!((a, b), (None, Some("x=y z=".to_owned())));
        let values = read_several(Some("a=1&b=2&a=3"), &["a", "b"], &["a"]);
        assert_eq!(values.ok().unwrap(), [vec!["1", "3"], vec!["2"]]);
        assert!(read_several(Some("a=1&b=2&b=3"), &["a", "b"], &["a"]).is_err());
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
