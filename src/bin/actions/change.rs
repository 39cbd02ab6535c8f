//! Changes of actions that are chosen by uid or by filter: shown first, made in steps, reported.

use std::sync::Arc;

use action_store::address::StoreAddress;
use action_store::command::{ConflictReason, Effect};
use action_store::owner::{Owner, OwnerQuery};
use action_store::query::Detail;
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, CancelRequest, Change, Command, Done,
    Filter, Order, Outcome, OwnerRef, Rejection,
};
use serde::Serialize;

use crate::error::{Exit, Failure, Result};
use crate::list::status;
use crate::open::{Need, Opened, open};
use crate::output::{Column, Out, Table, count, note};
use crate::targets::Targets;
use crate::{cancel, progress, show};

/// Actions that are changed in one step.
const PAGE: u16 = 200;

/// Message if there was nothing to do.
pub(crate) const NONE: &str = "nothing was changed: no unfinished action matches";

/// The change of each action, and its words.
#[derive(Debug)]
pub(crate) struct Work<F> {
    /// Word for an action that was changed.
    pub(crate) applied: &'static str,
    /// The same for an action that was so before.
    pub(crate) already: &'static str,
    pub(crate) change: F,
    /// The request, if the change is a cancel request.
    pub(crate) cancel: Option<CancelRequest>,
    /// True if an owner that is recorded as alive keeps its actions from being changed.
    pub(crate) spares_living: bool,
}

/// The result for one action.
#[derive(Debug, Serialize)]
pub(crate) struct Row<'a> {
    pub(crate) uid: String,
    pub(crate) name: &'a str,
    pub(crate) result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// Prints the results and counts them.
#[derive(Debug)]
struct Report {
    table: Table,
    applied: &'static str,
    changed: u64,
    already: u64,
    refused: u64,
    would: u64,
    /// The owners whose actions would be refused in a dry run.
    alive: Vec<OwnerRef>,
    /// Parts of the actions that got a cancel request.
    parts: u64,
    /// True if a living owner was the reason of a refusal.
    owner_alive: bool,
}

impl Report {
    fn new(applied: &'static str) -> Report {
        let table = Table::new([
            Column::left("UID"),
            Column::left("STATUS").optional(2),
            Column::long("NAME"),
            Column::long("OBJECT").optional(1),
            Column::left("RESULT"),
        ]);
        Report {
            table,
            applied,
            changed: 0,
            already: 0,
            refused: 0,
            would: 0,
            alive: Vec::new(),
            parts: 0,
            owner_alive: false,
        }
    }

    fn row(
        &mut self,
        action: &Action,
        result: &'static str,
        reason: Option<String>,
        out: &mut Out,
    ) -> Result<()> {
        if out.json {
            let uid = action.uid.to_string();
            return out.json(&Row {
                uid,
                name: &action.name,
                result,
                reason,
            });
        }
        let object = action.object.as_ref().map(|object| object.as_str());
        let result = match reason {
            Some(reason) => format!("{result}: {reason}"),
            None => result.to_owned(),
        };
        self.table.row(vec![
            action.uid.to_string().into(),
            status(action),
            (&action.name).into(),
            object.unwrap_or("-").into(),
            result.into(),
        ]);
        Ok(())
    }

    fn answer<F>(
        &mut self,
        work: &Work<F>,
        action: &Action,
        answer: std::result::Result<Done, Rejection>,
        out: &mut Out,
    ) -> Result<()> {
        match answer {
            Ok(done) => {
                let now = done.action.as_deref().unwrap_or(action);
                let result = match done.effect {
                    Effect::Applied => {
                        self.changed += 1;
                        self.applied
                    }
                    Effect::Already => {
                        self.already += 1;
                        match out.json {
                            true => "already",
                            false => work.already,
                        }
                    }
                };
                let is_ended = work.cancel.is_some() && now.outcome == Some(Outcome::Cancelled);
                let result = if is_ended { "cancelled" } else { result };
                self.row(now, result, None, out)
            }
            Err(refused) => {
                self.refused += 1;
                self.owner_alive |= matches!(refused, Rejection::OwnerAlive(_))
                    || matches!(&refused, Rejection::Conflict { reason, .. }
                        if *reason == ConflictReason::NotOwner);
                let reason = match &refused {
                    Rejection::Conflict { reason, .. } => reason.to_string(),
                    Rejection::OwnerAlive(owner) => {
                        format!("its owner {} is alive", owner.owner.name)
                    }
                    refused => refused.to_string(),
                };
                self.row(action, "refused", Some(reason), out)
            }
        }
    }

    fn would(&mut self, action: &Action, out: &mut Out) -> Result<()> {
        let owner = action.owner.as_ref();
        let alive = owner.filter(|owner| self.alive.contains(owner));
        let Some(owner) = alive else {
            self.would += 1;
            return self.row(action, "would be changed", None, out);
        };
        self.refused += 1;
        let reason = format!("its owner {} is alive", owner.name);
        self.row(action, "would be refused", Some(reason), out)
    }

    fn end_dry(&self, targets: &Targets) {
        let (would, refused) = (self.would, self.refused);
        if would + refused == 0 {
            return note(NONE);
        }
        let them = if would == 1 { "it" } else { "them" };
        let verb = if would == 1 { "matches" } else { "match" };
        let matches = match refused {
            0 => format!("{} {verb}", count(would)),
            _ => format!("{} would be changed, {refused} refused", count(would)),
        };
        let repeat = match targets.dry_run {
            true => String::new(),
            false => format!("; add --yes to change {them}"),
        };
        note(&format!("nothing was changed: {matches}{repeat}"));
    }

