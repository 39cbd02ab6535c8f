//! The writes of a process that was killed, and the check that the store has them.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use super::work::{self, REMOVED};
use crate::conformance::check::{Checked, check_store};
use crate::conformance::failure::{Failure, Proof, Stop, at_call, holds, same};
use crate::conformance::harness::{uids, walk};
use crate::model::{Action, ActionUid, Limits, Order, Query};
use crate::store::ActionStore;

/// One line of a [`Ledger`]: a write that is about to be sent, or that was acknowledged.
///
/// `Display` writes a note as one line of text, and `FromStr` reads it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// The action that the write is about.
    pub uid: ActionUid,
    /// The version that the action has after the write. The highest number stands for the
    /// removal of the action.
    pub version: u64,
    /// True once the write was acknowledged.
    pub acknowledged: bool,
}

/// The text is not a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a note of a ledger")]
pub struct NoteError;

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.acknowledged { "ack" } else { "begin" };
        match self.version {
            REMOVED => write!(f, "{word} {} gone", self.uid),
            version => write!(f, "{word} {} {version}", self.uid),
        }
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Note, NoteError> {
        let mut words = text.split(' ');
        let mut word = || words.next().ok_or(NoteError);
        let acknowledged = match word()? {
            "ack" => true,
            "begin" => false,
            _ => return Err(NoteError),
        };
        let uid = word()?.parse().map_err(|_| NoteError)?;
        let version = match word()? {
            "gone" => REMOVED,
            version => version.parse().map_err(|_| NoteError)?,
        };
        match words.next() {
            None => Ok(Note {
                uid,
                version,
                acknowledged,
            }),
            Some(_) => Err(NoteError),
        }
    }
}

/// The versions that an action may have: 0 if it does not exist yet.
#[derive(Debug, Clone, Copy, Default)]
struct Versions {
    acknowledged: u64,
    begun: u64,
}

/// The writes of [`work`](super::work()), as noted before and after each.
#[derive(Debug, Clone, Default)]
pub struct Ledger(HashMap<ActionUid, Versions>);

impl Ledger {
    /// Creates an empty ledger.
    #[must_use]
    pub fn new() -> Ledger {
        Ledger::default()
    }

    /// Enters a note.
    pub fn note(&mut self, note: &Note) {
        let versions = self.0.entry(note.uid).or_default();
        versions.begun = versions.begun.max(note.version);
        if note.acknowledged {
            versions.acknowledged = versions.acknowledged.max(note.version);
        }
    }

    /// Checks a store in which only [`work`](super::work()) has written. There must be no
    /// writes during the check.
    ///
    /// - [`check_store`] finds no inconsistency.
    ///
    /// - Each acknowledged write is there, with its content.
    ///
    /// - A write that was sent and not acknowledged is there completely or not at all.
    ///
    /// - There is nothing else.
    ///
    /// Enters what is found as acknowledged. So a write that was found once must be found
    /// again.
    ///
    /// # Errors
    /// Returns [`Failure`] with the first broken rule, or if a call to the store fails.
    #[track_caller]
    pub fn verify(
        &mut self,
        store: &dyn ActionStore,
    ) -> impl Future<Output = Result<Checked, Failure>> {
        let verifying = at_call(self.verified(store));
        async move {
            match verifying.await {
                Ok(checked) => Ok(checked),
                Err(Stop::Failed(failure)) => Err(*failure),
                Err(Stop::NotApplicable(why)) => Err(Failure::new("a whole store", why)),
            }
        }
    }

    async fn verified(&mut self, store: &dyn ActionStore) -> Proof<Checked> {
        let checked = check_store(store).await?;
        let noted: Vec<ActionUid> = self.0.keys().copied().collect();
        let most = store.capabilities().max_commands.clamp(1, 500);
        for some in noted.chunks(most) {
            let found = store.get(some).await?;
            same("an answer for each uid", found.len(), some.len())?;
            for (uid, action) in some.iter().zip(found) {
                let versions = self.0.entry(*uid).or_default();
                let version = versions.check(*uid, action.as_deref())?;
                (versions.acknowledged, versions.begun) = (version, version);
            }
        }
        let all = Query::new()
            .with_order(Order::Oldest)
            .with_limit(Limits::PAGE);
        for uid in uids(&walk(store, all).await?) {
            let known = self.0.contains_key(&uid);
            holds("no action except the written ones", known, uid)?;
        }
        Ok(checked)
    }
}

impl Versions {
    /// Requires that an action has one of these versions. Returns it.
    fn check(self, uid: ActionUid, action: Option<&Action>) -> Proof<u64> {
        let removed = self.begun == REMOVED;
        let version = match action {
            Some(action) => action.version.get(),
            None if removed => REMOVED,
            None => 0,
        };
        let there = (self.acknowledged..=self.begun).contains(&version);
        if !there {
            let expected = format!("action {uid}, acknowledged: {self}");
            let found = action.map_or("no such action".to_owned(), |action| {
                format!("version {version}: {action:?}")
            });
            return Err(Failure::new(expected, found).into());
        }
        if let Some(action) = action {
            work::check(action)?;
        }
        Ok(version)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |version| match version {
            0 => "nothing".to_owned(),
            REMOVED => "the removal".to_owned(),
            version => format!("version {version}"),
        };
        write!(f, "{}, sent: {}", name(self.acknowledged), name(self.begun))
    }
}
