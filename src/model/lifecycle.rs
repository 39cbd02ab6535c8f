//! The legal changes of status and owner, and who may make them.

use super::command::Change;
use super::words::{Outcome, Status};

/// A change of status or owner that a command asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Start the action.
    Start,
    /// Complete the action with this outcome.
    Finish(Outcome),
    /// Take over the action of a dead owner.
    Adopt,
}

impl Event {
    /// Returns the move that a change asks for. Returns `None` for a report and for a cancel
    /// request: they change neither status nor owner.
    #[must_use]
    pub fn of(change: &Change) -> Option<Event> {
        match change {
            Change::Start => Some(Event::Start),
            Change::Finish(finish) => Some(Event::Finish(finish.outcome)),
            Change::Adopt => Some(Event::Adopt),
            Change::Report(_) | Change::RequestCancel(_) => None,
        }
    }
}

/// Authority to make a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Authority {
    /// Any living owner. It becomes the owner of the action.
    AnyOwner,
    /// Only the owner of the action.
    ItsOwner,
    /// The owner of the action, or anybody if the action has no living owner.
    ItsOwnerOrAnybodyWithout,
    /// Any caller, once the owner of the action is not alive.
    AnybodyOnceOwnerDied,
}

/// One legal move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// Status before the move.
    pub from: Status,
    /// Move that is asked for.
    pub by_move: Event,
    /// Status after the move.
    pub to: Status,
    /// Authority that the move needs.
    pub authority: Authority,
}

const fn edge(from: Status, by_move: Event, to: Status, authority: Authority) -> Transition {
    Transition {
        from,
        by_move,
        to,
        authority,
    }
}

/// All legal moves. Every other move is refused.
pub const TRANSITIONS: &[Transition] = {
    use Authority::{AnyOwner, AnybodyOnceOwnerDied, ItsOwner, ItsOwnerOrAnybodyWithout};
    use Event::{Adopt, Finish, Start};
    use Outcome::{Cancelled, Failed, Interrupted, Lost, Succeeded};
    use Status::{Completed, Executing, Queued};
    &[
        edge(Queued, Start, Executing, AnyOwner),
        edge(Queued, Finish(Failed), Completed, ItsOwnerOrAnybodyWithout),
        edge(
            Queued,
            Finish(Cancelled),
            Completed,
            ItsOwnerOrAnybodyWithout,
        ),
        edge(
            Queued,
            Finish(Interrupted),
            Completed,
            ItsOwnerOrAnybodyWithout,
        ),
        edge(Executing, Finish(Succeeded), Completed, ItsOwner),
        edge(Executing, Finish(Failed), Completed, ItsOwner),
        edge(Executing, Finish(Cancelled), Completed, ItsOwner),
        edge(Executing, Finish(Interrupted), Completed, ItsOwner),
        edge(Executing, Finish(Lost), Completed, AnybodyOnceOwnerDied),
        edge(Executing, Adopt, Executing, AnybodyOnceOwnerDied),
    ]
};

impl Transition {
    /// Returns the legal move from a status, or `None` if the move is not legal.
    #[must_use]
    pub fn find(from: Status, by_move: Event) -> Option<&'static Transition> {
        TRANSITIONS
            .iter()
            .find(|edge| edge.from == from && edge.by_move == by_move)
    }
}
