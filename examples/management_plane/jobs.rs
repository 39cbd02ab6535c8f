//! What the plane does to databases. Every step and every number it reports is real.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use action_store::{ActionError, Progress, Reporter};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use crate::catalogue::{Bdb, Catalogue};
use crate::plane::Operation;
use crate::sql::{self, SHARDS};

/// Rows in one transaction. Between two of them the disk belongs to others.
const ROWS_AT_ONCE: u64 = 1000;
const BREATH: Duration = Duration::from_millis(25);

/// A part of the whole, in percent.
struct Span {
    from: u16,
    to: u16,
}

impl Span {
    fn at(&self, done: u64, total: u64) -> Progress {
        let part = u64::from(Progress::ratio(done, total).hundredths());
        let hundredths = u64::from(self.from) * 100 + part * u64::from(self.to - self.from) / 100;
        let hundredths = u16::try_from(hundredths).unwrap_or(u16::MAX);
        Progress::from_hundredths(hundredths).unwrap_or(Progress::DONE)
    }
}

pub(crate) async fn run(
    catalogue: &Catalogue,
    operation: Operation,
    action: Reporter,
) -> Result<(), ActionError> {
    match operation {
        Operation::Create { uid, name, rows } => create(catalogue, uid, name, rows, &action).await,
        Operation::Backup { uid } => backup(catalogue, uid, &action).await,
        Operation::Check { uid } => check(catalogue, uid, &action).await,
        Operation::Delete { uid } => delete(catalogue, uid, &action).await,
    }
}

async fn create(
    catalogue: &Catalogue,
    uid: u64,
    name: String,
    rows: u64,
    action: &Reporter,
) -> Result<(), ActionError> {
    let part = part_of(&catalogue.file(uid));
    let filled = fill(&part, rows, action).await;
    if let Err(error) = filled {
        // Whatever stands there is of no use; the next start removes it if this does not.
        let _ = remove(part).await;
        return Err(error);
    }
    rename(part, catalogue.file(uid)).await?;
    Ok(catalogue.add(uid, Bdb { name, rows }).await?)
}

async fn fill(part: &Path, rows: u64, action: &Reporter) -> Result<(), ActionError> {
    action.step("create_file").await?;
    let mut file = sql::create(part).await.map_err(sql::failed)?;
    for shard in &SHARDS {
        let created = sqlx::query(shard.create).execute(&mut file).await;
        created.map_err(sql::failed)?;
    }

    action.step("load_rows").await?;
    let span = Span { from: 0, to: 80 };
    let mut loaded = 0;
    while loaded < rows {
        let to = (loaded + ROWS_AT_ONCE).min(rows);
        load(&mut file, loaded, to).await.map_err(sql::failed)?;
        loaded = to;
        action.progress(span.at(loaded, rows));
        tokio::time::sleep(BREATH).await;
    }

    action.step("build_indexes").await?;
    let (span, shards) = (Span { from: 80, to: 90 }, SHARDS.len() as u64);
    for (shard, done) in SHARDS.iter().zip(1..) {
        let built = sqlx::query(shard.index).execute(&mut file).await;
        built.map_err(sql::failed)?;
        action.progress(span.at(done, shards));
    }

    action.step("verify").await?;
    let span = Span { from: 90, to: 99 };
    let mut counted = 0;
    for (shard, done) in SHARDS.iter().zip(1..) {
        sql::check(&mut file, shard).await?;
        counted += count(&mut file, shard).await?;
        action.progress(span.at(done, shards));
    }
    if counted != rows {
        let detail = format!("{counted} rows instead of {rows}");
        return Err(sql::corrupt().with_detail(detail));
    }
    sql::close(file).await
}

/// Loads the rows from one number to another, a quarter into each shard, in one transaction.
async fn load(file: &mut SqliteConnection, from: u64, to: u64) -> Result<(), sqlx::Error> {
    let mut transaction = file.begin().await?;
    let shards = SHARDS.len() as u64;
    for (shard, number) in SHARDS.iter().zip(0..) {
        let first = from + (to - from) * number / shards;
        let last = from + (to - from) * (number + 1) / shards;
        if first < last {
            sqlx::query(shard.load)
                .bind(i64::try_from(first).unwrap_or(i64::MAX))
                .bind(i64::try_from(last - 1).unwrap_or(i64::MAX))
                .execute(&mut *transaction)
                .await?;
        }
    }
    transaction.commit().await
}

