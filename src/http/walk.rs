//! The bounded walk through actions: by default the unfinished ones, then the finished ones.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::error::Problem;
use super::sheet::{Place, Shape, Sheet};
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
    /// Of the answer; but one action there always is.
    pub(super) bytes: usize,
    /// Whether there is something that must not be seen.
    pub(super) is_scoped: bool,
}

/// What one answer shows, and where the next one goes on.
pub(super) struct Answer {
    pub(super) sheet: Sheet,
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
    shape: Shape,
) -> Result<Answer, Problem> {
    let mut shown = Shown::on(Sheet::new(shape));
    let (mut walk, mut first, mut position) = (Some(from), None, None);
    let (mut short, mut limit) = (0, CHUNK);
    while let Some(at) = walk {
        // A store may have answered more than it was asked for.
        let room = usize::from(bound.actions).saturating_sub(shown.sheet.count());
        let limit_now = limit.min(u16::try_from(room).unwrap_or(limit));
        let most = match bound.is_scoped && shown.sheet.count() == 0 {
            true => EMPTY_PAGES,
            false => SHORT_PAGES,
        };
        if limit_now == 0 || short >= most {
            break;
        }
        let list = store.list(&at.query(terms, limit_now)).await;
        let page = list.map_err(|error| refused(error, at, from))?;
        let (mark, known) = (shown.sheet.mark(), shown.unfinished.len());
        let fitting = shown.put(&page.items, at, bound.bytes)?;
        if fitting < limit_now && usize::from(fitting) < page.items.len() {
            // Read again, as much as fits: only a store knows the cursor within a page. And once
            // more, should they have grown meanwhile.
            shown.sheet.cut(mark);
            shown.unfinished.truncate(known);
            limit = fitting;
            continue;
        }
        short += usize::from(page.items.len() < usize::from(limit_now));
        // Where nothing has changed since the first of it was read, nothing comes again.
        if first.get_or_insert(page.at).revision != page.at.revision {
            shown.supersede(known, &page.items);
        }
        walk = at.step(page.next);
        position = Some(page.at);
        if limit < CHUNK {
            break;
        }
    }
    Ok(Answer {
        sheet: shown.sheet,
        next: walk,
        at: position,
    })
}

/// What an answer shows so far.
struct Shown {
    sheet: Sheet,
    /// What may come again with what has changed about it: unfinished ones, of a walk that meets
    /// those twice.
    unfinished: Vec<(ActionUid, Place)>,
}

impl Shown {
    fn on(sheet: Sheet) -> Shown {
        let unfinished = Vec::new();
        Shown { sheet, unfinished }
    }

    /// Puts these on the sheet, from the first on, until an answer would have more bytes than it
    /// may; so many it put.
    fn put(&mut self, items: &[Arc<Action>], at: Walk, most: usize) -> Result<u16, Problem> {
        let mut fitting = 0;
        for action in items {
            let mark = self.sheet.mark();
            let place = self.sheet.put(action)?;
            if self.sheet.bytes() > most && self.sheet.count() > 1 {
                self.sheet.cut(mark);
                break;
            }
            let comes_again = match at {
                Walk::Unfinished(_) => true,
                Walk::Plain(order, _) => order == Order::Feed && action.is_unfinished(),
                Walk::Finished(_) => false,
            };
            if comes_again {
                self.unfinished.push((action.uid, place));
            }
            fitting += 1;
        }
        Ok(fitting)
    }

    /// Takes off what has come again in these, of the first `known` that might.
    fn supersede(&mut self, known: usize, items: &[Arc<Action>]) {
        let mut uids: Vec<ActionUid> = items.iter().map(|action| action.uid).collect();
        uids.sort_unstable();
        for at in (0..known).rev() {
            if let Some((uid, place)) = self.unfinished.get(at).copied()
                && uids.binary_search(&uid).is_ok()
            {
                self.unfinished.remove(at);
                let others = self.unfinished.iter_mut().map(|(_, place)| place);
                self.sheet.take_off(place, others);
            }
        }
    }
}

/// The cursor is all that a client has a hand in.
fn refused(error: crate::error::StoreError, at: Walk, from: Walk) -> Problem {
    let by_client = at == from && from.after().is_some();
    match error.kind() {
        ErrorKind::Invalid if by_client => not_a_cursor(),
        ErrorKind::CursorExpired if at.after().is_some() => Problem::Expired,
        _ => Problem::Store(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StoreId;

    #[test]
    fn a_walk_comes_back_from_its_text_and_nothing_else_does() {
        let at = crate::model::Position {
            life: StoreId::new(),
            branch: crate::model::BranchId::FIRST,
            revision: crate::model::Revision::ZERO,
            removed_to: crate::model::Revision::ZERO,
            removed_created: None,
        };
        let cursor = Some(Cursor::newest(at, 7));
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
