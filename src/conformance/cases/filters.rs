//! Filters of one kind with different values, in one query.

use super::variety::finds;
use super::*;
use crate::model::StateSet;

/// Actions with the same values, and the filters that find them.
struct Side {
    letter: &'static str,
    owner: OwnerRef,
    object: ObjectRef,
    parent: ActionUid,
    retry_of: ActionUid,
    outcome: Outcome,
}

impl Side {
    #[track_caller]
    fn new(
        s: &Subject,
        letter: &'static str,
        object: u64,
        outcome: Outcome,
    ) -> impl Future<Output = Proof<Side>> {
        at_call(async move {
            let owner = s.claim(letter).await?;
            Ok(Side {
                letter,
                owner,
                object: ObjectRef::bdb(object),
                parent: s.queued().await?.uid,
                retry_of: s.queued().await?.uid,
                outcome,
            })
        })
    }

    /// Creates actions that match the filters of this side, and not those of the other.
    #[track_caller]
    fn fill(&self, s: &Subject) -> impl Future<Output = Proof<Vec<ActionUid>>> {
        at_call(async move {
            let mut created = Vec::new();
            for number in 0..4 {
                let new = NewAction::task(format!("{} task", self.letter))
                    .with_tenant(self.letter)
                    .with_actor(self.letter)
                    .with_object(self.object.clone())
                    .with_parent(self.parent)
                    .with_retry_of(self.retry_of)
                    .with_correlation(self.letter)
                    .with_label("side", self.letter);
                let uid = s.changed(create_by(new, &self.owner)).await?.uid;
                if number > 0 {
                    s.apply(uid, Change::Start, &self.owner).await?;
                }
                if number == 1 {
                    let cancel = Change::RequestCancel(CancelRequest::new());
                    s.changed(apply(uid, cancel, None)).await?;
                }
                if number > 1 {
                    s.apply(uid, finish(self.outcome), &self.owner).await?;
                }
                created.push(uid);
            }
            Ok(created)
        })
    }

    /// One filter of each kind, with what a store may need to have an index for it.
    fn filters(&self, uid: ActionUid) -> Vec<(Filter, Vec<Filter>)> {
        let text: Arc<str> = self.letter.into();
        let objects = ObjectSet::new([self.object.clone(), ObjectRef::cluster()]);
        let states = StateSet::new().with_outcomes([self.outcome, Outcome::Lost]);
        let one_state = StateSet::new().with_outcome(self.outcome);
        let alone = [
            Filter::Uid(uid),
            Filter::Name(format!("{} task", self.letter).into()),
            Filter::NamePrefix(text.clone()),
            Filter::Tenant(text.clone()),
            Filter::Actor(text.clone()),
            Filter::Object(self.object.clone()),
            Filter::Touches(self.object.clone()),
            Filter::TouchesAny(objects),
            Filter::Parent(self.parent),
            Filter::RetryOf(self.retry_of),
            Filter::Correlation(text.clone()),
            Filter::label("side", self.letter),
            Filter::Outcome(self.outcome),
            Filter::States(states),
            Filter::States(one_state),
            Filter::Owner(self.owner.clone()),
            Filter::OwnerName(text.clone()),
        ];
        let mut filters: Vec<_> = alone.map(|filter| (filter, Vec::new())).into();
        let name = || Filter::OwnerName(text.clone());
        filters.push((name(), vec![Filter::Unfinished]));
        filters.push((name(), vec![Filter::Unfinished, Filter::CancelRequested]));
        filters
    }
}

/// Requires that both filters of one kind decide, in every order of the list and of the filters.
pub(super) async fn two_filters_of_one_kind_must_both_match(fixture: &dyn Fixture) -> Proof {
    let s = open(fixture).await?;
    let one = Side::new(&s, "a", 1, Outcome::Failed).await?;
    let other = Side::new(&s, "b", 2, Outcome::Cancelled).await?;
    let first = one.fill(&s).await?;
    let second = other.fill(&s).await?;
    // It matches both filters, where an action can.
    let both = NewAction::task("a task")
        .with_object(one.object.clone())
        .with_related(RelatedObject::new("with", other.object.clone()))
        .with_label("side", "a")
        .with_label("again", "b");
    s.create(both).await?;
    let all = s.walk(Query::new().with_order(Order::Oldest)).await?;
    let ended: Vec<Arc<Action>> = s.walk(Query::new().with_order(Order::Finished)).await?;
    same("the completed actions", ended.len(), 4)?;
    let first = one.filters(*pick("the actions", &first, 3)?);
    let second = other.filters(*pick("the actions", &second, 3)?);
    for ((a, with), (b, _)) in first.into_iter().zip(second) {
        for pair in [[a.clone(), b.clone()], [b, a]] {
            let query = pair
                .into_iter()
                .chain(with.clone())
                .fold(Query::new(), Query::with_filter);
            finds(&s, query.clone(), &all).await?;
            let expected = ended.iter().filter(|action| query.matches(action));
            let expected: Vec<ActionUid> = expected.map(|action| action.uid).collect();
            let what = format!("what matches {:?}, by completion", query.filters);
            let found = s.walk(query.with_order(Order::Finished)).await?;
            same(&what, uids(&found), expected)?;
        }
    }
    Ok(())
}
