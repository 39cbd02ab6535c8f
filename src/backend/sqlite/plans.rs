//! Tests with SQLite's query plans that every statement finds its rows by an index.

mod chosen;
mod statistics;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

use self::statistics::{SIZES, connection};
use super::script::Script;
use super::{exclusive, get, list, load, log, owners, save};
use crate::backend::sql::{Frame, Stored, candidates, must_count};
use crate::model::{
    AccessPath, ActionUid, Batch, Command, Filter, LogQuery, NewAction, ObjectRef, ObjectSet, OpId,
    Order, Outcome, OwnerQuery, OwnerRef, Query, ReadSet, Source, StateSet, Status, Timestamp,
    TxnState, WriteSet, plan, read_set,
};

/// The steps of a script's plans, each with the statement it belongs to.
async fn steps(connection: &mut SqliteConnection, script: &Script) -> Vec<(String, String)> {
    let mut steps = Vec::new();
    for statement in script.statements() {
        if ["BEGIN", "BEGIN IMMEDIATE", "COMMIT"].contains(&statement) {
            continue;
        }
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let rows = sqlx::query(explain)
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        steps.extend(
            rows.iter()
                .map(|row| (row.get("detail"), statement.to_owned())),
        );
    }
    steps
}

/// Returns the steps that scan something, except encoded rows and lists that a subquery made.
async fn scans(connection: &mut SqliteConnection, script: &Script) -> Vec<String> {
    let lists = ["SCAN j VIRTUAL TABLE", "SCAN json_each ", "SCAN (subquery"];
    // A claim counts and scans the ended owners: there are about a thousand.
    let ended = [
        "SCAN actions_owner USING COVERING INDEX actions_owner_ended",
        "SCAN ended",
    ];
    let bounded = |step: &str| {
        lists
            .iter()
            .chain(&ended)
            .any(|list| step.starts_with(list))
    };
    let harmless = [
        "SCAN j",
        "SCAN CONSTANT ROW",
        // The rows of an index that are counted are bounded.
        "SCAN c",
        // A row for each 1024 actions.
        "SCAN s",
        // The numbers of a page's rows, and the last row it may examine, are found by search.
        "SCAN n",
        // At most the names that are merged, and the columns of one row.
        "SCAN names",
        "SCAN c",
        "SCAN m",
        "SCAN r",
        "SCAN reach",
    ];
    let scans =
        |step: &str| step.starts_with("SCAN") && !harmless.contains(&step) && !bounded(step);
    let steps = steps(connection, script).await.into_iter();
    steps
        .filter(|(step, _)| scans(step))
        .map(|(step, sql)| format!("{step} in {sql}"))
        .collect()
}

/// A set of states that reads several indexes.
fn mixed() -> StateSet {
    StateSet::new()
        .with_status(Status::Executing)
        .with_outcomes([Outcome::Failed, Outcome::Lost])
}

fn every_term() -> Vec<Filter> {
    let uid = ActionUid::new();
    let owner = OwnerRef::new("o");
    vec![
        Filter::Uid(uid),
        Filter::Status(Status::Queued),
        Filter::Status(Status::Completed),
        Filter::Unfinished,
        Filter::Outcome(Outcome::Failed),
        Filter::Outcome(Outcome::Succeeded),
        Filter::Source(Source::Task),
        Filter::Name("n".into()),
        Filter::NamePrefix("n".into()),
        Filter::label("region", "eu-1"),
        Filter::label_key("region"),
        Filter::States(mixed()),
        Filter::States(StateSet::UNFINISHED),
        Filter::States(StateSet::new()),
        Filter::States(StateSet::ALL),
        Filter::Object(ObjectRef::bdb(1)),
        Filter::Touches(ObjectRef::bdb(1)),
        Filter::TouchesAny(ObjectSet::new([ObjectRef::bdb(1), ObjectRef::bdb(2)])),
        Filter::Tenant("default".into()),
        Filter::Tenant("t".into()),
        Filter::Actor("a".into()),
        Filter::OwnerName(owner.name.clone()),
        Filter::Owner(owner),
        Filter::Parent(uid),
        Filter::RetryOf(uid),
        Filter::Correlation("c".into()),
        Filter::CreatedFrom(Timestamp::from_seconds(1)),
        Filter::CreatedBefore(Timestamp::from_seconds(1)),
        Filter::FinishedFrom(Timestamp::from_seconds(1)),
        Filter::FinishedBefore(Timestamp::from_seconds(1)),
        Filter::CancelRequested,
    ]
}

