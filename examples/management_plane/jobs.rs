//! The operations on databases. Every reported step and number is real.

use std::io;
use std::path::Path;
use std::time::Duration;

use action_store::{ActionError, Progress, Reporter};
use tokio::fs;

use crate::catalogue::{Bdb, Catalogue};
use crate::plane::Operation;
use crate::sql::{File, SHARDS, corrupt};

/// Rows in one transaction. The pause between two transactions lets others use the disk.
const ROWS_AT_ONCE: u64 = 1000;
const BREATH: Duration = Duration::from_millis(25);

/// Progress of a part of the work, which covers the percentages `from` to `to`.
fn part(from: u64, to: u64, done: u64, total: u64) -> Progress {
    Progress::ratio(from * total + (to - from) * done.min(total), 100 * total)
}

pub(crate) async fn run(
    catalogue: &Catalogue,
    uid: u64,
    operation: Operation,
    action: Reporter,
) -> Result<(), ActionError> {
    match operation {
        Operation::Create(bdb) => create(catalogue, uid, bdb, &action).await,
        Operation::Backup => backup(catalogue, uid, &action).await,
        Operation::Check => check(catalogue, uid, &action).await,
        Operation::Delete => delete(catalogue, uid, &action).await,
        Operation::CheckNode => check_node(catalogue, &action).await,
    }
}

async fn create(
    catalogue: &Catalogue,
    uid: u64,
    bdb: Bdb,
    action: &Reporter,
) -> Result<(), ActionError> {
    let file = catalogue.file(uid);
    make(&file, action, async |part| {
        fill(part, bdb.rows, action).await
    })
    .await?;
    Ok(catalogue.add(uid, bdb).await?)
}

/// Creates a file atomically: under a temporary name until it is complete. Stops on a
/// cancel request.
async fn make(
    target: &Path,
    action: &Reporter,
    work: impl AsyncFnOnce(&Path) -> Result<(), ActionError>,
) -> Result<(), ActionError> {
    let beside = target.with_extension("part");
    let made = tokio::select! {
        made = work(&beside) => made,
        _ = action.cancel_requested() => Err(ActionError::cancelled()),
    };
    if made.is_ok() {
        return Ok(fs::rename(beside, target).await?);
    }
    // The incomplete file is useless. If this fails, the next start removes it.
    let _ = fs::remove_file(beside).await;
    made
}

async fn fill(path: &Path, rows: u64, action: &Reporter) -> Result<(), ActionError> {
    action.step("create_file").await?;
    let mut file = File::create(path).await?;

    action.step("load_rows").await?;
    let mut loaded = 0;
    while loaded < rows {
        let to = (loaded + ROWS_AT_ONCE).min(rows);
        file.load(loaded, to).await?;
        loaded = to;
        action.progress(part(0, 80, loaded, rows));
        tokio::time::sleep(BREATH).await;
    }

    action.step("build_indexes").await?;
    for (shard, done) in SHARDS.iter().zip(1..) {
        file.run(shard.index).await?;
        action.progress(part(80, 90, done, SHARDS.len() as u64));
    }

    action.step("verify").await?;
    for (shard, done) in SHARDS.iter().zip(1..) {
        file.check(shard).await?;
        action.progress(part(90, 95, done, SHARDS.len() as u64));
    }
    count(file, rows, action).await
}

/// Counts the rows, as the last check of a new file.
async fn count(mut file: File, rows: u64, action: &Reporter) -> Result<(), ActionError> {
    let mut counted = 0;
    for (shard, done) in SHARDS.iter().zip(1..) {
        counted += file.count(shard).await?;
        action.progress(part(95, 99, done, SHARDS.len() as u64));
    }
    file.close().await?;
    match counted == rows {
        true => Ok(()),
        false => Err(corrupt().with_detail(format!("{counted} rows instead of {rows}"))),
    }
}

async fn backup(catalogue: &Catalogue, uid: u64, action: &Reporter) -> Result<(), ActionError> {
    let bdb = find(catalogue, uid).await?;
    let (source, target) = (catalogue.file(uid), catalogue.backup(uid, action.uid()));
    make(&target, action, async |part| {
        action.step("copy").await?;
        copy(&source, part, action).await?;
        action.step("verify").await?;
        count(File::open(part).await?, bdb.rows, action).await
    })
    .await
}

/// Copies a database. SQLite reports no progress, so this watches the size of the copy.
async fn copy(source: &Path, target: &Path, action: &Reporter) -> Result<(), ActionError> {
    let mut file = File::open(source).await?;
    let whole = fs::metadata(source).await?.len();
    let name = target
        .to_str()
        .ok_or_else(|| io::Error::other("no UTF-8"))?;
    let mut copying = std::pin::pin!(file.copy_to(name));
    loop {
        let look = Duration::from_millis(20);
        match tokio::time::timeout(look, copying.as_mut()).await {
            Ok(copied) => return copied,
            Err(_) => {
                let so_far = fs::metadata(target).await.map_or(0, |file| file.len());
                action.progress(part(0, 95, so_far, whole));
            }
        }
    }
}

async fn check(catalogue: &Catalogue, uid: u64, action: &Reporter) -> Result<(), ActionError> {
    find(catalogue, uid).await?;
    action.step("integrity").await?;
    let mut file = File::open(&catalogue.file(uid)).await?;
    for (shard, done) in SHARDS.iter().zip(1..) {
        file.check(shard).await?;
        action.progress(part(0, 99, done, SHARDS.len() as u64));
    }
    file.close().await
}

/// Checks all databases of the node, except those deleted before their turn. A damaged
/// database adds a warning; the check of the node itself still succeeds.
async fn check_node(catalogue: &Catalogue, action: &Reporter) -> Result<(), ActionError> {
    let uids = catalogue.uids().await;
    for (uid, done) in uids.iter().zip(1..) {
        if catalogue.find(*uid).await.is_none() {
            continue;
        }
        action.step(format!("bdb:{uid}")).await?;
        if let Err(error) = whole(&catalogue.file(*uid)).await {
            action
                .warn(format!("database {uid}: {}", error.message))
                .await?;
        }
        action.progress(part(0, 99, done, uids.len() as u64));
    }
    Ok(())
}

/// Checks every shard of a database.
async fn whole(path: &Path) -> Result<(), ActionError> {
    let mut file = File::open(path).await?;
    for shard in &SHARDS {
        file.check(shard).await?;
    }
    file.close().await
}

async fn delete(catalogue: &Catalogue, uid: u64, action: &Reporter) -> Result<(), ActionError> {
    find(catalogue, uid).await?;
    action.step("forget").await?;
    catalogue.remove(uid).await?;
    action.progress(part(0, 100, 1, 2));
    action.step("remove_file").await?;
    Ok(fs::remove_file(catalogue.file(uid)).await?)
}

async fn find(catalogue: &Catalogue, uid: u64) -> Result<Bdb, ActionError> {
    let missing = || ActionError::new("bdb_not_found", format!("there is no database {uid}"));
    catalogue.find(uid).await.ok_or_else(missing)
}