async fn count(file: &mut SqliteConnection, shard: &sql::Shard) -> Result<u64, ActionError> {
    let (rows,): (i64,) = sqlx::query_as(shard.count)
        .fetch_one(file)
        .await
        .map_err(sql::failed)?;
    Ok(u64::try_from(rows)?)
}

async fn backup(catalogue: &Catalogue, uid: u64, action: &Reporter) -> Result<(), ActionError> {
    let bdb = find(catalogue, uid).await?;
    let (source, target) = (catalogue.file(uid), catalogue.backup(uid, action.uid()));
    let part = part_of(&target);
    let copied = copy(&source, &part, &bdb, action).await;
    if let Err(error) = copied {
        let _ = remove(part).await;
        return Err(error);
    }
    Ok(rename(part, target).await?)
}

async fn copy(source: &Path, part: &Path, bdb: &Bdb, action: &Reporter) -> Result<(), ActionError> {
    action.step("copy").await?;
    let mut file = sql::open(source).await.map_err(sql::failed)?;
    let whole = std::fs::metadata(source)?.len();
    let target = part.to_str().ok_or_else(|| io::Error::other("no UTF-8"))?;
    vacuum_into(&mut file, target, whole, action).await?;
    sql::close(file).await?;

    action.step("verify").await?;
    let (span, shards) = (Span { from: 80, to: 99 }, SHARDS.len() as u64);
    let mut copy = sql::open(part).await.map_err(sql::failed)?;
    let mut counted = 0;
    for (shard, done) in SHARDS.iter().zip(1..) {
        counted += count(&mut copy, shard).await?;
        action.progress(span.at(done, shards));
    }
    sql::close(copy).await?;
    if counted != bdb.rows {
        let detail = format!("{counted} rows instead of {}", bdb.rows);
        return Err(sql::corrupt().with_detail(detail));
    }
    Ok(())
}

/// Copies a database. SQLite says nothing while it does, but the copy grows.
async fn vacuum_into(
    file: &mut SqliteConnection,
    target: &str,
    whole: u64,
    action: &Reporter,
) -> Result<(), ActionError> {
    let copying = sqlx::query("VACUUM INTO ?1").bind(target).execute(file);
    let mut copying = std::pin::pin!(copying);
    let span = Span { from: 0, to: 80 };
    loop {
        let look = Duration::from_millis(20);
        match tokio::time::timeout(look, copying.as_mut()).await {
            Ok(copied) => return copied.map(|_| ()).map_err(sql::failed),
            Err(_) => {
                let so_far = std::fs::metadata(target).map_or(0, |file| file.len());
                action.progress(span.at(so_far.min(whole), whole));
            }
        }
    }
}

async fn check(catalogue: &Catalogue, uid: u64, action: &Reporter) -> Result<(), ActionError> {
    find(catalogue, uid).await?;
    action.step("integrity").await?;
    let mut file = sql::open(&catalogue.file(uid)).await.map_err(sql::failed)?;
    let (span, shards) = (Span { from: 0, to: 99 }, SHARDS.len() as u64);
    for (shard, done) in SHARDS.iter().zip(1..) {
        sql::check(&mut file, shard).await?;
        action.progress(span.at(done, shards));
    }
    sql::close(file).await
}

async fn delete(catalogue: &Catalogue, uid: u64, action: &Reporter) -> Result<(), ActionError> {
    find(catalogue, uid).await?;
    action.step("forget").await?;
    catalogue.remove(uid).await?;
    action.progress(Span { from: 0, to: 100 }.at(1, 2));
    action.step("remove_file").await?;
    Ok(remove(catalogue.file(uid)).await?)
}

async fn find(catalogue: &Catalogue, uid: u64) -> Result<Bdb, ActionError> {
    let missing = || ActionError::new("bdb_not_found", format!("there is no database {uid}"));
    catalogue.find(uid).await.ok_or_else(missing)
}

fn part_of(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

async fn rename(from: PathBuf, to: PathBuf) -> io::Result<()> {
    tokio::task::spawn_blocking(move || std::fs::rename(from, to)).await?
}

async fn remove(path: PathBuf) -> io::Result<()> {
    tokio::task::spawn_blocking(move || std::fs::remove_file(path)).await?
}
