//! `check`: of a SQLite file with its own check; of any other store by reading all of it.

use std::sync::Arc;

use action_store::address::StoreAddress;
use action_store::owner::OwnerQuery;
use action_store::query::Detail;
use action_store::{
    ActionStore, Cursor, Limits, LogQuery, Order, Page, Query, SqliteStore, StoreError,
    StoreErrorKind,
};
use serde::Serialize;

use crate::error::{Exit, Failure, Result};
use crate::open::{Need, open};
use crate::output::{Out, count, note, number, plain};
use crate::progress;

pub(crate) const ABOUT: &str = "\
Of a SQLite store, checks every row and its checksum, the rows that belong together, and the structure
of the file. Of any other store, reads every action, log entry and owner as a plane does, up to the
first damaged one of each. A plane can go on meanwhile. The exit code is 6 if damage was found.";

/// Result of a check: the numbers that were read, and the damage that was found.
#[derive(Debug, Default, Serialize)]
struct Checked {
    /// `rows` if the rows and the structure of a SQLite file were checked, `values` if the store was
    /// read as a plane reads it.
    examined: &'static str,
    actions: u64,
    entries: u64,
    owners: u64,
    damaged: u64,
    findings: Vec<String>,
}

pub(crate) async fn check(address: &StoreAddress, out: &mut Out) -> Result<()> {
    let opened = open(address, Need::Read).await?;
    let bar = progress::busy("checking");
    let checked = match &opened.sqlite {
        Some(store) => of_sqlite(store).await,
        None => by_reading(&opened.store).await,
    };
    bar.finish_and_clear();
    let checked = checked?;
    if out.json {
        out.json(&checked)?;
    } else {
        print(&checked, address, out)?;
    }
    out.flush()?;
    opened.close().await?;
    if checked.damaged > 0 {
        note("hint: restore a backup; `actions export` may still read what is not damaged");
        return Err(Failure::Told(Exit::Findings));
    }
    Ok(())
}

fn print(checked: &Checked, address: &StoreAddress, out: &mut Out) -> Result<()> {
    out.line(format!(
        "read {}, {} and {}",
        count(checked.actions),
        number(checked.entries, "log entry", "log entries"),
        number(checked.owners, "owner", "owners")
    ))?;
    for finding in &checked.findings {
        out.line(format!("damage: {}", plain(finding)))?;
    }
    match checked.damaged {
        0 => out.line("no damage was found")?,
        damaged => out.line(number(damaged, "finding", "findings"))?,
    }
    if let StoreAddress::Postgres(_) = address {
        out.line(
            "not checked: the indexes and the files of the database; PostgreSQL's pg_amcheck checks \
             them",
        )?;
    }
    Ok(())
}

async fn of_sqlite(store: &SqliteStore) -> std::result::Result<Checked, StoreError> {
    let check = store.check().await?;
    Ok(Checked {
        examined: "rows",
        actions: check.actions,
        entries: check.entries,
        owners: check.owners,
        damaged: check.damaged,
        findings: check.findings,
    })
}

/// Reads all actions, log entries and owners.
async fn by_reading(store: &Arc<dyn ActionStore>) -> std::result::Result<Checked, StoreError> {
    let mut checked = Checked {
        examined: "values",
        ..Checked::default()
    };
    let mut findings = Vec::new();
    let actions = async |after, limit| {
        let query = Query::new().with_order(Order::Oldest).with_limit(limit);
        let mut query = query.with_detail(Detail::Full);
        query.after = after;
        store.list(&query).await
    };
    checked.actions = walk("actions", actions, &mut findings).await?;
    let entries = async |after, limit| {
        let mut query = LogQuery::default();
        (query.after, query.limit) = (after, limit);
        store.log(&query).await
    };
    checked.entries = walk("log entries", entries, &mut findings).await?;
    let owners = async |after, limit| {
        let mut query = OwnerQuery::new();
        (query.after, query.limit) = (after, limit);
        store.owners(&query).await
    };
    checked.owners = walk("owners", owners, &mut findings).await?;
    checked.damaged = findings.len() as u64;
    checked.findings = findings;
    Ok(checked)
}

/// Reads the pages of a list up to its end or to the first damaged item. Returns the number of items
/// that were read.
async fn walk<T>(
    items: &str,
    page: impl AsyncFn(Option<Cursor>, u16) -> std::result::Result<Page<T>, StoreError>,
    findings: &mut Vec<String>,
) -> std::result::Result<u64, StoreError> {
    let (mut after, mut limit, mut read) = (None, Limits::PAGE, 0);
    loop {
        match page(after, limit).await {
            Ok(page) => {
                read += page.items.len() as u64;
                after = page.next;
                if after.is_none() {
                    return Ok(read);
                }
            }
            Err(error) if error.kind() != StoreErrorKind::Corrupt => return Err(error),
            // One by one, to read as much as possible.
            Err(_) if limit > 1 => limit = 1,
            Err(error) => {
                findings.push(format!(
                    "{items}, after {read} that were read: {error}; the others were not read"
                ));
                return Ok(read);
            }
        }
    }
}
