//! Parses times and durations of requests.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;

use crate::model::Timestamp;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Parses Unix seconds (`1760400087`, up to six decimals), a time with an offset
/// (`2026-01-31T10:00:00+01:00`) or a date (`2026-01-31`), which is its first moment in UTC.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    // No valid time is longer.
    if text.len() > 40 || !text.is_ascii() {
        return None;
    }
    let micros = if is_like(text, "0000-00-00") {
        rfc3339(&format!("{text}T00:00:00Z"))?
    } else if text.contains(['T', 't', ' ']) {
        rfc3339(text)?
    } else {
        unix_seconds(text)?
    };
    Some(Timestamp::from_micros(micros))
}

/// Parses seconds: `30`, or a number with a unit: `500ms`, `30s`, `5m`, `1h`. A number that is too
/// large is the longest time.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let number = u64::from(digits(number)?);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number * 60)),
        "h" => Some(Duration::from_secs(number * 3600)),
        _ => None,
    }
}

/// Parses decimal digits. Unlike `parse`, it rejects a sign. A number that is too large is the
/// largest one, because callers cap what they read.
pub(super) fn digits(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().unwrap_or(u32::MAX))
}

fn unix_seconds(text: &str) -> Option<i64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1, text),
        None => (1, text),
    };
    let (whole, micros) = match text.split_once('.') {
        Some((whole, fraction)) if (1..=6).contains(&fraction.len()) => {
            (whole, digits(&format!("{fraction:0<6}"))?.into())
        }
        Some(_) => return None,
        None => (text, 0),
    };
    // Twelve digits reach beyond the year 30000 and cannot overflow in microseconds.
    if !(1..=12).contains(&whole.len()) || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    Some(sign * (whole * 1_000_000 + micros))
}

/// Parses a date, a time and an offset. jiff checks the calendar. It also reads other forms of
/// ISO 8601 and a second 60, which are rejected here first.
///
/// The offset may be short (`+0100`, `+01`), as `date` and databases write it. Its `+` may be a
/// space: that is how a query string decodes a `+` that the client did not encode.
fn rfc3339(text: &str) -> Option<i64> {
    let (start, rest) = text.split_at_checked(19)?;
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let is_zone = matches!(zone, "Z" | "z")
        || ["+00:00", "+0000", "+00"]
            .iter()
            .any(|form| is_like(zone, form))
            && zone.get(1..3).is_some_and(|hours| hours < "24");
    if !is_like(start, "0000-00-00T00:00:00") || !is_zone || start.ends_with("60") {
        return None;
    }
    let before_zone = &text[..text.len() - zone.len()];
    let text = format!("{before_zone}{}", zone.replace(' ', "+"));
    let pieces = Pieces::parse(&text).ok()?;
    let local = pieces.date().to_datetime(pieces.time()?);
    let offset = i128::from(pieces.to_numeric_offset()?.seconds()) * 1_000_000_000;
    let nanos = local.duration_since(EPOCH).as_nanos() - offset;
    i64::try_from(nanos.div_euclid(1000)).ok()
}

/// Returns true for digits and marks at the same places as in `form`.
fn is_like(text: &str, form: &str) -> bool {
    let pairs = text.bytes().zip(form.bytes());
    text.len() == form.len()
        && pairs.into_iter().all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b't' | b' '),
            b'+' => matches!(byte, b'+' | b'-' | b' '),
            mark => byte == mark,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_seconds_and_rfc_3339_are_parsed() {
        for (text, micros) in [
            ("0", 0),
            ("1760400087", 1_760_400_087_000_000),
            ("1760400087.5", 1_760_400_087_500_000),
            ("-1.000001", -1_000_001),
            ("999999999999", 999_999_999_999_000_000),
            ("1970-01-01T00:00:00Z", 0),
            ("2025-10-14T00:01:27Z", 1_760_400_087_000_000),
            ("2025-10-14t01:01:27.123456789+01:00", 1_760_400_087_123_456),
            ("2025-10-13 19:01:27-05:00", 1_760_400_087_000_000),
            ("2024-02-29T23:59:59.5Z", 1_709_251_199_500_000),
            ("2000-02-29T00:00:00Z", 951_782_400_000_000),
            ("1969-12-31T23:59:59z", -1_000_000),
            ("1969-12-31T23:59:59.1234567Z", -876_544),
            ("0000-03-01T00:00:00Z", -62_162_035_200_000_000),
            ("9999-12-31T23:59:59-23:59", 253_402_387_139_000_000),
        ] {
            let read = time(text).map(Timestamp::as_micros);
            assert_eq!(read, Some(micros), "{text}");
        }
    }

    #[test]
    fn malformed_times_are_rejected() {
        for bad in [
            "",
            "-",
            "+1",
            "1.",
            ".5",
            "1.0000001",
            "1e9",
            "1760400087 ",
            "1000000000000",
            "now",
            "2025-10-14T",
            "2025-10-32",
            "2025-02-29",
            "2025-1-14",
            "20251014T00:00:00Z",
            "2025-10-14Z",
            "2025-10-14T00:01:27",
            "2025-10-14 00:01:27",
            "2025-10-14T00:01Z",
            "2025-13-01T00:00:00Z",
            "2025-00-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2025-10-14T24:00:00Z",
            "2025-10-14T00:60:00Z",
            "2025-10-14T00:00:60Z",
            "2025-10-14T00:00:00.Z",
            "2025-10-14T00:00:00,5Z",
            "2025-10-14T00:00:00Z[UTC]",
            "2025-10-14T00:00:00-24:00",
            "2025-10-14T00:00:00+01:60",
            "2025-10-14T00:00:00.0000000001Z",
            "2025-10-14T00:00:00+1:00",
            "2025-10-14T00:00:00+1",
            "2025-10-14T00:00:00+010",
            "2025-10-14T00:00:00+01:0",
            "2025-10-14T00:00:00+24:00",
            "2025-10-14T00:00:00+24",
            "2025-10-14T00:00:00  01:00",
            "2025-10-14T00:00:00 Z",
            "2025-10-14T00:00:00 ",
            "2025/10/14T00:00:00Z",
            "+025-10-14T00:00:00Z",
            "2025-10-14T00:00:00Zé",
        ] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_duration_is_seconds_or_has_a_unit() {
        for (text, millis) in [
            ("30s", 30_000),
            ("30", 30_000),
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("99999999999s", u64::from(u32::MAX) * 1000),
            ("99999999999h", u64::from(u32::MAX) * 3_600_000),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for bad in [
            "", "s", "ms", "h", "-1s", "+1s", "1.5s", "1d", "1S", "30 s", "30 ", " 30", "1h30m",
            "1µs",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
