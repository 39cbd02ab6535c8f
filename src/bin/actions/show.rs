//! `show` and `history`: one action.

use std::collections::BTreeMap;
use std::sync::Arc;

use action_store::address::StoreAddress;
use action_store::query::StateCounts;
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Clock, Filter, LogQuery, Timestamp,
};
use clap::Args;
use serde::Serialize;
use terminal::Style;

use crate::error::{Exit, Failure, Result};
use crate::filters::uid;
use crate::open::{Need, Opened, open};
use crate::output::{Cell, Column, Out, Table, note, plain};
use crate::{json, time};

const SHOW_EXAMPLES: &str = "\
Examples:
  actions show 01890a5d-ac96-774b-bcce-b302099a8057
  actions show 01890a5d-ac96-774b-bcce-b302099a8057 --json | jq .error

The detail of an error is for operators. A pin is not shown, because a store does not tell it.";

/// Show everything that is recorded about actions
#[derive(Debug, Args)]
#[command(after_long_help = SHOW_EXAMPLES)]
pub(crate) struct Show {
    /// Uids of the actions
    #[arg(required = true, value_name = "UID", value_parser = uid)]
    uids: Vec<ActionUid>,
}

/// Show what has happened to an action
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Uid of the action
    #[arg(value_name = "UID", value_parser = uid)]
    uid: ActionUid,
}

/// Returns an action, or says why there is none.
pub(crate) async fn find(opened: &Opened, uid: ActionUid) -> Result<Arc<Action>> {
    if let Some(action) = opened.store.action(uid).await? {
        return Ok(action);
    }
    let failure = Failure::new(Exit::NotFound, format!("there is no action {uid}"));
    let removed = opened.store.changed(None).await?.pruned_created;
    Err(match removed {
        Some(youngest) => failure.with_hint(format!(
            "it may have been removed: actions created until {} UTC were removed",
            time::utc(youngest)
        )),
        None => failure.with_hint("nothing was ever removed from this store; is it the right one?"),
    })
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    action: json::ActionJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<Parts>,
}

/// Number of parts up to which each state is counted.
const PARTS: u32 = 10_000;

/// The parts of an action, by status and outcome.
#[derive(Debug, Serialize)]
struct Parts {
    #[serde(flatten)]
    counts: BTreeMap<&'static str, u64>,
    /// True if there may be more parts than were counted.
    more: bool,
}

impl Parts {
    fn of(counts: &StateCounts) -> Option<Parts> {
        let numbers = counts.by_word().map(|(word, count)| (word, count.number));
        (counts.total() > 0).then(|| Parts {
            counts: numbers.into_iter().collect(),
            more: !counts.is_exact(),
        })
    }
}

/// Writes the states that parts are in: `1 executing, 2 failed`.
fn words(counts: &StateCounts) -> String {
    let some = counts.by_word();
    let some = some.iter().filter(|(_, count)| count.number > 0);
    let words: Vec<String> = some
        .map(|(word, count)| format!("{} {word}", count.number))
        .collect();
    let more = if counts.is_exact() { "" } else { ", and more" };
    format!("{}{more}", words.join(", "))
}

pub(crate) async fn show(address: &StoreAddress, command: &Show, out: &mut Out) -> Result<()> {
    let opened = open(address, Need::Read).await?;
    let now = Clock::system().now();
    for (at, uid) in command.uids.iter().enumerate() {
        let action = find(&opened, *uid).await?;
        let counts = opened.store.count(&[Filter::Parent(*uid)], PARTS).await?;
        let parts = Parts::of(&counts);
        if out.json {
            let action = json::action(&action);
            out.json(&Shown { action, parts })?;
            continue;
        }
        if at > 0 {
            out.line("")?;
        }
        let mut fields = fields(&action, now);
        if parts.is_some() {
            fields.push(("parts", words(&counts)));
        }
        for (name, value) in fields {
            field(out, name, &value)?;
        }
    }
    opened.close().await
}

/// Width of the names of the fields.
const NAMES: usize = 14;

/// Writes a field; a value of several lines is indented.
fn field(out: &mut Out, name: &str, value: &str) -> Result<()> {
    let mut name = name;
    for line in value.lines() {
        out.line(format!("{name:NAMES$}  {}", plain(line)).trim_end())?;
        name = "";
    }
    Ok(())
}

