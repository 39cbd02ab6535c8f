//! Actions for every filter, the filters, and the check that a list has what matches.

use super::*;
use crate::model::StateSet;

/// Actions for every filter, in creation order.
#[track_caller]
pub(super) fn variety(s: &Subject) -> impl Future<Output = Proof<Vec<Arc<Action>>>> {
    at_call(async move {
        let (a, b) = (s.claim("owner a").await?, s.claim("owner b").await?);
        let parent = s.queued().await?.uid;
        for number in 0..24u64 {
            let mut new = match number % 3 {
                0 => NewAction::task("backup_bdb"),
                1 => NewAction::state_machine("SMCreateBDB", ObjectRef::bdb(number % 4)),
                _ => NewAction::new(Source::Other, "other"),
            };
            if number % 4 == 0 {
                let object = ObjectRef::bdb(number % 3);
                new = new.with_related(RelatedObject::new("source", object.clone()));
                new = new.with_related(RelatedObject::new("destination", object));
            }
            if number % 5 == 0 {
                new = new
                    .with_tenant("acme")
                    .with_actor("ada")
                    .with_parent(parent);
            }
            if number % 3 == 0 {
                new = new.with_label("region", format!("eu-{}", number % 2));
            }
            if number % 4 == 1 {
                new = new.with_label("team", "storage");
            }
            if number % 7 == 0 {
                new = new.with_correlation("request-17").with_retry_of(parent);
            }
            let by = if number % 2 == 0 { &a } else { &b };
            let uid = s.changed(create_by(new, by)).await?.uid;
            if number % 6 == 1 {
                let cancel = Change::RequestCancel(CancelRequest::new());
                s.changed(apply(uid, cancel, None)).await?;
            }
            if number % 8 != 0 {
                s.apply(uid, Change::Start, by).await?;
            }
            let outcomes = [
                Outcome::Succeeded,
                Outcome::Failed,
                Outcome::Cancelled,
                Outcome::Interrupted,
            ];
            if let Some(outcome) = outcomes.get((number % 8).saturating_sub(2) as usize)
                && number % 8 >= 2
            {
                s.apply(uid, finish(*outcome), by).await?;
            }
        }
        s.done(fence(&b, 0)).await?;
        let orphans = Query::new()
            .with_filter(Filter::Owner(b))
            .with_filter(Filter::Status(Status::Executing));
        for (number, orphan) in s.walk(orphans).await?.iter().enumerate() {
            if number % 2 == 0 {
                s.changed(apply(orphan.uid, finish(Outcome::Lost), None))
                    .await?;
            }
        }
        let all = s.walk(Query::new().with_order(Order::Oldest)).await?;
        same("actions", all.len(), 25)?;
        Ok(all)
    })
}

/// Every filter, with values that match some actions and values that match none.
#[track_caller]
pub(super) fn filters(all: &[Arc<Action>]) -> Proof<Vec<Filter>> {
    let first = pick("the actions", all, 0)?;
    let middle = pick("the actions", all, all.len() / 2)?;
    let mut filters = vec![
        Filter::Unfinished,
        Filter::CancelRequested,
        Filter::Name("SMCreateBDB".into()),
        Filter::Name("nothing".into()),
        Filter::NamePrefix("SM".into()),
        Filter::NamePrefix("o".into()),
        Filter::NamePrefix("nothing".into()),
        Filter::label("region", "eu-0"),
        Filter::label("team", "storage"),
        Filter::label("team", "eu-0"),
        Filter::label_key("region"),
        Filter::label_key("nothing"),
        Filter::States(StateSet::UNFINISHED.with_outcome(Outcome::Lost)),
        Filter::States(StateSet::new().with_outcomes([Outcome::Failed, Outcome::Cancelled])),
        Filter::States(StateSet::new().with_status(Status::Completed)),
        Filter::States(StateSet::new()),
        Filter::Object(ObjectRef::bdb(1)),
        Filter::Object(ObjectRef::cluster()),
        Filter::Touches(ObjectRef::bdb(1)),
        Filter::Touches(ObjectRef::bdb(2)),
        Filter::TouchesAny(ObjectSet::new([1, 2].map(ObjectRef::bdb))),
        Filter::TouchesAny(ObjectSet::new([ObjectRef::bdb(3), ObjectRef::cluster()])),
        Filter::TouchesAny(ObjectSet::new([])),
        Filter::Uid(middle.uid),
        Filter::Uid(ActionUid::new()),
        Filter::Tenant("default".into()),
        Filter::Tenant("acme".into()),
        Filter::Tenant("nobody".into()),
        Filter::Actor("ada".into()),
        Filter::OwnerName("owner a".into()),
        Filter::OwnerName("owner b".into()),
        Filter::Parent(first.uid),
        Filter::RetryOf(first.uid),
        Filter::Parent(middle.uid),
        Filter::Correlation("request-17".into()),
        Filter::CreatedFrom(middle.created_at),
        Filter::CreatedBefore(middle.created_at),
    ];
    filters.extend(Status::ALL.iter().copied().map(Filter::Status));
    filters.extend(Outcome::ALL.iter().copied().map(Filter::Outcome));
    filters.extend(Source::ALL.iter().copied().map(Filter::Source));
    filters.extend(middle.owner.clone().map(Filter::Owner));
    let mut ends: Vec<Timestamp> = all.iter().filter_map(|action| action.finished_at).collect();
    ends.sort();
    if let Some(end) = ends.get(ends.len() / 2) {
        filters.push(Filter::FinishedFrom(*end));
        filters.push(Filter::FinishedBefore(*end));
    }
    Ok(filters)
}

#[track_caller]
pub(super) fn finds(s: &Subject, query: Query, all: &[Arc<Action>]) -> impl Future<Output = Proof> {
    at_call(async move {
        let what = format!("what matches {:?}", query.filters);
        let changed = s.walk(query.clone().with_order(Order::Feed)).await?;
        let mut feed = s.walk(Query::new().with_order(Order::Feed)).await?;
        feed.retain(|action| query.matches(action));
        same(&format!("{what}, in the feed"), &changed, &feed)?;
        let matching = all.iter().filter(|action| query.matches(action)).cloned();
        let mut expected: Vec<Arc<Action>> = matching.collect();
        let oldest = s.walk(query.clone().with_order(Order::Oldest)).await?;
        same(
            &format!("{what}, oldest first"),
            uids(&oldest),
            uids(&expected),
        )?;
        same(&what, &oldest, &expected)?;
        expected.reverse();
        let newest = s.walk(query).await?;
        same(
            &format!("{what}, newest first"),
            uids(&newest),
            uids(&expected),
        )?;
        same(&what, &newest, &expected)
    })
}
