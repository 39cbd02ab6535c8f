//! rusqlite on the shipped schema, with its CHECKs, triggers and counters, and rows in the library's
//! stored form.
//!
//! It is the like-for-like upper bound: the library's work on the file, without the library. When
//! the schema changes, only this file of the benchmark changes with it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use action_store::action::LogEntryKind;
use action_store::command::OpId;
use action_store::owner::Incarnation;
use action_store::spi::codec::{
    ActionField as A, EntryField as E, Field as _, FieldSet, Layout as Form, Value,
};
use action_store::{
    Action, ActionUid, LogEntry, NewAction, ObjectRef, Outcome, OwnerRef, Progress, SqliteStore,
    Status, Timestamp,
};
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::contestant::{Change, Held, Kind, NAME, New, Owner, now};
use crate::sql::{self, FEED_MOVE, FEED_NEW, Layout, TOUCH, execute};

/// Store counters as of this commit: one row, however large the commit is.
const COUNTERS: &str = "UPDATE actions_store SET \
     revision = (SELECT max(revision) FROM actions_feed), \
     last_number = (SELECT max(number) FROM actions_action), actions = (SELECT max(number) FROM actions_action), \
     last_entry = (SELECT max(entry) FROM actions_log) WHERE id = 1";

const CREATE: &str = "INSERT INTO actions_action (uid, status, flags, progress, version, source, \
     name, object, tenant, created_at, body) VALUES (?, 0, 0, 0, 1, 1, ?, ?, ?, ?, ?) \
     RETURNING number";

const CHANGE: &str = "UPDATE actions_action SET status = ?, outcome = ?, flags = 1, progress = ?, \
     version = ?, owner = ?, incarnation = ?, finished_at = ?, body = ? WHERE number = ?";

const PROGRESS: &str =
    "UPDATE actions_action SET progress = ?, version = ?, body = ? WHERE number = ?";

const LOG: &str = "INSERT INTO actions_log (action, kind, version, at, status, outcome, progress, \
     owner, incarnation, op, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const READ: &str = "SELECT uid, name, object, tenant, owner, incarnation, body FROM actions_action";

/// The fields of an action that have columns and are not in its body.
const ACTION: Form<Action> = Form::without(FieldSet::<Action>::of(&[
    A::Uid,
    A::Name,
    A::Object,
    A::Tenant,
    A::Owner,
    A::Incarnation,
]));

/// All fields of a log entry have columns.
const ENTRY: Form<LogEntry> = Form::without(FieldSet::<LogEntry>::of(E::ALL));

pub const LAYOUT: Layout = Layout {
    make,
    create,
    change,
    commit,
    read_one,
    read_list,
    held,
};

thread_local! {
    /// Unfinished actions with their numbers. A writer that keeps them reads nothing back, as the
    /// library's does.
    static UNFINISHED: RefCell<HashMap<Uuid, (i64, Action)>> = RefCell::default();
}

fn make(path: &Path) -> Connection {
    let connection = sql::open(path);
    for step in SqliteStore::schema() {
        connection.execute_batch(step).unwrap();
    }
    connection
}

/// Encodes the column `body`: lengths of the body and the columns, the body, and padding.
fn body(action: &Action) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    ACTION.encode(action, &mut body).unwrap();
    let lengths = ACTION.values(action).map(|value| match value {
        Value::Text(text) => text.len(),
        Value::Id(_) => 16,
        _ => 0,
    });
    let mut out = Vec::with_capacity(256);
    for mut length in std::iter::once(body.len()).chain(lengths) {
        while length >= 0x80 {
            out.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
    }
    out.append(&mut body);
    if out.len() % 2 == 1 {
        out.push(0);
    }
    out
}

fn create(c: &Connection, new: &New) {
    let object: ObjectRef = new.object.parse().unwrap();
    let asked = NewAction::state_machine(NAME, object)
        .with_uid(ActionUid::from_uuid(new.uid))
        .with_description(new.description);
    let at = Timestamp::from_micros(now());
    let action = Action::new(&asked, asked.digest(), at);
    let row = params![
        new.uid.as_bytes(),
        NAME,
        new.object,
        &*action.tenant,
        at.as_micros(),
        body(&action)
    ];
    let number: i64 = c
        .prepare_cached(CREATE)
        .unwrap()
        .query_row(row, |row| row.get(0))
        .unwrap();
    execute(c, TOUCH, params![new.object, number]);
    execute(c, FEED_NEW, params![number]);
    log(
        c,
        number,
        &LogEntry::new(LogEntryKind::Created, &action, at),
    );
    UNFINISHED.with_borrow_mut(|kept| kept.insert(new.uid, (number, action)));
}

