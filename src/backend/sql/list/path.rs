//! The index that a page reads: as SQL, and how many rows it finds.

use std::sync::LazyLock;

use super::filter::{nearest, prefix_range, texts_of};
use super::listed::Listed;
use super::walk::{position_of, walk};
use crate::backend::sql::dialect::Dialect;
use crate::backend::sql::select::{Select, Value};
use crate::model::{
    AccessPath, BlockTimes, Filter, Order, Query, SELECTIVE, TimeRanges, Timestamp,
};

/// The index access of a query.
pub(super) struct Driven {
    /// The lists of rows that a page merges.
    pub(super) lists: Lists,
    /// The table whose index selects the rows.
    pub(super) table: &'static str,
    /// How the table leads to the actions.
    actions: ActionRows,
    /// The column that a cursor holds.
    pub(super) key: String,
    /// The rows that the index selects.
    pub(super) listed: Listed,
    /// True if the condition covers its whole term.
    pub(super) exact: bool,
}

/// The lists of rows that a page merges.
pub(super) enum Lists {
    /// There is one list: nothing is merged.
    One,
    /// There is a list for each row of the table `j`.
    Each {
        /// The table `j`, with a value for each list.
        values: String,
        /// The number of lists.
        count: usize,
    },
    /// There are these lists, instead of the one that the index selects.
    Branches(Vec<Listed>),
}

/// How the table that selects the rows leads to the actions.
enum ActionRows {
    /// It is the table of actions, `a`.
    Selected,
    /// This column has the number of an action.
    Numbered(&'static str),
    /// It has blocks of actions, `s`.
    InBlocks,
}

/// The condition that an action is in the block `s`.
pub(super) static IN_BLOCK: LazyLock<String> = LazyLock::new(|| {
    let (size, last) = (BlockTimes::ACTIONS, BlockTimes::ACTIONS - 1);
    format!("a.number BETWEEN s.block * {size} AND s.block * {size} + {last}")
});

impl Driven {
    fn of_action(listed: Listed) -> Driven {
        Driven {
            lists: Lists::One,
            table: "actions_action AS a",
            actions: ActionRows::Selected,
            key: "a.number".to_owned(),
            listed,
            exact: true,
        }
    }

    /// Returns the access by a narrow table, which has the numbers of actions in a column.
    fn narrow(table: &'static str, number: &'static str, listed: Listed) -> Driven {
        Driven {
            table,
            actions: ActionRows::Numbered(number),
            key: number.to_owned(),
            ..Driven::of_action(listed)
        }
    }

    /// Returns the tables that are needed to count the rows, the selecting one last.
    fn counted(&self) -> String {
        let table = self.table;
        match &self.lists {
            Lists::Each { values, .. } => format!("{values} CROSS JOIN {table}"),
            Lists::One | Lists::Branches(_) => table.to_owned(),
        }
    }

    /// Returns the tables, the selecting one before the actions; the join keeps that order. LEFT
    /// JOIN does too, and shows a row that is missing: it is damage, not a shorter page.
    pub(super) fn from<D: Dialect>(&self) -> String {
        self.with_actions::<D>(self.counted())
    }

    /// Returns the table of each list and the actions, without the values of the lists.
    pub(super) fn tables_of_each<D: Dialect>(&self) -> String {
        self.with_actions::<D>(self.table.to_owned())
    }

    fn with_actions<D: Dialect>(&self, counted: String) -> String {
        match self.actions {
            ActionRows::Selected => counted,
            ActionRows::Numbered(number) => {
                format!("{counted} LEFT JOIN actions_action AS a ON a.number = {number}")
            }
            ActionRows::InBlocks => {
                let (join, in_block) = (D::JOIN, IN_BLOCK.as_str());
                match D::HIDES_FILTERS {
                    true => format!(
                        "{counted} CROSS JOIN LATERAL (SELECT * FROM actions_action AS a \
                         WHERE {in_block} OFFSET 0) AS a"
                    ),
                    false => format!("{counted} {join} actions_action AS a ON {in_block}"),
                }
            }
        }
    }

