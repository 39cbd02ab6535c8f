//! Tests with SQLite's query plans that every statement finds its rows by an index.

mod chosen;
mod lists;
mod statistics;
mod writes;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

use self::statistics::{SIZES, connection};
use super::script::Script;
use super::{exclusive, get, log, owners};
use crate::model::{ActionUid, LogQuery, OwnerQuery};

/// The steps of a script's plans, each with the statement it belongs to.
async fn steps(connection: &mut SqliteConnection, script: &Script) -> Vec<(String, String)> {
    let mut steps = Vec::new();
    for statement in script.statements() {
        if ["BEGIN", "BEGIN IMMEDIATE", "COMMIT"].contains(&statement) {
            continue;
        }
        // See `SqliteDialect::limit`.
        assert!(!statement.contains("LIMIT $"), "{statement}");
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