/// The scripts that a page may run: the counting of its indexes, and the page by each of them.
fn every_script(query: &Query) -> Vec<Script> {
    let paths = candidates(query);
    let mut scripts = Vec::new();
    for path in &paths {
        scripts.push(list::script(query, path, false).unwrap());
        // All rows are never few.
        if *path != AccessPath::All {
            scripts.push(list::script(query, path, true).unwrap());
        }
    }
    if must_count(query, &paths) {
        scripts.push(list::count_script(query, &paths).unwrap());
    }
    scripts
}

#[tokio::test]
async fn every_list_searches_by_the_index_that_drives_it() {
    for rows in SIZES {
        let (_dir, mut connection) = connection(rows).await;
        let filters = every_term();
        for order in [Order::Newest, Order::Oldest, Order::Finished, Order::Feed] {
            for first in &filters {
                for second in &filters {
                    let query = Query::new().with_order(order);
                    let query = query.with_filter(first.clone()).with_filter(second.clone());
                    for script in every_script(&query) {
                        let found = scans(&mut connection, &script).await;
                        assert!(found.is_empty(), "{query:?}\n{}", found.join("\n"));
                    }
                }
            }
            for script in every_script(&Query::new().with_order(order)) {
                assert_eq!(scans(&mut connection, &script).await, [""; 0]);
            }
        }
    }
}

#[tokio::test]
async fn each_driving_term_uses_its_own_index() {
    let (_dir, mut connection) = connection(None).await;
    let uid = ActionUid::new();
    let owner = OwnerRef::new("o");
    let cases = [
        (vec![], "a USING INTEGER PRIMARY KEY (rowid<?)"),
        (
            vec![Filter::Unfinished],
            "actions_action_unfinished (number<?)",
        ),
        (
            vec![Filter::Status(Status::Queued)],
            "actions_action_unfinished (number<?)",
        ),
        (
            vec![Filter::Outcome(Outcome::Lost)],
            "actions_action_ended (outcome=? AND number<?)",
        ),
        (
            vec![Filter::Name("n".into())],
            "actions_action_name (name=? AND number<?)",
        ),
        (
            vec![Filter::NamePrefix("n".into())],
            "actions_action_name (name=? AND number>? AND number<?)",
        ),
        (
            vec![Filter::label("region", "eu-1")],
            "t USING PRIMARY KEY (label=? AND action<?)",
        ),
        (
            vec![Filter::label_key("region")],
            "t USING PRIMARY KEY (label=? AND action<?)",
        ),
        (
            vec![Filter::States(StateSet::UNFINISHED)],
            "actions_action_unfinished (number<?)",
        ),
        (
            vec![Filter::States(mixed())],
            "actions_action_ended (outcome=? AND number<?)",
        ),
        (vec![Filter::States(mixed())], "MERGE (UNION ALL)"),
        (
            vec![Filter::Object(ObjectRef::bdb(1))],
            "t USING PRIMARY KEY (object=? AND action<?)",
        ),
        (
            vec![Filter::Touches(ObjectRef::bdb(1))],
            "t USING PRIMARY KEY (object=? AND action<?)",
        ),
        (
            vec![Filter::TouchesAny(ObjectSet::new([ObjectRef::bdb(1)]))],
            "t USING PRIMARY KEY (object=? AND action>? AND action<?)",
        ),
        (
            vec![
                Filter::Uid(uid),
                Filter::TouchesAny(ObjectSet::new([ObjectRef::bdb(1)])),
            ],
            "t USING PRIMARY KEY (object=? AND action=?)",
        ),
        (
            vec![Filter::Uid(uid)],
            "u USING COVERING INDEX sqlite_autoindex_actions_action_1 (uid<?)",
        ),
        (
            vec![Filter::Tenant("t".into())],
            "actions_action_tenant (tenant=? AND number<?)",
        ),
        (
            vec![Filter::OwnerName("o".into()), Filter::Unfinished],
            "actions_action_owner (owner=? AND number<?)",
        ),
        (
            vec![
                Filter::OwnerName("o".into()),
                Filter::Unfinished,
                Filter::CancelRequested,
            ],
            "actions_action_cancel (owner=? AND number<?)",
        ),
        (
            vec![Filter::Owner(owner), Filter::Unfinished],
            "actions_action_owner (owner=? AND number<?)",
        ),
        (
            vec![Filter::Parent(uid)],
            "actions_action_parent (parent=? AND number<?)",
        ),
        (
            vec![Filter::RetryOf(uid)],
            "actions_action_retry (retry_of=? AND number<?)",
        ),
        (
            vec![Filter::Correlation("c".into())],
            "actions_action_correlation (correlation=? AND number<?)",
        ),
    ];
    for (filters, expected) in cases {
        let mut query = Query::new();
        query.filters.clone_from(&filters);
        let paths = candidates(&query);
        let script = list::script(&query, &paths[0], false).unwrap();
        let steps = steps(&mut connection, &script).await;
        let rows = steps.iter().filter(|(_, sql)| sql.contains("a.body"));
        let found: Vec<&str> = rows.map(|(step, _)| step.as_str()).collect();
        assert!(
            found.iter().any(|step| step.contains(expected)),
            "{filters:?}: {found:#?}"
        );
        // Only numbers are sorted when several objects are combined; rows never are.
        let numbers = found.iter().position(|step| *step == "SCAN n");
        let rows = &found[numbers.unwrap_or(0)..];
        assert!(
            !rows.iter().any(|step| step.contains("TEMP B-TREE")),
            "{filters:?}: {found:#?}"
        );
    }
}

