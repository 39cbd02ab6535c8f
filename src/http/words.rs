//! The one table of status words.

use crate::model::{Action, Outcome, Status};

/// The words in which version 1 says where an action is. Clients poll until `completed`, `failed`
/// or `cancelled`: in either vocabulary only success reads `completed`.
///
/// | the action | [`Lifecycle`](Words::Lifecycle) | [`Vendor`](Words::Vendor), task | `Vendor`, state machine |
/// | --- | --- | --- | --- |
/// | queued | `queued` | `queued` | `pending` |
/// | executing | `executing` | `running` | `active` |
/// | executing, to be cancelled | `executing` | `cancelling` | `active` |
/// | succeeded | `completed` | `completed` | `completed` |
/// | failed | `failed` | `failed` | `failed` |
/// | cancelled | `cancelled` | `cancelled` | `failed` |
/// | lost, interrupted | `failed` | `failed` | `failed` |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Words {
    /// The lifecycle's own: `queued`, `executing`, `completed`, and `failed` and `cancelled` for
    /// what did not succeed.
    #[default]
    Lifecycle,
    /// Those of Redis Enterprise. With them a task also has its `creation_time`.
    Vendor,
}

/// Each word that a task, a state machine and an entry of version 2 can read, for their description.
#[cfg(feature = "openapi")]
pub(super) fn all(words: Words) -> [Vec<&'static str>; 3] {
    const PHASES: [Phase; 7] = [
        Phase::Queued,
        Phase::Executing,
        Phase::Cancelling,
        Phase::Succeeded,
        Phase::Failed,
        Phase::Cancelled,
        Phase::CutShort,
    ];
    [
        Shape::V1Task(words),
        Shape::V1StateMachine(words),
        Shape::V2,
    ]
    .map(|shape| {
        let mut all = PHASES.map(|phase| phase.word(shape)).to_vec();
        all.sort_unstable();
        all.dedup();
        all
    })
}

/// What an entry that reads so has an error to show for.
const FAILED: &str = "failed";

/// Who reads the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    V1Task(Words),
    V1StateMachine(Words),
    V2,
}

/// What a client can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Queued,
    Executing,
    /// Executing, and somebody asked to cancel it.
    Cancelling,
    Succeeded,
    Failed,
    Cancelled,
    /// Lost or interrupted: nobody knows, or it was never through.
    CutShort,
}

impl Phase {
    fn of(action: &Action) -> Phase {
        match Phase::at(action.status, action.outcome) {
            Phase::Executing if action.cancel.is_some() => Phase::Cancelling,
            phase => phase,
        }
    }

    const fn at(status: Status, outcome: Option<Outcome>) -> Phase {
        match (status, outcome) {
            (Status::Queued, _) => Phase::Queued,
            (Status::Executing, _) => Phase::Executing,
            (Status::Completed, Some(Outcome::Succeeded)) => Phase::Succeeded,
            (Status::Completed, Some(Outcome::Cancelled)) => Phase::Cancelled,
            (Status::Completed, Some(Outcome::Lost | Outcome::Interrupted)) => Phase::CutShort,
            // Without an outcome, which no store accepts, anything but success.
            (Status::Completed, Some(Outcome::Failed) | None) => Phase::Failed,
        }
    }

    /// The word in which a shape says it.
    const fn word(self, shape: Shape) -> &'static str {
        let [lifecycle, vendor_task, vendor_machine, v2] = self.row();
        match shape {
            Shape::V1Task(Words::Lifecycle) | Shape::V1StateMachine(Words::Lifecycle) => lifecycle,
            Shape::V1Task(Words::Vendor) => vendor_task,
            Shape::V1StateMachine(Words::Vendor) => vendor_machine,
            Shape::V2 => v2,
        }
    }

    /// The word of each: for a task and a state machine in the lifecycle's words, for a task and
    /// a state machine in the vendor's, in version 2.
    const fn row(self) -> [&'static str; 4] {
        match self {
            //                     lifecycle    vendor: task  machine      version 2
            Phase::Queued => ["queued", "queued", "pending", "queued"],
            Phase::Executing => ["executing", "running", "active", "running"],
            Phase::Cancelling => ["executing", "cancelling", "active", "running"],
            Phase::Succeeded => ["completed", "completed", "completed", "completed"],
            Phase::Failed => [FAILED, FAILED, FAILED, FAILED],
            Phase::Cancelled => ["cancelled", "cancelled", FAILED, FAILED],
            Phase::CutShort => [FAILED, FAILED, FAILED, FAILED],
        }
    }
}

/// Where an action is, in a word.
pub(super) fn status(action: &Action, shape: Shape) -> &'static str {
    Phase::of(action).word(shape)
}

/// Where an action was, in the lifecycle's words.
pub(super) const fn lifecycle(status: Status, outcome: Option<Outcome>) -> &'static str {
    let [lifecycle, ..] = Phase::at(status, outcome).row();
    lifecycle
}

/// What an entry says of an error.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ErrorText<'a> {
    pub(super) code: Option<&'a str>,
    pub(super) message: Option<&'a str>,
    /// For operators; there only where the store was asked for it.
    pub(super) detail: Option<&'a str>,
}

/// The error of an action that reads `failed`, and of no other.
pub(super) fn error<'a>(action: &'a Action, status: &str) -> ErrorText<'a> {
    if status != FAILED {
        return ErrorText::default();
    }
    // A failed action always has one. A cancelled one need not, and a client that reads `failed`
    // must find one anyway.
    let word = action.outcome.unwrap_or(Outcome::Failed).as_str();
    let error = action.error.as_ref();
    ErrorText {
        code: Some(error.map_or(word, |error| &error.code)),
        message: Some(error.map_or(word, |error| &error.message)),
        detail: error.and_then(|error| error.detail.as_deref()),
    }
}
