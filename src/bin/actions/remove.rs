//! `prune` and `erase`: removal of completed actions. Both show first what they would remove.

use std::time::Duration;

use action_store::address::StoreAddress;
use action_store::retention::{self, Eraser, Pruner, Reason, Retention, Stays};
use action_store::{Action, ActionStoreExt, Clock, Outcome};
use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::error::{Exit, Failure, Result};
use crate::filters::FilterArgs;
use crate::list::status;
use crate::open::{Need, open};
use crate::output::{Column, Out, Table, count, note};
use crate::{progress, time};

const PRUNE_EXAMPLES: &str = "\
Examples:
  actions prune                                (shows what the default policy would remove)
  actions prune --age 14d --keep-last 0 --show 20
  actions prune --succeeded 7d --cap 500000 --yes

The default policy removes succeeded actions after 30 days and others after 90 days, keeps the last
10 of each object, and keeps at most 1,000,000 completed actions. Pinned and unfinished actions
always stay. Ages count back from the newest completion, not from the clock.";

/// Remove old completed actions, by a retention policy
#[derive(Debug, Args)]
#[command(after_long_help = PRUNE_EXAMPLES)]
pub(crate) struct Prune {
    /// Maximum age of all completed actions, such as 30d
    #[arg(long, value_name = "AGE", value_parser = time::duration)]
    age: Option<Duration>,
    /// Maximum age of succeeded actions [default: 30d]
    #[arg(long, value_name = "AGE", value_parser = time::duration)]
    succeeded: Option<Duration>,
    /// Maximum age of failed actions [default: 90d]
    #[arg(long, value_name = "AGE", value_parser = time::duration)]
    failed: Option<Duration>,
    /// Maximum age of cancelled actions [default: 90d]
    #[arg(long, value_name = "AGE", value_parser = time::duration)]
    cancelled: Option<Duration>,
    /// Maximum age of interrupted actions [default: 90d]
    #[arg(long, value_name = "AGE", value_parser = time::duration)]
    interrupted: Option<Duration>,
    /// Maximum age of lost actions [default: 90d]
    #[arg(long, value_name = "AGE", value_parser = time::duration)]
    lost: Option<Duration>,
    /// Number of actions per object that stay whatever their age [default: 10]
    #[arg(long, value_name = "N")]
    keep_last: Option<u16>,
    /// Maximum number of completed actions [default: 1000000]
    #[arg(long, value_name = "N")]
    cap: Option<u64>,
    /// Number of actions to show before anything is removed
    #[arg(long, value_name = "N", default_value_t = 10)]
    show: u64,
    /// Remove the actions. Without it they are only shown
    #[arg(long)]
    yes: bool,
}

impl Prune {
    fn policy(&self) -> Retention {
        let mut policy = Retention::new();
        for (outcome, age) in [
            (Outcome::Succeeded, self.succeeded),
            (Outcome::Failed, self.failed),
            (Outcome::Cancelled, self.cancelled),
            (Outcome::Interrupted, self.interrupted),
            (Outcome::Lost, self.lost),
        ] {
            if let Some(age) = age.or(self.age) {
                policy = policy.with_age(outcome, Some(age));
            }
        }
        if let Some(actions) = self.keep_last {
            policy = policy.with_keep_last(actions);
        }
        match self.cap {
            Some(actions) => policy.with_cap(Some(actions)),
            None => policy,
        }
    }
}

fn removal_table() -> Table {
    Table::new([
        Column::left("UID"),
        Column::left("STATUS"),
        Column::long("NAME"),
        Column::long("OBJECT").optional(2),
        Column::left("FINISHED (UTC)").optional(1),
        Column::left("REASON"),
    ])
}

fn removal_row(table: &mut Table, action: &Action, reason: &str) {
    let object = action.object.as_ref().map(|object| object.as_str());
    let finished = action.finished_at.map(time::utc);
    table.row(vec![
        action.uid.to_string().into(),
        status(action),
        (&action.name).into(),
        object.unwrap_or("-").into(),
        finished.unwrap_or_default().into(),
        reason.into(),
    ]);
}

#[derive(Debug, Serialize)]
struct Removal<'a> {
    uid: String,
    name: &'a str,
    outcome: Option<&'static str>,
    reason: &'static str,
}

pub(crate) async fn prune(address: &StoreAddress, command: &Prune, out: &mut Out) -> Result<()> {
    let policy = command.policy();
    let now = Clock::system().now();
    if command.yes {
        return pruned(address, &policy, out).await;
    }
    let opened = open(address, Need::Read).await?;
    let mut plan = retention::plan(&*opened.store, &policy, now);
    let mut table = removal_table();
    let mut shown = 0;
    let bar = match out.json {
        true => progress::beside_lines(out, "reading"),
        false => progress::unknown("reading"),
    };
    while let Some(page) = plan.next().await? {
        bar.set_position(plan.counts().total());
        for (action, reason) in &page {
            let reason = match reason {
                Reason::Aged => "aged",
                Reason::OverCap => "over-cap",
                _ => "policy",
            };
            if out.json {
                let outcome = action.outcome.map(|outcome| outcome.as_str());
                let (uid, name) = (action.uid.to_string(), &action.name);
                out.json(&Removal {
                    uid,
                    name,
                    outcome,
                    reason,
                })?;
            } else if shown < command.show {
                removal_row(&mut table, action, reason);
                shown += 1;
            }
        }
    }
    bar.finish_and_clear();
    table.write(out)?;
    out.flush()?;
    let counts = plan.counts();
    let cutoff = match plan.cutoff() {
        Some(cutoff) => format!(" (ages count back from {} UTC)", time::utc(cutoff)),
        None => String::new(),
    };
    if counts.total() == 0 {
        note(&format!(
            "nothing was removed: no completed action is too old or over the cap{cutoff}"
        ));
        return opened.close().await;
    }
    note(&format!(
        "nothing was removed: {} would go, {} aged and {} over the cap{cutoff}; pinned \
         actions among them will stay; add --yes to remove them",
        count(counts.total()),
        counts.aged,
        counts.over_cap
    ));
    opened.close().await
}

