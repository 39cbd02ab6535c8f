//! Stores whose planner believes that they have a certain size.

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use crate::backend::sqlite::schema::{self, Policy};

/// The planner's statistics: none, as in a store that was never analyzed, or so many rows in each
/// table. Statistics of a few rows make the planner scan, which is right while they are true. The
/// store never collects any. A host's `PRAGMA optimize` collects them again once a table has grown
/// tenfold.
pub(super) const SIZES: [Option<u64>; 4] = [None, Some(1_000), Some(100_000), Some(1_000_000)];

/// Returns a store whose statistics state so many rows in each table.
pub(super) async fn connection(rows: Option<u64>) -> (tempfile::TempDir, SqliteConnection) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("actions.db");
    let options = schema::connect_options(&path, false).create_if_missing(true);
    let mut connection = schema::connect(options, None).await.unwrap();
    schema::apply(&mut connection, Policy::Apply).await.unwrap();
    if let Some(rows) = rows {
        pretend(&mut connection, rows).await;
    }
    (dir, connection)
}

/// Sets statistics: so many rows in each table. Each value of an index's first column has a
/// hundredth of them, and fewer for each further column.
async fn pretend(connection: &mut SqliteConnection, rows: u64) {
    let run = async |connection: &mut SqliteConnection, sql: &str| {
        let done = sqlx::query(AssertSqlSafe(sql)).execute(connection).await;
        done.unwrap();
    };
    run(connection, "ANALYZE").await;
    run(connection, "DELETE FROM sqlite_stat1").await;
    let indexes = "SELECT l.name, l.tbl_name, (SELECT count(*) FROM pragma_index_info(l.name)) \
         FROM sqlite_master AS l WHERE l.type = 'index'";
    let indexes: Vec<(String, String, u32)> = sqlx::query_as(indexes)
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    assert!(indexes.len() >= 10, "{indexes:?}");
    for (index, table, columns) in indexes {
        let each = (1..=columns).map(|column| (rows / 100_u64.pow(column)).max(1).to_string());
        let stat: Vec<String> = std::iter::once(rows.to_string()).chain(each).collect();
        let stat = stat.join(" ");
        let insert = format!("INSERT INTO sqlite_stat1 VALUES ('{table}', '{index}', '{stat}')");
        run(connection, &insert).await;
    }
    // The planner reads the statistics after this statement.
    run(connection, "ANALYZE sqlite_schema").await;
}
