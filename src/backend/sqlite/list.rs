//! Pages of actions: one index selects rows, and the other terms filter a bounded number of them.

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;

use super::branch::Lineage;
use super::decode::{Columns, decode_action, read_key};
use super::errors::corrupt;
use super::reader::read_first;
use super::rows::{PACKED_ACTION, PACKED_SUMMARY};
use super::script::Script;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{
    AccessPath, Action, ActionUid, Cursor, Detail, Filter, Limits, ObjectRef, ObjectSet, Order,
    Page, Query, Revision,
};

/// The column and the direction of an order.
struct Walk {
    /// The column that a cursor holds.
    key: &'static str,
    /// The condition for rows after a cursor.
    beyond: &'static str,
    /// The condition for rows up to the last one that a page may examine.
    within: &'static str,
    direction: &'static str,
    /// The start value, before the first row.
    begin: i64,
}

/// The index access of a query.
struct Driven {
    /// The tables, the selecting one first; CROSS JOIN keeps that order.
    from: &'static str,
    key: &'static str,
    /// The selecting condition. It contains literals where a partial index requires them.
    condition: String,
    /// True if the condition covers its whole term.
    exact: bool,
}

/// Returns the script of one page. The first row has the position and the last row that the page
/// may examine. The other rows follow, each after its key. One statement, so all of it is from the
/// same moment.
pub(super) fn script(query: &Query) -> Result<Script, sqlx::Error> {
    let mut script = Script::new();
    let driver = driver(query);
    let driven = drive(&mut script, query.order, &driver)?;
    let walk = walk(query.order, driven.key);
    let after = query.after.map_or(walk.begin, |cursor| {
        i64::try_from(cursor.position()).unwrap_or(i64::MAX)
    });
    let after = script.bind(after)?;
    let limit = script.bind(i64::from(query.limit) + 1)?;

    let mut filters = Vec::new();
    for filter in &query.filters {
        if !(driven.exact && is_driven_by(filter, &driver)) {
            filters.push(match (filter, &driver) {
                (Filter::Uid(uid), AccessPath::TouchesAny(_)) => touching(&mut script, uid)?,
                _ => condition(&mut script, filter)?,
            });
        }
    }
    let Driven {
        from, condition, ..
    } = driven;
    let Walk {
        key,
        beyond,
        within,
        direction,
        ..
    } = walk;
    let base = format!("FROM {from} WHERE {condition} AND {key} {beyond} ${after}");
    let action = match query.detail {
        Detail::Summary => &*PACKED_SUMMARY,
        _ => &*PACKED_ACTION,
    };

    let one = query
        .filters
        .iter()
        .any(|filter| matches!(filter, Filter::Uid(_)));
    let last = match &driver {
        // There is at most one row.
        AccessPath::Uid(_) => "NULL".to_owned(),
        AccessPath::TouchesAny(_) if one => "NULL".to_owned(),
        AccessPath::TouchesAny(objects) => {
            // Each object gets an equal share of rows. The page ends where the first share ends, so
            // that the union of the shares is complete.
            let skip = Limits::SCAN / objects.len().max(1) - 1;
            let first = if direction == "ASC" { "min" } else { "max" };
            format!(
                "(SELECT {first}((SELECT x.action FROM actions_touch AS x \
                 WHERE x.object = j.value AND x.action {beyond} ${after} \
                 ORDER BY x.action {direction} LIMIT 1 OFFSET {skip})) FROM json_each($1) AS j)"
            )
        }
        // No filter: the page ends at its limit.
        _ if filters.is_empty() => "NULL".to_owned(),
        _ => {
            let skip = Limits::SCAN - 1;
            format!("(SELECT {key} {base} ORDER BY {key} {direction} LIMIT 1 OFFSET {skip})")
        }
    };
    // Computed once: the page ends there, and the next one begins there.
    let (with, last, bound) = match &*last {
        "NULL" => (String::new(), last, String::new()),
        found => {
            let with = format!("WITH reach AS MATERIALIZED (SELECT {found} AS last) ");
            let last = "(SELECT last FROM reach)".to_owned();
            let bound = format!(" AND {key} {within} coalesce({last}, {})", end(query.order));
            (with, last, bound)
        }
    };
    let filters: String = filters
        .iter()
        .map(|filter| format!(" AND {filter}"))
        .collect();
    let rows = format!("{base}{bound}{filters}");
    let rows = match driver {
        // An action found by several objects is one row, and only numbers are sorted.
        AccessPath::TouchesAny(_) => format!(
            "SELECT n.number, {action} FROM (SELECT DISTINCT a.number {rows} \
             ORDER BY a.number {direction} LIMIT ${limit}) AS n \
             CROSS JOIN actions_action AS a ON a.number = n.number ORDER BY n.number {direction}"
        ),
        _ => format!("SELECT {key}, {action} {rows} ORDER BY {key} {direction} LIMIT ${limit}"),
    };
    script.push(&format!(
        "{with}SELECT NULL, json_array(revision, pruned_through, pruned_created, last_number, \
         last_entry, {last}) FROM actions_store WHERE id = 1 \
         UNION ALL SELECT * FROM ({rows})"
    ));
    Ok(script)
}