    /// Returns filters, which do not hide a missing row.
    pub(super) fn filtered(&self, filters: &[String]) -> String {
        let all: String = filters
            .iter()
            .map(|filter| format!(" AND {filter}"))
            .collect();
        match self.actions {
            ActionRows::Numbered(_) if !filters.is_empty() => {
                format!(" AND (a.number IS NULL OR (true{all}))")
            }
            _ => all,
        }
    }

    /// Returns the columns of the `ORDER BY` clause, most significant first.
    pub(super) fn order_by<D: Dialect>(&self, direction: &str) -> String {
        match self.actions {
            ActionRows::InBlocks => format!("s.block {direction}, a.number {direction}"),
            _ => self.listed.order_by::<D>(&self.key, direction),
        }
    }
}

/// Returns the indexes that a page can read.
pub(crate) fn candidates(query: &Query) -> Vec<AccessPath> {
    if query.order == Order::Feed {
        return vec![AccessPath::All];
    }
    let paths = query.access_paths();
    let objects = query.filters.iter().find_map(|filter| match filter {
        Filter::TouchesAny(objects) => Some(objects),
        _ => None,
    });
    match (&paths[..], objects) {
        // Examines each object, even if no such action exists. Otherwise the response time would
        // show whether it exists.
        ([AccessPath::Uid(_)], Some(objects)) => vec![AccessPath::TouchesAny(objects.clone())],
        _ => paths,
    }
}

/// Returns true if the rows of these indexes must be counted before one is chosen.
pub(crate) fn must_count(query: &Query, paths: &[AccessPath]) -> bool {
    // In order of completion, the rows of a selective index are sorted.
    paths.len() > 1 || (query.order == Order::Finished && paths != [AccessPath::All])
}

/// Returns the statement that counts the rows of several indexes, each up to [`SELECTIVE`].
pub(crate) fn count_statement<D: Dialect>(query: &Query, paths: &[AccessPath]) -> Select {
    let mut select = Select::default();
    let counts = paths
        .iter()
        .map(|path| count::<D>(&mut select, query, path));
    let counts: Vec<String> = counts.collect();
    select.text = D::numbers(&counts);
    select
}

/// Returns the expression that counts the rows of an index.
fn count<D: Dialect>(select: &mut Select, query: &Query, path: &AccessPath) -> String {
    match path {
        // All rows are never few.
        AccessPath::All => SELECTIVE.to_string(),
        // The rows of many names cannot be merged.
        AccessPath::NamePrefix(prefix) => {
            let names = names(select, prefix);
            let range = prefix_range(select, "a.name", prefix);
            let (most, few, never) = (AccessPath::NAMES, AccessPath::NAMES + 1, SELECTIVE + 1);
            format!(
                "(SELECT CASE WHEN c.found < {SELECTIVE} OR {most} >= (\
                 SELECT count(*) FROM ({names} LIMIT {few}) AS j) \
                 THEN c.found ELSE {never} END FROM (SELECT count(*) AS found FROM (\
                 SELECT 1 FROM actions_action AS a WHERE {range} LIMIT {SELECTIVE}) AS m) AS c)"
            )
        }
        AccessPath::Times(_) => {
            let driven = drive::<D>(select, query.order, path);
            let (table, condition) = (driven.table, driven.listed.all());
            let (size, least) = (BlockTimes::ACTIONS, D::LEAST);
            format!(
                "(SELECT {least}({SELECTIVE}, {size} * count(*)) FROM {table} WHERE {condition})"
            )
        }
        _ => {
            let driven = drive::<D>(select, query.order, path);
            let (counted, key) = (driven.counted(), &driven.key);
            let walk = walk(query.order);
            // A cursor of the order of completion says nothing about numbers.
            let after = query.after.filter(|_| query.order != Order::Finished);
            let after = select.bind(Value::Int(after.map_or(walk.begin, position_of)));
            let count = |listed: &Listed| {
                let range = listed.range::<D>(key, &walk, after, None);
                format!(
                    "(SELECT count(*) FROM (SELECT 1 FROM {counted} WHERE {range} \
                     LIMIT {SELECTIVE}) AS c)"
                )
            };
            match &driven.lists {
                Lists::Branches(lists) => lists.iter().map(count).collect::<Vec<_>>().join(" + "),
                Lists::One | Lists::Each { .. } => count(&driven.listed),
            }
        }
    }
}

/// Returns the index with the fewest rows, and true if these are less than [`SELECTIVE`]. The first
/// of several with as many.
pub(crate) fn fewest(
    paths: Vec<AccessPath>,
    counts: impl IntoIterator<Item = usize>,
) -> (AccessPath, bool) {
    let mut chosen = (AccessPath::All, usize::MAX);
    for (path, count) in paths.into_iter().zip(counts) {
        if count < chosen.1 {
            chosen = (path, count);
        }
    }
    let (path, count) = chosen;
    (path, count < SELECTIVE)
}

pub(super) fn drive<D: Dialect>(select: &mut Select, order: Order, path: &AccessPath) -> Driven {
    match path {
        AccessPath::All if order == Order::Feed => Driven {
            key: "f.revision".to_owned(),
            ..Driven::narrow("actions_feed AS f", "f.action", Listed::with("true"))
        },
        AccessPath::All => Driven::of_action(Listed::with("true")),
        AccessPath::Uid(uid) => {
            let (number, value) = nearest(select, uid);
            let uid = D::unindexed("a.uid");
            Driven::of_action(Listed::with(format!(
                "a.number = {number} AND {uid} = ${value}"
            )))
        }
        AccessPath::Parent(uid) => {
            let value = select.bind(Value::Id(*uid.as_uuid()));
            let listed = Listed::of("a.parent", format!("${value}"));
            Driven::of_action(listed.and("a.parent IS NOT NULL"))
        }
        AccessPath::RetryOf(uid) => {
            let value = select.bind(Value::Id(*uid.as_uuid()));
            let listed = Listed::of("a.retry_of", format!("${value}"));
            Driven::of_action(listed.and("a.retry_of IS NOT NULL"))
        }
        AccessPath::Correlation(text) => {
            let value = select.bind(Value::Text(text.to_string()));
            let listed = Listed::of("a.correlation", format!("${value}"));
            Driven::of_action(listed.and("a.correlation IS NOT NULL"))
        }
        AccessPath::CancelsOf(name) => {
            let value = select.bind(Value::Text(name.to_string()));
            let listed = Listed::of("a.owner", format!("${value}"));
            Driven::of_action(listed.and("a.status < 2 AND a.flags & 16 = 16"))
        }
        AccessPath::UnfinishedOf(name) => {
            let value = select.bind(Value::Text(name.to_string()));
            let listed = Listed::of("a.owner", format!("${value}"));
            Driven::of_action(listed.and("a.status < 2"))
        }
        AccessPath::Touches(object) => {
            let value = select.bind(Value::Text(object.as_str().to_owned()));
            let listed = Listed::of("t.object", format!("${value}"));
            Driven::narrow("actions_touch AS t", "t.action", listed)
        }
        AccessPath::Label(label) => {
            let value = select.bind(Value::Text(label.to_string()));
            let listed = Listed::of("t.label", format!("${value}"));
            Driven::narrow("actions_label AS t", "t.action", listed)
        }
        AccessPath::TouchesAny(objects) => {
            let listed = Listed::of("t.object", "j.value".to_owned());
            Driven {
                lists: Lists::Each {
                    values: D::each(select.bind(texts_of(objects))),
                    count: objects.len(),
                },
                ..Driven::narrow("actions_touch AS t", "t.action", listed)
            }
        }
        // No unfinished action has a place in this order.
        AccessPath::Unfinished if order == Order::Finished => {
            Driven::of_action(Listed::with("a.number < 0"))
        }
        AccessPath::Unfinished => Driven::of_action(Listed::unfinished()),
        AccessPath::States(states) => {
            let none = || Listed::with("a.number < 0");
            let codes: Vec<String> = states.outcomes().map(|o| o.code().to_string()).collect();
            let ended = match codes.is_empty() {
                true => none(),
                false => Listed::with(format!(
                    "a.outcome IN ({}) AND a.outcome > 0",
                    codes.join(", ")
                )),
            };
            let unfinished = states.unfinished().next().map(|_| Listed::unfinished());
            let of_code =
                |code: &String| Listed::of("a.outcome", code.clone()).and("a.outcome > 0");
            let mut branches: Vec<Listed> = codes.iter().map(of_code).collect();
            branches.extend(unfinished.filter(|_| order != Order::Finished));
            if branches.is_empty() {
                branches.push(none());
            }
            Driven {
                lists: Lists::Branches(branches),
                ..Driven::of_action(ended)
            }
        }
        AccessPath::Ended(outcome) => {
            let value = select.bind(Value::Int(outcome.code().into()));
            let listed = Listed::of("a.outcome", format!("${value}"));
            Driven::of_action(listed.and("a.outcome > 0"))
        }
        AccessPath::Tenant(tenant) => {
            let value = select.bind(Value::Text(tenant.to_string()));
            let listed = Listed::of("a.tenant", format!("${value}"));
            Driven::of_action(listed.and("a.tenant <> 'default'"))
        }
        AccessPath::Name(name) => {
            let value = select.bind(Value::Text(name.to_string()));
            Driven::of_action(Listed::of("a.name", format!("${value}")))
        }
        AccessPath::NamePrefix(prefix) => {
            let names = names(select, prefix);
            Driven {
                lists: Lists::Each {
                    values: format!("({names}) AS j"),
                    count: AccessPath::NAMES,
                },
                ..Driven::of_action(Listed::of("a.name", "j.value".to_owned()))
            }
        }
        AccessPath::Times(times) => Driven {
            table: "actions_block AS s",
            actions: ActionRows::InBlocks,
            // The bounds of the block select the rows of a block, not the cursor.
            key: D::unindexed("a.number"),
            exact: false,
            ..Driven::of_action(Listed::with(within(select, times)))
        },
    }
}

/// Returns the search for the names that begin with a text. Each name is found behind the last one.
fn names(select: &mut Select, prefix: &str) -> String {
    let range = prefix_range(select, "a.name", prefix);
    let one = |range: &str| {
        format!("SELECT a.name FROM actions_action AS a WHERE {range} ORDER BY a.name LIMIT 1")
    };
    let next = one(&format!("a.name > names.value AND {range}"));
    format!(
        "WITH RECURSIVE names (value) AS (SELECT ({}) UNION ALL SELECT ({next}) FROM names \
         WHERE names.value IS NOT NULL) SELECT names.value FROM names \
         WHERE names.value IS NOT NULL",
        one(&range)
    )
}

/// Returns the condition for blocks that may have actions of these times.
fn within(select: &mut Select, times: &TimeRanges) -> String {
    let mut conditions = Vec::new();
    let mut bound = |column: &str, op: &str, time: Option<Timestamp>| {
        if let Some(time) = time {
            let value = select.bind(Value::Int(time.as_micros()));
            conditions.push(format!("s.{column} {op} ${value}"));
        }
    };
    bound("created_max", ">=", times.created_from);
    bound("created_min", "<", times.created_before);
    bound("finished_max", ">=", times.finished_from);
    bound("finished_min", "<", times.finished_before);
    conditions.join(" AND ")
}
