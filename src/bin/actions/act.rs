//! `settle` and `pin`: changes of actions, one or by filter.

use std::sync::Arc;
use std::time::Duration;

use action_store::address::{SqliteMode, StoreAddress};
use action_store::{
    Action, ActionError, ActionStoreExt, ActionUid, Change, Finish, Outcome, Status,
};
use clap::Args;

use crate::change::{Row, Work, change_all};
use crate::error::{Failure, Result};
use crate::filters::{uid, words};
use crate::open::{Need, Opened, open};
use crate::output::{Column, Out, Table};
use crate::targets::Targets;
use crate::time::{duration, short};
use crate::{fence, show};

const SETTLE_EXAMPLES: &str = "\
Examples:
  actions settle 01890a5d-ac96-774b-bcce-b302099a8057 --reason 'host 7 burnt down'
  actions settle --owner plane@host-7 --unfinished             (shows what it would do)
  actions --store 'sqlite:plane.db?mode=exclusive' settle --unfinished --yes

An executing action becomes lost, and a queued one interrupted (or cancelled or failed, with
--as). The store refuses it while the owner of the action is recorded as alive. A plane that
starts again, or another one that shares the store, settles the actions of a dead owner by itself.
If no process uses a SQLite store any more, mode=exclusive proves it and ends the owners in it. On a
store that others share, --fence-after waits and ends the owners that did not renew, with all that
they own: the dry run names them.";

/// Complete actions that no living owner will complete
#[derive(Debug, Args)]
#[command(after_long_help = SETTLE_EXAMPLES)]
pub(crate) struct Settle {
    /// Outcome [default: lost for an executing action, interrupted for a queued one]
    #[arg(long = "as", value_name = "OUTCOME", value_parser = words(Outcome::ALL, Outcome::as_str))]
    end: Option<Outcome>,
    /// Wait this long, and first end the owners of these actions that did not renew meanwhile. This
    /// ends the whole owner: without --yes, also with uids, its other actions are only counted
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    fence_after: Option<Duration>,
    /// Longest lease of the planes, which --fence-after must not be less than
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = duration,
        requires = "fence_after",
        default_value = "30s"
    )]
    lease: Duration,
    /// Reason, for operators: the detail of the action's error
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Name of who decides [default: the user's name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    targets: Targets,
}

const PIN_EXAMPLES: &str = "\
Examples:
  actions pin 01890a5d-ac96-774b-bcce-b302099a8057
  actions pin --unpin 01890a5d-ac96-774b-bcce-b302099a8057

A pinned action is removed neither by retention nor by erase. A store does not show its pins.";

/// Keep completed actions from being removed
#[derive(Debug, Args)]
#[command(after_long_help = PIN_EXAMPLES)]
pub(crate) struct Pin {
    /// Uids of the actions
    #[arg(required = true, value_name = "UID", value_parser = uid)]
    uids: Vec<ActionUid>,
    /// Allow removal again
    #[arg(long)]
    unpin: bool,
}

/// Returns the name under which a change is recorded.
pub(crate) fn name(given: Option<&String>) -> Arc<str> {
    let user = || std::env::var("USER").ok().filter(|user| !user.is_empty());
    let name = given.cloned().or_else(user);
    name.unwrap_or_else(|| "actions command line".to_owned())
        .into()
}

pub(crate) async fn settle(address: &StoreAddress, command: &Settle, out: &mut Out) -> Result<()> {
    command.targets.check()?;
    if command.end == Some(Outcome::Succeeded) && command.reason.is_some() {
        let message = "--reason: a succeeded action has no error to keep the reason in";
        return Err(Failure::usage(message));
    }
    let mut targets = command.targets.clone();
    if let Some(after) = command.fence_after {
        check_wait(after, command.lease)?;
        targets = targets.needing_yes();
        let need = if targets.is_dry() {
            Need::Read
        } else {
            Need::Write
        };
        let opened = open(address, need).await?;
        match need {
            Need::Read => fence::announce(&opened, &targets, after).await?,
            _ => fence::silent_owners(&opened, &targets, after).await?,
        }
        opened.close().await?;
    }
    let by = name(command.by.as_ref());
    let work = Work {
        applied: "settled",
        change: |action: &Action| Change::Finish(end(command, action.status, by.clone())),
        already: "settled before",
        cancel: None,
        // Exclusive access and --fence-after end owners first.
        spares_living: command.fence_after.is_none() && !is_exclusive(address),
    };
    change_all(address, &targets, &work, out).await
}

/// Returns true if a change opens the store in a way that ends all owners in it.
fn is_exclusive(address: &StoreAddress) -> bool {
    let mode = match address {
        StoreAddress::Sqlite(sqlite) => sqlite.mode,
        _ => None,
    };
    mode == Some(SqliteMode::Exclusive)
}

/// Checks that the owners have the time of their lease to renew.
fn check_wait(after: Duration, lease: Duration) -> Result<()> {
    if lease.is_zero() {
        return Err(Failure::usage("--lease must not be zero"));
    }
    if after >= lease {
        return Ok(());
    }
    let (after, lease) = (short(after), short(lease));
    let message = format!("--fence-after {after} is less than the lease, {lease}");
    Err(Failure::usage(message).with_hint(
        "an owner that is alive would be ended; if no plane has a longer lease than this, say so \
         with --lease",
    ))
}

/// Returns the end of an action of this status.
fn end(command: &Settle, status: Status, by: Arc<str>) -> Finish {
    let reason = command.reason.as_deref().map(Arc::from);
    let has_reason = reason.is_some();
    let mut finish = Finish::settled(status, reason).with_decided_by(by);
    let Some(outcome) = command.end else {
        return finish;
    };
    finish.outcome = outcome;
    finish.error = finish.error.filter(|_| match outcome {
        Outcome::Succeeded => false,
        Outcome::Cancelled => has_reason,
        _ => true,
    });
    if let Some(error) = &mut finish.error {
        error.code = match outcome {
            Outcome::Lost => ActionError::LOST,
            Outcome::Interrupted => ActionError::INTERRUPTED,
            _ => outcome.as_str(),
        }
        .into();
    }
    finish
}

pub(crate) async fn pin(address: &StoreAddress, command: &Pin, out: &mut Out) -> Result<()> {
    let opened = open(address, Need::Write).await?;
    let mut actions = Vec::with_capacity(command.uids.len());
    for uid in &command.uids {
        // Before anything is changed: a mistyped uid must not leave half of the work.
        actions.push(show::find(&opened, *uid).await?);
    }
    let mut table = Table::new([
        Column::left("UID"),
        Column::long("NAME"),
        Column::left("RESULT"),
    ]);
    let pinned = pin_all(&opened, command, &actions, &mut table, out).await;
    // Also after an error: shows which actions were changed before it.
    table.write(out)?;
    pinned?;
    opened.close().await
}

async fn pin_all(
    opened: &Opened,
    command: &Pin,
    actions: &[Arc<Action>],
    table: &mut Table,
    out: &mut Out,
) -> Result<()> {
    let result = if command.unpin { "unpinned" } else { "pinned" };
    for action in actions {
        opened.store.pin(action.uid, !command.unpin).await?;
        let uid = action.uid.to_string();
        if out.json {
            out.json(&Row {
                uid,
                name: &action.name,
                result,
                reason: None,
            })?;
        } else {
            table.row(vec![uid.into(), (&action.name).into(), result.into()]);
        }
    }
    Ok(())
}
