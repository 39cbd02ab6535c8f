//! The index that a page reads: as SQL, and how many rows it finds.

use sqlx::sqlite::SqliteRow;

use super::filter::{json_of, nearest, prefix_range};
use super::{Walk, position_of, walk};
use crate::backend::sqlite::decode::Columns;
use crate::backend::sqlite::script::Script;
use crate::error::StoreError;
use crate::model::{
    AccessPath, ActionUid, BlockTimes, Filter, Order, Query, SELECTIVE, Times, Timestamp,
};

/// The index access of a query.
pub(super) struct Driven {
    /// The tables, the selecting one first; CROSS JOIN keeps that order. LEFT JOIN does too, and
    /// shows a row that is missing: it is damage, not a shorter page.
    pub(super) from: String,
    /// The tables that are needed to count the rows.
    counted: String,
    /// The column that a cursor holds.
    pub(super) key: &'static str,
    /// The columns that order the rows, most significant first.
    pub(super) order: &'static [&'static str],
    /// The selecting condition. It contains literals where a partial index requires them.
    pub(super) condition: String,
    /// True if the condition covers its whole term.
    pub(super) exact: bool,
    /// The conditions of several indexes of actions that are merged, instead of one condition.
    pub(super) branches: Vec<String>,
}

impl Driven {
    fn of(from: impl Into<String>, key: &'static str, condition: String) -> Driven {
        let from = from.into();
        Driven {
            counted: from.clone(),
            from,
            key,
            order: match key {
                "t.action" => &["t.action"],
                "f.revision" => &["f.revision"],
                _ => &["a.number"],
            },
            condition,
            exact: true,
            branches: Vec::new(),
        }
    }

    fn of_action(condition: String) -> Driven {
        Driven::of("actions_action AS a", "a.number", condition)
    }

    /// Returns filters, which do not hide a missing row.
    pub(super) fn filtered(&self, filters: &[String]) -> String {
        let all: String = filters
            .iter()
            .map(|filter| format!(" AND {filter}"))
            .collect();
        match self.from.contains("LEFT JOIN") && !filters.is_empty() {
            true => format!(" AND (a.number IS NULL OR (true{all}))"),
            false => all,
        }
    }

    /// Returns the `ORDER BY` clause.
    pub(super) fn order_by(&self, direction: &str) -> String {
        let columns = self
            .order
            .iter()
            .map(|column| format!("{column} {direction}"));
        columns.collect::<Vec<_>>().join(", ")
    }
}

