//! Commands that are not what was asked for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use action_store::action::{Invalid, Version};
use action_store::command::{ConflictReason, Effect};
use action_store::owner::OwnerQuery;
use action_store::spi::codec;
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Batch, Change, Command, Cursor, Done, Json,
    Limits, LogQuery, NewAction, Rejection, StoreError,
};

use super::{Answer, Fault, Faulty};

impl Faulty {
    /// Takes a place for the time of a call, for good if the call is dropped.
    pub(super) async fn in_place<T>(&self, fault: Fault, call: impl Future<Output = T>) -> T {
        if !self.is(fault) {
            return call.await;
        }
        self.places.acquire().await.unwrap().forget();
        tokio::task::yield_now().await;
        let answer = call.await;
        self.places.add_permits(1);
        answer
    }

    /// A cursor as if it were of the branch that the store is in.
    pub(super) async fn in_its_branch(
        &self,
        after: Option<Cursor>,
    ) -> Result<Option<Cursor>, StoreError> {
        let (true, Some(after)) = (self.is(Fault::GoesOnInAnyBranch), after) else {
            return Ok(after);
        };
        let at = self.inner.changed(None).await?;
        let branch = match at.branch.get() {
            0 => String::new(),
            number => format!("-{number:x}"),
        };
        let (text, mine) = (after.to_string(), after.branch().get());
        let text = text.replacen(&format!("-{mine:x}"), "", 1);
        let (before, place) = text.split_at(text.match_indices('.').nth(1).unwrap().0);
        Ok(Some(format!("{before}{branch}{place}").parse().unwrap()))
    }

