//! `cancel`: of actions by uid, one row each; by filter as the library's `CancelAll`.

use action_store::address::StoreAddress;
use action_store::command::{CancelAll, CancelReport};
use action_store::{Action, ActionStoreExt, ActionUid, CancelRequest, Change, Filter, StoreError};
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
    let total = steps(&opened, filters, request, |done| bar.set_position(done)).await?;
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

/// Cancels as many actions as match now, the oldest first: a plane that creates faster than they are
/// cancelled would keep the command busy for ever. Creation times are no bound, because clocks differ
/// and are set back.
async fn steps(
    opened: &Opened,
    filters: Vec<Filter>,
    request: CancelRequest,
    done: impl Fn(u64),
) -> std::result::Result<CancelReport, StoreError> {
    let mut unfinished = filters.clone();
    unfinished.push(Filter::Unfinished);
    let most = opened.store.count(&unfinished, u32::MAX).await?.total();
    let all = CancelAll::new(request);
    let mut next = Some(filters.into_iter().fold(all, CancelAll::with_filter));
    let mut total = CancelReport::default();
    while let Some(step) = next {
        let left = most.saturating_sub(total.matched).min(STEP.into());
        let Some(left) = u32::try_from(left).ok().filter(|left| *left > 0) else {
            break;
        };
        let step = step.with_limit(left);
        let report = opened.store.cancel_all(&step).await;
        add(&mut total, &report);
        done(total.matched);
        if report.error.is_some() {
            total.error = report.error;
            break;
        }
        next = step.resume(&report);
    }
    Ok(total)
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

    use action_store::{Clock, MemoryStore, NewAction, Timestamp};

    use super::*;

    fn store() -> (Arc<MemoryStore>, Clock, Opened) {
        let clock = Clock::manual(Timestamp::from_seconds(1_770_000_000));
        let store = Arc::new(MemoryStore::with_clock(clock.clone()));
        let opened = Opened {
            store: store.clone(),
            sqlite: None,
        };
        (store, clock, opened)
    }

    async fn cancelled(store: &MemoryStore, uid: ActionUid) -> bool {
        store.action(uid).await.unwrap().unwrap().cancel.is_some()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_action_that_was_created_after_the_beginning_is_left_alone() {
        let (store, _, opened) = store();
        let request = CancelRequest::new();
        let none = steps(&opened, Vec::new(), request.clone(), |_| {}).await;
        assert_eq!(none.unwrap().matched, 0);
        let mut early = Vec::new();
        for _ in 0..=STEP {
            early.push(store.create(NewAction::task("early")).await.unwrap().uid);
        }
        let late = NewAction::task("late");
        let uid = late.uid;
        // Each step is followed by a creation.
        let created = |_| {
            let create = store.create(late.clone());
            let runtime = tokio::runtime::Handle::current();
            tokio::task::block_in_place(|| runtime.block_on(create)).unwrap();
        };
        let report = steps(&opened, Vec::new(), request, created).await.unwrap();
        assert_eq!(report.matched, u64::from(STEP) + 1);
        for uid in early {
            assert!(cancelled(&store, uid).await);
        }
        assert!(!cancelled(&store, uid).await);
    }

    #[tokio::test]
    async fn an_action_is_cancelled_although_the_clock_was_set_back_after_it() {
        let (store, clock, opened) = store();
        let first = store.create(NewAction::task("first")).await.unwrap().uid;
        clock.set(Timestamp::from_seconds(1_760_000_000));
        let second = store.create(NewAction::task("second")).await.unwrap().uid;
        let report = steps(&opened, Vec::new(), CancelRequest::new(), |_| {}).await;
        assert_eq!(report.unwrap().matched, 2);
        assert!(cancelled(&store, first).await && cancelled(&store, second).await);
    }
}
