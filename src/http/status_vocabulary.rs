//! The table of status words.

use crate::model::{Action, Outcome, Status};

/// The vocabulary for the status of an action in version 1.
///
/// Clients poll until `completed`, `failed` or `cancelled`. In both vocabularies, only a successful
/// action is `completed`.
///
/// | the action | [`Lifecycle`](StatusVocabulary::Lifecycle) | [`Vendor`](StatusVocabulary::Vendor), task | `Vendor`, state machine |
/// | --- | --- | --- | --- |
/// | queued | `queued` | `queued` | `pending` |
/// | executing | `executing` | `running` | `active` |
/// | executing, cancel requested | `executing` | `cancelling` | `active` |
/// | succeeded | `completed` | `completed` | `completed` |
/// | failed | `failed` | `failed` | `failed` |
/// | cancelled | `cancelled` | `cancelled` | `failed` |
/// | lost, interrupted | `failed` | `failed` | `failed` |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum StatusVocabulary {
    /// The words of the lifecycle: `queued`, `executing`, `completed`. Actions that did not succeed
    /// are `failed` or `cancelled`. This is the default.
    #[default]
    Lifecycle,
    /// The words of Redis Enterprise. A task also has its `creation_time`.
    Vendor,
}

/// Returns all status words of a task, of a state machine, and of version 2, for the OpenAPI
/// document.
#[cfg(feature = "openapi")]
pub(super) fn all(words: StatusVocabulary) -> [Vec<&'static str>; 3] {
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

/// The only status with error fields.
const FAILED: &str = "failed";

/// The shape that a status word is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    V1Task(StatusVocabulary),
    V1StateMachine(StatusVocabulary),
    V2,
}

/// The states that clients can distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Queued,
    Executing,
    /// Executing, with a cancel requested.
    Cancelling,
    Succeeded,
    Failed,
    Cancelled,
    /// Lost or interrupted: the outcome is unknown, or the work was not finished.
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
            // No store accepts a completed action without an outcome. It must not read as a
            // success.
            (Status::Completed, Some(Outcome::Failed) | None) => Phase::Failed,
        }
    }

    /// Returns the word of a shape.
    const fn word(self, shape: Shape) -> &'static str {
        let [lifecycle, vendor_task, vendor_machine, v2] = self.row();
        match shape {
            Shape::V1Task(StatusVocabulary::Lifecycle)
            | Shape::V1StateMachine(StatusVocabulary::Lifecycle) => lifecycle,
            Shape::V1Task(StatusVocabulary::Vendor) => vendor_task,
            Shape::V1StateMachine(StatusVocabulary::Vendor) => vendor_machine,
            Shape::V2 => v2,
        }
    }

    /// Returns the words: lifecycle, vendor task, vendor state machine, version 2.
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

/// Returns the status word of an action in a shape.
pub(super) fn status(action: &Action, shape: Shape) -> &'static str {
    Phase::of(action).word(shape)
}

/// Returns the status word of the lifecycle vocabulary.
pub(super) const fn lifecycle(status: Status, outcome: Option<Outcome>) -> &'static str {
    let [lifecycle, ..] = Phase::at(status, outcome).row();
    lifecycle
}

/// The error fields of an entry.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ErrorText<'a> {
    pub(super) code: Option<&'a str>,
    pub(super) message: Option<&'a str>,
    /// For operators; present only if the action was read with full detail.
    pub(super) detail: Option<&'a str>,
}

/// Returns the error of an action whose status word is `failed`. Others have none.
pub(super) fn error<'a>(action: &'a Action, status: &str) -> ErrorText<'a> {
    if status != FAILED {
        return ErrorText::default();
    }
    // A cancelled action may read `failed` without having an error. Clients expect one, so the
    // outcome fills in.
    let word = action.outcome.unwrap_or(Outcome::Failed).as_str();
    let error = action.error.as_ref();
    ErrorText {
        code: Some(error.map_or(word, |error| &error.code)),
        message: Some(error.map_or(word, |error| &error.message)),
        detail: error.and_then(|error| error.detail.as_deref()),
    }
}
