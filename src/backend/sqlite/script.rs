//! Runs several statements as one command.
//!
//! sqlx sends each command to the connection's own thread. One round trip for a whole transaction
//! makes it fast. Only tasks of this module may wait for a script: an abandoned script leaves its
//! transaction open.

use std::borrow::Cow;
use std::pin::pin;

use futures_core::Stream;

use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Either, Executor, SqlSafeStr};

use crate::backend::sql::{Select, Value};

/// Statements and the values bound to their `$1`, `$2`, ...
///
/// Never `?1`: SQLite numbers those itself. For each number that a statement leaves out, sqlx
/// expects an unnamed value, runs out of values and silently binds NULL.
pub(super) struct Script {
    sql: Cow<'static, str>,
    arguments: SqliteArguments,
    count: usize,
}

/// A script that failed, with the number of statements that had completed.
pub(super) struct Failed {
    pub(super) done: usize,
    pub(super) error: sqlx::Error,
}

impl Script {
    pub(super) fn new() -> Script {
        Script {
            sql: Cow::Borrowed(""),
            arguments: SqliteArguments::default(),
            count: 0,
        }
    }

    /// Returns a script of one constant statement.
    pub(super) fn of(statement: &'static str) -> Script {
        Script {
            sql: Cow::Borrowed(statement),
            arguments: SqliteArguments::default(),
            count: 1,
        }
    }

    /// Returns a script of one statement with its values.
    pub(super) fn of_select(select: Select) -> Result<Script, sqlx::Error> {
        let mut script = Script {
            sql: Cow::Owned(select.text),
            arguments: SqliteArguments::default(),
            count: 1,
        };
        for value in select.values {
            match value {
                Value::Int(number) => script.bind(number)?,
                Value::Text(text) => script.bind(text)?,
                Value::Id(id) => script.bind(id.as_bytes().to_vec())?,
                // A JSON array. Texts are written to memory, which cannot fail.
                Value::Texts(texts) => {
                    script.bind(serde_json::to_string(&texts).unwrap_or_default())?
                }
            };
        }
        Ok(script)
    }

    /// Returns the script and leaves an empty one.
    pub(super) fn take(&mut self) -> Script {
        std::mem::replace(self, Script::new())
    }

    /// Returns the number of statements.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    #[cfg(test)]
    pub(super) fn statements(&self) -> impl Iterator<Item = &str> {
        self.sql.split(";\n")
    }

    /// Appends a statement. The text is from this module, never from a user.
    pub(super) fn push(&mut self, statement: &str) {
        if self.count > 0 {
            self.sql.to_mut().push_str(";\n");
        }
        self.sql.to_mut().push_str(statement);
        self.count += 1;
    }

    /// Appends a statement with a list of rows, written `$#`, and their bodies, written `$@`. Binds
    /// both.
    pub(super) fn push_about(
        &mut self,
        statement: &str,
        rows: String,
        bodies: Option<Vec<u8>>,
    ) -> Result<(), sqlx::Error> {
        let rows = self.bind(rows)?.to_string();
        let bodies = match bodies {
            Some(bodies) => self.bind(bodies)?.to_string(),
            None => String::new(),
        };
        self.push("");
        let sql = self.sql.to_mut();
        let mut rest = statement;
        while let Some(at) = rest.find(['#', '@']) {
            let (before, after) = rest.split_at(at);
            sql.push_str(before);
            sql.push_str(if after.starts_with('#') {
                &rows
            } else {
                &bodies
            });
            rest = after.get(1..).unwrap_or_default();
        }
        sql.push_str(rest);
        Ok(())
    }

    /// Binds the next value and returns its number.
    pub(super) fn bind<'t, T>(&mut self, value: T) -> Result<usize, sqlx::Error>
    where
        T: sqlx::Encode<'t, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        self.arguments.add(value).map_err(sqlx::Error::Encode)?;
        Ok(self.arguments.len())
    }

    /// Runs the whole script and returns the rows of each statement.
    pub(super) async fn run(
        self,
        connection: &mut SqliteConnection,
    ) -> Result<Vec<Vec<SqliteRow>>, Failed> {
        let sql = match self.sql {
            Cow::Borrowed(sql) => sql.into_sql_str(),
            Cow::Owned(sql) => AssertSqlSafe(sql).into_sql_str(),
        };
        let query = sqlx::query_with(sql, self.arguments);
        let mut results = Vec::with_capacity(self.count);
        let mut rows = Vec::new();
        let mut stream = pin!(connection.fetch_many(query));
        while let Some(item) = next(&mut stream).await {
            match item {
                Ok(Either::Right(row)) => rows.push(row),
                Ok(Either::Left(_)) => results.push(std::mem::take(&mut rows)),
                Err(error) => {
                    let done = results.len();
                    return Err(Failed { done, error });
                }
            }
        }
        if results.len() == self.count {
            return Ok(results);
        }
        let done = results.len();
        let error = sqlx::Error::WorkerCrashed;
        Err(Failed { done, error })
    }
}

/// Rolls back an open transaction. Returns false if that fails.
pub(super) async fn roll_back(connection: &mut SqliteConnection) -> bool {
    match sqlx::query("ROLLBACK").execute(connection).await {
        Ok(_) => true,
        Err(error) => {
            let database = error.as_database_error();
            database.is_some_and(|e| e.message().contains("no transaction is active"))
        }
    }
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|cx| std::pin::Pin::new(&mut *stream).poll_next(cx)).await
}
