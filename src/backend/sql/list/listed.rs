//! The rows of one list, which an index has in the order of their keys.

use super::walk::Walk;
use crate::backend::sql::dialect::Dialect;

/// The condition for the rows of a list.
pub(super) struct Listed {
    /// The first column of the index, and the value that the rows have in it.
    lead: Option<(&'static str, String)>,
    /// True if the rest of the condition says the same as the first column.
    is_implied: bool,
    /// The rest of the condition. It contains literals where a partial index requires them.
    rest: String,
}

impl Listed {
    /// The rows that have a value in a column, in an index of the column and the key.
    pub(super) fn of(column: &'static str, value: String) -> Listed {
        Listed {
            lead: Some((column, value)),
            is_implied: false,
            rest: String::new(),
        }
    }

    /// The rows with a condition, in an index of the key.
    pub(super) fn with(condition: impl Into<String>) -> Listed {
        Listed {
            lead: None,
            is_implied: false,
            rest: condition.into(),
        }
    }

    /// The unfinished actions. Where rows are compared, their index has a first column, too.
    pub(super) fn unfinished() -> Listed {
        Listed {
            lead: Some(("(a.status < 2)", "true".to_owned())),
            is_implied: true,
            rest: "a.status < 2".to_owned(),
        }
    }

    /// Adds a condition.
    pub(super) fn and(mut self, condition: &str) -> Listed {
        if !self.rest.is_empty() {
            self.rest.push_str(" AND ");
        }
        self.rest.push_str(condition);
        self
    }

    /// Returns the condition for all rows.
    pub(super) fn all(&self) -> String {
        let lead = self.lead.iter().filter(|_| !self.is_implied);
        let lead = lead.map(|(column, value)| format!("{column} = {value}"));
        let rest = Some(&self.rest).filter(|rest| !rest.is_empty());
        let all: Vec<String> = lead.chain(rest.cloned()).collect();
        all.join(" AND ")
    }

    /// Returns the condition for the rows beyond `after`, up to `last` if there is one.
    pub(super) fn range<D: Dialect>(
        &self,
        key: &str,
        walk: &Walk,
        after: usize,
        last: Option<&str>,
    ) -> String {
        let Walk {
            beyond,
            within,
            end,
            ..
        } = walk;
        match &self.lead {
            Some((column, value)) if D::COMPARES_ROWS => {
                let rest = match self.rest.is_empty() {
                    true => String::new(),
                    false => format!("{} AND ", self.rest),
                };
                let last = last.map_or_else(|| end.to_string(), str::to_owned);
                format!(
                    "{rest}({column}, {key}) {beyond} ({value}, ${after}) \
                     AND ({column}, {key}) {within} ({value}, {last})"
                )
            }
            _ => {
                let last = last.map(|last| format!(" AND {key} {within} {last}"));
                let (all, last) = (self.all(), last.unwrap_or_default());
                format!("{all} AND {key} {beyond} ${after}{last}")
            }
        }
    }

    /// Returns the columns of the `ORDER BY` clause, which only this list's index has.
    pub(super) fn order_by<D: Dialect>(&self, key: &str, direction: &str) -> String {
        match &self.lead {
            Some((column, _)) if D::COMPARES_ROWS => {
                format!("{column} {direction}, {key} {direction}")
            }
            _ => format!("{key} {direction}"),
        }
    }
}
