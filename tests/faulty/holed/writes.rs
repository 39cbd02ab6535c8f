//! Faults in writes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use action_store::action::Version;
use action_store::command::Effect;
use action_store::query::Revision;
use action_store::{
    ActionStore, ActionUid, Batch, Change, Command, Done, MemoryStore, Order, Query, Report,
    StoreError, StoreErrorKind,
};

use super::{Answer, Hole, Holed, turns};

impl Holed {
    /// The revision of an action's last change.
    async fn revision(&self, uid: ActionUid) -> Result<Revision, StoreError> {
        let mut query = Query::new().with_order(Order::Feed).with_limit(1);
        loop {
            let page = self.inner().list(&query).await?;
            let next = page.next.map(|next| Revision::new(next.position()));
            if page.items.iter().any(|action| action.uid == uid) || next.is_none() {
                return Ok(next.unwrap_or(page.at.revision));
            }
            query.after = page.next;
        }
    }

    /// Notes what a batch removes, and changes its version conditions.
    pub(super) async fn before(&self, batch: &mut Batch) -> Result<(), StoreError> {
        let ends = batch.commands.iter().filter_map(|command| match command {
            Command::Apply {
                uid,
                change: Change::Finish(_),
                ..
            } => Some(*uid),
            _ => None,
        });
        let ends: Vec<ActionUid> = ends.collect();
        for command in &mut batch.commands {
            match command {
                Command::Create { new, .. } => {
                    let new = Arc::make_mut(new);
                    self.keys.lock().unwrap().spoil(self.hole, new);
                }
                Command::Apply {
                    uid,
                    if_version: Some(version),
                    ..
                } => self.compare(*uid, version).await?,
                Command::Remove {
                    uid, if_version, ..
                } => {
                    self.compare(*uid, if_version).await?;
                    let (revision, at) = (
                        self.revision(*uid).await?,
                        self.inner().changed(None).await?,
                    );
                    let found = self.find(*uid).await?;
                    let mut removed = self.kept.removed.lock().unwrap();
                    (removed.last, removed.at) = (revision, at.revision);
                    removed.created = found.as_ref().map(|action| action.created_at);
                    removed.ended = found.as_ref().and_then(|action| action.finished_at);
                    if ends.contains(uid) {
                        removed.before = Some(at.pruned_through);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes a version that looks like the right one for the right one.
    async fn compare(&self, uid: ActionUid, version: &mut Version) -> Result<(), StoreError> {
        let Some(action) = self.find(uid).await? else {
            return Ok(());
        };
        let (right, asked) = (action.version.get(), version.get());
        let equal = match self.hole {
            Hole::ComparesVersionsIn32Bits => right as u32 == asked as u32,
            Hole::ComparesVersionsAsFloats => right as f64 == asked as f64,
            _ => false,
        };
        if equal {
            *version = action.version;
        }
        Ok(())
    }

    /// Answers a report of progress alone without keeping it.
    pub(super) async fn acknowledged(&self, batch: &Batch) -> Result<Option<Answer>, StoreError> {
        let [
            Command::Apply {
                uid,
                change: Change::Report(report),
                ..
            },
        ] = &batch.commands[..]
        else {
            return Ok(None);
        };
        let Some(progress) = report.progress else {
            return Ok(None);
        };
        if *report != Report::new().with_progress(progress) {
            return Ok(None);
        }
        self.kept.progress.lock().unwrap().insert(*uid);
        if !self.is(Hole::AcknowledgesProgressAlone) {
            return Ok(None);
        }
        let found = self.find(*uid).await?;
        Ok(found.map(|mut action| {
            let after = Arc::make_mut(&mut action);
            after.progress = after.progress.max(progress);
            after.version = after.version.next();
            Ok(Done::new(Effect::Applied, Some(action)))
        }))
    }

    pub(super) async fn written(&self, batch: Batch) -> Result<Vec<Answer>, StoreError> {
        let early = self.inner().changed(None).await?.revision.get() + 1;
        match self.hole {
            Hole::AnnouncesBeforeTheCommit => {
                self.early.send_replace(early);
                turns().await;
                self.inner().write(batch).await
            }
            Hole::AnnouncesLongAfterTheCommit
            | Hole::MissesWhatIsAnnouncedMeanwhile
            | Hole::WaitsForItsOwnCommits => {
                let answers = self.inner().write(batch).await?;
                turns().await;
                let at = self.inner().changed(None).await?;
                let at = at.revision.get();
                self.announced.fetch_max(at, Ordering::SeqCst);
                self.announcing.notify_waiters();
                Ok(answers)
            }
            Hole::WritesInTheCallersTask => {
                tokio::task::yield_now().await;
                self.inner().write(batch).await
            }
            Hole::RefusesWhatWasTakenAtAClose | Hole::LosesWhatWasTakenAtAClose => {
                tokio::task::yield_now().await;
                match (self.closed.load(Ordering::SeqCst), self.hole) {
                    (false, _) => self.inner().write(batch).await,
                    (true, Hole::LosesWhatWasTakenAtAClose) => {
                        MemoryStore::new().write(batch).await
                    }
                    (true, _) => Err(StoreError::new(StoreErrorKind::Closed, "write", "closed")),
                }
            }
            _ => self.inner().write(batch).await,
        }
    }
}
