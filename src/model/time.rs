//! Times in whole microseconds.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A time, in whole microseconds since the Unix epoch. SQLite and PostgreSQL both store it exactly.
///
/// Times are for information. Decisions about actions do not depend on them, except that retention
/// uses them to compute the age of an action; see `retention::Retention`. Within one action, times
/// never go backwards, even if the clock does.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The start of 2025 (UTC), which is before the first release of this library.
    ///
    /// An earlier time comes from a clock that was not set, as on a machine without a battery. It
    /// cannot be used to compute an age.
    pub const MIN_PLAUSIBLE: Timestamp = Timestamp::from_seconds(1_735_689_600);

    /// Returns true if the time is not before [`Timestamp::MIN_PLAUSIBLE`].
    #[must_use]
    pub const fn is_plausible(self) -> bool {
        self.0 >= Timestamp::MIN_PLAUSIBLE.0
    }

    /// Creates a time from microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    /// Creates a time from seconds since the Unix epoch. Saturates at the ends of the range.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Timestamp {
        Timestamp(seconds.saturating_mul(1_000_000))
    }

    /// Returns microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Returns the time since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Timestamp) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(if micros > 0 { micros.unsigned_abs() } else { 0 })
    }
}

impl From<SystemTime> for Timestamp {
    /// Rounds towards the epoch, to the microsecond. Saturates at the ends of the range.
    fn from(time: SystemTime) -> Timestamp {
        let micros = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
        Timestamp(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => micros(after),
            Err(before) => -micros(before.duration()),
        })
    }
}

impl fmt::Display for Timestamp {
    /// Writes Unix seconds with six decimals: `1760400087.123456`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

/// Serializes a duration as seconds with a fraction.
#[cfg(any(feature = "tracker", feature = "sqlite-unbundled"))]
pub(crate) fn as_seconds<S: serde::Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_round_down_and_display_is_exact() {
        assert_eq!(Timestamp::from_micros(1_999_999).as_seconds(), 1);
        assert_eq!(Timestamp::from_micros(-1).as_seconds(), -1);
        assert_eq!(
            Timestamp::from_micros(1_760_400_087_000_042).to_string(),
            "1760400087.000042"
        );
        assert_eq!(Timestamp::from_micros(-1_500_000).to_string(), "-1.500000");
        let (a, b) = (Timestamp::from_seconds(1), Timestamp::from_seconds(3));
        assert_eq!(b.since(a), Duration::from_secs(2));
        assert_eq!(a.since(b), Duration::ZERO);
    }
}
