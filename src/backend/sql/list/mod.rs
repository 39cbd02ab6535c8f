//! Pages of actions: one index selects rows, and the other terms filter a bounded number of them.

mod filter;
mod finished;
mod listed;
mod merged;
mod page;
mod path;
mod places;
mod statement;
mod walk;

pub(crate) use self::page::{FirstRow, read};
pub(crate) use self::path::{candidates, count_statement, fewest, must_count};
pub(crate) use self::statement::statement;
