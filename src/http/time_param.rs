//! Parses times and durations of requests.

use std::time::Duration;

use crate::model::Timestamp;

/// Parses Unix seconds (`1760400087`, up to six decimals) or RFC 3339
/// (`2026-01-31T10:00:00+01:00`).
pub(super) fn time(text: &str) -> Option<Timestamp> {
    // No valid time is longer.
    if text.len() > 40 || !text.is_ascii() {
        return None;
    }
    let micros = if text.contains(['T', 't', ' ']) {
        rfc3339(text)?
    } else {
        unix_seconds(text)?
    };
    Some(Timestamp::from_micros(micros))
}

/// Parses `30s` or `500ms`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if let Some(millis) = text.strip_suffix("ms") {
        return Some(Duration::from_millis(digits(millis)?.into()));
    }
    let seconds = text.strip_suffix('s')?;
    Some(Duration::from_secs(digits(seconds)?.into()))
}

/// Parses decimal digits. Unlike `parse`, it rejects a sign.
pub(super) fn digits(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn unix_seconds(text: &str) -> Option<i64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1, text),
        None => (1, text),
    };
    let (whole, micros) = match text.split_once('.') {
        Some((whole, fraction)) if fraction.len() <= 6 => (whole, micros_of(fraction)?),
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

/// Converts decimals of a second to microseconds. Finer digits are cut off.
fn micros_of(fraction: &str) -> Option<i64> {
    digits(fraction.get(..9.min(fraction.len()))?)?;
    if fraction.len() > 9 {
        return None;
    }
    let six: String = fraction.chars().chain("000000".chars()).take(6).collect();
    digits(&six).map(i64::from)
}

fn rfc3339(text: &str) -> Option<i64> {
    let field = |from: usize, to: usize| digits(text.get(from..to)?).map(i64::from);
    let mark = |at: usize, marks: &[u8]| {
        let byte = text.as_bytes().get(at)?;
        marks.contains(byte).then_some(())
    };
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    mark(4, b"-")?;
    mark(7, b"-")?;
    mark(10, b"Tt ")?;
    mark(13, b":")?;
    mark(16, b":")?;
    let (mut micros, mut rest) = (0, text.get(19..)?);
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction.find(|c: char| !c.is_ascii_digit())?;
        micros = micros_of(fraction.get(..end)?)?;
        rest = fraction.get(end..)?;
    }
    let fits = (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !fits {
        return None;
    }
    let days = days_since_epoch(year, month, day);
    let seconds = ((days * 24 + hour) * 60 + minute - offset(rest)?) * 60 + second;
    Some(seconds * 1_000_000 + micros)
}

/// Parses an offset. Returns minutes east of UTC.
fn offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, text) = match text.split_at_checked(1)? {
        ("+", text) => (1, text),
        ("-", text) => (-1, text),
        _ => return None,
    };
    let (hours, minutes) = text.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 60 + minutes))
}

fn days_of(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date, for the years 0 to 9999. It counts years from March, so that the
/// leap day is the last day.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
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
            ("0000-03-01T00:00:00Z", -62_162_035_200_000_000),
            ("9999-12-31T23:59:59-23:59", 253_402_387_139_000_000),
        ] {
            let read = time(text).map(Timestamp::as_micros);
            assert_eq!(read, Some(micros), "{text}");
        }
    }

    #[test]
    fn days_of_four_centuries_are_counted_without_gaps() {
        let mut expected = days_since_epoch(1800, 1, 1);
        for year in 1800..2200 {
            for month in 1..=12 {
                for day in 1..=days_of(year, month) {
                    assert_eq!(days_since_epoch(year, month, day), expected);
                    expected += 1;
                }
            }
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
            "2025-10-14",
            "2025-10-14T00:01:27",
            "2025-10-14T00:01Z",
            "2025-13-01T00:00:00Z",
            "2025-00-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2025-10-14T24:00:00Z",
            "2025-10-14T00:60:00Z",
            "2025-10-14T00:00:60Z",
            "2025-10-14T00:00:00.Z",
            "2025-10-14T00:00:00.0000000001Z",
            "2025-10-14T00:00:00+1:00",
            "2025-10-14T00:00:00+01",
            "2025-10-14T00:00:00+24:00",
            "2025-10-14T00:00:00 01:00",
            "2025/10/14T00:00:00Z",
            "+025-10-14T00:00:00Z",
            "2025-10-14T00:00:00Zé",
        ] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_duration_needs_a_unit() {
        assert_eq!(duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(duration("0s"), Some(Duration::ZERO));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        for bad in [
            "",
            "s",
            "ms",
            "30",
            "-1s",
            "+1s",
            "1.5s",
            "1m",
            "30 s",
            "99999999999s",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
