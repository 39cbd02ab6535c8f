//! Ends earlier owners when a store is opened exclusively: the lock proves that they are gone.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlx::sqlite::SqliteConnection;

use super::decode::{Columns, decode_owner};
use super::errors::store_error;
use super::identity::OpenFile;
use super::load;
use super::rows::STORED_OWNER;
use super::save;
use super::script::{Script, roll_back};
use crate::backend::sql::{Frame, Phase};
use crate::clock::Clock;
use crate::error::StoreError;
use crate::model::{TxnState, disconnect};

/// Reads the owners that are alive.
pub(super) static LIVING: LazyLock<String> = LazyLock::new(|| {
    let owner = &*STORED_OWNER;
    format!("SELECT {owner} FROM actions_owner AS o INDEXED BY actions_owner_alive WHERE state = 0")
});

/// Ends all living owners in one transaction. The caller holds the store's exclusive lock, and no
/// owner can claim through it yet.
///
/// A tracker of any name can then settle the actions of these owners at once, which frees their
/// keys. Otherwise it would wait until the lease ends.
pub(super) async fn disconnect_owners(
    connection: &mut SqliteConnection,
    file: &OpenFile,
    clock: &Clock,
) -> Result<(), StoreError> {
    let ended = disconnect_in_transaction(connection, file, clock).await;
    if ended.is_err() {
        // The first error is more useful than an error of the rollback.
        roll_back(connection).await;
    }
    ended
}

async fn disconnect_in_transaction(
    connection: &mut SqliteConnection,
    file: &OpenFile,
    clock: &Clock,
) -> Result<(), StoreError> {
    let before = |error| store_error("open", Phase::Before, error);
    let mut script = Script::new();
    script.push(load::BEGIN);
    script.push(load::POSITION);
    script.push(&LIVING);
    let results = script.run(connection).await;
    let results = results.map_err(|failed| before(failed.error))?;
    let mut results = results.into_iter().skip(1);
    let stored = load::read_position(&results.next().unwrap_or_default())?;
    let mut txn = TxnState::new();
    for row in results.next().unwrap_or_default() {
        txn.put_owner(decode_owner(&mut Columns::new("open", &row)?)?.1);
    }
    disconnect(&mut txn, clock.now());
    let write_set = txn.into_write_set();
    if write_set.is_empty() {
        roll_back(connection).await;
        return Ok(());
    }
    let mut save =
        save::script(&write_set, stored, HashMap::new(), Frame::Commit).map_err(before)?;
    let committed = save::commit(connection, &mut save, file).await;
    // After a commit in doubt, the next opening finds the outcome.
    committed.map_err(|(_, error)| before(error))?;
    Ok(())
}