    fn end(mut self, targets: &Targets, address: &StoreAddress, out: &mut Out) -> Result<()> {
        self.table.write(out)?;
        out.flush()?;
        if targets.is_dry() {
            self.end_dry(targets);
            return Ok(());
        }
        let Report {
            applied,
            changed,
            already,
            refused,
            parts,
            ..
        } = self;
        if changed + already + refused == 0 {
            note(NONE);
            return Ok(());
        }
        note(&format!(
            "{changed} {applied}, {already} already, {refused} refused"
        ));
        if parts > 0 {
            let noun = if parts == 1 { "part" } else { "parts" };
            note(&format!(
                "{parts} {noun} of these actions got the request too"
            ));
        }
        if self.owner_alive {
            note(&match address {
                StoreAddress::Sqlite(sqlite) => format!(
                    "hint: if the owner's process has ended and no other uses the store, \
                     --store 'sqlite:{}?mode=exclusive' proves it and ends the owner; beside \
                     other processes, --fence-after 30s --yes ends an owner that does not renew",
                    sqlite.path.display()
                ),
                _ => "hint: --fence-after 30s --yes ends an owner that does not renew".to_owned(),
            });
        }
        match refused {
            0 => Ok(()),
            _ => Err(Failure::Told(Exit::Refused)),
        }
    }
}

/// Makes the change to each of the actions. The targets were checked.
pub(crate) async fn change_all(
    address: &StoreAddress,
    targets: &Targets,
    work: &Work<impl Fn(&Action) -> Change + Send + Sync>,
    out: &mut Out,
) -> Result<()> {
    let need = if targets.is_dry() {
        Need::Read
    } else {
        Need::Write
    };
    let opened = open(address, need).await?;
    let mut report = Report::new(work.applied);
    if targets.is_dry() && work.spares_living {
        let owners = opened.store.all_owners(OwnerQuery::active()).await?;
        let alive = owners.into_iter().filter(Owner::is_alive);
        report.alive = alive.map(|owner| owner.owner).collect();
    }
    if targets.uids.is_empty() {
        by_filter(&opened, targets, &mut report, work, out).await?;
    } else {
        let mut actions = Vec::with_capacity(targets.uids.len());
        for uid in &targets.uids {
            // Before anything is changed: a mistyped uid must not leave half of the work.
            actions.push(show::find(&opened, *uid).await?);
        }
        step(&opened, targets, actions, &mut report, work, out).await?;
    }
    opened.close().await?;
    report.end(targets, address, out)
}

async fn by_filter(
    opened: &Opened,
    targets: &Targets,
    report: &mut Report,
    work: &Work<impl Fn(&Action) -> Change + Send + Sync>,
    out: &mut Out,
) -> Result<()> {
    let query = targets.filters.query().with_filter(Filter::Unfinished);
    let query = query.with_detail(Detail::Summary);
    let shown = progress::beside_lines(out, "changing");
    // Newest first, so that actions which are created meanwhile are left alone.
    let mut query = query.with_order(Order::Newest).with_limit(PAGE);
    loop {
        let page = opened.store.list(&query).await?;
        shown.inc(page.items.len() as u64);
        step(opened, targets, page.items, report, work, out).await?;
        query.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    shown.finish_and_clear();
    Ok(())
}

/// Changes some actions in one transaction, or shows them.
async fn step(
    opened: &Opened,
    targets: &Targets,
    actions: Vec<Arc<Action>>,
    report: &mut Report,
    work: &Work<impl Fn(&Action) -> Change + Send + Sync>,
    out: &mut Out,
) -> Result<()> {
    if targets.is_dry() {
        for action in actions.iter().filter(|action| action.is_unfinished()) {
            report.would(action, out)?;
        }
        return report.table.write(out);
    }
    for actions in actions.chunks(PAGE.into()) {
        let commands = actions
            .iter()
            .map(|action| Command::apply(action.uid, (work.change)(action)));
        let batch = Batch::each(commands.collect());
        let mut answers = opened.store.write_repeating(batch).await?;
        let parts = match &work.cancel {
            Some(request) => cancel(opened, request, actions, &mut answers).await,
            None => Ok(0),
        };
        for (action, answer) in actions.iter().zip(answers) {
            report.answer(work, action, answer, out)?;
        }
        // Also after an error: the requests are recorded.
        report.table.write(out)?;
        report.parts += parts?;
    }
    Ok(())
}

/// Completes the cancel requests that were recorded, and puts the actions as they are then into the
/// answers. Returns the number of parts that got the request.
async fn cancel(
    opened: &Opened,
    request: &CancelRequest,
    actions: &[Arc<Action>],
    answers: &mut [std::result::Result<Done, Rejection>],
) -> Result<u64> {
    let asked = actions.iter().zip(answers);
    let asked = asked.filter_map(|(action, answer)| Some((action.uid, answer.as_mut().ok()?)));
    let (uids, done): (Vec<ActionUid>, Vec<&mut Done>) = asked.unzip();
    let parts = cancel::complete(opened, request, &uids).await?;
    let now = opened.store.get(&uids).await?;
    for (done, now) in done.into_iter().zip(now) {
        done.action = now.or(done.action.take());
    }
    Ok(parts)
}

#[cfg(test)]
mod tests;
