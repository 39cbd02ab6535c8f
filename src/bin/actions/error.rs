//! Errors of the program and its exit codes.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::process::ExitCode;

use action_store::action::Invalid;
use action_store::transfer::TransferError;
use action_store::{Error, ErrorKind, StoreError};

/// The exit codes other than 0. `--help` documents them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command failed.
    Failed = 1,
    /// The command line or the address is wrong. clap uses this code too.
    Usage = 2,
    /// There is no such action.
    NotFound = 3,
    /// The store refused: a conflict, a living owner, a pinned action.
    Refused = 4,
    /// The store is missing, in use, full or unreachable.
    Unavailable = 5,
    /// The command was carried out, and its result is bad.
    Findings = 6,
}

/// Reason why the program does not end with 0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The reader of the output is gone, as in `actions list | head`. This is no error.
    ClosedPipe,
    /// The output has told everything.
    Told(Exit),
    /// An error to be printed.
    Error(Problem),
}

/// An error, and what to do about it.
#[derive(Debug)]
pub(crate) struct Problem {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Failure {
        let message = message.to_string();
        let hint = None;
        Failure::Error(Problem {
            exit,
            message,
            hint,
        })
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// Adds what to do.
    pub(crate) fn with_hint(mut self, text: impl Into<String>) -> Failure {
        if let Failure::Error(problem) = &mut self {
            problem.hint = Some(text.into());
        }
        self
    }

    /// Puts what was tried before the message.
    pub(crate) fn about(mut self, what: impl fmt::Display) -> Failure {
        if let Failure::Error(problem) = &mut self {
            problem.message = format!("{what}: {}", problem.message);
        }
        self
    }

    /// Prints the error and returns the exit code.
    pub(crate) fn end(self) -> ExitCode {
        match self {
            Failure::ClosedPipe => ExitCode::SUCCESS,
            Failure::Told(exit) => ExitCode::from(exit as u8),
            Failure::Error(problem) => {
                crate::output::note(&format!("error: {}", problem.message));
                if let Some(hint) = problem.hint {
                    crate::output::note(&format!("hint: {hint}"));
                }
                ExitCode::from(problem.exit as u8)
            }
        }
    }
}

/// Writes an error and its sources in one line, each part once.
pub(crate) fn in_full(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let part = source.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        next = source.source();
    }
    text
}

fn exit_of(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Unavailable | ErrorKind::OutcomeUnknown | ErrorKind::Closed => Exit::Unavailable,
        ErrorKind::Invalid => Exit::Usage,
        ErrorKind::NotFound => Exit::NotFound,
        ErrorKind::Conflict
        | ErrorKind::OwnerAlive
        | ErrorKind::Fenced
        | ErrorKind::CursorExpired => Exit::Refused,
        _ => Exit::Failed,
    }
}

fn hint_of(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::OutcomeUnknown => {
            Some("the change may have been made; repeating the same command is safe")
        }
        ErrorKind::CursorExpired => Some(
            "actions after this cursor were removed, or the store was restored from a backup; \
             start again without --after",
        ),
        ErrorKind::Corrupt => Some("run `actions check` to see all damage, then restore a backup"),
        ErrorKind::Incompatible => {
            Some("use a program of the same or a later version than the plane that wrote the store")
        }
        _ => None,
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::from(Error::from(error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let kind = error.kind();
        let failure = Failure::new(exit_of(kind), in_full(&error));
        match hint_of(kind) {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Failure {
        // A wrong line or file is a failed command, not a wrong command line.
        let exit = match &error {
            TransferError::Store { .. } => exit_of(error.kind().into()),
            _ => Exit::Failed,
        };
        Failure::new(exit, in_full(&error))
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Failure {
        Failure::usage(invalid)
    }
}

/// For standard output. Other files name themselves.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
            _ => Failure::new(Exit::Failed, format!("cannot write the output: {error}")),
        }
    }
}
