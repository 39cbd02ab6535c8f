//! The text of a SELECT and its values, before they are handed to a driver.

use uuid::Uuid;

/// A value that a statement is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Int(i64),
    Text(String),
    Id(Uuid),
    /// A list of texts, for [`Dialect::each`](super::dialect::Dialect::each).
    Texts(Vec<String>),
}

/// One SELECT with the values of its `$1`, `$2`, ...
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Select {
    pub(crate) text: String,
    pub(crate) values: Vec<Value>,
}

impl Select {
    /// Adds the next value and returns its number.
    pub(super) fn bind(&mut self, value: Value) -> usize {
        self.values.push(value);
        self.values.len()
    }
}
