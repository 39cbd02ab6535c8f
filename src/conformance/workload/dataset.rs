//! The initial content of the store: actions of every kind, the same in every run.

use std::collections::VecDeque;
use std::sync::Arc;

use super::ledger::{Ledger, Standing};
use super::work::ListBy;
use crate::conformance::failure::{Failure, Proof, same};
use crate::conformance::harness::{apply, create, finish};
use crate::model::{
    Action, ActionUid, Batch, CancelRequest, Change, Command, Done, Filter, Limits, NewAction,
    ObjectRef, ObjectSet, Order, Outcome, OwnerRef, Query, Rejection, RelatedObject, Source,
    Status, Timestamp, Version,
};
use crate::store::{ActionStore, ActionStoreExt};

/// Owner name of the workload.
const OWNER: &str = "workload";

/// Rows written in one batch. Each row takes at most four commands.
const ROWS: usize = 200;

/// A store with its initial actions.
pub(super) struct Dataset {
    pub(super) store: Arc<dyn ActionStore>,
    pub(super) owner: OwnerRef,
    /// Uids in creation order.
    pub(super) uids: Vec<ActionUid>,
    pub(super) ledger: Ledger,
    middle: Option<Arc<Action>>,
    /// The parent of some, which is not on record: a completed action takes no new parts.
    parent: ActionUid,
}

impl Dataset {
    /// Claims an owner and writes `count` actions.
    pub(super) async fn fill(store: Arc<dyn ActionStore>, count: usize) -> Proof<Dataset> {
        let owner = OwnerRef::new(OWNER);
        let take_over = true;
        let claim = Command::claim(owner.clone()).with_take_over(take_over);
        store.command(claim).await?;
        let mut dataset = Dataset {
            store,
            owner,
            uids: Vec::with_capacity(count),
            ledger: Ledger::default(),
            middle: None,
            parent: ActionUid::new(),
        };
        let rows = (dataset.store.capabilities().max_commands / 4).clamp(1, ROWS);
        for begin in (0..count).step_by(rows) {
            dataset.write(begin..count.min(begin + rows)).await?;
        }
        if let Some(uid) = dataset.uids.get(count / 2) {
            dataset.middle = dataset.store.action(*uid).await?;
        }
        Ok(dataset)
    }

    async fn write(&mut self, rows: std::ops::Range<usize>) -> Proof {
        let mut commands = Vec::new();
        for row in rows {
            let new = self.row(row);
            let uid = new.uid;
            self.uids.push(uid);
            commands.push(create(new));
            let by = Some(&self.owner);
            let mut standing = Standing {
                status: Status::Queued,
                version: Version::FIRST,
                entries: 1,
            };
            let mut changes = Vec::new();
            if row % 25 == 7 {
                let request = CancelRequest::new().with_by("user-1");
                changes.push((Change::RequestCancel(request), Status::Queued));
            }
            if row % 20 != 18 {
                changes.push((Change::Start, Status::Executing));
            }
            if row % 20 < 18 {
                let outcome = match row % 10 {
                    3 => Outcome::Failed,
                    _ => Outcome::Succeeded,
                };
                changes.push((finish(outcome), Status::Completed));
            }
            for (change, status) in changes {
                commands.push(apply(uid, change, by));
                standing.status = status;
                standing.version = standing.version.next();
                standing.entries += 1;
            }
            self.ledger.write(uid, standing);
        }
        let count = commands.len();
        let answers = self.store.write_repeating(Batch::each(commands)).await?;
        accepted(answers, count)
    }

    /// Returns the action for this row. Each name has a tenth of the rows, each object a
    /// hundredth.
    fn row(&self, row: usize) -> NewAction {
        let source = match row % 3 {
            0 => Source::Task,
            1 => Source::StateMachine,
            _ => Source::Other,
        };
        let node = RelatedObject::new("node", ObjectRef::node((row % 10) as u64));
        let mut new = NewAction::new(source, format!("work_{}", row % 10))
            .with_object(ObjectRef::bdb((row % 100) as u64))
            .with_related(node)
            .with_actor(format!("user-{}", row % 20))
            .with_correlation(format!("request-{}", row % 50))
            .with_description("resize to 3 shards of 4 GB, replicated");
        if row % 10 == 9 {
            new = new.with_tenant("tenant-1");
        }
        match (row % 50, self.uids.first()) {
            (48, Some(first)) => new.with_retry_of(*first),
            (49, Some(_)) => new.with_parent(self.parent),
            _ => new,
        }
    }

