//! Several statements as one message.
//!
//! PostgreSQL runs the statements of one message in order and stops at the first error. So a whole
//! half of a transaction takes one round trip. Only tasks of this module may wait for a script: an
//! abandoned script leaves its transaction open.
//!
//! Values are sent as literals. Prepared statements would belong to one server connection, and a
//! pooler may change that connection between two transactions.

use std::pin::pin;
use std::time::Duration;

use futures_core::Stream;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Either, Executor};
use uuid::Uuid;

use super::literal::{self, Rows};
use crate::spi::deadline::deadline;

/// Statements, whose values are already written into their text.
#[derive(Debug, Default, Clone)]
pub(super) struct Script {
    /// Messages that are large enough. They are sent before `sql`, each after the one before.
    full: Vec<String>,
    sql: String,
    count: usize,
    values: Vec<String>,
    /// True if the number of statements is not known.
    is_text: bool,
}

/// Size in bytes after which a script goes on in another message. PostgreSQL takes up to 1 GB.
const MESSAGE_BYTES: usize = 32 * 1024 * 1024;

impl Script {
    pub(super) fn new() -> Script {
        Script::default()
    }

    /// Returns the script of a text with any number of statements.
    pub(super) fn of_text(sql: String) -> Script {
        Script {
            sql,
            is_text: true,
            ..Script::default()
        }
    }

    /// Returns the number of statements.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Returns the script and leaves an empty one.
    pub(super) fn take(&mut self) -> Script {
        std::mem::take(self)
    }

    /// Appends a statement. Its text is from this module, never from a user. It names values that
    /// were bound before as `$1`, `$2`, and so on.
    pub(super) fn push(&mut self, statement: &str) {
        self.begin();
        let mut rest = statement;
        while let Some(at) = rest.find('$') {
            let (before, after) = rest.split_at(at);
            self.sql.push_str(before);
            let after = after.get(1..).unwrap_or_default();
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = after.split_at(digits);
            let place: Option<usize> = number.parse().ok();
            let value = place.and_then(|place| self.values.get(place.checked_sub(1)?));
            debug_assert!(value.is_some(), "no value {number}: {statement}");
            self.sql.push_str(value.map_or("NULL", String::as_str));
            rest = after;
        }
        self.sql.push_str(rest);
    }

    /// Appends a statement with its rows, which it names `$#`: several times for many rows, not at
    /// all without rows.
    pub(super) fn push_rows(&mut self, statement: &str, rows: &Rows) {
        let (before, after) = statement.split_once("$#").unwrap_or((statement, ""));
        for list in rows.lists() {
            self.begin();
            for part in [before, &list, after] {
                self.sql.push_str(part);
            }
        }
    }

    /// Begins a statement.
    fn begin(&mut self) {
        if self.sql.len() > MESSAGE_BYTES {
            self.full.push(std::mem::take(&mut self.sql));
        }
        if !self.sql.is_empty() {
            self.sql.push_str(";\n");
        }
        self.count += 1;
    }

    fn bind(&mut self, write: impl FnOnce(&mut String)) -> usize {
        let mut value = String::new();
        write(&mut value);
        self.values.push(value);
        self.values.len()
    }

    /// Binds the next value and returns its number.
    pub(super) fn bind_int(&mut self, number: i64) -> usize {
        self.bind(|sql| literal::push_int(sql, number))
    }

    pub(super) fn bind_text(&mut self, text: &str) -> usize {
        self.bind(|sql| literal::push_text(sql, text))
    }

    pub(super) fn bind_id(&mut self, id: &Uuid) -> usize {
        self.bind(|sql| literal::push_id(sql, id))
    }

    /// Binds rows as arrays, for `unnest($1)`, or for `ANY ($1)` if they have one column.
    pub(super) fn bind_rows(&mut self, rows: &Rows) -> usize {
        self.bind(|sql| sql.push_str(&rows.list()))
    }

    /// Runs the whole script and returns the rows of each statement.
    pub(super) async fn run(
        self,
        connection: &mut PgConnection,
    ) -> Result<Vec<Vec<PgRow>>, sqlx::Error> {
        self.run_within(connection, Duration::MAX).await
    }

    /// The same, but fails if the server sends nothing for a time. The connection must not be used
    /// again then.
    pub(super) async fn run_within(
        self,
        connection: &mut PgConnection,
        silence: Duration,
    ) -> Result<Vec<Vec<PgRow>>, sqlx::Error> {
        let mut results = Vec::with_capacity(self.count);
        for message in self.full.into_iter().chain([self.sql]) {
            let mut rows = Vec::new();
            let mut stream = pin!(connection.fetch_many(sqlx::raw_sql(AssertSqlSafe(message))));
            loop {
                let item = match silence {
                    Duration::MAX => next(&mut stream).await,
                    silence => match deadline(silence, next(&mut stream)).await {
                        Some(item) => item,
                        None => return Err(silent()),
                    },
                };
                let Some(item) = item else { break };
                match item? {
                    Either::Right(row) => rows.push(row),
                    Either::Left(_) => results.push(std::mem::take(&mut rows)),
                }
            }
        }
        if results.len() == self.count || self.is_text {
            return Ok(results);
        }
        let message = "a statement has no result".to_owned();
        Err(sqlx::Error::Protocol(message))
    }
}

/// The error of a connection that does not answer. A firewall may have dropped it.
pub(super) fn silent() -> sqlx::Error {
    let message = "the server did not answer in time";
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, message))
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|cx| std::pin::Pin::new(&mut *stream).poll_next(cx)).await
}
