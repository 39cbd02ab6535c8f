//! The plans of the statements that a store sends, as the server has carried them out.
//!
//! The module `auto_explain` of the server writes each plan to the server's log, also those of
//! statements inside triggers and functions. It comes with PostgreSQL.

use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use super::super::server::Server;

/// Starts a server whose sessions can write their plans. Statistics change only if a test says so.
pub(super) fn server() -> Server {
    Server::start(&[
        "-c",
        "session_preload_libraries=auto_explain",
        "-c",
        "autovacuum=off",
        "-c",
        "auto_explain.log_analyze=on",
        "-c",
        "auto_explain.log_timing=off",
        "-c",
        "auto_explain.log_buffers=on",
        "-c",
        "auto_explain.log_format=json",
        "-c",
        "auto_explain.log_nested_statements=on",
    ])
}

/// Returns the URL of a server for sessions that write their plans.
pub(super) fn url(server: &Server) -> String {
    format!("{}?options[auto_explain.log_min_duration]=0", server.url())
}

/// The plans in the log of a server.
pub(super) struct Plans {
    connection: PgConnection,
}

impl Plans {
    pub(super) async fn of(server: &Server) -> Plans {
        let connection = PgConnection::connect(&server.url()).await.unwrap();
        Plans { connection }
    }

    pub(super) async fn run(&mut self, sql: String) {
        let ran = self.connection.execute(AssertSqlSafe(sql)).await;
        ran.unwrap();
    }

    /// Returns the plans since the last call.
    pub(super) async fn take(&mut self) -> Vec<Plan> {
        const LOG: &str = "current_setting('data_directory') || '/../log'";
        let read = format!("SELECT pg_read_binary_file({LOG})");
        let row = sqlx::query(AssertSqlSafe(read)).fetch_one(&mut self.connection);
        let log: Vec<u8> = row.await.unwrap().get(0);
        // The server appends to its log, so it goes on at the beginning.
        let empty =
            format!("DO $$ BEGIN EXECUTE format('COPY (SELECT WHERE false) TO %L', {LOG}); END $$");
        self.run(empty).await;
        plans(&String::from_utf8_lossy(&log))
    }
}

/// Returns the plans in a log. A line that begins with a tab belongs to the message before it.
fn plans(log: &str) -> Vec<Plan> {
    let (mut plans, mut text) = (Vec::new(), None::<String>);
    for line in log.lines().chain(["end"]) {
        match (line.strip_prefix('\t'), &mut text) {
            (Some(more), Some(text)) => text.push_str(more),
            (Some(_), None) => {}
            (None, _) => {
                plans.extend(text.take().map(|text| Plan::read(&text)));
                text = line.ends_with("plan:").then(String::new);
            }
        }
    }
    plans
}

/// The plan of one statement, with what its steps have read.
#[derive(Debug)]
pub(super) struct Plan {
    /// The text of the message, which may have other statements, too.
    pub(super) sql: String,
    pub(super) steps: Vec<Step>,
    /// Blocks of tables and indexes that the statement has looked at.
    pub(super) blocks: u64,
    pub(super) json: Value,
}

/// A step of a plan.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) kind: String,
    pub(super) table: String,
    pub(super) index: String,
    /// Rows that a scan has found, also those that it then has left out, or that a sort has got.
    pub(super) rows: u64,
    /// Number of times that it has begun.
    pub(super) loops: u64,
}

impl Plan {
    fn read(text: &str) -> Plan {
        let json: Value = serde_json::from_str(text).unwrap();
        let root = &json["Plan"];
        let mut steps = Vec::new();
        collect(root, &mut steps);
        Plan {
            sql: json["Query Text"].as_str().unwrap().to_owned(),
            steps,
            blocks: number(root, "Shared Hit Blocks") + number(root, "Shared Read Blocks"),
            json: root.clone(),
        }
    }

    /// The steps that read a table or an index.
    pub(super) fn scans(&self) -> impl Iterator<Item = &Step> {
        let reads = |step: &&Step| step.kind.contains("Scan") && !step.place().is_empty();
        self.steps.iter().filter(reads)
    }
}

impl Step {
    /// The table or the index that it reads. A scan of an index for a bitmap names no table.
    pub(super) fn place(&self) -> &str {
        match self.table.is_empty() {
            true => &self.index,
            false => &self.table,
        }
    }
}

fn number(node: &Value, name: &str) -> u64 {
    node[name].as_u64().unwrap_or(0)
}

fn text(node: &Value, name: &str) -> String {
    node[name].as_str().unwrap_or("").to_owned()
}

fn collect(node: &Value, steps: &mut Vec<Step>) {
    let kind = text(node, "Node Type");
    let inner: &[Value] = node["Plans"].as_array().map_or(&[], Vec::as_slice);
    let loops = number(node, "Actual Loops");
    // An average of all loops.
    let found = |node: &Value| number(node, "Actual Rows") * number(node, "Actual Loops");
    let left_out = [
        "Rows Removed by Filter",
        "Rows Removed by Index Recheck",
        "Rows Removed by Join Filter",
    ];
    let rows = match kind.as_str() {
        "Sort" => inner.iter().map(found).sum(),
        _ => {
            found(node)
                + left_out
                    .map(|name| number(node, name) * loops)
                    .iter()
                    .sum::<u64>()
        }
    };
    let (table, index) = (text(node, "Relation Name"), text(node, "Index Name"));
    steps.push(Step {
        kind,
        table,
        index,
        rows,
        loops,
    });
    for node in inner {
        collect(node, steps);
    }
}