#[tokio::test]
async fn get_and_log_search() {
    for rows in SIZES {
        let (_dir, mut connection) = connection(rows).await;
        let uid = ActionUid::new();
        for script in [
            get::script(&[uid]).unwrap(),
            get::absent_script(&[uid]).unwrap(),
            log::script(&LogQuery::of(uid)).unwrap(),
            log::script(&LogQuery::all()).unwrap(),
        ] {
            assert_eq!(scans(&mut connection, &script).await, [""; 0]);
        }
    }
}

#[tokio::test]
async fn pages_of_owners_search() {
    for rows in SIZES {
        let (_dir, mut connection) = connection(rows).await;
        let name = || OwnerQuery::new().with_name("plane");
        let mut active = name();
        active.active = true;
        for query in [OwnerQuery::new(), OwnerQuery::active(), name(), active] {
            let script = owners::script(&query).unwrap();
            assert_eq!(scans(&mut connection, &script).await, [""; 0], "{query:?}");
        }
    }
}

#[tokio::test]
async fn owners_that_have_ended_are_not_read_to_find_the_living() {
    for rows in SIZES {
        let (_dir, mut connection) = connection(rows).await;
        let mut script = Script::new();
        script.push(&exclusive::LIVING);
        let steps = steps(&mut connection, &script).await;
        let [(step, _)] = &steps[..] else {
            panic!("{steps:?}");
        };
        assert!(step.contains("actions_owner_alive"), "{step}");
    }
}

/// Returns the statements inside the triggers, because a query plan does not show them.
fn statements_of_triggers(sql: &str) -> Vec<String> {
    let Some((head, body)) = sql.split_once("BEGIN\n") else {
        panic!("no trigger: {sql}");
    };
    let mut statements: Vec<String> = body
        .split(';')
        .map(|statement| statement.trim().to_owned())
        .filter(|statement| !statement.is_empty() && statement != "END")
        .filter(|statement| !statement.starts_with("SELECT RAISE"))
        .collect();
    let when = head.split_once("WHEN ").map(|(_, when)| when.trim());
    statements.extend(when.map(|when| format!("SELECT {when}")));
    // Every column gets a known value.
    let mut known = Vec::new();
    for statement in statements {
        let mut text = String::new();
        let mut rest = &*statement;
        while let Some(at) = rest.find("NEW.").or_else(|| rest.find("OLD.")) {
            let at = rest.find("OLD.").map_or(at, |old| old.min(at));
            text.push_str(&rest[..at]);
            text.push('?');
            rest = rest[at + 4..].trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        }
        text.push_str(rest);
        known.push(text);
    }
    known
}

