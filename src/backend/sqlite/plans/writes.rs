//! Tests that the statements of a write and the triggers search.

use super::statistics::{SIZES, connection};
use super::{scans, steps};
use crate::backend::sql::{Frame, Stored};
use crate::backend::sqlite::script::Script;
use crate::backend::sqlite::{load, save};
use crate::model::{
    Batch, Command, NewAction, ObjectRef, OpId, OwnerRef, ReadSet, Timestamp, TxnState, WriteSet,
    plan, read_set,
};

/// Returns the statements inside the triggers, because a query plan does not show them.
fn statements_of_triggers(sql: &str) -> Vec<String> {
    let Some((head, body)) = sql.split_once("BEGIN\n") else {
        panic!("no trigger: {sql}");
    };
    let mut statements: Vec<String> = body
        .split(';')
        .map(|statement| statement.trim().to_owned())
        .filter(|statement| !statement.is_empty() && statement != "END")
        .filter(|statement| !statement.starts_with("SELECT RAISE"))
        .collect();
    let when = head.split_once("WHEN ").map(|(_, when)| when.trim());
    statements.extend(when.map(|when| format!("SELECT {when}")));
    // Every column gets a known value.
    let mut known = Vec::new();
    for statement in statements {
        let mut text = String::new();
        let mut rest = &*statement;
        while let Some(at) = rest.find("NEW.").or_else(|| rest.find("OLD.")) {
            let at = rest.find("OLD.").map_or(at, |old| old.min(at));
            text.push_str(&rest[..at]);
            text.push('?');
            rest = rest[at + 4..].trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        }
        text.push_str(rest);
        known.push(text);
    }
    known
}

#[tokio::test]
async fn triggers_search() {
    for rows in SIZES {
        let (_dir, mut connection) = connection(rows).await;
        let triggers = "SELECT sql FROM sqlite_master WHERE type = 'trigger'";
        let triggers: Vec<String> = sqlx::query_scalar(triggers)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let statements = triggers.iter().flat_map(|sql| statements_of_triggers(sql));
        let mut script = Script::new();
        statements.for_each(|statement| script.push(&statement));
        assert!(script.len() >= 8, "{}", script.len());
        let searched = steps(&mut connection, &script).await;
        let searched = searched
            .iter()
            .filter(|(step, _)| step.starts_with("SEARCH"));
        assert!(searched.count() >= 8);
        assert_eq!(scans(&mut connection, &script).await, [""; 0]);
    }
}

#[tokio::test]
async fn writes_search() {
    for rows in SIZES {
        let (_dir, mut connection) = connection(rows).await;
        let owner = OwnerRef::new("o");
        let new = NewAction::state_machine("SM", ObjectRef::bdb(1))
            .with_exclusive("k")
            .with_idempotency_key("i")
            .with_label("region", "eu-1");
        let batch = Batch::each(vec![
            Command::Claim {
                owner: owner.clone(),
                take_over: true,
            },
            Command::Create {
                new: new.clone().into(),
                by: Some(owner.clone()),
            },
            Command::Apply {
                uid: new.uid,
                op: OpId::new(),
                change: crate::model::Change::Start,
                by: Some(owner),
                if_version: None,
            },
        ]);
        let read_set = read_set(&batch).unwrap();
        let script = load::script(std::iter::once(&read_set), Some(load::BEGIN))
            .unwrap()
            .script;
        assert_eq!(scans(&mut connection, &script).await, [""; 0]);

        // One row and rows in a list use different statements.
        for rows_of_a_kind in [1, 2] {
            let write_set = every_change(&batch, &read_set, rows_of_a_kind);
            let stored = Stored::default();
            let numbers = Default::default();
            let frame = Frame::BeginAndCommit;
            let save = save::script(&write_set, stored, numbers, frame).unwrap();
            assert!(save.script.len() >= 20, "{}", save.script.len());
            assert_eq!(scans(&mut connection, &save.script).await, [""; 0]);
        }
    }
}

/// Returns the changes of a plan with every kind of row. Then fills each kind of change by hand,
/// with so many rows of each kind.
fn every_change(batch: &Batch, read_set: &ReadSet, rows: usize) -> WriteSet {
    fn repeat<T: Clone>(those: &mut Vec<T>, times: usize) {
        *those = vec![&those[..]; times].concat();
    }
    let mut txn = TxnState::new();
    plan(batch, read_set, &mut txn, Timestamp::from_seconds(1));
    let mut write_set: WriteSet = txn.into_write_set();
    write_set.log.truncate(1);
    let action = write_set.created[0].clone();
    write_set.updated.push(action.clone());
    write_set.removed.push(action.clone());
    write_set.trim.push(action.uid);
    write_set.pinned.push(action.uid);
    write_set.unpinned.push(action.uid);
    for actions in [
        &mut write_set.created,
        &mut write_set.updated,
        &mut write_set.removed,
    ] {
        repeat(actions, rows);
    }
    for uids in [
        &mut write_set.trim,
        &mut write_set.pinned,
        &mut write_set.unpinned,
    ] {
        repeat(uids, rows);
    }
    write_set.keys_taken.truncate(1);
    repeat(&mut write_set.keys_taken, rows);
    let keys = write_set.keys_taken.iter();
    write_set.keys_freed = keys.map(|(key, _)| key.clone()).collect();
    repeat(&mut write_set.log, rows);
    repeat(&mut write_set.owners, rows);
    write_set.owners_forgotten = write_set.owners.iter().map(|o| o.owner.clone()).collect();
    write_set
}
