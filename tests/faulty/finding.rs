//! Labels, sets of states and prefixes that are found wrongly.

use std::collections::{BTreeSet, HashSet};
use std::mem::discriminant;
use std::sync::Arc;

use action_store::action::Labels;
use action_store::{
    Action, ActionStoreExt, Command, Filter, Limits, NewAction, Page, Query, Status, StoreError,
};

use super::{Fault, Faulty};

impl Faulty {
    /// Changes the labels of a new action.
    pub(super) fn mistake_labels(&self, new: &mut Arc<NewAction>) {
        match self.fault {
            Fault::ForgetsLabels => Arc::make_mut(new).labels = Labels::new(),
            Fault::CutsLabels => {
                let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
                let pairs = new.labels.iter().take(Limits::LABELS);
                let labels = pairs.fold(Labels::new(), |labels, (key, value)| {
                    labels.with(cut(key, Limits::LABEL_KEY), cut(value, Limits::LABEL_VALUE))
                });
                if new.check().is_err() {
                    Arc::make_mut(new).labels = labels;
                }
            }
            Fault::KeepsLabelsOfTheRemoved => {
                let mut labels = self.labels.lock().unwrap();
                labels.entry(new.uid).or_default().push(new.labels.clone());
            }
            _ => {}
        }
    }

    /// Changes what is asked for.
    pub(super) fn mistake_filters(&self, filters: &mut Vec<Filter>) {
        match self.fault {
            Fault::IgnoresLabelValues => {
                for filter in filters {
                    if let Filter::Label { value, .. } = filter {
                        *value = None;
                    }
                }
            }
            Fault::IgnoresOutcomesOfASet => {
                for filter in filters {
                    if let Filter::States(states) = filter
                        && states.outcomes().next().is_some()
                    {
                        *states = states.with_status(Status::Completed);
                    }
                }
            }
            Fault::TakesPrefixesForPatterns => {
                filters.retain(|filter| !matches!(filter, Filter::NamePrefix(_)));
            }
            Fault::LooksAtOneFilterOfAKind => {
                let mut kinds = HashSet::new();
                filters.retain(|filter| kinds.insert(discriminant(filter)));
            }
            Fault::KeepsLabelsOfTheRemoved => {
                filters.retain(|filter| !matches!(filter, Filter::Label { .. }));
            }
            _ => {}
        }
    }

    /// Changes what is found.
    pub(super) async fn mistake_found(
        &self,
        query: &Query,
        page: &mut Page<Arc<Action>>,
    ) -> Result<(), StoreError> {
        for filter in &query.filters {
            match (self.fault, filter) {
                (Fault::TakesPrefixesForPatterns, Filter::NamePrefix(prefix)) => {
                    page.items.retain(|action| is_like(prefix, &action.name));
                }
                (Fault::MergesAFewNames, Filter::NamePrefix(prefix)) => {
                    let all = self.inner.pages(Query::new().with_limit(1000)).collect();
                    let all = all.await?;
                    let names = all.iter().map(|action| action.name.clone());
                    let names = names.filter(|name| name.starts_with(&**prefix));
                    let few: BTreeSet<_> = names
                        .collect::<BTreeSet<_>>()
                        .into_iter()
                        .take(64)
                        .collect();
                    page.items.retain(|action| few.contains(&action.name));
                }
                (Fault::KeepsLabelsOfTheRemoved, Filter::Label { key, value }) => {
                    let labels = self.labels.lock().unwrap();
                    page.items.retain(|action| {
                        let ever = labels.get(&action.uid).into_iter().flatten();
                        let mut values = ever.filter_map(|labels| labels.get(key));
                        values.any(|found| value.as_deref().is_none_or(|value| value == found))
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Compares as SQL's LIKE does: in any case, and an underscore stands for any character.
fn is_like(prefix: &str, name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let same = |(at, wanted): (usize, char)| {
        let found = name.get(at);
        found.is_some_and(|found| wanted == '_' || found.eq_ignore_ascii_case(&wanted))
    };
    prefix.chars().enumerate().all(same)
}

/// Returns the action that a command creates.
pub(super) fn created(command: &mut Command) -> Option<&mut Arc<NewAction>> {
    match command {
        Command::Create { new, .. } => Some(new),
        _ => None,
    }
}
