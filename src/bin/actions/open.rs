//! Opens the store that a command works on, in the way that disturbs others least.

use std::path::Path;
use std::sync::Arc;

use action_store::address::{SqliteAddress, SqliteMode, StoreAddress};
use action_store::owner::OwnerQuery;
use action_store::{ActionStore, ActionStoreExt, SqliteStore, StoreErrorKind};

use crate::error::{Exit, Failure, Result};
use crate::time::utc;

/// The access that a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Reads, beside any other process, and whatever mode the address names.
    Read,
    /// Changes a store that exists, together with processes that share it.
    Write,
    /// As `Write`, and creates a missing store.
    Create,
}

/// A store that is open.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn ActionStore>,
    /// The same store, for what only a SQLite store can do.
    pub(crate) sqlite: Option<Arc<SqliteStore>>,
}

impl Opened {
    /// Closes the store, which gives its lock back.
    pub(crate) async fn close(self) -> Result<()> {
        Ok(self.store.close().await?)
    }
}

/// Opens the store at an address.
pub(crate) async fn open(address: &StoreAddress, need: Need) -> Result<Opened> {
    let sqlite = match address {
        StoreAddress::Sqlite(sqlite) => sqlite,
        #[cfg(feature = "postgres")]
        StoreAddress::Postgres(url) if need != Need::Create => {
            return existing_schema(address, url).await;
        }
        _ => {
            let opened = address.open().await;
            let store = opened.map_err(|error| Failure::from(error).about(address))?;
            let sqlite = None;
            return Ok(Opened { store, sqlite });
        }
    };
    let mut wanted = sqlite.clone();
    wanted.create = need == Need::Create && sqlite.create;
    // Opening a store exclusively ends the owners in it, so only a change does it, if it is asked
    // for. Shared works beside a plane that shares the file.
    wanted.mode = Some(match need {
        Need::Read => SqliteMode::ReadOnly,
        Need::Write | Need::Create => sqlite.mode.unwrap_or(SqliteMode::Shared),
    });
    if need != Need::Read && wanted.mode == Some(SqliteMode::ReadOnly) {
        let message = format!("{address}: this command changes the store, and mode=ro forbids it");
        return Err(Failure::usage(message).with_hint("leave mode=ro out of the address"));
    }
    match wanted.open().await {
        Ok(store) => {
            let store = Arc::new(store);
            Ok(Opened {
                store: store.clone(),
                sqlite: Some(store),
            })
        }
        Err(error) => {
            let kind = error.kind();
            let is_in_use = error.is_in_use();
            let failure = Failure::from(error).about(address);
            Err(match kind {
                StoreErrorKind::Unavailable => explained(failure, &wanted, is_in_use).await,
                // It cannot be opened, so `actions check` cannot either.
                StoreErrorKind::Corrupt => failure
                    .with_hint("check the path; if this is the file of a store, restore a backup"),
                _ => failure,
            })
        }
    }
}

/// Opens a store in PostgreSQL without creating or changing its schema.
#[cfg(feature = "postgres")]
async fn existing_schema(address: &StoreAddress, url: &str) -> Result<Opened> {
    let options = action_store::PostgresOptions::new().verify_schema();
    match options.connect(url).await {
        Ok(store) => Ok(Opened {
            store: Arc::new(store),
            sqlite: None,
        }),
        Err(error) => {
            let is_incompatible = error.kind() == StoreErrorKind::Incompatible;
            let failure = Failure::from(error).about(address);
            Err(match is_incompatible {
                true => failure.with_hint(
                    "check the address; a plane of the same version as this program, or `actions \
                     import`, creates or updates the schema",
                ),
                false => failure,
            })
        }
    }
}

/// Adds to an error of opening what the user can do about it.
async fn explained(failure: Failure, address: &SqliteAddress, is_in_use: bool) -> Failure {
    if !address.path.exists() {
        return failure.with_hint("check the path; it is relative to the working directory");
    }
    if address.path.is_dir() {
        return failure.with_hint("this is a directory; name the file of a store");
    }
    if address.mode == Some(SqliteMode::ReadOnly) {
        return failure.with_hint(
            "reading needs permission to read the file and to write the -shm file beside it, \
             unless no other process has the store open; try it as the plane's user",
        );
    }
    if !is_in_use {
        return failure;
    }
    let holder = holder(&address.path);
    let owners = living_owners(address).await;
    let holder = holder.unwrap_or_else(|| "another process".to_owned());
    let owners = match owners.as_slice() {
        [] => String::new(),
        owners => format!(" Owners alive in it: {}.", owners.join(", ")),
    };
    Failure::new(
        Exit::Unavailable,
        format!(
            "sqlite:{} is in use: {holder} has it open for itself alone",
            address.path.display()
        ),
    )
    .with_hint(format!(
        "make the change through that process, or stop it first; a plane that opens its store \
         with SqliteOptions::shared lets this command work beside it. Commands that only read \
         work now.{owners}"
    ))
}

/// Returns the owners that are alive in a store, each with its last renewal.
async fn living_owners(address: &SqliteAddress) -> Vec<String> {
    let mut reading = address.clone();
    reading.mode = Some(SqliteMode::ReadOnly);
    let Ok(store) = reading.open().await else {
        return Vec::new();
    };
    let owners = store
        .all_owners(OwnerQuery::active())
        .await
        .unwrap_or_default();
    let alive = owners.iter().filter(|owner| owner.is_alive());
    let shown = alive.map(|owner| {
        format!(
            "{} (renewed {} UTC)",
            owner.owner.name,
            utc(owner.renewed_at)
        )
    });
    let shown = shown.collect();
    // The error that is being explained matters more.
    let _closed = store.close().await;
    shown
}

/// Returns the process that holds the lock on a store, if the system tells.
#[cfg(target_os = "linux")]
fn holder(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;

    let path = path.canonicalize().ok()?;
    let mut lock = path.into_os_string();
    lock.push(".lock");
    let inode = std::fs::metadata(lock).ok()?.ino();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // A line is `1: FLOCK  ADVISORY  WRITE 4242 08:01:131078 0 EOF`.
    let holder = locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", process, file, ..] = fields.as_slice() else {
            return None;
        };
        let is_same = file.rsplit(':').next()?.parse() == Ok(inode);
        is_same.then(|| process.parse::<u32>().ok()).flatten()
    })?;
    let name = std::fs::read_to_string(format!("/proc/{holder}/comm")).ok();
    Some(match name {
        Some(name) => format!("process {holder} ({})", name.trim()),
        None => format!("process {holder}"),
    })
}

#[cfg(not(target_os = "linux"))]
fn holder(_: &Path) -> Option<String> {
    None
}
