//! Branches of a store: a copy that is written to is another branch than its original.

use std::path::Path;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};

use super::errors::store_error;
use super::identity::home;
use crate::backend::sql::{Phase, corrupt};
use crate::error::StoreError;
use crate::model::{BranchId, Branches, End, Fork};

fn before(error: sqlx::Error) -> StoreError {
    store_error("open", Phase::Before, error)
}

/// The position at which the current branch ends.
const FORK: &str = "INSERT INTO actions_branch (branch, revision, last_number, last_entry) \
     SELECT branch, revision, last_number, last_entry FROM actions_store WHERE id = 1";

/// Starts a new branch of the store here, and records the file that contains it.
pub(super) async fn fork(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let mut transaction = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(before)?;
    fork_in(&mut transaction, home(path)).await?;
    transaction.commit().await.map_err(before)
}

async fn fork_in(
    connection: &mut SqliteConnection,
    home: Option<String>,
) -> Result<(), StoreError> {
    let branch = i64::try_from(BranchId::new().get()).unwrap_or(i64::MAX);
    let forked = sqlx::query(FORK).execute(&mut *connection).await;
    forked.map_err(before)?;
    let moved = "UPDATE actions_store SET branch = $1, home = $2 WHERE id = 1";
    let moved = sqlx::query(moved).bind(branch).bind(home);
    moved.execute(connection).await.map(drop).map_err(before)
}

/// Returns the branch of the file. If the store was last open in another file, this one is a copy
/// and starts a new branch. A read-only opener cannot record it: the branch is then valid while the
/// store is open.
pub(super) async fn settle(
    connection: &mut SqliteConnection,
    path: &Path,
    may_write: bool,
) -> Result<Branches, StoreError> {
    let now = home(path);
    let known = remembered(connection).await?;
    if now.is_none() || known == now {
        return read(connection).await;
    }
    if !may_write {
        let mut branches = read(connection).await?;
        if known.is_some() {
            let branch = branches.current;
            let end = end(connection).await?;
            branches.forks.push(Fork { branch, end });
            branches.current = BranchId::new();
        }
        return Ok(branches);
    }
    let mut transaction = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(before)?;
    // Read again under the write lock: another opener may have changed it.
    match remembered(&mut transaction).await? {
        Some(known) if Some(&known) != now.as_ref() => fork_in(&mut transaction, now).await?,
        Some(_) => {}
        None => {
            let moved = sqlx::query("UPDATE actions_store SET home = $1 WHERE id = 1").bind(now);
            moved.execute(&mut *transaction).await.map_err(before)?;
        }
    }
    transaction.commit().await.map_err(before)?;
    read(connection).await
}

/// Returns the file that the store was last open in; `None` if it never was.
async fn remembered(connection: &mut SqliteConnection) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT home FROM actions_store WHERE id = 1");
    let row = row.fetch_optional(connection).await.map_err(before)?;
    let row = row.ok_or_else(|| corrupt("open", "a row that every store has is missing"))?;
    row.try_get(0).map_err(before)
}

async fn end(connection: &mut SqliteConnection) -> Result<End, StoreError> {
    let row = "SELECT revision, last_number, last_entry FROM actions_store WHERE id = 1";
    let row = sqlx::query(row)
        .fetch_one(connection)
        .await
        .map_err(before)?;
    read_end(&row, 0)
}

fn read_end(row: &sqlx::sqlite::SqliteRow, first: usize) -> Result<End, StoreError> {
    let number = |at: usize| number(row, first + at);
    Ok(End {
        revision: number(0)?,
        number: number(1)?,
        entry: number(2)?,
    })
}

fn number(row: &sqlx::sqlite::SqliteRow, at: usize) -> Result<u64, StoreError> {
    let number: i64 = row.try_get(at).map_err(before)?;
    u64::try_from(number).map_err(|_| corrupt("open", "a number is negative"))
}

async fn read(connection: &mut SqliteConnection) -> Result<Branches, StoreError> {
    let current = sqlx::query("SELECT branch FROM actions_store WHERE id = 1");
    let current = current.fetch_one(&mut *connection).await.map_err(before)?;
    let forks = "SELECT branch, revision, last_number, last_entry FROM actions_branch ORDER BY id";
    let forks = sqlx::query(forks).fetch_all(connection).await;
    let forks = forks.map_err(before)?.into_iter().map(|row| {
        let branch = BranchId::from_u64(number(&row, 0)?);
        let end = read_end(&row, 1)?;
        Ok(Fork { branch, end })
    });
    Ok(Branches {
        current: BranchId::from_u64(number(&current, 0)?),
        forks: forks.collect::<Result<_, StoreError>>()?,
    })
}
