//! Measures the disk space of an action, by table and index.

use std::path::Path;
use std::time::Duration;

use action_store::ActionStore;
use rusqlite::Connection;

use crate::lives::Owned;

/// Table or index.
#[derive(Debug, Clone)]
pub struct Part {
    /// Name in the database.
    pub name: String,
    /// Name of a table, or columns of an index.
    pub what: String,
    pub pages: u64,
    /// Bytes per action.
    pub bytes: f64,
    /// Unused share of its pages, 0 to 1.
    pub unused: f64,
}

/// Database file after whole lives of a number of actions.
#[derive(Debug)]
pub struct Space {
    pub actions: u64,
    pub page_size: u64,
    pub pages: u64,
    pub free_pages: u64,
    pub file_bytes: u64,
    /// Largest first.
    pub parts: Vec<Part>,
}

impl Space {
    /// Total bytes per action with its log.
    pub fn bytes(&self) -> f64 {
        (self.pages * self.page_size) as f64 / self.actions as f64
    }

    /// Tables and indexes that hold these actions. Leaves out the schema and those with a single
    /// page.
    pub fn growing(&self) -> impl Iterator<Item = &Part> {
        let grows = |part: &&Part| part.pages > 1 && part.name != "sqlite_schema";
        self.parts.iter().filter(grows)
    }
}

/// Runs the given number of lives, each change in its own write as in a host. Then reads the page
/// statistics of the closed store, whose WAL is folded into the file.
pub async fn measure(path: &Path, actions: usize) -> Space {
    /// Time limit of the lives.
    const TIME: Duration = Duration::from_secs(3600);
    let owned = Owned::open(path).await;
    let measured = owned.live(TIME, actions).await;
    owned.store.close().await.unwrap();
    let space = look(path);
    assert_eq!(space.actions * 6, measured.calls());
    space
}

fn look(path: &Path) -> Space {
    let connection = Connection::open(path).unwrap();
    let number = |sql: &str| {
        let number = connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        u64::try_from(number.unwrap()).unwrap()
    };
    let actions = number("SELECT count(*) FROM actions_action");
    let page_size = number("PRAGMA page_size");
    let sql = "SELECT s.name, coalesce(m.type = 'index', false), coalesce(m.tbl_name, ''), s.pageno, \
               s.unused, s.pgsize FROM dbstat AS s LEFT JOIN sqlite_master AS m ON m.name = s.name \
               WHERE s.aggregate = true ORDER BY s.pageno DESC, s.name";
    let mut statement = connection.prepare(sql).unwrap();
    let part = |row: &rusqlite::Row<'_>| {
        let (name, is_index, table): (String, bool, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        let (pages, unused, bytes): (i64, i64, i64) = (row.get(3)?, row.get(4)?, row.get(5)?);
        Ok(Part {
            what: match is_index {
                true => format!("{table} ({})", columns(&connection, &name)?),
                false => name.clone(),
            },
            name,
            pages: u64::try_from(pages).unwrap(),
            bytes: bytes as f64 / actions as f64,
            unused: unused as f64 / bytes as f64,
        })
    };
    let parts = statement.query_map([], part).unwrap();
    let parts: Vec<Part> = parts.map(Result::unwrap).collect();
    let space = Space {
        actions,
        page_size,
        pages: number("PRAGMA page_count"),
        free_pages: number("PRAGMA freelist_count"),
        file_bytes: crate::footprint::size(path),
        parts,
    };
    let counted: u64 = space.parts.iter().map(|part| part.pages).sum();
    assert_eq!(
        counted + space.free_pages,
        space.pages,
        "a page belongs to no table or index, or to two"
    );
    assert_eq!(space.pages * space.page_size, space.file_bytes);
    space
}

/// Returns the columns of an index. An expression has no name.
fn columns(connection: &Connection, index: &str) -> rusqlite::Result<String> {
    let mut statement =
        connection.prepare("SELECT coalesce(name, '...') FROM pragma_index_info($1)")?;
    let columns = statement.query_map([index], |row| row.get(0))?;
    let columns: Vec<String> = columns.collect::<Result<_, _>>()?;
    Ok(columns.join(", "))
}

/// Returns the indexes that can be dropped: those that the schema creates explicitly, except the one
/// that a statement of the store names (`INDEXED BY`) and cannot run without.
pub fn indexes(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL \
               AND tbl_name IN ('actions_action', 'actions_log') \
               AND name <> 'actions_action_incarnation' ORDER BY rowid";
    let mut statement = connection.prepare(sql).unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap();
    names.map(Result::unwrap).collect()
}

pub fn drop_index(path: &Path, index: &str) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(&format!("DROP INDEX {index}"))
        .unwrap();
}