fn driver(query: &Query) -> AccessPath {
    let objects = query.filters.iter().find_map(|filter| match filter {
        Filter::TouchesAny(objects) => Some(objects),
        _ => None,
    });
    match (query.order, query.driver(), objects) {
        (Order::Feed, ..) => AccessPath::All,
        // Examines each object, even if no such action exists. Otherwise the response time would
        // show whether it exists.
        (_, AccessPath::Uid(_), Some(objects)) => AccessPath::TouchesAny(objects.clone()),
        (_, driver, _) => driver,
    }
}

fn walk(order: Order, key: &'static str) -> Walk {
    match order {
        Order::Oldest | Order::Feed => Walk {
            key,
            beyond: ">",
            within: "<=",
            direction: "ASC",
            begin: 0,
        },
        _ => Walk {
            key,
            beyond: "<",
            within: ">=",
            direction: "DESC",
            begin: i64::MAX,
        },
    }
}

/// The value beyond the last row of a scan.
fn end(order: Order) -> i64 {
    match order {
        Order::Oldest | Order::Feed => i64::MAX,
        _ => 0,
    }
}

fn drive(script: &mut Script, order: Order, driver: &AccessPath) -> Result<Driven, sqlx::Error> {
    const ACTION: &str = "actions_action AS a";
    let blob = |uid: &ActionUid| uid.as_uuid().as_bytes().to_vec();
    let (from, key, condition, exact) = match driver {
        AccessPath::All if order == Order::Feed => (
            "actions_feed AS f CROSS JOIN actions_action AS a ON a.number = f.action",
            "f.revision",
            "true".to_owned(),
            false,
        ),
        AccessPath::All => (ACTION, "a.number", "true".to_owned(), false),
        AccessPath::Uid(uid) => {
            let (number, value) = nearest(script, uid)?;
            let condition = format!("a.number = {number} AND +a.uid = ${value}");
            (ACTION, "a.number", condition, true)
        }
        AccessPath::Parent(uid) => {
            let value = script.bind(blob(uid))?;
            (ACTION, "a.number", format!("a.parent = ${value}"), true)
        }
        AccessPath::RetryOf(uid) => {
            let value = script.bind(blob(uid))?;
            (ACTION, "a.number", format!("a.retry_of = ${value}"), true)
        }
        AccessPath::Correlation(text) => {
            let value = script.bind(text.to_string())?;
            (
                ACTION,
                "a.number",
                format!("a.correlation = ${value}"),
                true,
            )
        }
        AccessPath::CancelsOf(name) => {
            let value = script.bind(name.to_string())?;
            let condition =
                format!("a.owner = ${value} AND a.status < 2 AND a.cancel_at IS NOT NULL");
            (ACTION, "a.number", condition, true)
        }
        AccessPath::UnfinishedOf(name) => {
            let value = script.bind(name.to_string())?;
            let condition = format!("a.owner = ${value} AND a.status < 2");
            (ACTION, "a.number", condition, true)
        }
        AccessPath::Touches(object) => {
            let value = script.bind(object.as_str().to_owned())?;
            (
                "actions_touch AS t CROSS JOIN actions_action AS a ON a.number = t.action",
                "t.action",
                format!("t.object = ${value}"),
                true,
            )
        }
        AccessPath::TouchesAny(objects) => {
            let first = script.bind(written(objects))?;
            debug_assert_eq!(first, 1, "named $1 here and where the page ends");
            (
                "json_each($1) AS j CROSS JOIN actions_touch AS t \
                 CROSS JOIN actions_action AS a ON a.number = t.action",
                "t.action",
                "t.object = j.value".to_owned(),
                true,
            )
        }
        AccessPath::Unfinished => (ACTION, "a.number", "a.status < 2".to_owned(), true),
        AccessPath::Ended(outcome) => {
            let value = script.bind(i64::from(outcome.code()))?;
            let condition = format!("a.outcome = ${value} AND a.outcome > 0");
            (ACTION, "a.number", condition, true)
        }
        AccessPath::Tenant(tenant) => {
            let value = script.bind(tenant.to_string())?;
            let condition = format!("a.tenant = ${value} AND a.tenant <> 'default'");
            (ACTION, "a.number", condition, true)
        }
        AccessPath::Name(name) => {
            let value = script.bind(name.to_string())?;
            (ACTION, "a.number", format!("a.name = ${value}"), true)
        }
    };
    Ok(Driven {
        from,
        key,
        condition,
        exact,
    })
}

