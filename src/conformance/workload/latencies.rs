//! Latency histogram with bounded memory.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Significant decimal digits of a recorded time.
const DIGITS: u8 = 2;

/// Histogram of the latencies of many calls. Its buckets grow with the time, so its
/// memory is about 60 KiB for any number of calls. A quantile is never below the exact
/// value, and at most 1/100 above it.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    /// `None` until the first call.
    nanos: Option<Histogram<u64>>,
    longest: Duration,
}

impl Latencies {
    /// Records one call.
    pub fn record(&mut self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), 1);
        self.longest = self.longest.max(time);
    }

    /// Adds the calls that another histogram recorded.
    pub fn merge(&mut self, other: &Latencies) {
        for bucket in other.nanos.iter().flat_map(Histogram::iter_recorded) {
            self.add(bucket.value_iterated_to(), bucket.count_at_value());
        }
        self.longest = self.longest.max(other.longest);
    }

    /// Returns the number of recorded calls.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.nanos.as_ref().map_or(0, Histogram::len)
    }

    /// Returns the time within which this share of the calls finished. For example, 0.5
    /// is the median. Returns zero if no calls were recorded.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let nanos = self.nanos.as_ref();
        let found = nanos.map_or(0, |nanos| nanos.value_at_quantile(share.clamp(0.0, 1.0)));
        Duration::from_nanos(found).min(self.longest)
    }

    /// Returns the longest time, exactly.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.longest
    }

    fn add(&mut self, nanos: u64, calls: u64) {
        // These bounds and digits are always accepted.
        if self.nanos.is_none() {
            self.nanos = Histogram::new_with_bounds(1, u64::MAX, DIGITS).ok();
        }
        if let Some(histogram) = &mut self.nanos {
            histogram.saturating_record_n(nanos, calls);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_close_to_each_recorded_time() {
        for shift in 0..64 {
            for offset in [0_u64, 1, 2] {
                let nanos = (1_u64 << shift).saturating_add(offset << (shift / 2));
                let mut latencies = Latencies::default();
                latencies.record(Duration::from_nanos(nanos));
                latencies.record(Duration::MAX);
                let found = latencies.quantile(0.5).as_nanos();
                let exact = u128::from(nanos);
                assert!(found >= exact, "{exact}: {found}");
                assert!(found - exact <= exact / 100, "{exact}: {found}");
                assert_eq!((latencies.count(), latencies.longest()), (2, Duration::MAX));
            }
        }
    }

    #[test]
    fn quantiles_match_the_sorted_values() {
        let (mut all, mut odd) = (Latencies::default(), Latencies::default());
        for value in 1..=10_000_u64 {
            let half = if value % 2 == 0 { &mut all } else { &mut odd };
            half.record(Duration::from_micros(value));
        }
        all.merge(&odd);
        assert_eq!(all.count(), 10_000);
        for (share, exact) in [(0.5, 5000), (0.99, 9900), (0.999, 9990), (1.0, 10_000)] {
            let (exact, found) = (Duration::from_micros(exact), all.quantile(share));
            assert!(
                found >= exact && found <= exact + exact / 100,
                "{share}: {found:?}"
            );
        }
        assert_eq!(all.longest(), Duration::from_micros(10_000));
        assert_eq!(Latencies::default().quantile(0.5), Duration::ZERO);
    }
}