#[tokio::test]
async fn triggers_search() {
    for rows in SIZES {
        let (_dir, mut connection) = connection(rows).await;
        let triggers = "SELECT sql FROM sqlite_master WHERE type = 'trigger'";
        let triggers: Vec<String> = sqlx::query_scalar(triggers)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let statements = triggers.iter().flat_map(|sql| statements_of_triggers(sql));
        let mut script = Script::new();
        statements.for_each(|statement| script.push(&statement));
        assert!(script.len() >= 8, "{}", script.len());
        let searched = steps(&mut connection, &script).await;
        let searched = searched
            .iter()
            .filter(|(step, _)| step.starts_with("SEARCH"));
        assert!(searched.count() >= 8);
        assert_eq!(scans(&mut connection, &script).await, [""; 0]);
    }
}

#[tokio::test]
async fn writes_search() {
    for rows in SIZES {
        let (_dir, mut connection) = connection(rows).await;
        let owner = OwnerRef::new("o");
        let new = NewAction::state_machine("SM", ObjectRef::bdb(1))
            .with_exclusive("k")
            .with_idempotency_key("i")
            .with_label("region", "eu-1");
        let batch = Batch::each(vec![
            Command::Claim {
                owner: owner.clone(),
                take_over: true,
            },
            Command::Create {
                new: new.clone().into(),
                by: Some(owner.clone()),
            },
            Command::Apply {
                uid: new.uid,
                op: OpId::new(),
                change: crate::model::Change::Start,
                by: Some(owner),
                if_version: None,
            },
        ]);
        let read_set = read_set(&batch).unwrap();
        let script = load::script(std::iter::once(&read_set), Some(load::BEGIN))
            .unwrap()
            .script;
        assert_eq!(scans(&mut connection, &script).await, [""; 0]);

        // One row and rows in a list use different statements.
        for rows_of_a_kind in [1, 2] {
            let write_set = every_change(&batch, &read_set, rows_of_a_kind);
            let stored = Stored::default();
            let numbers = Default::default();
            let frame = Frame::BeginAndCommit;
            let save = save::script(&write_set, stored, numbers, frame).unwrap();
            assert!(save.script.len() >= 20, "{}", save.script.len());
            assert_eq!(scans(&mut connection, &save.script).await, [""; 0]);
        }
    }
}

/// Returns the changes of a plan with every kind of row. Then fills each kind of change by hand,
/// with so many rows of each kind.
fn every_change(batch: &Batch, read_set: &ReadSet, rows: usize) -> WriteSet {
    fn repeat<T: Clone>(those: &mut Vec<T>, times: usize) {
        *those = vec![&those[..]; times].concat();
    }
    let mut txn = TxnState::new();
    plan(batch, read_set, &mut txn, Timestamp::from_seconds(1));
    let mut write_set: WriteSet = txn.into_write_set();
    write_set.log.truncate(1);
    let action = write_set.created[0].clone();
    write_set.updated.push(action.clone());
    write_set.removed.push(action.clone());
    write_set.trim.push(action.uid);
    write_set.pinned.push(action.uid);
    write_set.unpinned.push(action.uid);
    for actions in [
        &mut write_set.created,
        &mut write_set.updated,
        &mut write_set.removed,
    ] {
        repeat(actions, rows);
    }
    for uids in [
        &mut write_set.trim,
        &mut write_set.pinned,
        &mut write_set.unpinned,
    ] {
        repeat(uids, rows);
    }
    write_set.keys_taken.truncate(1);
    repeat(&mut write_set.keys_taken, rows);
    let keys = write_set.keys_taken.iter();
    write_set.keys_freed = keys.map(|(key, _)| key.clone()).collect();
    repeat(&mut write_set.log, rows);
    repeat(&mut write_set.owners, rows);
    write_set.owners_forgotten = write_set.owners.iter().map(|o| o.owner.clone()).collect();
    write_set
}