/// Returns true if a term says exactly what the selecting condition says.
fn is_driven_by(filter: &Filter, driver: &AccessPath) -> bool {
    match (filter, driver) {
        (Filter::Uid(uid), AccessPath::Uid(driven)) => uid == driven,
        (Filter::TouchesAny(objects), AccessPath::TouchesAny(driven)) => objects == driven,
        (Filter::Parent(uid), AccessPath::Parent(driven)) => uid == driven,
        (Filter::RetryOf(uid), AccessPath::RetryOf(driven)) => uid == driven,
        (Filter::Correlation(text), AccessPath::Correlation(driven)) => text == driven,
        (
            Filter::OwnerName(name),
            AccessPath::UnfinishedOf(driven) | AccessPath::CancelsOf(driven),
        ) => name == driven,
        (
            Filter::Unfinished,
            AccessPath::UnfinishedOf(_) | AccessPath::CancelsOf(_) | AccessPath::Unfinished,
        ) => true,
        (Filter::CancelRequested, AccessPath::CancelsOf(_)) => true,
        (Filter::Touches(object), AccessPath::Touches(driven)) => object == driven,
        (Filter::Outcome(outcome), AccessPath::Ended(driven)) => outcome == driven,
        (Filter::Tenant(tenant), AccessPath::Tenant(driven)) => tenant == driven,
        (Filter::Name(name), AccessPath::Name(driven)) => name == driven,
        _ => false,
    }
}

/// Returns the condition of a filtering term. The plus stops its column from selecting the index.
fn condition(script: &mut Script, filter: &Filter) -> Result<String, sqlx::Error> {
    let blob = |uid: &ActionUid| uid.as_uuid().as_bytes().to_vec();
    let mut text = |column: &str, text: &str| {
        let value = script.bind(text.to_owned())?;
        Ok(format!("+a.{column} = ${value}"))
    };
    match filter {
        Filter::Name(name) => text("name", name),
        Filter::Object(object) => text("object", object.as_str()),
        Filter::Tenant(tenant) => text("tenant", tenant),
        Filter::Actor(actor) => text("actor", actor),
        Filter::OwnerName(name) => text("owner", name),
        Filter::Correlation(correlation) => text("correlation", correlation),
        Filter::Touches(object) => {
            let value = script.bind(object.as_str().to_owned())?;
            Ok(format!(
                "EXISTS (SELECT 1 FROM actions_touch AS x \
                 WHERE x.object = ${value} AND x.action = a.number)"
            ))
        }
        Filter::TouchesAny(objects) => {
            let value = script.bind(written(objects))?;
            // Uses the action's own columns, not `actions_touch`, which would need a search for
            // each object.
            Ok(format!(
                "(a.object IN (SELECT value FROM json_each(${value})) \
                 OR EXISTS (SELECT 1 FROM json_each(a.related) AS j \
                 WHERE j.value ->> 'object' IN (SELECT value FROM json_each(${value}))))"
            ))
        }
        Filter::Uid(uid) => {
            let value = script.bind(blob(uid))?;
            Ok(format!("+a.uid = ${value}"))
        }
        Filter::Status(status) => int(script, "status", "=", status.code().into()),
        Filter::Unfinished => Ok("+a.status < 2".to_owned()),
        Filter::Outcome(outcome) => int(script, "outcome", "=", outcome.code().into()),
        Filter::Source(source) => int(script, "source", "=", source.code().into()),
        Filter::Owner(owner) => {
            let name = script.bind(owner.name.to_string())?;
            let uuid = owner.incarnation.as_uuid();
            let incarnation = script.bind(uuid.as_bytes().to_vec())?;
            Ok(format!(
                "+a.owner = ${name} AND a.incarnation = ${incarnation}"
            ))
        }
        Filter::Parent(uid) => {
            let value = script.bind(blob(uid))?;
            Ok(format!("+a.parent = ${value}"))
        }
        Filter::RetryOf(uid) => {
            let value = script.bind(blob(uid))?;
            Ok(format!("+a.retry_of = ${value}"))
        }
        Filter::CreatedFrom(time) => int(script, "created_at", ">=", time.as_micros()),
        Filter::CreatedBefore(time) => int(script, "created_at", "<", time.as_micros()),
        Filter::FinishedFrom(time) => int(script, "finished_at", ">=", time.as_micros()),
        Filter::FinishedBefore(time) => int(script, "finished_at", "<", time.as_micros()),
        Filter::CancelRequested => Ok("a.cancel_at IS NOT NULL".to_owned()),
        // `Query::check` refuses it earlier.
        Filter::Unknown => Ok("false".to_owned()),
    }
}

