//! Hand-written read endpoints for one table: axum, sqlx rows into structs, `Json`. They have no
//! scopes, parameters, waiting, ETags, or pages after the first.

use std::path::Path;
use std::sync::LazyLock;

use action_store::{Action, ActionStore, ActionStoreExt as _, Order, Query};
use axum::extract::{self, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteRow};
use sqlx::{Row as _, SqliteConnection};

const SCHEMA: &str = "CREATE TABLE actions (
  number INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  machine INTEGER NOT NULL,
  name TEXT NOT NULL,
  object TEXT,
  status INTEGER NOT NULL,
  outcome TEXT,
  progress INTEGER NOT NULL,
  step TEXT,
  error_code TEXT,
  error_message TEXT,
  last_seen_at INTEGER NOT NULL
) STRICT;
CREATE INDEX actions_unfinished ON actions (number) WHERE status < 2;";

static ONE: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {COLUMNS} FROM actions WHERE uid = ?"));

/// Returns the unfinished actions, then the newest finished ones.
static LISTS: LazyLock<[String; 2]> = LazyLock::new(|| {
    ["status < 2", "status = 2"].map(|condition| {
        format!("SELECT {COLUMNS} FROM actions WHERE {condition} ORDER BY number DESC LIMIT ?")
    })
});

const COLUMNS: &str = "uid, machine, name, object, status, outcome, progress, step, error_code, \
     error_message, last_seen_at";

#[derive(Default, Serialize)]
struct List {
    actions: Vec<Entry>,
    #[serde(rename = "state-machines")]
    state_machines: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Entry {
    Task {
        action_uid: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error_code: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error_message: Option<String>,
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        node_uid: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        object_name: Option<String>,
        progress: String,
        status: &'static str,
        task_id: String,
    },
    StateMachine {
        action_uid: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        heartbeat: i64,
        name: String,
        object_name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pending_ops: Option<serde_json::Map<String, serde_json::Value>>,
        progress: Percent,
        #[serde(skip_serializing_if = "Option::is_none")]
        state: Option<String>,
        status: &'static str,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Percent {
    Done(u8),
    At(f64),
}

fn status(status: i64, outcome: Option<&str>) -> &'static str {
    match (status, outcome) {
        (0, _) => "queued",
        (1, _) => "executing",
        (_, Some("succeeded")) => "completed",
        (_, Some("cancelled")) => "cancelled",
        _ => "failed",
    }
}

fn entry(row: &SqliteRow) -> Result<Entry, sqlx::Error> {
    let action_uid: String = row.try_get(0)?;
    let (machine, name): (bool, String) = (row.try_get(1)?, row.try_get(2)?);
    let object: Option<String> = row.try_get(3)?;
    let (code, outcome): (i64, Option<&str>) = (row.try_get(4)?, row.try_get(5)?);
    let (progress, unfinished): (i64, bool) = (row.try_get(6)?, code < 2);
    let (step, error_code): (Option<String>, _) = (row.try_get(7)?, row.try_get(8)?);
    let (error, seen): (Option<String>, i64) = (row.try_get(9)?, row.try_get(10)?);
    let status = status(code, outcome);
    let percent = progress as f64 / 100.0;
    if machine {
        return Ok(Entry::StateMachine {
            action_uid,
            error,
            heartbeat: seen.div_euclid(1_000_000),
            name,
            object_name: object.unwrap_or_default(),
            pending_ops: unfinished.then(serde_json::Map::new),
            progress: match progress == 10_000 && !unfinished {
                true => Percent::Done(100),
                false => Percent::At(percent),
            },
            state: step.filter(|_| unfinished),
            status,
        });
    }
    let node = object.as_deref().and_then(|o| o.strip_prefix("node:"));
    let node_uid = node.map(str::to_owned);
    Ok(Entry::Task {
        task_id: action_uid.clone(),
        action_uid,
        error_message: error.clone(),
        error,
        error_code,
        name,
        object_name: object.filter(|_| node_uid.is_none()),
        node_uid,
        progress: percent.to_string(),
        status,
    })
}

fn failed(error: sqlx::Error) -> StatusCode {
    match error {
        sqlx::Error::RowNotFound => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The database, and the rows of the list.
#[derive(Clone)]
struct Table {
    pool: SqlitePool,
    page: u16,
}

async fn one(
    State(Table { pool, .. }): State<Table>,
    extract::Path(uid): extract::Path<String>,
) -> Result<Json<Entry>, StatusCode> {
    let row = sqlx::query(sqlx::AssertSqlSafe(ONE.as_str())).bind(uid);
    let row = row.fetch_one(&pool).await.map_err(failed)?;
    Ok(Json(entry(&row).map_err(failed)?))
}

/// Returns the unfinished actions, then the newest finished ones, up to a page.
async fn list(State(Table { pool, page }): State<Table>) -> Result<Json<List>, StatusCode> {
    let mut list = List::default();
    let mut left = i64::from(page);
    for sql in &*LISTS {
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql.as_str())).bind(left);
        let rows = rows.fetch_all(&pool).await.map_err(failed)?;
        left -= rows.len() as i64;
        for row in &rows {
            match entry(row).map_err(failed)? {
                task @ Entry::Task { .. } => list.actions.push(task),
                machine => list.state_machines.push(machine),
            }
        }
    }
    Ok(Json(list))
}

async fn insert(connection: &mut SqliteConnection, action: &Action) {
    let sql = format!("INSERT INTO actions ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    let error = action.error.as_ref();
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(action.uid.to_string())
        .bind(action.source == action_store::Source::StateMachine)
        .bind(&*action.name)
        .bind(action.object.as_ref().map(|object| object.as_str()))
        .bind(i64::from(action.status.code()))
        .bind(action.outcome.map(|outcome| outcome.as_str()))
        .bind(i64::from(action.progress.hundredths()))
        .bind(action.step.as_deref())
        .bind(error.map(|error| &*error.code))
        .bind(error.map(|error| &*error.message))
        .bind(action.last_seen_at.as_micros())
        .execute(connection)
        .await
        .unwrap();
}

/// Serves the content of a store from a new file, in lists of this many rows.
pub async fn app(store: &dyn ActionStore, path: &Path, page: u16) -> Router {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    sqlx::raw_sql(SCHEMA)
        .execute(&mut *transaction)
        .await
        .unwrap();
    let query = Query::new().with_order(Order::Oldest).with_limit(1000);
    let mut pages = store.pages(query);
    while let Some(page) = pages.next().await.unwrap() {
        for action in &page.items {
            insert(&mut transaction, action).await;
        }
    }
    transaction.commit().await.unwrap();
    Router::new()
        .route("/v1/actions", get(list))
        .route("/v1/actions/{uid}", get(one))
        .with_state(Table { pool, page })
}
