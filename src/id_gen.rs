//! Generates identities.

use std::cell::RefCell;

use uuid::{Builder, NoContext, Timestamp, Uuid};

/// Random bytes of one identity.
const RANDOM: usize = 8;

/// Random bytes per system call. One call for each identity would take longer than deciding a
/// command.
const BLOCK: usize = 64 * RANDOM;

/// Random bytes and last time of a thread.
struct Source {
    random: [u8; BLOCK],
    /// Number of bytes of `random` that were used. No byte is used twice.
    used: usize,
    /// Time of the last identity, in 4096ths of a millisecond.
    last: u64,
}

thread_local! {
    static SOURCE: RefCell<Source> = const {
        RefCell::new(Source { random: [0; BLOCK], used: BLOCK, last: 0 })
    };
}

impl Source {
    /// Returns `None` if the system has no random bytes.
    fn draw(&mut self) -> Option<Uuid> {
        if self.used == BLOCK {
            getrandom::fill(&mut self.random).ok()?;
            self.used = 0;
        }
        let random = self.random.get(self.used..self.used + RANDOM)?;
        let (seconds, nanos) = Timestamp::now(NoContext).to_unix();
        let time = seconds * 1000 * 4096 + u64::from(nanos) * 4096 / 1_000_000;
        self.last = time.max(self.last.saturating_add(1));
        self.used += RANDOM;
        let mut rest = [0; 2 + RANDOM];
        rest[..2].copy_from_slice(&((self.last % 4096) as u16).to_be_bytes());
        rest[2..].copy_from_slice(random);
        Some(Builder::from_unix_timestamp_millis(self.last / 4096, &rest).into_uuid())
    }
}

/// Returns a new UUID of version 7: milliseconds, 12 bits of their fraction (RFC 9562, section 6.2,
/// method 3), and 62 random bits.
///
/// Within one thread, later UUIDs sort after earlier ones, even if the clock goes back. Across
/// threads and processes they sort by the clocks, to a quarter of a microsecond. A forked process
/// reuses the random bits of its parent for up to 64 UUIDs; only the time differs.
pub(super) fn uuid() -> Uuid {
    let drawn = SOURCE.try_with(|source| source.borrow_mut().draw());
    // A thread that is ending has no source.
    drawn.ok().flatten().unwrap_or_else(Uuid::now_v7)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn identities_are_unique_and_ascending_within_a_thread() {
        let draw = || (0..10_000).map(|_| uuid()).collect::<Vec<Uuid>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        let drawn: Vec<Vec<Uuid>> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        assert!(drawn.iter().all(|uuids| uuids.is_sorted()));
        let all: HashSet<&Uuid> = drawn.iter().flatten().collect();
        assert_eq!(all.len(), 40_000);
        let tails: HashSet<&[u8]> = all.iter().map(|uuid| &uuid.as_bytes()[8..]).collect();
        assert_eq!(tails.len(), 40_000, "random bits are never used twice");
    }

    #[test]
    fn it_is_a_version_7_of_now() {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let (before, drawn, after) = (now().as_millis(), uuid(), now().as_millis());
        assert_eq!(drawn.get_version(), Some(uuid::Version::SortRand));
        assert_eq!(drawn.get_variant(), uuid::Variant::RFC4122);
        let (seconds, nanos) = drawn.get_timestamp().unwrap().to_unix();
        let millis = u128::from(seconds) * 1000 + u128::from(nanos) / 1_000_000;
        assert!(
            (before..=after).contains(&millis),
            "{before} {millis} {after}"
        );
    }
}