async fn pruned(address: &StoreAddress, policy: &Retention, out: &mut Out) -> Result<()> {
    let opened = open(address, Need::Write).await?;
    let mut pruner = Pruner::new(&*opened.store, policy, Clock::system().now());
    let bar = progress::unknown("removing");
    while let Some(tried) = pruner.next().await? {
        bar.set_position(pruner.report().removed.total());
        pause(tried, policy.pause).await;
    }
    bar.finish_and_clear();
    let report = pruner.report();
    if out.json {
        out.json(&json!({
            "removed": report.removed.total(),
            "aged": report.removed.aged,
            "over_cap": report.removed.over_cap,
            "pinned": report.pinned,
            "parts": report.parts,
            "gone": report.gone,
            "changed": report.changed,
        }))?;
    } else {
        out.line(format!(
            "removed {}: {} aged, {} over the cap",
            count(report.removed.total()),
            report.removed.aged,
            report.removed.over_cap
        ))?;
        for (count, why) in [
            (report.pinned, "are pinned"),
            (report.parts, "are parts of unfinished actions"),
            (report.changed, "changed meanwhile"),
        ] {
            if count > 0 {
                out.line(format!("{count} stay: they {why}"))?;
            }
        }
    }
    opened.close().await
}

/// Lets other processes write between two transactions.
async fn pause(tried: u64, pause: Duration) {
    if tried > 0 {
        tokio::time::sleep(pause).await;
    }
}

const ERASE_EXAMPLES: &str = "\
Examples:
  actions erase --tenant acme                  (shows how many it would remove)
  actions erase --touches bdb:7 --yes

Removes whatever the age. Unfinished actions, pinned actions and parts of unfinished actions stay
and are listed; the exit code is then 4. Exports, copies and backups are not erased.";

/// Remove all completed actions of an object, a tenant or another filter
#[derive(Debug, Args)]
#[command(after_long_help = ERASE_EXAMPLES)]
pub(crate) struct Erase {
    /// Remove the actions. Without it they are only counted
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    filters: FilterArgs,
}

pub(crate) async fn erase(address: &StoreAddress, command: &Erase, out: &mut Out) -> Result<()> {
    let mut filters = command.filters.filters();
    let (Some(filter), true) = (filters.pop(), filters.is_empty()) else {
        return Err(Failure::usage("erase takes exactly one filter")
            .with_hint("usually --touches OBJECT or --tenant NAME"));
    };
    if !command.yes {
        return would_erase(address, command, out).await;
    }
    let opened = open(address, Need::Write).await?;
    let mut eraser = Eraser::new(&*opened.store, filter);
    let bar = progress::unknown("erasing");
    while let Some(tried) = eraser.next().await? {
        bar.set_position(eraser.report().removed);
        pause(tried, eraser.pause()).await;
    }
    bar.finish_and_clear();
    let report = eraser.report().clone();
    let why = |why: &Stays| match why {
        Stays::Pinned => "pinned",
        Stays::Unfinished => "unfinished",
        Stays::Part => "part",
        Stays::Changed => "changed",
        _ => "other",
    };
    if out.json {
        let left = report.left.iter();
        let left = left.map(|left| json!({"uid": left.uid.to_string(), "why": why(&left.why)}));
        out.json(&json!({
            "removed": report.removed,
            "gone": report.gone,
            "pinned": report.pinned,
            "unfinished": report.unfinished,
            "parts": report.parts,
            "changed": report.changed,
            "complete": report.is_complete(),
            "left": left.collect::<Vec<_>>(),
        }))?;
    } else {
        out.line(format!("removed {}", count(report.removed)))?;
        let mut table = Table::new([Column::left("STAYS"), Column::left("WHY")]);
        for left in &report.left {
            table.row(vec![left.uid.to_string().into(), why(&left.why).into()]);
        }
        table.write(out)?;
    }
    opened.close().await?;
    match report.is_complete() {
        true => Ok(()),
        false => {
            out.flush()?;
            note(
                "hint: complete unfinished actions (`actions settle`) and unpin pinned ones \
                 (`actions pin --unpin`), then erase again",
            );
            Err(Failure::Told(Exit::Refused))
        }
    }
}

async fn would_erase(address: &StoreAddress, command: &Erase, out: &mut Out) -> Result<()> {
    let opened = open(address, Need::Read).await?;
    let bar = progress::busy("counting");
    let filters = command.filters.filters();
    let counts = opened.store.count(&filters, u32::MAX).await?;
    bar.finish_and_clear();
    let unfinished = counts.queued.number + counts.executing.number;
    let completed = counts.total() - unfinished;
    if out.json {
        out.json(&json!({"would_remove": completed, "unfinished": unfinished}))?;
        out.flush()?;
    }
    let stay = match unfinished {
        0 => String::new(),
        1 => "; 1 unfinished action would stay".to_owned(),
        _ => format!("; {unfinished} unfinished actions would stay"),
    };
    note(&match completed {
        0 => format!("nothing was removed: no completed action matches{stay}"),
        _ => format!(
            "nothing was removed: {} would go, unless pinned or part of an unfinished \
             action{stay}; add --yes to remove",
            count(completed)
        ),
    });
    opened.close().await
}
