//! Times and durations, as people write and read them.

use std::time::Duration;

use action_store::{Clock, Timestamp};
use jiff::civil::Date;
use jiff::tz::TimeZone;

const SECOND: u64 = 1;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

const UNITS: [(&str, u64); 5] = [
    ("s", SECOND),
    ("m", MINUTE),
    ("h", HOUR),
    ("d", DAY),
    ("w", WEEK),
];

/// Parses `90s`, `15m`, `2h`, `7d`, `1w` and sums such as `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write 90s, 15m, 2h, 7d, 1w or 1h30m");
    let mut total: u64 = 0;
    let mut rest = text;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = UNITS.iter().find(|(unit, _)| after.starts_with(unit));
        let (unit, seconds) = unit.ok_or_else(wrong)?;
        let part = number.checked_mul(*seconds);
        let sum = part.and_then(|part| total.checked_add(part));
        total = sum.ok_or_else(wrong)?;
        rest = after.strip_prefix(unit).unwrap_or_default();
    }
    Ok(Duration::from_secs(total))
}

/// Parses a time: a duration before now, RFC 3339, or a date (its first moment in UTC).
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = duration(text) {
        let micros = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
        let now = Clock::system().now();
        return Ok(Timestamp::from_micros(
            now.as_micros().saturating_sub(micros),
        ));
    }
    let parsed = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let date: Date = text.parse().ok()?;
        let first = date.to_zoned(TimeZone::UTC).ok()?;
        (text.len() == 10).then(|| first.timestamp())
    });
    let parsed = parsed.ok_or_else(|| {
        format!("{text:?} is not a time; write 2h (before now), 2026-01-31T10:00:00Z or 2026-01-31")
    })?;
    Ok(Timestamp::from_micros(parsed.as_microsecond()))
}

fn calendar(time: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(time.as_micros()).ok()
}

/// Writes a time in UTC to the second: `2026-01-31 10:00:00`. The column says the zone.
pub(crate) fn utc(time: Timestamp) -> String {
    let text = calendar(time).map(|time| time.strftime("%Y-%m-%d %H:%M:%S").to_string());
    text.unwrap_or_else(|| format!("{time} s"))
}

/// Writes a time in full, with its zone and how long ago it was.
pub(crate) fn in_full(time: Timestamp, now: Timestamp) -> String {
    let text = calendar(time).map(|time| time.strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string());
    let text = text.unwrap_or_else(|| format!("{time} s since 1970"));
    match now.as_micros() >= time.as_micros() {
        true => format!("{text} ({} ago)", short(now.since(time))),
        false => format!("{text} (in {})", short(time.since(now))),
    }
}

/// Writes a time for programs: RFC 3339 in UTC, with microseconds.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let text = calendar(time).map(|time| format!("{time:.6}"));
    text.unwrap_or_else(|| time.to_string())
}

/// Writes a duration in its two largest units: `1h 5m`.
pub(crate) fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    let two = |large: u64, unit: &str, small: u64, rest: &str| match seconds % large / small {
        0 => format!("{}{unit}", seconds / large),
        count => format!("{}{unit} {count}{rest}", seconds / large),
    };
    match seconds {
        0 => format!("{}ms", time.as_millis()),
        DAY.. => two(DAY, "d", HOUR, "h"),
        HOUR.. => two(HOUR, "h", MINUTE, "m"),
        MINUTE.. => two(MINUTE, "m", SECOND, "s"),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_may_be_sums() {
        for (text, seconds) in [
            ("90s", 90),
            ("1h30m", 5_400),
            ("7d", 604_800),
            ("2w", 1_209_600),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in [
            "",
            "5",
            "h",
            "-1h",
            "1.5h",
            "1h30",
            "99999999999999999999s",
            "99999999999999999w",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_is_before_now_or_rfc_3339_or_a_date() {
        for (text, seconds) in [
            ("2026-01-31T10:00:00Z", 1_769_853_600),
            ("2026-01-31T11:00:00+01:00", 1_769_853_600),
            ("2026-01-31", 1_769_817_600),
        ] {
            assert_eq!(time(text), Ok(Timestamp::from_seconds(seconds)), "{text}");
        }
        let (now, ago) = (Clock::system().now(), time("2h").unwrap());
        let off = now.as_micros() - 7_200_000_000 - ago.as_micros();
        assert!(off.abs() < 10_000_000, "{off}");
        for bad in ["yesterday", "2026-02-30", "2026-01-31T10:00:00", "10:00"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_written_in_utc_with_the_zone_said() {
        let time = Timestamp::from_micros(1_769_853_600_250_000);
        assert_eq!(utc(time), "2026-01-31 10:00:00");
        assert_eq!(rfc3339(time), "2026-01-31T10:00:00.250000Z");
        let now = Timestamp::from_seconds(1_769_857_500);
        assert_eq!(
            in_full(time, now),
            "2026-01-31 10:00:00.250 UTC (1h 4m ago)"
        );
        assert_eq!(in_full(now, time), "2026-01-31 11:05:00.000 UTC (in 1h 4m)");
        assert_eq!(
            utc(Timestamp::from_micros(i64::MAX)),
            "9223372036854.775807 s"
        );
    }

    #[test]
    fn a_duration_is_written_in_two_units() {
        for (seconds, text) in [
            (0, "0ms"),
            (59, "59s"),
            (3_600, "1h"),
            (3_660, "1h 1m"),
            (90_000, "1d 1h"),
        ] {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
    }
}