/// Returns the number of an action and the value that its uid is. For a missing action, returns the
/// number of a neighbour: a row is examined in both cases, so the time does not show which one it
/// was.
fn nearest(script: &mut Script, uid: &ActionUid) -> Result<(String, usize), sqlx::Error> {
    let value = script.bind(uid.as_uuid().as_bytes().to_vec())?;
    let number = format!(
        "(SELECT u.number FROM actions_action AS u WHERE u.uid <= ${value} \
         ORDER BY u.uid DESC LIMIT 1)"
    );
    Ok((number, value))
}

/// An object is touched by one action, or by none if the action does not exist.
fn touching(script: &mut Script, uid: &ActionUid) -> Result<String, sqlx::Error> {
    let (number, value) = nearest(script, uid)?;
    Ok(format!(
        "t.action = coalesce({number}, 0) AND +a.uid = ${value}"
    ))
}

/// Encodes objects as a JSON array.
fn written(objects: &ObjectSet) -> String {
    let texts: Vec<&str> = objects.iter().map(ObjectRef::as_str).collect();
    // Texts are written to memory, which cannot fail.
    serde_json::to_string(&texts).unwrap_or_default()
}

fn int(script: &mut Script, column: &str, op: &str, number: i64) -> Result<String, sqlx::Error> {
    let value = script.bind(number)?;
    Ok(format!("+a.{column} {op} ${value}"))
}

/// Reads the result of the script.
pub(super) fn read(
    query: &Query,
    lineage: &Lineage,
    results: &[Vec<SqliteRow>],
) -> Result<Page<Arc<Action>>, StoreError> {
    let (at, mut columns, rows) = read_first("list", lineage, query.after, results)?;
    if query
        .after
        .is_some_and(|after| after.is_expired(at.pruned_through))
    {
        return Err(StoreError::new(
            ErrorKind::CursorExpired,
            "list",
            "actions after this cursor were removed; restart without a cursor",
        ));
    }
    let bound = columns.int_opt()?;
    let limit = usize::from(query.limit);
    let full = rows.len() > limit;
    let (mut items, mut last) = (Vec::with_capacity(rows.len().min(limit)), None);
    for row in rows.iter().take(limit) {
        last = Some(read_key("list", row)?);
        items.push(Arc::new(decode_action(&mut Columns::new("list", row)?)?.1));
    }
    // A full page continues after its last row. A short page continues after the last row that it
    // may examine.
    let end = if full { last } else { bound };
    let next = match end {
        None => None,
        Some(end) => {
            let end = u64::try_from(end).map_err(|_| corrupt("list", "a number is negative"))?;
            Some(match query.order {
                Order::Oldest => Cursor::oldest(at, end),
                Order::Feed => Cursor::feed_after(Revision::new(end), query.after, at),
                _ => Cursor::newest(at, end),
            })
        }
    };
    Ok(Page::new(items, next, at))
}