fn fields(action: &Action, now: Timestamp) -> Vec<(&'static str, String)> {
    let time = |at: Timestamp| time::in_full(at, now);
    let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let list = |texts: &[Arc<str>]| (!texts.is_empty()).then(|| texts.join("\n"));
    let pretty = |json: &action_store::Json| {
        let value: Option<serde_json::Value> = serde_json::from_str(json.as_str()).ok();
        let pretty = value.and_then(|value| serde_json::to_string_pretty(&value).ok());
        pretty.unwrap_or_else(|| json.as_str().to_owned())
    };
    let related = action.related.iter().map(|related| match &related.name {
        Some(name) => format!("{}: {} ({name})", related.role, related.object),
        None => format!("{}: {}", related.role, related.object),
    });
    let related: Vec<String> = related.collect();
    let labels = action.labels.iter();
    let labels: Vec<String> = labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let cancel = action.cancel.as_ref().map(|cancel| {
        let by = cancel.by.as_deref().map(|by| format!(" by {by}"));
        let reason = cancel.reason.as_deref().map(|reason| format!(": {reason}"));
        let (by, reason) = (by.unwrap_or_default(), reason.unwrap_or_default());
        format!("requested {}{by}{reason}", time(cancel.at))
    });
    let evidence = action.evidence.as_ref().map(|evidence| {
        format!(
            "owner {} {}; last sign of life {}; decided by {}",
            evidence.owner.name,
            evidence.end,
            time(evidence.last_seen_at),
            evidence.decided_by
        )
    });
    let outcome = action.outcome.map_or(action.status.to_string(), |outcome| {
        format!("{}: {outcome}", action.status)
    });
    let error = action.error.as_ref();
    let took = action
        .started_at
        .map(|started| time::short(action.finished_at.unwrap_or(now).since(started)));
    [
        ("uid", Some(action.uid.to_string())),
        ("name", Some(action.name.to_string())),
        ("source", Some(action.source.to_string())),
        ("object", action.object.as_ref().map(ToString::to_string)),
        ("related", (!related.is_empty()).then(|| related.join("\n"))),
        ("status", Some(outcome)),
        ("progress", Some(format!("{} %", action.progress))),
        ("step", text(&action.step)),
        ("description", text(&action.description)),
        (
            "error",
            error.map(|error| format!("{}: {}", error.code, error.message)),
        ),
        ("error detail", error.and_then(|error| text(&error.detail))),
        ("warnings", list(&action.warnings)),
        ("cancel", cancel),
        ("evidence", evidence),
        ("created", Some(time(action.created_at))),
        ("started", action.started_at.map(time)),
        ("finished", action.finished_at.map(time)),
        ("took", took),
        ("last seen", Some(time(action.last_seen_at))),
        ("tenant", Some(action.tenant.to_string())),
        ("actor", text(&action.actor)),
        ("owner", action.owner.as_ref().map(ToString::to_string)),
        ("parent", action.parent.map(|parent| parent.to_string())),
        (
            "retry of",
            action.retry_of.map(|retried| retried.to_string()),
        ),
        ("correlation", text(&action.correlation)),
        ("labels", (!labels.is_empty()).then(|| labels.join("\n"))),
        ("exclusive", list(&action.exclusive)),
        ("idempotency", text(&action.idempotency_key)),
        ("attributes", action.attributes.as_ref().map(pretty)),
        ("result", action.result.as_ref().map(pretty)),
        ("version", Some(action.version.to_string())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

pub(crate) async fn history(
    address: &StoreAddress,
    command: &History,
    out: &mut Out,
) -> Result<()> {
    let opened = open(address, Need::Read).await?;
    let action = find(&opened, command.uid).await?;
    let mut table = Table::new([
        Column::right("VERSION"),
        Column::left("AT (UTC)"),
        Column::left("CHANGE"),
        Column::left("STATUS"),
        Column::right("%").optional(1),
        Column::long("STEP").optional(2),
        Column::long("BY"),
        Column::long("NOTE"),
    ]);
    let mut query = LogQuery::of(command.uid);
    loop {
        let page = opened.store.log(&query).await?;
        for entry in &page.items {
            if out.json {
                out.json(&json::entry(entry))?;
                continue;
            }
            let owner = entry.owner.as_ref().map(|owner| &owner.name);
            let by = entry.by.as_ref().or(owner);
            let style = match entry.is_late() {
                true => Style::new().yellow(),
                false => Style::new(),
            };
            let status = entry
                .outcome
                .map_or(entry.status.as_str(), |outcome| outcome.as_str());
            let dash = |text: Option<&Arc<str>>| text.map_or("-", |text| text).to_owned();
            table.row(vec![
                entry.version.to_string().into(),
                time::utc(entry.at).into(),
                Cell::styled(entry.kind.as_str(), style),
                status.into(),
                entry.progress.to_string().into(),
                dash(entry.step.as_ref()).into(),
                dash(by).into(),
                dash(entry.note.as_ref()).into(),
            ]);
        }
        query.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    table.write(out)?;
    out.flush()?;
    match action.log_dropped() {
        0 => {}
        dropped => note(&format!(
            "the {dropped} oldest steps and notes were dropped"
        )),
    }
    opened.close().await
}