/// Returns the indexes that a page can read.
pub(in crate::backend::sqlite) fn candidates(query: &Query) -> Vec<AccessPath> {
    if query.order == Order::Feed {
        return vec![AccessPath::All];
    }
    let paths = query.paths();
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
pub(in crate::backend::sqlite) fn must_count(query: &Query, paths: &[AccessPath]) -> bool {
    // In order of completion, the rows of a selective index are sorted.
    paths.len() > 1 || (query.order == Order::Finished && paths != [AccessPath::All])
}

/// Returns the script that counts the rows of several indexes, each up to [`SELECTIVE`].
pub(in crate::backend::sqlite) fn count_script(
    query: &Query,
    paths: &[AccessPath],
) -> Result<Script, sqlx::Error> {
    let mut script = Script::new();
    let mut counts = Vec::new();
    for path in paths {
        let driven = drive(&mut script, query.order, path)?;
        let Driven {
            counted,
            key,
            condition,
            branches,
            ..
        } = driven;
        counts.push(match path {
            // All rows are never few.
            AccessPath::All => SELECTIVE.to_string(),
            // The rows of many names cannot be merged.
            AccessPath::NamePrefix(prefix) => {
                let range = prefix_range(&mut script, "a.name", prefix)?;
                let (most, never) = (AccessPath::NAMES, SELECTIVE + 1);
                format!(
                    "(SELECT CASE WHEN c.rows < {SELECTIVE} OR {most} >= (\
                     SELECT count(*) FROM {counted}) \
                     THEN c.rows ELSE {never} END FROM (SELECT count(*) AS rows FROM (\
                     SELECT 1 FROM actions_action AS a WHERE {range} LIMIT {SELECTIVE})) AS c)"
                )
            }
            AccessPath::Times(_) => {
                let size = BlockTimes::ACTIONS;
                format!(
                    "(SELECT min({SELECTIVE}, {size} * count(*)) FROM {counted} WHERE {condition})"
                )
            }
            _ => {
                let Walk { beyond, begin, .. } = walk(query.order);
                // A cursor of the order of completion says nothing about numbers.
                let after = query.after.filter(|_| query.order != Order::Finished);
                let after = script.bind(after.map_or(begin, position_of))?;
                let count = |condition: &String| {
                    format!(
                        "(SELECT count(*) FROM (SELECT 1 FROM {counted} WHERE {condition} \
                         AND {key} {beyond} ${after} LIMIT {SELECTIVE}))"
                    )
                };
                match &branches[..] {
                    [] => count(&condition),
                    all => all.iter().map(count).collect::<Vec<_>>().join(" + "),
                }
            }
        });
    }
    script.push(&format!("SELECT json_array({})", counts.join(", ")));
    Ok(script)
}

/// Returns the index with the fewest rows, and true if these are less than [`SELECTIVE`]. The first
/// of several with as many.
pub(in crate::backend::sqlite) fn fewest(
    paths: Vec<AccessPath>,
    results: &[Vec<SqliteRow>],
) -> Result<(AccessPath, bool), StoreError> {
    let mut chosen = (AccessPath::All, usize::MAX);
    if let Some(row) = results.iter().flatten().next() {
        let mut counts = Columns::new("list", row)?;
        for path in paths {
            let count = counts.number()?;
            if count < chosen.1 {
                chosen = (path, count);
            }
        }
    }
    let (path, count) = chosen;
    Ok((path, count < SELECTIVE))
}

pub(super) fn drive(
    script: &mut Script,
    order: Order,
    path: &AccessPath,
) -> Result<Driven, sqlx::Error> {
    let blob = |uid: &ActionUid| uid.as_uuid().as_bytes().to_vec();
    Ok(match path {
        AccessPath::All if order == Order::Feed => {
            let from = "actions_feed AS f LEFT JOIN actions_action AS a ON a.number = f.action";
            Driven::of(from, "f.revision", "true".to_owned())
        }
        AccessPath::All => Driven::of_action("true".to_owned()),
        AccessPath::Uid(uid) => {
            let (number, value) = nearest(script, uid)?;
            Driven::of_action(format!("a.number = {number} AND +a.uid = ${value}"))
        }
        AccessPath::Parent(uid) => {
            let value = script.bind(blob(uid))?;
            Driven::of_action(format!("a.parent = ${value}"))
        }
        AccessPath::RetryOf(uid) => {
            let value = script.bind(blob(uid))?;
            Driven::of_action(format!("a.retry_of = ${value}"))
        }
        AccessPath::Correlation(text) => {
            let value = script.bind(text.to_string())?;
            Driven::of_action(format!("a.correlation = ${value}"))
        }
        AccessPath::CancelsOf(name) => {
            let value = script.bind(name.to_string())?;
            Driven::of_action(format!(
                "a.owner = ${value} AND a.status < 2 AND a.flags & 16 = 16"
            ))
        }
        AccessPath::UnfinishedOf(name) => {
            let value = script.bind(name.to_string())?;
            Driven::of_action(format!("a.owner = ${value} AND a.status < 2"))
        }
        AccessPath::Touches(object) => {
            let value = script.bind(object.as_str().to_owned())?;
            narrow("actions_touch AS t", format!("t.object = ${value}"))
        }
        AccessPath::Label(label) => {
            let value = script.bind(label.to_string())?;
            narrow("actions_label AS t", format!("t.label = ${value}"))
        }
        AccessPath::TouchesAny(objects) => {
            let objects = script.bind(json_of(objects))?;
            let touch = format!("json_each(${objects}) AS j CROSS JOIN actions_touch AS t");
            let from = format!("{touch} LEFT JOIN actions_action AS a ON a.number = t.action");
            Driven {
                counted: touch,
                ..Driven::of(from, "t.action", "t.object = j.value".to_owned())
            }
        }
        // No unfinished action has a place in this order.
        AccessPath::Unfinished if order == Order::Finished => {
            Driven::of_action("a.status < 2 AND a.number < 0".to_owned())
        }
        AccessPath::Unfinished => Driven::of_action("a.status < 2".to_owned()),
        AccessPath::States(states) => {
            let none = || "a.status < 2 AND a.number < 0".to_owned();
            let codes: Vec<String> = states.outcomes().map(|o| o.code().to_string()).collect();
            let ended = match codes.is_empty() {
                true => none(),
                false => format!("a.outcome IN ({}) AND a.outcome > 0", codes.join(", ")),
            };
            let unfinished = states
                .unfinished()
                .next()
                .map(|_| "a.status < 2".to_owned());
            let of_code = |code| format!("a.outcome = {code} AND a.outcome > 0");
            let mut branches: Vec<String> = codes.iter().map(of_code).collect();
            branches.extend(unfinished.filter(|_| order != Order::Finished));
            if branches.is_empty() {
                branches.push(none());
            }
            Driven {
                branches,
                ..Driven::of_action(ended)
            }
        }
        AccessPath::Ended(outcome) => {
            let value = script.bind(i64::from(outcome.code()))?;
            Driven::of_action(format!("a.outcome = ${value} AND a.outcome > 0"))
        }
        AccessPath::Tenant(tenant) => {
            let value = script.bind(tenant.to_string())?;
            Driven::of_action(format!("a.tenant = ${value} AND a.tenant <> 'default'"))
        }
        AccessPath::Name(name) => {
            let value = script.bind(name.to_string())?;
            Driven::of_action(format!("a.name = ${value}"))
        }
        AccessPath::NamePrefix(prefix) => {
            let search = name_search(script, prefix)?;
            let names = name_table(&search, "");
            Driven {
                counted: name_table(&search, &format!(" LIMIT {}", AccessPath::NAMES + 1)),
                ..Driven::of(
                    format!("{names} CROSS JOIN actions_action AS a"),
                    "a.number",
                    "a.name = j.value".to_owned(),
                )
            }
        }
        AccessPath::Times(times) => {
            let blocks = "actions_block AS s";
            let (size, last) = (BlockTimes::ACTIONS, BlockTimes::ACTIONS - 1);
            let from = format!(
                "{blocks} CROSS JOIN actions_action AS a \
                 ON a.number BETWEEN s.block * {size} AND s.block * {size} + {last}"
            );
            Driven {
                counted: blocks.to_owned(),
                order: &["s.block", "a.number"],
                // The bounds of the block select the rows of a block, not the cursor.
                key: "+a.number",
                exact: false,
                ..Driven::of(from, "a.number", within(script, times)?)
            }
        }
    })
}

/// Returns the access by a narrow table `t`, which has the numbers of actions.
fn narrow(table: &str, condition: String) -> Driven {
    let from = format!("{table} LEFT JOIN actions_action AS a ON a.number = t.action");
    Driven {
        counted: table.to_owned(),
        ..Driven::of(from, "t.action", condition)
    }
}

/// Returns the search for the names that begin with a text. Each name is found behind the last one.
fn name_search(script: &mut Script, prefix: &str) -> Result<String, sqlx::Error> {
    let range = prefix_range(script, "a.name", prefix)?;
    let one = |range: &str| {
        format!("SELECT a.name FROM actions_action AS a WHERE {range} ORDER BY a.name LIMIT 1")
    };
    Ok(format!(
        "SELECT ({}) UNION ALL SELECT ({}) FROM names WHERE names.value IS NOT NULL",
        one(&range),
        one(&format!("a.name > names.value AND {range}"))
    ))
}

/// Returns the table `j` of the names that a search finds.
fn name_table(search: &str, limit: &str) -> String {
    format!(
        "(WITH RECURSIVE names (value) AS ({search}{limit}) \
         SELECT value FROM names WHERE value IS NOT NULL) AS j"
    )
}

/// Returns the condition for blocks that may have actions of these times.
fn within(script: &mut Script, times: &Times) -> Result<String, sqlx::Error> {
    let mut conditions = Vec::new();
    let mut bound = |column: &str, op: &str, time: Option<Timestamp>| {
        if let Some(time) = time {
            let value = script.bind(time.as_micros())?;
            conditions.push(format!("s.{column} {op} ${value}"));
        }
        Ok::<(), sqlx::Error>(())
    };
    bound("created_max", ">=", times.created_from)?;
    bound("created_min", "<", times.created_before)?;
    bound("finished_max", ">=", times.finished_from)?;
    bound("finished_min", "<", times.finished_before)?;
    Ok(conditions.join(" AND "))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::sqlite::schema::{connect, connect_options};
    use crate::model::{Batch, Command, Finish, NewAction, Outcome};
    use crate::store::ActionStore;
    use crate::{ObjectRef, SqliteStore};

    /// The index that a page of this store reads.
    async fn chosen(path: &std::path::Path, filters: &[Filter]) -> (AccessPath, bool) {
        let mut query = Query::new();
        query.filters = filters.to_vec();
        let paths = candidates(&query);
        assert!(must_count(&query, &paths), "{paths:?}");
        let mut connection = connect(connect_options(path, true), None).await.unwrap();
        let script = count_script(&query, &paths).unwrap();
        let counts = script.run(&mut connection).await;
        fewest(
            paths,
            &counts.unwrap_or_else(|failed| panic!("{}", failed.error)),
        )
        .unwrap()
    }

    #[tokio::test]
    async fn a_page_reads_the_index_with_the_fewest_rows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("actions.db");
        let store = SqliteStore::open(&path).await.unwrap();
        let mut commands = Vec::new();
        for number in 0..1500 {
            let name = if number % 500 == 0 { "rare" } else { "common" };
            let new = Arc::new(NewAction::state_machine(name, ObjectRef::bdb(number % 2)));
            let uid = new.uid;
            commands.push(Command::Create { new, by: None });
            if number % 100 != 7 {
                let end = Finish::new(Outcome::Failed)
                    .with_error(crate::ActionError::new("broken", "it broke"));
                commands.push(Command::Apply {
                    uid,
                    op: crate::command::OpId::new(),
                    change: crate::Change::Finish(end),
                    by: None,
                    if_version: None,
                });
            }
        }
        for commands in commands.chunks(500) {
            let batch = Batch::all(commands.to_vec());
            for answer in store.write(batch).await.unwrap() {
                answer.unwrap();
            }
        }
        let failed = || Filter::Outcome(Outcome::Failed);
        let name = |name: &str| Filter::Name(name.into());
        let bdb = |id| Filter::Touches(ObjectRef::bdb(id));
        let rare = AccessPath::Name("rare".into());
        let found = chosen(&path, &[failed(), name("rare")]).await;
        assert_eq!(found, (rare.clone(), true));
        // Half of all actions touch an object.
        assert_eq!(chosen(&path, &[bdb(0), name("rare")]).await, (rare, true));
        let unfinished = chosen(&path, &[Filter::Unfinished, bdb(1)]).await;
        assert_eq!(unfinished, (AccessPath::Unfinished, true));
        // Both are large: the one that is usually the more selective.
        let found = chosen(&path, &[name("common"), failed()]).await;
        assert_eq!(found, (AccessPath::Ended(Outcome::Failed), false));
        let query = Query::new().with_filter(failed()).with_filter(name("rare"));
        assert_eq!(store.list(&query).await.unwrap().items.len(), 3);
        store.close().await.unwrap();
    }
}
