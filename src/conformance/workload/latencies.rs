//! Latency histogram with bounded memory.

use std::time::Duration;

/// Buckets for each doubling of the time. The relative error of a value is at most 1/32.
const FINE: usize = 32;
const FINE_BITS: u32 = FINE.trailing_zeros();

/// Histogram of the latencies of many calls. Its buckets grow with the time, so its
/// memory is at most 16 KiB for any number of calls. A quantile is never below the exact
/// value, and at most 1/32 above it.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    counts: Vec<u64>,
    total: u64,
    longest: Duration,
}

impl Latencies {
    /// Records one call.
    pub fn record(&mut self, time: Duration) {
        let bucket = bucket(nanos(time));
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.total += 1;
        self.longest = self.longest.max(time);
    }

    /// Adds the calls that another histogram recorded.
    pub fn merge(&mut self, other: &Latencies) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }

    /// Returns the number of recorded calls.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// Returns the time within which this share of the calls finished. For example, 0.5
    /// is the median. Returns zero if no calls were recorded.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = ((share.clamp(0.0, 1.0) * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper(bucket)).min(self.longest);
            }
        }
        self.longest
    }

    /// Returns the longest time, exactly.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.longest
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Small values have one bucket each. For larger values, the highest bits select the
/// bucket.
fn bucket(nanos: u64) -> usize {
    let doublings = (u64::BITS - nanos.leading_zeros()).saturating_sub(FINE_BITS + 1);
    (doublings as usize) * FINE + (nanos >> doublings) as usize
}

/// Returns the largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let doublings = (bucket / FINE).saturating_sub(1);
    let above = (bucket - doublings * FINE + 1) as u128;
    u64::try_from((above << doublings) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_bucket_is_close_to_each_of_its_values() {
        let mut last = 0;
        for shift in 0..64 {
            for offset in [0_u64, 1, 2] {
                let value = (1_u64 << shift).saturating_add(offset << (shift / 2));
                let end = upper(bucket(value));
                assert!(end >= value, "{value} ends at {end}");
                assert!(end - value <= value / 32, "{value} ends at {end}");
                assert!(bucket(value) >= last || offset > 0);
            }
            last = bucket(1 << shift);
        }
        assert_eq!(upper(bucket(u64::MAX)), u64::MAX);
        // There is no gap between adjacent buckets.
        for b in 0..bucket(u64::MAX) {
            assert_eq!(bucket(upper(b)), b);
            assert_eq!(bucket(upper(b) + 1), b + 1);
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
                found >= exact && found <= exact + exact / 32,
                "{share}: {found:?}"
            );
        }
        assert_eq!(all.longest(), Duration::from_micros(10_000));
        assert_eq!(Latencies::default().quantile(0.5), Duration::ZERO);
    }
}
