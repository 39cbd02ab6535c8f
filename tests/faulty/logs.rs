//! Logs that are too long, trimmed wrongly.
//!
//! The store inside drops entries by the rules. So this store writes each command alone and
//! remembers every entry. Then it shows what another rule would have kept.

use action_store::action::LogEntryKind;
use action_store::{ActionStore as _, ActionUid, Batch, Limits, LogEntry, LogQuery};

use super::{Answer, Fault, Faulty, Written};

impl Faulty {
    pub(super) fn trims_wrongly(&self) -> bool {
        self.is(Fault::DropsTheOldestEntries) || self.is(Fault::KeepsEveryAdoption)
    }

    /// Writes a batch in pieces that are shorter than a log, and remembers the new entries.
    pub(super) async fn remembering(&self, batch: Batch) -> Written {
        let mut answers: Vec<Answer> = Vec::new();
        for some in batch.commands.chunks(100) {
            let (commands, mode) = (some.to_vec(), batch.mode);
            answers.extend(self.inner.write(Batch::new(commands, mode)).await?);
            let actions = answers
                .iter()
                .flatten()
                .filter_map(|done| done.action.as_ref());
            let mut uids: Vec<ActionUid> = actions.map(|action| action.uid).collect();
            uids.sort_unstable();
            uids.dedup();
            for uid in uids {
                let query = LogQuery::of(uid).with_limit(Limits::PAGE);
                let log = self.inner.log(&query).await?.items;
                let mut logs = self.logs.lock().unwrap();
                let known = logs.entry(uid).or_default();
                known.extend(
                    log.into_iter()
                        .filter(|entry| !known.contains(entry))
                        .collect::<Vec<_>>(),
                );
            }
        }
        Ok(answers)
    }

    /// Replaces the log of an action by the entries that another rule keeps.
    pub(super) fn trimmed_wrongly(&self, uid: ActionUid, items: &mut Vec<LogEntry>) {
        let logs = self.logs.lock().unwrap();
        let Some(all) = logs.get(&uid).filter(|_| !items.is_empty()) else {
            return;
        };
        let counted = |entry: &&LogEntry| !entry.is_late();
        let mut excess = all.iter().filter(counted).count();
        excess = excess.saturating_sub(Limits::LOG_ENTRIES as usize);
        items.clone_from(all);
        items.retain(|entry| {
            let goes = match self.fault {
                Fault::KeepsEveryAdoption => entry.kind == LogEntryKind::Step,
                _ => !entry.is_late(),
            };
            let goes = goes && excess > 0;
            excess -= usize::from(goes);
            !goes
        });
    }
}
