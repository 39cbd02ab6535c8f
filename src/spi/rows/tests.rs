//! Tests of the commit of rows, with a store that keeps them in maps.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::*;
use crate::error::StoreErrorKind;
use crate::model::{
    Batch, BranchId, Change, Command, Effect, Finish, LogEntryKind, NewAction, Revision, StoreId,
};
use crate::spi::{GroupWriter, PositionWatch};
use crate::store::{Capabilities, Durability};

#[derive(Clone)]
struct Rows {
    state: StoreState,
    actions: BTreeMap<ActionUid, ActionRow>,
    owners: BTreeMap<u64, Owner>,
    /// Changes of each commit: the numbers of an action before and after.
    saved: Vec<Vec<(Option<u64>, Option<u64>)>>,
}

impl Rows {
    fn save(&mut self, changes: RowChanges) {
        let number = |row: &Option<ActionRow>| row.as_ref().map(|row| row.number);
        let pairs = changes.actions.iter();
        let mut saved: Vec<_> = pairs
            .map(|(before, after)| (number(before), number(after)))
            .collect();
        saved.sort();
        self.saved.push(saved);
        self.state = changes.state;
        for (before, after) in changes.actions {
            if let Some(row) = before {
                self.actions.remove(&row.action.uid);
            }
            if let Some(row) = after {
                self.actions.insert(row.action.uid, row);
            }
        }
        for (claim, owner) in changes.owners {
            match owner {
                Some(owner) => self.owners.insert(claim, owner),
                None => self.owners.remove(&claim),
            };
        }
    }
}

impl ReadRows for Rows {
    fn state(&self) -> Result<StoreState, StoreError> {
        Ok(self.state)
    }

    fn action(&self, uid: ActionUid) -> Result<Option<ActionRow>, StoreError> {
        Ok(self.actions.get(&uid).cloned())
    }

    fn holder(&self, key: &Key) -> Result<Option<ActionRow>, StoreError> {
        let holds = |row: &&ActionRow| Key::held_by(&row.action).contains(key);
        Ok(self.actions.values().find(holds).cloned())
    }

    fn owners(&self) -> Result<BTreeMap<u64, Owner>, StoreError> {
        Ok(self.owners.clone())
    }

    fn owns_unfinished(&self, owner: &OwnerRef) -> Result<bool, StoreError> {
        let owns = |row: &ActionRow| {
            row.action.is_unfinished() && row.action.owner.as_ref() == Some(owner)
        };
        Ok(self.actions.values().any(owns))
    }
}

/// A store, and the writer that commits to it.
fn store() -> (GroupWriter, Arc<Mutex<Rows>>) {
    let at = Position::new(StoreId::new(), BranchId::FIRST, Revision::ZERO);
    let rows = Arc::new(Mutex::new(Rows {
        state: StoreState::new(at),
        actions: BTreeMap::new(),
        owners: BTreeMap::new(),
        saved: Vec::new(),
    }));
    let own = rows.clone();
    let commit = move |group: &Group| {
        let mut rows = own.lock().unwrap_or_else(PoisonError::into_inner);
        let view = rows.clone();
        group.commit_rows(Timestamp::from_seconds(1), &view, |changes| {
            rows.save(changes);
            Ok(())
        })
    };
    let capabilities = Capabilities::new(Durability::Volatile);
    let watch = Arc::new(PositionWatch::new(at));
    let writer = GroupWriter::spawn(capabilities, watch, Duration::from_secs(60), commit).unwrap();
    (writer, rows)
}

/// Writes commands that are all accepted, and returns their effects.
async fn write(writer: &GroupWriter, commands: Vec<Command>) -> Vec<Effect> {
    let answers = writer.write(Batch::all(commands)).await.unwrap();
    let effect = |answer: Result<crate::model::Done, _>| answer.unwrap().effect;
    answers.into_iter().map(effect).collect()
}

fn rows(rows: &Mutex<Rows>) -> Rows {
    rows.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[tokio::test]
async fn rows_are_numbered_changed_and_removed_with_their_logs() {
    let (writer, stored) = store();
    let owner = OwnerRef::new("node-1");
    let (first, second) = (NewAction::task("a"), NewAction::task("b"));
    let (first, second) = (first.with_exclusive("k"), second.with_exclusive("k"));
    let (a, b) = (first.uid, second.uid);
    let begin = vec![
        Command::claim(owner.clone()),
        Command::create(first),
        Command::apply(a, Change::Start).by(owner.clone()),
    ];
    assert_eq!(write(&writer, begin).await, [Effect::Applied; 3]);
    // The key passes on within the transaction.
    let pass_on = vec![
        Command::apply(a, Change::Finish(Finish::succeeded())).by(owner.clone()),
        Command::create(second),
        Command::pin(b, true),
    ];
    assert_eq!(write(&writer, pass_on).await, [Effect::Applied; 3]);

    let now = rows(&stored);
    let (old, new) = (&now.actions[&a], &now.actions[&b]);
    assert_eq!((old.number, new.number), (1, 2));
    assert_eq!((old.pinned, new.pinned), (false, true));
    assert!(old.revision < new.revision && new.revision == now.state.at.revision);
    let log = |row: &ActionRow| -> Vec<(u64, LogEntryKind)> {
        let entries = row.log.iter();
        entries
            .map(|(number, entry)| (*number, entry.kind))
            .collect()
    };
    let kinds = [
        (1, LogEntryKind::Created),
        (2, LogEntryKind::Started),
        (3, LogEntryKind::Finished),
    ];
    assert_eq!(log(old), kinds);
    assert_eq!(log(new), [(4, LogEntryKind::Created)]);
    assert_eq!(now.owners.keys().collect::<Vec<_>>(), [&1]);
    let numbers = (
        now.state.last_number,
        now.state.last_entry,
        now.state.last_claim,
    );
    assert_eq!(numbers, (2, 4, 1));

    let version = old.action.version;
    let remove = vec![Command::remove(a, version), Command::release(owner)];
    assert_eq!(write(&writer, remove).await, [Effect::Applied; 2]);
    let now = rows(&stored);
    assert_eq!(now.actions.keys().collect::<Vec<_>>(), [&b]);
    let saved = [
        vec![(None, Some(1))],
        vec![(None, Some(2)), (Some(1), Some(1))],
        vec![(Some(1), None)],
    ];
    assert_eq!(now.saved, saved);
}

#[tokio::test]
async fn a_repeat_saves_nothing() {
    let (writer, stored) = store();
    let create = Command::create(NewAction::task("a"));
    assert_eq!(
        write(&writer, vec![create.clone()]).await,
        [Effect::Applied]
    );
    assert_eq!(write(&writer, vec![create]).await, [Effect::Already]);
    assert_eq!(rows(&stored).saved.len(), 1);
}

#[tokio::test]
async fn a_row_of_another_action_is_corrupt_and_nothing_is_saved() {
    let (writer, stored) = store();
    let new = NewAction::task("a");
    let uid = new.uid;
    write(&writer, vec![Command::create(new)]).await;
    let wrong = ActionUid::new();
    {
        let mut rows = stored.lock().unwrap();
        let row = rows.actions.remove(&uid).unwrap();
        rows.actions.insert(wrong, row);
    }
    let pin = Batch::each(vec![Command::pin(wrong, true)]);
    let error = writer.write(pin).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert_eq!(rows(&stored).saved.len(), 1);
}
