//! Which calls fail, and how.

use std::fmt;
use std::str::FromStr;

use super::ways::{DURABLE, Way};

pub(crate) const EIO: i32 = 5;
pub(crate) const EMFILE: i32 = 24;
pub(crate) const ENOSPC: i32 = 28;
/// Half of what was to be written is, and no error.
pub(crate) const SHORT: i32 = 0;

/// From a call on, every one.
pub(crate) const ALWAYS: i32 = -1;

/// While what may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The store is opened and used.
    Opening,
    /// It is used and closed.
    Closing,
    /// It is used; opening and closing go well.
    Using,
}

/// A kind of fault in a store that is opened in one way. Written `WAY CLASS ERRNO TIMES PHASE`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) way: Way,
    pub(crate) class: &'static str,
    pub(crate) errno: i32,
    pub(crate) times: i32,
    pub(crate) phase: Phase,
}

/// As the library names them.
const CLASSES: [&str; 10] = [
    "open",
    "open_write",
    "read",
    "write",
    "sync",
    "truncate",
    "unlink",
    "rename",
    "shm",
    "space",
];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault {
            way,
            class,
            errno,
            times,
            phase,
        } = self;
        let phase = match phase {
            Phase::Opening => "opening",
            Phase::Closing => "closing",
            Phase::Using => "using",
        };
        write!(f, "{way} {class} {errno} {times} {phase}")
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Fault, String> {
        let words: Vec<&str> = text.split(' ').collect();
        let [way, class, errno, times, phase] = words[..] else {
            return Err(format!("{text:?} is no fault"));
        };
        let class = CLASSES.iter().find(|known| **known == class);
        Ok(Fault {
            way: way.parse()?,
            class: class.ok_or_else(|| format!("{text:?}: no such class"))?,
            errno: errno.parse().map_err(|_| "errno")?,
            times: times.parse().map_err(|_| "times")?,
            phase: match phase {
                "opening" => Phase::Opening,
                "closing" => Phase::Closing,
                "using" => Phase::Using,
                _ => return Err(format!("{text:?}: no such phase")),
            },
        })
    }
}

/// The store's own file, alone and shared, and a pool in each journal mode.
pub(crate) fn ways() -> Vec<Way> {
    let mut ways = vec![Way::Exclusive, Way::Shared];
    ways.extend(DURABLE.map(|(journal, level)| Way::Pool(journal, level, 3)));
    ways
}