    /// Returns a query for one page of a list.
    pub(super) fn query(&self, by: ListBy, limit: u16) -> Query {
        let first = || self.uids.first().copied().unwrap_or_else(ActionUid::new);
        let time = |of: fn(&Action) -> Option<Timestamp>| {
            let middle = self.middle.as_deref();
            middle.and_then(of).unwrap_or(Timestamp::from_micros(0))
        };
        let created = || time(|action| Some(action.created_at));
        let finished = || time(|action| action.finished_at);
        let filter = match by {
            ListBy::Newest => None,
            ListBy::Oldest => return Query::new().with_order(Order::Oldest).with_limit(limit),
            ListBy::Uid => Some(Filter::Uid(first())),
            ListBy::Status => Some(Filter::Status(Status::Completed)),
            ListBy::Unfinished => Some(Filter::Unfinished),
            ListBy::Outcome => Some(Filter::Outcome(Outcome::Failed)),
            ListBy::Source => Some(Filter::Source(Source::StateMachine)),
            ListBy::Name => Some(Filter::Name("work_7".into())),
            ListBy::Object => Some(Filter::Object(ObjectRef::bdb(42))),
            ListBy::Touches => Some(Filter::Touches(ObjectRef::node(4))),
            ListBy::TouchesAny => {
                let objects = [7, 42, 1_000_000].map(ObjectRef::bdb);
                Some(Filter::TouchesAny(ObjectSet::new(objects)))
            }
            ListBy::Tenant => Some(Filter::Tenant("tenant-1".into())),
            ListBy::Actor => Some(Filter::Actor("user-7".into())),
            ListBy::Owner => Some(Filter::Owner(self.owner.clone())),
            ListBy::OwnerName => Some(Filter::OwnerName(self.owner.name.clone())),
            ListBy::Parent => Some(Filter::Parent(self.parent)),
            ListBy::RetryOf => Some(Filter::RetryOf(first())),
            ListBy::Correlation => Some(Filter::Correlation("request-7".into())),
            ListBy::CreatedFrom => Some(Filter::CreatedFrom(created())),
            ListBy::CreatedBefore => Some(Filter::CreatedBefore(created())),
            ListBy::FinishedFrom => Some(Filter::FinishedFrom(finished())),
            ListBy::FinishedBefore => Some(Filter::FinishedBefore(finished())),
            ListBy::CancelRequested => Some(Filter::CancelRequested),
        };
        let query = Query::new().with_limit(limit);
        match filter {
            None => query,
            Some(filter) => query.with_filter(filter),
        }
    }

    /// Returns the expected first page of a query. Reads the whole list without filters
    /// and applies the model's filter to each action.
    pub(super) async fn expected(&self, query: &Query) -> Proof<Vec<ActionUid>> {
        let limit = usize::from(query.limit);
        let mut matching = VecDeque::with_capacity(limit + 1);
        let all = Query::new()
            .with_order(Order::Oldest)
            .with_limit(Limits::PAGE);
        let mut pages = self.store.pages(all);
        let mut seen = 0;
        while let Some(page) = pages.next().await? {
            seen += page.items.len();
            for action in page.items.iter().filter(|action| query.matches(action)) {
                if matching.len() == limit {
                    match query.order {
                        Order::Oldest => break,
                        _ => drop(matching.pop_front()),
                    }
                }
                matching.push_back(action.uid);
            }
            if seen > self.uids.len() {
                break;
            }
        }
        same(
            "the number of initial actions in a list",
            seen,
            self.uids.len(),
        )?;
        let newest_first = query.order != Order::Oldest;
        let uids = matching.into_iter();
        Ok(if newest_first {
            uids.rev().collect()
        } else {
            uids.collect()
        })
    }
}

/// Requires that every command was accepted.
pub(super) fn accepted(answers: Vec<Result<Done, Rejection>>, count: usize) -> Proof {
    same("an answer for each command", answers.len(), count)?;
    for answer in answers {
        answer.map_err(|refused| Failure::new("every command accepted", format!("{refused:?}")))?;
    }
    Ok(())
}