fn change(c: &Connection, change: Change, owner: &Owner) -> bool {
    let kept = UNFINISHED.with_borrow_mut(|kept| kept.remove(&change.uid));
    let Some((number, mut action)) = kept else {
        return false;
    };
    if action.version.get() != change.version as u64 {
        return false;
    }
    let at = Timestamp::from_micros(now());
    action.version = action.version.next();
    action.last_seen_at = at;
    action.last_op = Some(OpId::from_uuid(Uuid::now_v7()));
    let kind = match change.kind {
        Kind::Start => {
            action.status = Status::Executing;
            action.started_at = Some(at);
            let incarnation = Uuid::from_slice(&owner.incarnation).unwrap();
            action.owner = Some(OwnerRef {
                name: owner.name.as_str().into(),
                incarnation: Incarnation::from_uuid(incarnation),
            });
            Some(LogEntryKind::Started)
        }
        Kind::Progress(hundredths) => {
            action.progress = Progress::from_hundredths(hundredths as u16).unwrap();
            None
        }
        Kind::Finish => {
            action.status = Status::Completed;
            action.outcome = Some(Outcome::Succeeded);
            action.progress = Progress::DONE;
            action.finished_at = Some(at);
            Some(LogEntryKind::Finished)
        }
    };
    action.log_entries += u32::from(kind.is_some());
    let (progress, version) = (action.progress.hundredths(), action.version.get() as i64);
    match kind {
        None => execute(
            c,
            PROGRESS,
            params![progress, version, body(&action), number],
        ),
        Some(kind) => {
            let row = params![
                action.status.code(),
                action.outcome.map(Outcome::code),
                progress,
                version,
                owner.name,
                owner.incarnation,
                action.finished_at.map(Timestamp::as_micros),
                body(&action),
                number
            ];
            execute(c, CHANGE, row);
            log(c, number, &LogEntry::new(kind, &action, at));
        }
    }
    execute(c, FEED_MOVE, params![number]);
    if action.is_unfinished() {
        UNFINISHED.with_borrow_mut(|kept| kept.insert(change.uid, (number, action)));
    }
    true
}

fn log(c: &Connection, number: i64, entry: &LogEntry) {
    let mut body = Vec::new();
    ENTRY.encode(entry, &mut body).unwrap();
    let owner = entry.owner.as_ref();
    let row = params![
        number,
        entry.kind.code(),
        entry.version.get() as i64,
        entry.at.as_micros(),
        entry.status.code(),
        entry.outcome.map(Outcome::code),
        entry.progress.hundredths(),
        owner.map(|owner| &*owner.name),
        owner.map(|owner| *owner.incarnation.as_uuid().as_bytes()),
        entry.op.map(|op| *op.as_uuid().as_bytes()),
        body
    ];
    execute(c, LOG, row);
}

fn commit(connection: &Connection) {
    sql::execute(connection, COUNTERS, []);
    sql::commit(connection);
}

/// Reads an action from a row of [`READ`].
fn decode(row: &rusqlite::Row<'_>) -> rusqlite::Result<Action> {
    let mut values = [Value::Null; ACTION.columns().len()];
    for (index, value) in values.iter_mut().enumerate() {
        *value = match row.get_ref(index)? {
            rusqlite::types::ValueRef::Text(text) => Value::Text(std::str::from_utf8(text)?),
            rusqlite::types::ValueRef::Blob(id) => Value::Id(Uuid::from_slice(id).unwrap()),
            _ => Value::Null,
        };
    }
    let stored = row.get_ref(values.len())?.as_blob().unwrap();
    let take = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte < 0x80).unwrap() + 1;
        let number = bytes[..end].iter().rev();
        let number = number.fold(0, |high, low| high << 7 | usize::from(low & 0x7f));
        (number, end)
    };
    let (length, mut begin) = take(stored);
    for _ in &values {
        begin += take(&stored[begin..]).1;
    }
    let body = &stored[begin..begin + length];
    Ok(ACTION.decode(&values, body).unwrap())
}

fn read_one(c: &Connection, wanted: Uuid) -> Uuid {
    let one = format!("{READ} WHERE uid = ?");
    let mut statement = c.prepare_cached(&one).unwrap();
    let action = statement.query_row([wanted.as_bytes()], decode);
    *action.unwrap().uid.as_uuid()
}

fn read_list(c: &Connection, limit: u16) -> (usize, Option<Uuid>) {
    let list = format!("{READ} ORDER BY number DESC LIMIT ?");
    let mut statement = c.prepare_cached(&list).unwrap();
    let rows = statement.query_map([limit], decode);
    let actions: Vec<Action> = rows.unwrap().map(Result::unwrap).collect();
    let first = actions.first().map(|action| *action.uid.as_uuid());
    (actions.len(), first)
}

fn held(path: &Path) -> Held {
    let held = sql::held(path);
    let connection = sql::open(path);
    let stands = "SELECT revision, last_number, last_entry FROM actions_store";
    let stands: (i64, i64, i64) = connection
        .query_row(stands, [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    let (actions, entries) = (held.heads.len() as i64, held.entries as i64);
    let changes: i64 = held.heads.iter().map(|head| head.version).sum();
    assert_eq!(stands, (changes, actions, entries));
    held
}
