//! `backup`, `diagnostics` and `schema`: the store itself.

use std::path::PathBuf;
use std::sync::Arc;

use action_store::address::StoreAddress;
use action_store::owner::OwnerQuery;
use action_store::sqlite::{SqliteAccess, SqliteFile};
use action_store::{ActionStore, ActionStoreExt, Clock, SqliteStore};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::error::{Failure, Result};
use crate::open::{Need, Opened, open};
use crate::output::{Column, Out, Table, plain};
use crate::{progress, time};

const BACKUP_EXAMPLES: &str = "\
Examples:
  actions backup /backup/actions-2026-01-31.db

The copy is complete, compact and durable when the command returns, also while a plane writes. Open
it in the place of the original, not beside it.";

/// Copy a SQLite store to a new file, while it is in use
#[derive(Debug, Args)]
#[command(after_long_help = BACKUP_EXAMPLES)]
pub(crate) struct Backup {
    /// New file
    #[arg(value_name = "FILE")]
    to: PathBuf,
}

fn sqlite(opened: &Opened) -> Result<Arc<SqliteStore>> {
    opened.sqlite.clone().ok_or_else(|| {
        Failure::usage("backup works on a SQLite store only")
            .with_hint("back up a PostgreSQL database with its own tools, such as pg_dump")
    })
}

pub(crate) async fn backup(address: &StoreAddress, command: &Backup, out: &mut Out) -> Result<()> {
    let opened = open(address, Need::Read).await?;
    let store = sqlite(&opened)?;
    let bar = progress::busy("copying");
    let copied = store.backup_to(&command.to).await;
    bar.finish_and_clear();
    copied.map_err(|error| Failure::from(error).about(command.to.display()))?;
    let bytes = std::fs::metadata(&command.to).map_or(0, |data| data.len());
    if out.json {
        out.json(&json!({"path": command.to.to_string_lossy(), "bytes": bytes}))?;
    } else {
        let size = indicatif::HumanBytes(bytes);
        out.line(format!("wrote {} ({size})", command.to.display()))?;
    }
    opened.close().await
}

/// Fields and their values, in the order in which people read them.
type Fields = Vec<(&'static str, Value)>;

/// Adds what only a SQLite store knows.
async fn of_sqlite(store: &SqliteStore, fields: &mut Fields) -> Result<()> {
    let state = store.diagnostics().await?;
    let access = match state.access {
        SqliteAccess::Exclusive => "exclusive",
        SqliteAccess::Shared => "shared",
        SqliteAccess::HostPool => "host-pool",
        SqliteAccess::ReadOnly => "read-only",
        _ => "other",
    };
    let file = match state.file {
        SqliteFile::Same => "same".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    };
    fields.extend([
        ("path", json!(state.path.to_string_lossy())),
        ("file", json!(file)),
        ("access", json!(access)),
        ("sqlite_version", json!(state.sqlite_version)),
        ("wal_reset_bug", json!(state.wal_reset_bug)),
        ("schema_version", json!(state.schema_version)),
        ("journal_mode", json!(state.journal_mode)),
        ("database_bytes", json!(state.database_bytes)),
        ("free_bytes", json!(state.free_bytes)),
        ("log_bytes", json!(state.log_bytes)),
        ("damaged", json!(state.damaged)),
    ]);
    Ok(())
}

pub(crate) async fn diagnostics(address: &StoreAddress, out: &mut Out) -> Result<()> {
    let opened = open(address, Need::Read).await?;
    let mut fields = vec![("address", json!(address.to_string()))];
    if let Some(store) = &opened.sqlite {
        of_sqlite(store, &mut fields).await?;
    }
    let at = opened.store.changed(None).await?;
    fields.extend([
        ("store_id", json!(at.store_id.to_string())),
        ("branch", json!(at.branch.get())),
        ("revision", json!(at.revision.get())),
        ("actions", json!(at.actions)),
        ("pruned_through", json!(at.pruned_through.get())),
        (
            "pruned_created",
            json!(at.pruned_created.map(time::rfc3339)),
        ),
    ]);
    let owners = opened.store.all_owners(OwnerQuery::active()).await?;
    if out.json {
        let owners = owners.iter().map(|owner| {
            json!({
                "name": &*owner.owner.name,
                "incarnation": owner.owner.incarnation.to_string(),
                "state": owner.state.as_str(),
                "renewals": owner.renewals,
                "claimed_at": time::rfc3339(owner.claimed_at),
                "renewed_at": time::rfc3339(owner.renewed_at),
            })
        });
        fields.push(("owners", owners.collect()));
        let fields = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        out.json(&fields.collect::<Map<String, Value>>())?;
        return opened.close().await;
    }
    for (name, value) in &fields {
        let value = match value {
            Value::Null => continue,
            Value::String(text) => plain(text),
            Value::Number(number) if name.ends_with("_bytes") => {
                let bytes = number.as_u64().unwrap_or_default();
                format!("{number} ({})", indicatif::HumanBytes(bytes))
            }
            other => other.to_string(),
        };
        out.line(format!("{name:15}  {value}"))?;
    }
    out.line("")?;
    if owners.is_empty() {
        out.line("no owner is alive or has unfinished actions")?;
    }
    let now = Clock::system().now();
    let mut table = Table::new([
        Column::long("OWNER"),
        Column::left("STATE"),
        Column::left("CLAIMED (UTC)"),
        Column::left("RENEWED (UTC)"),
        Column::right("AGO"),
    ]);
    for owner in &owners {
        table.row(vec![
            (&owner.owner.name).into(),
            owner.state.as_str().into(),
            time::utc(owner.claimed_at).into(),
            time::utc(owner.renewed_at).into(),
            time::short(now.since(owner.renewed_at)).into(),
        ]);
    }
    table.write(out)?;
    opened.close().await
}

/// Prints the SQL of the kind of store that the address names; of SQLite without one.
pub(crate) fn schema(address: Option<&StoreAddress>, out: &mut Out) -> Result<()> {
    let steps: Vec<String> = match address {
        None | Some(StoreAddress::Sqlite(_)) => {
            let steps = SqliteStore::schema().iter();
            steps.map(|step| (*step).to_owned()).collect()
        }
        #[cfg(feature = "postgres")]
        Some(StoreAddress::Postgres(_)) => action_store::PostgresStore::schema("actions")?,
        Some(_) => {
            return Err(Failure::usage(
                "this program has no schema for such a store",
            ));
        }
    };
    for (version, step) in (1..).zip(steps) {
        if out.json {
            out.json(&json!({"version": version, "sql": step}))?;
        } else {
            out.line(format!("-- version {version}"))?;
            out.line(step.trim_end())?;
        }
    }
    Ok(())
}
