//! The words of the model: what a status, an outcome, a source can be.

use std::fmt;
use std::str::FromStr;

/// A word that is none of those a type is written with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not a known {what}")]
pub struct UnknownWord {
    /// What was expected: `status`, `outcome`.
    pub what: &'static str,
    /// The word found, cut to 64 characters.
    pub word: String,
}

/// An enum that is written as words in text, JSON and logs, and as small integers in tables.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $what:literal, {
        $($(#[$vmeta:meta])* $variant:ident = $code:literal $word:literal,)+
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The word it is written as.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }

            /// The small integer a table keeps. Settled for ever.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self { $($name::$variant => $code,)+ }
            }

            /// The variant a small integer stands for.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<$name> {
                match code { $($code => Some($name::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<$name, UnknownWord> {
                match word {
                    $($word => Ok($name::$variant),)+
                    _ => Err(UnknownWord { what: $what, word: word.chars().take(64).collect() }),
                }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Where an action is. Forward only.
    Status, "status", {
        /// Accepted, not started.
        Queued = 0 "queued",
        /// Somebody owns it and works on it.
        Executing = 1 "executing",
        /// Over; [`Action::outcome`](crate::Action::outcome) says how. Never changes again.
        Completed = 2 "completed",
    }
}

words! {
    /// How a completed action ended.
    Outcome, "outcome", {
        /// It did what it was for.
        Succeeded = 0 "succeeded",
        /// It ended with an error of its own.
        Failed = 1 "failed",
        /// Its owner ended it because somebody asked.
        Cancelled = 2 "cancelled",
        /// Its owner stopped before it was through, or nobody ever started it.
        Interrupted = 3 "interrupted",
        /// Its owner ended without a word; nobody knows how far it came.
        Lost = 4 "lost",
    }
}

words! {
    /// What kind of machinery an action belongs to; decides its shape on the wire.
    Source, "source", {
        /// A task.
        Task = 0 "task",
        /// A state machine; it always has an object.
        StateMachine = 1 "state-machine",
        /// Anything else.
        Other = 2 "other",
    }
}

words! {
    /// How an owner that no longer acts came to its end, as the store saw it.
    OwnerEnd, "owner end", {
        /// A later incarnation or a sweeper fenced it.
        Fenced = 0 "fenced",
        /// It released its name itself.
        Released = 1 "released",
        /// The store remembers no such incarnation: the action was imported.
        Unknown = 2 "unknown",
        /// The store was opened anew for one process alone while it was alive: its process had ended,
        /// or had closed the store.
        Disconnected = 3 "disconnected",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_codes_come_back() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
            assert_eq!(Status::from_code(status.code()), Some(*status));
        }
        assert!("running".parse::<Status>().is_err());
        assert_eq!(Outcome::from_code(5), None);
    }
}
