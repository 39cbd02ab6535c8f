//! Enums of the model that are written as words: status, outcome, source, owner end.

use std::fmt;
use std::str::FromStr;

/// A word that is not known for the type that was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not a known {what}")]
pub struct UnknownWord {
    /// Kind of word that was expected, such as `status` or `outcome`.
    pub what: &'static str,
    /// Word that was found, cut to 64 characters.
    pub word: String,
}

/// Defines an enum that is a word in text, JSON and logs, and a small integer in tables.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $what:literal, {
        $($(#[$vmeta:meta])* $variant:ident = $code:literal $word:literal,)+
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// All variants, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// Returns the word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }

            /// Returns the integer that tables store. It never changes.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self { $($name::$variant => $code,)+ }
            }

            /// Returns the variant of an integer, or `None` if there is none.
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

        $crate::model::text_serde::text_serde!($name);

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
    /// Status of an action. It only moves forward.
    Status, "status", {
        /// The action is recorded and not started.
        Queued = 0 "queued",
        /// The action was started and has an owner.
        Executing = 1 "executing",
        /// The action has ended with an [`outcome`](crate::Action::outcome). The status never
        /// changes again.
        Completed = 2 "completed",
    }
}

words! {
    /// Outcome of a completed action.
    Outcome, "outcome", {
        /// The action reached its goal.
        Succeeded = 0 "succeeded",
        /// The action ended with an error.
        Failed = 1 "failed",
        /// The owner ended the action because of a cancel request.
        Cancelled = 2 "cancelled",
        /// The owner stopped the action before it was done, or the action was never started.
        Interrupted = 3 "interrupted",
        /// The owner ended without reporting an outcome. How far the action came is unknown.
        Lost = 4 "lost",
    }
}

words! {
    /// Kind of action. It decides the shape of the action on the wire.
    Source, "source", {
        /// A task.
        Task = 0 "task",
        /// A state machine. It always has an object.
        StateMachine = 1 "state-machine",
        /// Any other kind.
        Other = 2 "other",
    }
}

words! {
    /// How an owner ended, as the store saw it.
    OwnerEnd, "owner end", {
        /// A later incarnation or a sweeper fenced the owner.
        Fenced = 0 "fenced",
        /// The owner released its name.
        Released = 1 "released",
        /// The store does not know this incarnation, for example because the action was imported.
        Unknown = 2 "unknown",
        /// The owner was alive when the store was opened again for one process alone. So its
        /// process had ended or had closed the store.
        Disconnected = 3 "disconnected",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_codes_round_trip() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
            assert_eq!(Status::from_code(status.code()), Some(*status));
        }
        assert!("running".parse::<Status>().is_err());
        assert_eq!(Outcome::from_code(5), None);
    }
}
