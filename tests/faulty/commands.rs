//! Commands that are not what was asked for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use action_store::{
    ActionStore, ActionUid, Batch, Change, Clash, Command, Done, Effect, Json, LogQuery, Refused,
    StoreError,
};

use super::{Fault, Faulty};

impl Faulty {
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
                *op = action_store::OpId::new();
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
            (Fault::ImportsWithoutDescription, Command::Import { action, .. }) => {
                Arc::make_mut(action).description = None;
            }
            (Fault::ImportsWithoutKeys, Command::Import { action, .. }) => {
                Arc::make_mut(action).exclusive = Vec::new().into();
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
            (Fault::CutsDescriptions, Command::Create { new, .. }) if new.check().is_ok() => {
                let new = Arc::make_mut(new);
                new.description = new.description.as_ref().map(|text| {
                    let cut: String = text.chars().take(500).collect();
                    cut.into()
                });
            }
            _ => {}
        }
    }

    /// Answers a batch of one command itself, where that is what is wrong.
    pub(super) async fn answered(
        &self,
        batch: &Batch,
    ) -> Result<Option<Result<Done, Refused>>, StoreError> {
        let [command] = &batch.commands[..] else {
            return Ok(None);
        };
        let done = || Some(Ok(Done::new(Effect::Applied, None)));
        Ok(match (self.fault, command) {
            (Fault::ForgetsRenewals, Command::Renew(_))
            | (Fault::ForgetsReleases, Command::Release(_))
            | (Fault::ForgetsPins, Command::Pin { .. }) => done(),
            (Fault::ForgetsImports, Command::Import { action, .. }) => {
                let current = self.find(action.uid).await?;
                current.map(|current| {
                    let clash = Clash::Uid;
                    Err(Refused::Conflict { clash, current })
                })
            }
            (Fault::HoldsKeysForEver, Command::Create { new, .. }) => {
                for key in &new.exclusive {
                    let holder = self.held.lock().unwrap().get(key).copied();
                    if let Some(holder) = holder.filter(|holder| *holder != new.uid)
                        && let Some(current) = self.find(holder).await?
                    {
                        let clash = Clash::Exclusive(key.clone());
                        return Ok(Some(Err(Refused::Conflict { clash, current })));
                    }
                    self.held.lock().unwrap().insert(key.clone(), new.uid);
                }
                None
            }
            _ => None,
        })
    }

    async fn find(&self, uid: ActionUid) -> Result<Option<Arc<action_store::Action>>, StoreError> {
        Ok(self.inner.get(&[uid]).await?.pop().flatten())
    }

    /// What it does before it writes a batch.
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
                    let unpin = Batch::each(vec![Command::Pin { uid, pinned }]);
                    self.inner.write(unpin).await?;
                }
                (Fault::FencesWhoeverRenews, Command::Fence { owner, if_renewals }) => {
                    let owners = self.inner.owners().await?;
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
