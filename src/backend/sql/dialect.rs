//! Where the SQL of databases differs.

/// The parts of a page's statement.
#[derive(Debug)]
pub(crate) struct PageText {
    /// A `WITH` clause and a space, or nothing.
    pub(crate) with: String,
    /// The number that the page ends at, and in order of completion also the time. The first row
    /// of the result has it after the position.
    pub(crate) last: &'static str,
    /// The SELECT of the rows, with the columns `key` and `record`.
    pub(crate) rows: String,
}

/// The SQL of a database, for the statements that read lists.
///
/// The tables are `actions_action` (as `a`), `actions_touch`, `actions_label`, `actions_feed`,
/// `actions_block` and `actions_store`, with the same columns everywhere. Values are written `$1`, `$2`, ...
pub(crate) trait Dialect {
    /// The words that join two tables with `ON`, the first one outermost where the words can say
    /// that.
    const JOIN: &'static str;

    /// The function that returns the smaller of two numbers.
    const LEAST: &'static str;

    /// True if the filters of a page must be hidden from the planner when it chooses an index.
    const HIDES_FILTERS: bool;

    /// True if the database finds rows by a comparison of two columns. It then reads the index of
    /// both. By the values of one column and the order of the other, it would also read the index
    /// of the order alone, and skip rows there.
    const COMPARES_ROWS: bool;

    /// The clause at the end of an `EXISTS` query that has it run for one row at a time.
    const ONE_BY_ONE: &'static str;

    /// Returns the expression for the stored record of the action `a`.
    fn record() -> &'static str;

    /// Returns an expression for a column that does not make the planner choose an index for it.
    fn unindexed(column: &str) -> String;

    /// Returns the clause after a table that makes the planner use an index.
    fn by_index(index: &str) -> String;

    /// Returns a table `j` with one column `value`: the texts in the list `$value`.
    fn each(value: usize) -> String;

    /// Returns the clause that limits the rows to `$value`.
    fn limit(value: usize) -> String;

    /// Returns the statement whose one row has these numbers.
    fn numbers(numbers: &[String]) -> String;

    /// Returns the statement of a page with at most `limit` rows and one more. Its first row has
    /// the position of the store and the values of `last`; the other rows follow. One statement, so
    /// that all of it is from the same moment.
    fn page(limit: u16, page: &PageText) -> String;
}
