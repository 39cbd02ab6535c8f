//! The bounded walk through actions: by default the unfinished ones, then the finished ones.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::error::Problem;
use super::weight::{FRAME, weight};
use crate::error::ErrorKind;
use crate::model::{
    Action, ActionUid, Cursor, CursorError, Detail, Order, Position, Query, Status, Term,
};
use crate::store::ActionStore;

/// Actions read at once, which is as many as are held beyond what an answer may have.
const CHUNK: u16 = 125;

/// Store pages read for one answer that came short of what was asked for. Such a page has looked
/// at a bounded number of rows, so this bounds the work of a request; what is left is left to the
/// next one.
const SHORT_PAGES: usize = 8;

/// The same under a scope, as long as there is nothing to show: an answer that is empty and goes on
/// tells that others have much there, and one that is given up may have missed what is there.
const EMPTY_PAGES: usize = 32;

/// Where a walk stands. Written `u.CURSOR`, `f` or `f.CURSOR`, a plain one as its cursor.
///
/// The unfinished ones come first, and the finished ones begin only when those are through: an
/// action that finishes before the first walk comes to it is met by the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    Unfinished(Option<Cursor>),
    Finished(Option<Cursor>),
    /// Through whatever matches, in one order.
    Plain(Order, Option<Cursor>),
}

impl Walk {
    pub(super) const BEGIN: Walk = Walk::Unfinished(None);

    pub(super) fn after(self) -> Option<Cursor> {
        match self {
            Walk::Unfinished(after) | Walk::Finished(after) | Walk::Plain(_, after) => after,
        }
    }

    fn query(self, terms: &[Term], limit: u16) -> Query {
        let (term, order) = match self {
            Walk::Unfinished(_) => (Some(Term::Unfinished), Order::Newest),
            Walk::Finished(_) => (Some(Term::Status(Status::Completed)), Order::Newest),
            Walk::Plain(order, _) => (None, order),
        };
        let mut query = Query::new()
            .with_order(order)
            .with_after(self.after())
            .with_limit(limit)
            .with_detail(Detail::Summary);
        query.terms.extend(term);
        query.terms.extend_from_slice(terms);
        query
    }

    /// Where it stands after a page that goes on at `next`; none at the end.
    fn step(self, next: Option<Cursor>) -> Option<Walk> {
        match (self, next) {
            (Walk::Unfinished(_), Some(_)) => Some(Walk::Unfinished(next)),
            (Walk::Unfinished(_), None) => Some(Walk::Finished(None)),
            (Walk::Finished(_), Some(_)) => Some(Walk::Finished(next)),
            (Walk::Plain(order, _), Some(_)) => Some(Walk::Plain(order, next)),
            (Walk::Finished(_) | Walk::Plain(..), None) => None,
        }
    }
}

impl fmt::Display for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self {
            Walk::Unfinished(_) => "u",
            Walk::Finished(_) => "f",
            Walk::Plain(..) => "",
        };
        let dot = if letter.is_empty() { "" } else { "." };
        match self.after() {
            Some(cursor) => write!(f, "{letter}{dot}{cursor}"),
            None => f.write_str(letter),
        }
    }
}

impl FromStr for Walk {
    type Err = CursorError;

    /// Reads a default walk. A plain one has an order that its text does not say.
    fn from_str(text: &str) -> Result<Walk, CursorError> {
        match text.split_once('.') {
            Some(("u", cursor)) => Ok(Walk::Unfinished(Some(cursor.parse()?))),
            Some(("f", cursor)) => Ok(Walk::Finished(Some(cursor.parse()?))),
            None if text == "f" => Ok(Walk::Finished(None)),
            _ => Err(CursorError),
        }
    }
}

/// What is said of a cursor that is none, or one of another store.
pub(super) fn not_a_cursor() -> Problem {
    Problem::Parameter(
        "cursor".to_owned(),
        "is not one that this list has given out",
    )
}

/// How much one answer has at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) actions: u16,
    /// By [`weight`]; but one action there always is.
    pub(super) bytes: usize,
    /// Whether there is something that must not be seen.
    pub(super) is_scoped: bool,
}

/// What one answer shows, and where the next one goes on.
pub(super) struct Answer {
    pub(super) items: Vec<Arc<Action>>,
    /// How many bytes the answer takes: rather fewer than this.
    pub(super) bytes: usize,
    pub(super) next: Option<Walk>,
    /// Where the store stood when the last of it was read.
    pub(super) at: Option<Position>,
}

