//! The source of timestamps. It is an input, so that tests need no sleeps.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use crate::model::Timestamp;

/// The clock of a store. Timestamps are informational: no decision about an action depends on them.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// Returns the system's wall clock.
    #[must_use]
    pub fn system() -> Clock {
        Clock(None)
    }

    /// Returns a clock that moves only when it is set or advanced. Its clones share the same time.
    #[must_use]
    pub fn manual(start: Timestamp) -> Clock {
        Clock(Some(Arc::new(AtomicI64::new(start.as_micros()))))
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            None => SystemTime::now().into(),
            Some(manual) => Timestamp::from_micros(manual.load(Ordering::Relaxed)),
        }
    }

    /// Moves a manual clock forward, at most to the latest [`Timestamp`]. Does nothing to the
    /// system clock.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.0 {
            let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
            let later = |now: i64| Some(now.saturating_add(micros));
            // This cannot fail, because `later` always returns a value.
            let _ = manual.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        }
    }

    /// Sets a manual clock, forward or back. Does nothing to the system clock.
    pub fn set(&self, to: Timestamp) {
        if let Some(manual) = &self.0 {
            manual.store(to.as_micros(), Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.0.is_some() { "manual" } else { "system" };
        write!(f, "Clock({kind})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stops_at_the_latest_timestamp() {
        let clock = Clock::manual(Timestamp::from_seconds(1));
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::from_micros(i64::MAX));
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp::from_micros(i64::MAX));
    }
}
