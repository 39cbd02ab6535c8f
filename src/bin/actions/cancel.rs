//! `cancel`: of actions by uid, one row each; by filter as the library's `CancelAll`.

use action_store::address::StoreAddress;
use action_store::command::{CancelAll, CancelReport};
use action_store::query::Detail;
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, CancelRequest, Change, Filter, Order, Query,
    StoreError, Timestamp,
};
use clap::Args;
use serde_json::json;

use crate::act::name;
use crate::change::{NONE, Work, change_all};
use crate::error::{Failure, Result};
use crate::open::{Need, Opened, open};
use crate::output::{Out, count, note};
use crate::progress;
use crate::targets::Targets;

const EXAMPLES: &str = "\
Examples:
  actions cancel 01890a5d-ac96-774b-bcce-b302099a8057 --reason 'wrong database'
  actions cancel --object bdb:7 --reason maintenance           (shows what it would do)
  actions cancel --object bdb:7 --reason maintenance --yes
  actions list --unfinished --cancel-requested                 (those that have not ended yet)

A request is recorded, for the parts of the action too. The owner of an executing action decides how
to stop; it must share the store. A queued action whose owner is not alive is cancelled at once.";

/// Ask the owners of actions to cancel them
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Cancel {
    /// Reason, for the log and the owner
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Name of who asks [default: the user's name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    targets: Targets,
}

/// Matching actions of one step.
const STEP: u32 = 200;

pub(crate) async fn cancel(address: &StoreAddress, command: &Cancel, out: &mut Out) -> Result<()> {
    let targets = &command.targets;
    targets.check()?;
    let mut request = CancelRequest::new().with_by(name(command.by.as_ref()));
    if let Some(reason) = &command.reason {
        request = request.with_reason(reason.as_str());
    }
    if targets.uids.is_empty() && !targets.is_dry() {
        return by_filter(address, targets.filters.filters(), request, out).await;
    }
    let work = Work {
        applied: "requested",
        change: |_: &Action| Change::RequestCancel(request.clone()),
        already: "requested before",
        cancel: Some(request.clone()),
        spares_living: false,
    };
    change_all(address, targets, &work, out).await
}

/// Completes recorded requests: queued actions whose owner is not alive end, and parts get the
/// request too. Returns the number of these parts.
pub(crate) async fn complete(
    opened: &Opened,
    request: &CancelRequest,
    uids: &[ActionUid],
) -> Result<u64> {
    let mut parts = 0;
    for uid in uids {
        let one = CancelAll::new(request.clone()).with_filter(Filter::Uid(*uid));
        let report = opened.store.cancel_all(&one).await;
        parts += report.parts;
        if let Some(error) = report.error {
            return Err(error.into());
        }
    }
    Ok(parts)
}

async fn by_filter(
    address: &StoreAddress,
    filters: Vec<Filter>,
    request: CancelRequest,
    out: &mut Out,
) -> Result<()> {
    let opened = open(address, Need::Write).await?;
    let bar = progress::unknown("cancelling");
    let mut total = CancelReport::default();
    let mut next = first(&opened, filters, request).await?;
    while let Some(step) = next {
        let report = opened.store.cancel_all(&step).await;
        add(&mut total, &report);
        bar.set_position(total.matched);
        if report.error.is_some() {
            total.error = report.error;
            break;
        }
        next = step.resume(&report);
    }
    bar.finish_and_clear();
    print(&total, out)?;
    out.flush()?;
    if let Some(error) = total.error {
        return Err(Failure::from(error).with_hint(
            "repeat the command: the actions that are counted above have the request, and keep it \
             as it is",
        ));
    }
    opened.close().await
}

/// Returns the first step. It leaves actions alone that are created from now on: a plane that creates
/// faster than they are cancelled would keep the command busy for ever.
async fn first(
    opened: &Opened,
    filters: Vec<Filter>,
    request: CancelRequest,
) -> std::result::Result<Option<CancelAll>, StoreError> {
    let matching = filters.iter().cloned();
    let mut query = matching.fold(Query::new(), Query::with_filter);
    query = query.with_filter(Filter::Unfinished).with_limit(1);
    query = query.with_order(Order::Newest).with_detail(Detail::Summary);
    // By the clocks of the planes, which may differ from the clock here.
    let newest = opened.store.list(&query).await?;
    let Some(newest) = newest.items.first() else {
        return Ok(None);
    };
    let later = Timestamp::from_micros(newest.created_at.as_micros().saturating_add(1));
    let all = CancelAll::new(request).with_limit(STEP);
    let all = filters.into_iter().fold(all, CancelAll::with_filter);
    Ok(Some(all.with_filter(Filter::CreatedBefore(later))))
}

fn add(total: &mut CancelReport, step: &CancelReport) {
    total.matched += step.matched;
    total.queued += step.queued;
    total.executing += step.executing;
    total.requested += step.requested;
    total.already += step.already;
    total.ended += step.ended;
    total.gone += step.gone;
    total.parts += step.parts;
}

fn print(report: &CancelReport, out: &mut Out) -> Result<()> {
    if out.json {
        return out.json(&json!({
            "matched": report.matched,
            "queued": report.queued,
            "executing": report.executing,
            "requested": report.requested,
            "already": report.already,
            "cancelled": report.ended,
            "gone": report.gone,
            "parts": report.parts,
        }));
    }
    if report.matched == 0 && report.error.is_none() {
        note(NONE);
        return Ok(());
    }
    out.line(format!(
        "{} matched: {} queued, {} executing",
        count(report.matched),
        report.queued,
        report.executing
    ))?;
    let parts = match report.parts {
        0 => String::new(),
        1 => ", and so did 1 part".to_owned(),
        parts => format!(", and so did {parts} parts"),
    };
    out.line(format!("{} got the request{parts}", report.requested))?;
    for (number, what) in [
        (report.already, "had a request before"),
        (
            report.ended,
            "cancelled at once: queued, and without a living owner",
        ),
        (report.gone, "had ended meanwhile"),
    ] {
        if number > 0 {
            out.line(format!("{number} {what}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use action_store::{Clock, MemoryStore, NewAction};

    use super::*;

    #[tokio::test]
    async fn an_action_that_was_created_after_the_beginning_is_left_alone() {
        let clock = Clock::manual(Timestamp::from_seconds(1_770_000_000));
        let store = Arc::new(MemoryStore::with_clock(clock.clone()));
        let opened = Opened {
            store: store.clone(),
            sqlite: None,
        };
        let request = CancelRequest::new();
        let none = first(&opened, Vec::new(), request.clone()).await.unwrap();
        assert!(none.is_none());
        let early = store.create(NewAction::task("early")).await.unwrap().uid;
        let step = first(&opened, Vec::new(), request).await.unwrap().unwrap();
        clock.set(Timestamp::from_micros(1_770_000_000_000_001));
        let late = store.create(NewAction::task("late")).await.unwrap().uid;
        let report = store.cancel_all(&step).await;
        assert_eq!((report.matched, report.is_complete()), (1, true));
        let cancel = async |uid| store.action(uid).await.unwrap().unwrap().cancel.clone();
        assert!(cancel(early).await.is_some());
        assert!(cancel(late).await.is_none());
    }
}
