//! Makes everything durable that a connection can read.
//!
//! The WAL may hold commits that were never synced. A process can die between the write and the
//! sync of its commit. After a failed sync the bytes are readable but not on the disk. The kernel
//! considers them written, so a later sync does not write them. So the WAL is rewritten in place
//! with the same bytes, and synced.
//!
//! A checkpoint is not enough. It copies the WAL into the database. After a power cut half-way,
//! recovery would replay an incomplete WAL into a newer database. Readers may also delay it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use sqlx::sqlite::SqliteConnection;

use super::beside::beside;
use super::errors::was_cut_short;
use super::file::sync_directory;
use super::identity::OpenFile;
use super::load;
use super::script::{Failed, Script, roll_back};

/// Writes one page in every journal mode. `SET id = id` is not enough: SQLite does not write a page
/// whose bytes stay the same.
pub(super) const COUNT_SYNC: &str = "UPDATE actions_store SET syncs = syncs + 1 WHERE id = 1";

/// Number of bytes of the WAL that are read and written at once.
const PIECE: usize = 1024 * 1024;

/// How a store was made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Synced {
    /// By a commit that was synced. It overwrote the possible rest of a failed commit in the WAL.
    Commit,
    /// By rewriting the WAL only: the disk or the database is too full for another commit.
    Log,
}

/// Makes everything durable that the connection can read, and checks that it can write.
///
/// Holds the write lock, so that no other connection appends to the WAL or restarts it meanwhile.
/// In the rollback journal modes there is no WAL, and the commit syncs the journal and the
/// database.
///
/// # Errors
/// After an error the store may not be durable. The connection may have a transaction open.
pub(super) async fn make_durable(
    connection: &mut SqliteConnection,
    file: &OpenFile,
) -> Result<Synced, sqlx::Error> {
    let has_log = rewrite_log(connection, file, Then::Sync).await?;
    let mut script = Script::new();
    script.push(COUNT_SYNC);
    script.push("COMMIT");
    match script.run(connection).await {
        Ok(_) => Ok(Synced::Commit),
        Err(Failed { error, .. }) if has_log && was_cut_short(&error) => {
            roll_back(connection).await;
            Ok(Synced::Log)
        }
        Err(Failed { error, .. }) => Err(error),
    }
}

/// Prepares the close of a connection that may be the last one. SQLite then syncs the WAL and copies
/// it into the database.
///
/// The WAL is rewritten, but not synced. SQLite's own sync writes the new bytes, or fails and copies
/// nothing. If it failed here, SQLite's sync could succeed without them. A power cut during the copy
/// would leave an incomplete WAL beside a newer database.
///
/// Does nothing while another connection writes: that one stays open, so SQLite copies nothing.
pub(super) async fn before_closing(connection: &mut SqliteConnection, file: &OpenFile) {
    // Ignored: the same error is returned when the store is made durable.
    drop(rewrite_log(connection, file, Then::Close).await);
    roll_back(connection).await;
}

/// The step after the WAL has been rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Sync,
    Close,
}

/// Begins a transaction and rewrites the WAL. Returns true if there is a WAL.
async fn rewrite_log(
    connection: &mut SqliteConnection,
    file: &OpenFile,
    then: Then,
) -> Result<bool, sqlx::Error> {
    // The lock is on the open file. The WAL at the path may be of another one.
    file.check()?;
    let mut script = Script::new();
    script.push(load::BEGIN);
    // Opens the WAL if no statement has read anything yet.
    script.push(load::POSITION);
    script
        .run(connection)
        .await
        .map_err(|failed| failed.error)?;
    let log = beside(file.path(), "-wal");
    let written = tokio::task::spawn_blocking(move || write_again(log, then)).await;
    written
        .map_err(|_| sqlx::Error::WorkerCrashed)?
        .map_err(sqlx::Error::Io)
}

/// Rewrites a file with its own bytes. Syncs its directory entry, and the file itself if it is not
/// closed next. Returns false if there is no such file.
fn write_again(path: PathBuf, then: Then) -> io::Result<bool> {
    let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let (mut piece, mut at) = (Vec::with_capacity(PIECE), 0);
    while read_piece(&mut file, &mut piece)? > 0 {
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&piece)?;
        at = file.stream_position()?;
    }
    if then == Then::Sync {
        file.sync_all()?;
    }
    sync_directory(&path)?;
    Ok(true)
}

fn read_piece(file: &mut File, piece: &mut Vec<u8>) -> io::Result<usize> {
    piece.clear();
    file.take(PIECE as u64).read_to_end(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_again_keeps_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("actions.db-wal");
        assert!(!write_again(path.clone(), Then::Sync).unwrap());
        assert!(!path.exists());
        for length in [0, 1, PIECE - 1, PIECE, 2 * PIECE + 7] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            for then in [Then::Sync, Then::Close] {
                assert!(write_again(path.clone(), then).unwrap());
                assert!(std::fs::read(&path).unwrap() == bytes, "{length}");
            }
        }
    }
}
