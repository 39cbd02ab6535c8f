//! Progress of an action.

use std::fmt;

use super::limits::Invalid;

/// Progress of an action: 0 to 100 percent, in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Progress(u16);

impl Progress {
    /// 0 percent.
    pub const ZERO: Progress = Progress(0);
    /// The highest progress of an action that has not succeeded: 99.99 percent.
    pub const MAX_UNFINISHED: Progress = Progress(9_999);
    /// 100 percent. A store records it for succeeded actions only.
    pub const DONE: Progress = Progress(10_000);

    /// Creates a progress from hundredths of a percent, 0 to 10000.
    ///
    /// # Errors
    /// Returns [`Invalid`] above 10000.
    pub fn from_hundredths(hundredths: u16) -> Result<Progress, Invalid> {
        if hundredths > 10_000 {
            return Err(Invalid::new(
                "progress",
                "must be between 0 and 10000 hundredths of a percent",
            ));
        }
        Ok(Progress(hundredths))
    }

    /// Creates a progress from a percentage, 0.0 to 100.0. Rounds down to the hundredth, so that no
    /// value below 100 becomes 100.
    ///
    /// # Errors
    /// Returns [`Invalid`] outside that range and for NaN.
    pub fn percent(percent: f64) -> Result<Progress, Invalid> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(Invalid::new("progress", "must be between 0 and 100"));
        }
        if percent >= 100.0 {
            return Ok(Progress::DONE);
        }
        // 14.29 * 100 is 1428.9999999999998 in floating point. The correction must stay too small
        // to raise a value below 100 to 100.
        let hundredths = (percent * 100.0 + 1e-6).floor() as u16;
        Ok(Progress(hundredths).min(Progress::MAX_UNFINISHED))
    }

    /// Creates a progress from `done` of `total` items, rounded down. If `done` exceeds `total`,
    /// the progress is 100 percent. 0 of 0 items is 0 percent.
    #[must_use]
    pub fn ratio(done: u64, total: u64) -> Progress {
        if total == 0 {
            return Progress::ZERO;
        }
        let hundredths = u128::from(done.min(total)) * 10_000 / u128::from(total);
        Progress(u16::try_from(hundredths).unwrap_or(10_000))
    }

    /// Returns hundredths of a percent, 0 to 10000.
    #[must_use]
    pub const fn hundredths(self) -> u16 {
        self.0
    }

    /// Returns the percentage, 0.0 to 100.0.
    #[must_use]
    pub fn as_percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl fmt::Display for Progress {
    /// Writes the shortest decimal: `100`, `50`, `14.29`, `0.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match rest {
            0 => write!(f, "{whole}"),
            _ if rest % 10 == 0 => write!(f, "{whole}.{}", rest / 10),
            _ => write!(f, "{whole}.{rest:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_and_nan_are_refused() {
        for bad in [-0.01, 100.01, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Progress::percent(bad).is_err(), "{bad}");
        }
        assert!(Progress::from_hundredths(10_001).is_err());
        assert_eq!(Progress::percent(100.0).unwrap(), Progress::DONE);
    }

    #[test]
    fn every_hundredth_round_trips_through_a_float_and_text() {
        for h in 0..=10_000 {
            let p = Progress::from_hundredths(h).unwrap();
            assert_eq!(Progress::percent(p.as_percent()).unwrap(), p);
            let shown: f64 = p.to_string().parse().unwrap();
            assert_eq!(Progress::percent(shown).unwrap(), p);
        }
        assert_eq!(Progress::percent(14.29).unwrap().to_string(), "14.29");
        assert_eq!(Progress::percent(0.5).unwrap().to_string(), "0.5");
    }

    #[test]
    fn a_ratio_is_100_percent_only_when_all_is_done() {
        assert_eq!(Progress::ratio(1, 7).to_string(), "14.28");
        assert_eq!(Progress::ratio(u64::MAX - 1, u64::MAX).to_string(), "99.99");
        assert_eq!(Progress::ratio(5, 4), Progress::DONE);
        assert_eq!(Progress::ratio(0, 0), Progress::ZERO);
    }
}
