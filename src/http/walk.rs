//! The bounded walk through all actions: the unfinished ones, then the finished ones.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::authorize::Scope;
use super::error::Problem;
use crate::error::ErrorKind;
use crate::model::{Action, ActionUid, Cursor, CursorError, Detail, Query, Status, Term};
use crate::store::ActionStore;

/// Store pages read for one answer. A page looks at a bounded number of rows, so this bounds the
/// work of a request; what is left is left to the next one.
const STORE_PAGES: usize = 8;

/// Where a walk stands. Written `u.CURSOR`, `f` or `f.CURSOR`.
///
/// The unfinished ones come first, and the finished ones begin only when those are through: an
/// action that finishes before the first walk comes to it is met by the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    Unfinished(Option<Cursor>),
    Finished(Option<Cursor>),
}

impl Walk {
    pub(super) const BEGIN: Walk = Walk::Unfinished(None);

    fn query(self, scope: &Scope, limit: u16) -> Query {
        let (term, after) = match self {
            Walk::Unfinished(after) => (Term::Unfinished, after),
            Walk::Finished(after) => (Term::Status(Status::Completed), after),
        };
        let mut query = Query::new()
            .with_term(term)
            .with_after(after)
            .with_limit(limit)
            .with_detail(Detail::Summary);
        query.terms.extend_from_slice(scope.terms());
        query
    }

    /// Where it stands after a page that goes on at `next`; none at the end.
    fn step(self, next: Option<Cursor>) -> Option<Walk> {
        match (self, next) {
            (Walk::Unfinished(_), Some(_)) => Some(Walk::Unfinished(next)),
            (Walk::Unfinished(_), None) => Some(Walk::Finished(None)),
            (Walk::Finished(_), Some(_)) => Some(Walk::Finished(next)),
            (Walk::Finished(_), None) => None,
        }
    }
}

impl fmt::Display for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (letter, after) = match self {
            Walk::Unfinished(after) => ('u', after),
            Walk::Finished(after) => ('f', after),
        };
        match after {
            Some(cursor) => write!(f, "{letter}.{cursor}"),
            None => write!(f, "{letter}"),
        }
    }
}

impl FromStr for Walk {
    type Err = CursorError;

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

/// What one answer shows, and where the next one goes on.
pub(super) struct Answer {
    pub(super) items: Vec<Arc<Action>>,
    pub(super) next: Option<Walk>,
}

/// Reads what one answer shows: at most `cap` actions.
pub(super) async fn read(
    store: &dyn ActionStore,
    scope: &Scope,
    from: Walk,
    cap: u16,
) -> Result<Answer, Problem> {
    let mut items: Vec<Arc<Action>> = Vec::new();
    let mut places: HashMap<ActionUid, usize> = HashMap::new();
    let mut at = Some(from);
    for _ in 0..STORE_PAGES {
        let room = cap.saturating_sub(u16::try_from(items.len()).unwrap_or(u16::MAX));
        let Some(walk) = at.filter(|_| room > 0) else {
            break;
        };
        let page = store
            .list(&walk.query(scope, room))
            .await
            .map_err(|error| {
                // The cursor is all that a client has a hand in.
                let by_client = walk == from && from != Walk::BEGIN;
                match error.kind() {
                    ErrorKind::Invalid if by_client => not_a_cursor(),
                    _ => Problem::Store(error),
                }
            })?;
        for action in page.items {
            // Shown as unfinished above and finished since: the later view takes the place.
            match places.get(&action.uid) {
                Some(place) => items[*place] = action,
                None => {
                    places.insert(action.uid, items.len());
                    items.push(action);
                }
            }
        }
        at = walk.step(page.next);
    }
    Ok(Answer { items, next: at })
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