    pub(super) fn spoil(&self, command: &mut Command) {
        match (self.fault, command) {
            (Fault::DropsVersionConditions, Command::Apply { if_version, .. }) => {
                *if_version = None
            }
            (
                Fault::ForgetsWhoAsks,
                Command::Apply {
                    by,
                    change: Change::RequestCancel(_),
                    ..
                },
            ) => {
                *by = None;
            }
            (Fault::ForgetsOperations, Command::Apply { op, .. }) => {
                *op = action_store::command::OpId::new();
            }
            (Fault::TrimsNames, Command::Create { new, .. }) if new.check().is_ok() => {
                let mut trimmed = (**new).clone();
                trimmed.name = trimmed.name.trim().into();
                *new = Arc::new(trimmed);
            }
            (Fault::RewritesJson, Command::Create { new, .. }) => {
                let mut rewritten = (**new).clone();
                rewritten.attributes = rewritten.attributes.map(|json| {
                    let value: serde_json::Value = serde_json::from_str(json.as_str()).unwrap();
                    Json::of(&value).unwrap()
                });
                *new = Arc::new(rewritten);
            }
            (Fault::ImportsKnownFieldsOnly, Command::Import { action, .. }) => {
                let known = codec::with_unknown_fields(&**action, &[]);
                *action = Arc::new(known.unwrap());
            }
            (Fault::ImportsWithoutDescription, Command::Import { action, .. }) => {
                Arc::make_mut(action).description = None;
            }
            (Fault::ImportsWithoutKeys, Command::Import { action, .. }) => {
                Arc::make_mut(action).exclusive = Vec::new().into();
            }
            (Fault::CapsImportedVersions, Command::Import { action, .. })
                if action.version.get() > Limits::IMPORTED_VERSION =>
            {
                let highest = Version::new(Limits::IMPORTED_VERSION).unwrap();
                Arc::make_mut(action).version = highest;
            }
            (Fault::AlwaysTakesOver, Command::Claim { take_over, .. }) => *take_over = true,
            (Fault::FoldsKeys, Command::Create { new, .. }) if new.check().is_ok() => {
                let new = Arc::make_mut(new);
                for key in &mut new.exclusive {
                    *key = key.to_lowercase().into();
                }
            }
            (Fault::ForgetsIdempotencyKeys, Command::Create { new, .. }) => {
                Arc::make_mut(new).idempotency_key = None;
            }
            (Fault::ForgetsParents, Command::Create { new, .. }) => {
                Arc::make_mut(new).parent = None;
            }
            (Fault::CutsDescriptions, Command::Create { new, .. }) if new.check().is_ok() => {
                let new = Arc::make_mut(new);
                new.description = new.description.as_ref().map(|text| {
                    let cut: String = text.chars().take(500).collect();
                    cut.into()
                });
            }
            (Fault::CutsInSilence, Command::Create { new, .. }) => {
                let new = Arc::make_mut(new);
                new.description = new.description.as_deref().map(|text| shorter(text, 500));
            }
            (Fault::CutsInSilence, Command::Apply { change, .. }) => match change {
                Change::Report(report) => {
                    report.step = report.step.as_deref().map(|text| shorter(text, 50));
                }
                Change::RequestCancel(request) => {
                    request.reason = request.reason.as_deref().map(|text| shorter(text, 500));
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// Mistakes the answers to reports of progress that there was nothing to do.
    pub(super) fn mistake_progress(&self, answers: &mut [Answer]) {
        for answer in answers {
            let Ok(Done {
                effect,
                action: Some(current),
                ..
            }) = answer
            else {
                continue;
            };
            if *effect == Effect::Applied {
                continue;
            }
            if self.is(Fault::AppliesProgressAgain) {
                *effect = Effect::Applied;
            } else if !current.is_unfinished() {
                let (status, change) = (current.status, "a report");
                let reason = ConflictReason::Status { status, change };
                let current = current.clone();
                *answer = Err(Rejection::Conflict { reason, current });
            }
        }
    }

    /// The answer of a store that refuses texts that do not fit.
    pub(super) fn refused_for_its_size(&self, command: &Command) -> Option<Answer> {
        let Command::Apply { change, .. } = command else {
            return None;
        };
        let label = |text: &str| (1..=Limits::LABEL).contains(&text.len()) && !text.contains('\n');
        let fits = match (self.fault, change) {
            (Fault::RefusesWhatDoesNotFit, Change::Report(report)) => {
                let attributes = report.attributes.clone();
                let new = attributes.map(|json| NewAction::task("a").with_attributes(json));
                report.step.as_deref().is_none_or(label)
                    && new.is_none_or(|new| new.check().is_ok())
            }
            (Fault::RefusesEndsThatDoNotFit, Change::Finish(finish)) => {
                let error = finish.error.as_ref();
                error.is_none_or(|error| label(&error.code) && error.message.len() <= Limits::TEXT)
            }
            _ => true,
        };
        let invalid = Rejection::Invalid(Invalid::new("report", "does not fit"));
        (!fits).then_some(Err(invalid))
    }

    /// Answers a batch of one command itself, where that is what is wrong.
    pub(super) async fn answered(&self, batch: &Batch) -> Result<Option<Answer>, StoreError> {
        let [command] = &batch.commands[..] else {
            return Ok(None);
        };
        if let Some(refused) = self.refused_for_its_size(command) {
            return Ok(Some(refused));
        }
        let done = || Some(Ok(Done::new(Effect::Applied, None)));
        Ok(match (self.fault, command) {
            (Fault::ForgetsRenewals, Command::Renew(_))
            | (Fault::ForgetsReleases, Command::Release(_))
            | (Fault::ForgetsPins, Command::Pin { .. }) => done(),
            (Fault::ForgetsImports, Command::Import { action, .. }) => {
                let current = self.find(action.uid).await?;
                current.map(|current| {
                    let reason = ConflictReason::Uid;
                    Err(Rejection::Conflict { reason, current })
                })
            }
            (Fault::RemovesParts, Command::Remove { uid, .. }) => {
                let parent = self.find(*uid).await?.and_then(|part| part.parent);
                let parent = match parent {
                    Some(parent) => self.find(parent).await?,
                    None => None,
                };
                let held = parent.is_some_and(|parent| parent.is_unfinished());
                held.then(|| Ok(Done::new(Effect::Applied, None)))
            }
            (Fault::TakesAnyContent, _) | (_, Command::Apply { .. }) => {
                self.judged_by_owner(command).await?
            }
            (_, Command::Create { new, .. }) => self.judged_by_keys(new).await?,
            _ => None,
        })
    }

    /// Answers a create as a store with faulty key checks does, unless it asks the inner store.
    async fn judged_by_keys(&self, new: &NewAction) -> Result<Option<Answer>, StoreError> {
        for key in &new.exclusive {
            let holder = self.held.lock().unwrap().get(key).copied();
            let holder = match holder {
                Some(holder) => self.find(holder).await?,
                None => None,
            };
            let in_the_way = |held: &Arc<Action>| match self.fault {
                Fault::HoldsKeysForEver => held.uid != new.uid,
                Fault::SharesKeysAmongTenants => held.tenant != new.tenant,
                Fault::LooksAtKeysFirst => held.uid != new.uid && held.is_unfinished(),
                _ => false,
            };
            match holder {
                Some(current) if in_the_way(&current) => {
                    let reason = ConflictReason::Exclusive(key.clone());
                    return Ok(Some(Err(Rejection::Conflict { reason, current })));
                }
                Some(current) if self.is(Fault::ChecksKeysThenActs) && current.is_unfinished() => {
                    let reason = ConflictReason::Exclusive(key.clone());
                    return Ok(Some(Err(Rejection::Conflict { reason, current })));
                }
                Some(_) => {}
                None => drop(self.held.lock().unwrap().insert(key.clone(), new.uid)),
            }
        }
        Ok(None)
    }

    /// Changes the answer to a refused create.
    pub(super) async fn misnamed(&self, answers: &mut [Answer]) -> Result<(), StoreError> {
        for answer in answers {
            if let Err(Rejection::Conflict { reason, current }) = answer
                && matches!(reason, ConflictReason::Exclusive(_))
            {
                let first = self.held.lock().unwrap().values().min().copied();
                if let Some(first) = first {
                    *current = self.find(first).await?.unwrap();
                }
            }
        }
        Ok(())
    }

    pub(super) async fn find(&self, uid: ActionUid) -> Result<Option<Arc<Action>>, StoreError> {
        Ok(self.inner.get(&[uid]).await?.pop().flatten())
    }

    /// Runs before a batch is written.
    pub(super) async fn before(&self, batch: &mut Batch) -> Result<(), StoreError> {
        for command in &mut batch.commands {
            match (self.fault, command) {
                (Fault::CountsRenewalsAsChanges, Command::Renew(_)) => {
                    self.extra.fetch_add(1, Ordering::Relaxed);
                }
                (Fault::CountsRevisionsBack, Command::Remove { .. }) => {
                    self.extra.fetch_add(1, Ordering::Relaxed);
                }
                (Fault::KeepsRemovedLogs, Command::Remove { uid, .. }) => {
                    let log = self.inner.log(&LogQuery::of(*uid)).await?.items;
                    self.logs.lock().unwrap().entry(*uid).or_insert(log);
                }
                (Fault::RemovesWhatIsPinned, Command::Remove { uid, .. }) => {
                    let (uid, pinned) = (*uid, false);
                    let unpin = Batch::each(vec![Command::pin(uid, pinned)]);
                    self.inner.write(unpin).await?;
                }
                (Fault::AddsPartsToWhatIsOver, Command::Create { new, .. }) => {
                    let known = self.find(new.uid).await?.is_some();
                    let parent = match new.parent {
                        Some(parent) => self.find(parent).await?,
                        None => None,
                    };
                    if !known && parent.is_some_and(|parent| !parent.is_unfinished()) {
                        Arc::make_mut(new).parent = None;
                    }
                }
                (
                    Fault::FencesWhoeverRenews,
                    Command::Fence {
                        owner, if_renewals, ..
                    },
                ) => {
                    let owners = self.inner.all_owners(OwnerQuery::new()).await?;
                    if let Some(known) = owners.iter().find(|known| known.owner == *owner) {
                        *if_renewals = known.renewals;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// True for a report of progress.
pub(super) fn is_progress(command: &Command) -> bool {
    matches!(command, Command::Apply { change: Change::Report(report), .. } if report.progress.is_some())
}

/// The beginning of a text, without control characters.
fn shorter(text: &str, chars: usize) -> Arc<str> {
    let text = text.chars().filter(|c| !c.is_control()).take(chars);
    text.collect::<String>().into()
}
