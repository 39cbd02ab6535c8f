//! The table of legal edges, and whom each belongs to.

use super::command::Change;
use super::words::{Outcome, Status};

/// A change of status or owner that a command asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    /// Begin to work on it.
    Start,
    /// End it so.
    Finish(Outcome),
    /// Go on in a dead owner's place.
    Adopt,
}

impl Move {
    /// The move that a change asks for; none for a report and for a cancel request, which move
    /// nothing.
    #[must_use]
    pub fn of(change: &Change) -> Option<Move> {
        match change {
            Change::Start => Some(Move::Start),
            Change::Finish(finish) => Some(Move::Finish(finish.outcome)),
            Change::Adopt => Some(Move::Adopt),
            Change::Report(_) | Change::RequestCancel(_) => None,
        }
    }
}

/// Who may make a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Authority {
    /// Any living owner; it becomes the action's.
    AnyOwner,
    /// The action's owner only.
    ItsOwner,
    /// The action's owner; anybody when it has none that is alive.
    ItsOwnerOrAnybodyWithout,
    /// Anybody, but only while the action's owner is not alive.
    AnybodyOnceOwnerDied,
}

/// One legal edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Where the action is.
    pub from: Status,
    /// What is asked for.
    pub by_move: Move,
    /// Where it leads.
    pub to: Status,
    /// Who may.
    pub authority: Authority,
}

const fn edge(from: Status, by_move: Move, to: Status, authority: Authority) -> Edge {
    Edge {
        from,
        by_move,
        to,
        authority,
    }
}

/// All legal edges. What is not here is refused.
pub const EDGES: &[Edge] = {
    use Authority::{AnyOwner, AnybodyOnceOwnerDied, ItsOwner, ItsOwnerOrAnybodyWithout};
    use Move::{Adopt, Finish, Start};
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

impl Edge {
    /// The edge from a status by a move, if there is one.
    #[must_use]
    pub fn find(from: Status, by_move: Move) -> Option<&'static Edge> {
        EDGES
            .iter()
            .find(|edge| edge.from == from && edge.by_move == by_move)
    }
}
