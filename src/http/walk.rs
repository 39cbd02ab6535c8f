//! Reads bounded pages of actions. By default the unfinished actions come before the finished ones.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::error::Problem;
use super::list_writer::{ListWriter, Place, Shape};
use crate::error::StoreErrorKind;
use crate::model::{
    Action, ActionUid, Cursor, CursorError, Detail, Filter, Order, Position, Query, Status,
};
use crate::store::ActionStore;

/// Maximum number of actions per store query. At most this many are held in memory beside the
/// answer. SQLite returns up to a hundred rows as one value.
const CHUNK: u16 = 100;

/// Maximum number of short store pages per answer. A store returns a short page after a bounded
/// number of rows, so this bounds the work of a request. The next answer continues.
const SHORT_PAGES: usize = 8;

/// The same limit for a scoped request, as long as no match was found. It is higher because an
/// empty answer that continues reveals that others have many actions. Stopping early could also
/// miss a match.
const EMPTY_PAGES: usize = 32;

/// Position of a list, written `u.CURSOR`, `f` or `f.CURSOR`. A `Plain` one is written as its
/// cursor.
///
/// The finished actions are read after the unfinished ones. An action that finishes before it was
/// read as unfinished is therefore found among the finished ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    Unfinished(Option<Cursor>),
    Finished(Option<Cursor>),
    /// All matching actions, in one order.
    Plain(Order, Option<Cursor>),
}

impl Walk {
    pub(super) const BEGIN: Walk = Walk::Unfinished(None);

    pub(super) fn after(self) -> Option<Cursor> {
        match self {
            Walk::Unfinished(after) | Walk::Finished(after) | Walk::Plain(_, after) => after,
        }
    }

    fn query(self, filters: &[Filter], limit: u16) -> Query {
        let (filter, order) = match self {
            Walk::Unfinished(_) => (Some(Filter::Unfinished), Order::Newest),
            Walk::Finished(_) => (Some(Filter::Status(Status::Completed)), Order::Newest),
            Walk::Plain(order, _) => (None, order),
        };
        let mut query = Query::new()
            .with_order(order)
            .with_after(self.after())
            .with_limit(limit)
            .with_detail(Detail::Summary);
        query.filters.extend(filter);
        query.filters.extend_from_slice(filters);
        query
    }

    /// Returns the position after a page whose own continuation is `next`, or none at the end.
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

    /// Parses a default walk. The text of a plain one does not contain its order.
    fn from_str(text: &str) -> Result<Walk, CursorError> {
        match text.split_once('.') {
            Some(("u", cursor)) => Ok(Walk::Unfinished(Some(cursor.parse()?))),
            Some(("f", cursor)) => Ok(Walk::Finished(Some(cursor.parse()?))),
            None if text == "f" => Ok(Walk::Finished(None)),
            _ => Err(CursorError),
        }
    }
}

/// The error for a malformed cursor or a cursor of another list or store.
pub(super) fn not_a_cursor() -> Problem {
    Problem::Parameter("cursor".to_owned(), "is not a cursor of this list")
}

/// Limits of one answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) actions: u16,
    /// Maximum size in bytes. An answer holds at least one action, even if it is larger.
    pub(super) bytes: usize,
    /// True if the scope hides some actions.
    pub(super) is_scoped: bool,
}

/// The actions of one answer, and the position of the next.
pub(super) struct Answer {
    pub(super) list_writer: ListWriter,
    pub(super) next: Option<Walk>,
    /// The store's position at the last read.
    pub(super) at: Option<Position>,
}

/// Reads one answer: the actions that match all terms.
pub(super) async fn read(
    store: &dyn ActionStore,
    filters: &[Filter],
    from: Walk,
    bound: Bound,
    shape: Shape,
) -> Result<Answer, Problem> {
    let mut shown = Shown::on(ListWriter::new(shape));
    let (mut walk, mut first, mut position) = (Some(from), None, None);
    let (mut short, mut limit) = (0, CHUNK);
    while let Some(at) = walk {
        // A store may have returned more than the limit.
        let room = usize::from(bound.actions).saturating_sub(shown.list_writer.count());
        let limit_now = limit.min(u16::try_from(room).unwrap_or(limit));
        let most = if bound.is_scoped && shown.list_writer.count() == 0 {
            EMPTY_PAGES
        } else {
            SHORT_PAGES
        };
        if limit_now == 0 || short >= most {
            break;
        }
        let list = store.list(&at.query(filters, limit_now)).await;
        let page = list.map_err(|error| refused(error, at, from))?;
        let (mark, known) = (shown.list_writer.mark(), shown.unfinished.len());
        let fitting = shown.put(&page.items, at, bound.bytes)?;
        if fitting < limit_now && usize::from(fitting) < page.items.len() {
            // Read again with a lower limit: only the store can make a cursor within a page. Repeat
            // if the actions have grown meanwhile.
            shown.list_writer.cut(mark);
            shown.unfinished.truncate(known);
            limit = fitting;
            continue;
        }
        short += usize::from(page.items.len() < usize::from(limit_now));
        // If nothing has changed since the first read, no action can appear twice.
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
        list_writer: shown.list_writer,
        next: walk,
        at: position,
    })
}

/// The actions of an answer so far.
struct Shown {
    list_writer: ListWriter,
    /// Unfinished actions that may appear again when they change, and their places.
    unfinished: Vec<(ActionUid, Place)>,
}

impl Shown {
    fn on(list_writer: ListWriter) -> Shown {
        let unfinished = Vec::new();
        Shown {
            list_writer,
            unfinished,
        }
    }

    /// Writes actions until the answer would exceed `most` bytes. Returns how many were written.
    fn put(&mut self, items: &[Arc<Action>], at: Walk, most: usize) -> Result<u16, Problem> {
        let mut fitting = 0;
        for action in items {
            let mark = self.list_writer.mark();
            let place = self.list_writer.put(action)?;
            if self.list_writer.bytes() > most && self.list_writer.count() > 1 {
                self.list_writer.cut(mark);
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

    /// Removes earlier versions of the actions in `items`. Checks the first `known` candidates.
    fn supersede(&mut self, known: usize, items: &[Arc<Action>]) {
        let mut uids: Vec<ActionUid> = items.iter().map(|action| action.uid).collect();
        uids.sort_unstable();
        for at in (0..known).rev() {
            if let Some((uid, place)) = self.unfinished.get(at).copied()
                && uids.binary_search(&uid).is_ok()
            {
                self.unfinished.remove(at);
                let others = self.unfinished.iter_mut().map(|(_, place)| place);
                self.list_writer.take_off(place, others);
            }
        }
    }
}

/// Maps a store error. Of the whole query, only the cursor can be the client's fault.
fn refused(error: crate::error::StoreError, at: Walk, from: Walk) -> Problem {
    let by_client = at == from && from.after().is_some();
    match error.kind() {
        StoreErrorKind::Invalid if by_client => not_a_cursor(),
        StoreErrorKind::CursorExpired if at.after().is_some() => Problem::Expired,
        _ => Problem::Store(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StoreId;

    #[test]
    fn a_walk_is_parsed_from_its_own_text_only() {
        let at = crate::model::Position {
            store_id: StoreId::new(),
            branch: crate::model::BranchId::FIRST,
            revision: crate::model::Revision::ZERO,
            pruned_through: crate::model::Revision::ZERO,
            pruned_created: None,
            actions: 0,
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
        // A list starts without a cursor, so `u` alone is never given out.
        assert!("u".parse::<Walk>().is_err());
        assert!("".parse::<Walk>().is_err());
    }
}