/// Reads what one answer shows, of what all terms hold for.
pub(super) async fn read(
    store: &dyn ActionStore,
    terms: &[Term],
    from: Walk,
    bound: Bound,
) -> Result<Answer, Problem> {
    let mut gathered = Gathered::default();
    let (mut walk, mut position) = (Some(from), None);
    let (mut short, mut limit) = (0, CHUNK);
    while let Some(at) = walk {
        // A store may have answered more than it was asked for.
        let room = bound.actions.saturating_sub(gathered.count());
        let limit_now = limit.min(room);
        let most = match bound.is_scoped && gathered.items.is_empty() {
            true => EMPTY_PAGES,
            false => SHORT_PAGES,
        };
        if limit_now == 0 || short >= most {
            break;
        }
        let list = store.list(&at.query(terms, limit_now)).await;
        let page = list.map_err(|error| refused(error, at, from))?;
        let weights: Vec<usize> = page.items.iter().map(|action| weight(action)).collect();
        let fitting = gathered.fitting(&weights, bound.bytes);
        if fitting < limit_now && usize::from(fitting) < page.items.len() {
            // Read again, as much as fits: only a store knows the cursor within a page. And once
            // more, should they have grown meanwhile.
            limit = fitting;
            continue;
        }
        short += usize::from(page.items.len() < usize::from(limit_now));
        for (action, weight) in page.items.into_iter().zip(weights) {
            gathered.add(action, weight);
        }
        walk = at.step(page.next);
        position = Some(page.at);
        if limit < CHUNK {
            break;
        }
    }
    Ok(Answer {
        items: gathered.items,
        bytes: FRAME + gathered.bytes,
        next: walk,
        at: position,
    })
}

/// The cursor is all that a client has a hand in.
fn refused(error: crate::error::StoreError, at: Walk, from: Walk) -> Problem {
    let by_client = at == from && from.after().is_some();
    let is_feed = matches!(at, Walk::Plain(Order::Feed, _));
    match error.kind() {
        ErrorKind::Invalid if by_client => not_a_cursor(),
        ErrorKind::CursorExpired if is_feed => Problem::Expired,
        _ => Problem::Store(error),
    }
}

#[derive(Default)]
struct Gathered {
    items: Vec<Arc<Action>>,
    /// Where the unfinished ones stand: they may come again.
    unfinished: HashMap<ActionUid, usize>,
    bytes: usize,
}

impl Gathered {
    fn count(&self) -> u16 {
        u16::try_from(self.items.len()).unwrap_or(u16::MAX)
    }

    /// How many of these, from the first on, an answer of so many bytes still takes.
    fn fitting(&self, weights: &[usize], most: usize) -> u16 {
        let mut bytes = FRAME + self.bytes;
        let fits = |(n, weight): &(usize, &usize)| {
            bytes += **weight;
            bytes <= most || (*n == 0 && self.items.is_empty())
        };
        let fitting = weights.iter().enumerate().take_while(fits).count();
        u16::try_from(fitting).unwrap_or(u16::MAX)
    }

    fn add(&mut self, action: Arc<Action>, weight: usize) {
        self.bytes += weight;
        // Shown as unfinished above and changed since: the later view takes the place.
        let known = self.unfinished.get(&action.uid).copied();
        if action.is_unfinished() {
            let place = known.unwrap_or(self.items.len());
            self.unfinished.insert(action.uid, place);
        }
        match known {
            Some(place) => self.items[place] = action,
            None => self.items.push(action),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StoreId;

    #[test]
    fn a_walk_comes_back_from_its_text_and_nothing_else_does() {
        let cursor = Some(Cursor::newest(StoreId::new(), 7));
        for walk in [
            Walk::Unfinished(cursor),
            Walk::Finished(cursor),
            Walk::Finished(None),
        ] {
            let text = walk.to_string();
            assert_eq!(text.parse(), Ok(walk));
            for bad in [
                format!("{text}."),
                format!(" {text}"),
                text.to_uppercase(),
                text.replace(['u', 'f'], "x"),
            ] {
                assert_eq!(bad.parse::<Walk>(), Err(CursorError), "{bad}");
            }
        }
        // A walk begins without a cursor; nobody is ever given one that says so.
        assert!("u".parse::<Walk>().is_err());
        assert!("".parse::<Walk>().is_err());
    }
}
