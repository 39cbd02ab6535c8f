//! The readers: a few tasks, each with a connection of its own.
//!
//! Callers wait for an answer, never for a statement, so a dropped future leaves no transaction
//! open; and every page is read whole before it is handed out, so that nobody's slowness keeps a
//! snapshot alive and the log file growing.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::decode::{Columns, decode_action, decode_entry, decode_owner};
use super::encode::Envelope;
use super::errors::{Phase, corrupt, store_error};
use super::file::Lock;
use super::list;
use super::rows::{ACTION_COLUMNS, LOG_COLUMNS, OWNER_COLUMNS};
use super::script::Script;
use super::source::Line;
use crate::backend::bell::Bell;
use crate::error::StoreError;
use crate::model::{
    Action, ActionUid, Cursor, LogQuery, Owner, Page, Position, Query, Revision, StoreId,
    Transition,
};

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What a look-up finds, in the order of its uids.
type Found = Vec<Option<Arc<Action>>>;

/// Somebody's look-up.
type LookUp = (Vec<ActionUid>, Reply<Found>);

/// Uids that are looked up together, unless one caller alone asks for more.
const GATHERED: usize = 256;

/// A question and where its answer goes.
pub(super) enum Read {
    Get(Vec<ActionUid>, Reply<Found>),
    List(Query, Reply<Page<Arc<Action>>>),
    Log(LogQuery, Reply<Page<Transition>>),
    Owners(Reply<Vec<Owner>>),
    /// Where the store stands; the bell is rung for it.
    Position(Reply<Position>),
}

pub(super) struct Reader {
    pub(super) life: StoreId,
    pub(super) line: Line,
    /// Shared by all readers: whoever is free takes the next question.
    pub(super) questions: Arc<Mutex<mpsc::Receiver<Read>>>,
    /// A question that was taken from the queue while look-ups were gathered.
    pub(super) put_off: Option<Read>,
    pub(super) closing: watch::Receiver<bool>,
    /// Rung for what a page shows: the writer may not have come to ring for that commit yet, and
    /// never does for one that failed and was made all the same.
    pub(super) bell: Arc<Bell>,
    pub(super) lock: Arc<Option<Lock>>,
}

impl Reader {
    /// Answers until the store is closed and nobody waits.
    pub(super) async fn run(mut self) {
        while let Some(question) = self.next_question().await {
            let life = self.life;
            match question {
                Read::Get(uids, reply) => {
                    let looked_up = self.gather(uids, reply);
                    self.look_up(looked_up).await;
                }
                Read::List(query, reply) => {
                    let (script, bell) = (list::script(&query), self.bell.clone());
                    let read = |rows| list::read(&query, life, rows);
                    let read = |rows| read(rows).inspect(|page| bell.ring(page.at));
                    self.answer("list", reply, script, read).await;
                }
                Read::Log(query, reply) => {
                    let (script, bell) = (log_script(&query), self.bell.clone());
                    let read = |rows| read_log(&query, life, rows);
                    let read = |rows| read(rows).inspect(|page| bell.ring(page.at));
                    self.answer("log", reply, script, read).await;
                }
                Read::Position(reply) => {
                    let (mut script, bell) = (Script::new(), self.bell.clone());
                    script.push(POSITION);
                    let read = |rows: Vec<Vec<_>>| {
                        let rows = rows.first().map_or(&[][..], Vec::as_slice);
                        read_position("changed", life, rows).inspect(|at| bell.ring(*at))
                    };
                    self.answer("changed", reply, Ok(script), read).await;
                }
                Read::Owners(reply) => {
                    let script = Ok(owners_script());
                    self.answer("owners", reply, script, read_owners).await;
                }
            }
        }
        self.line.close().await;
        drop(self.lock);
    }

    /// None once the store is closed, or dropped, and nobody waits any more.
    async fn next_question(&mut self) -> Option<Read> {
        if let Some(question) = self.put_off.take() {
            return Some(question);
        }
        // The lock is held while waiting: that is how the readers take turns.
        let mut questions = self.questions.lock().await;
        tokio::select! {
            biased;
            question = questions.recv() => return question,
            _ = self.closing.wait_for(|closing| *closing) => questions.close(),
        }
        // What was asked before is answered.
        questions.recv().await
    }

    /// Takes along whoever else wants to look something up: one hop to SQLite's thread serves
    /// them all.
    fn gather(&mut self, uids: Vec<ActionUid>, reply: Reply<Found>) -> Vec<LookUp> {
        let mut count = uids.len();
        let mut looked_up = vec![(uids, reply)];
        // Another reader that waits for its turn has the lock; then it takes them.
        let Ok(mut questions) = self.questions.try_lock() else {
            return looked_up;
        };
        while count < GATHERED {
            match questions.try_recv() {
                Ok(Read::Get(uids, reply)) => {
                    count += uids.len();
                    looked_up.push((uids, reply));
                }
                Ok(other) => {
                    self.put_off = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        looked_up
    }

    async fn look_up(&mut self, mut looked_up: Vec<LookUp>) {
        looked_up.retain(|(_, reply)| !reply.is_closed());
        let uids: BTreeSet<ActionUid> = looked_up
            .iter()
            .flat_map(|(uids, _)| uids)
            .copied()
            .collect();
        let script = get_script(&uids);
        let rows = match script {
            Ok(script) => self.run_script("get", script).await,
            Err(error) => Err(store_error("get", Phase::Before, error)),
        };
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                for (_, reply) in looked_up {
                    let _gone = reply.send(Err(error.clone()));
                }
                return;
            }
        };
        let mut found = HashMap::new();
        for row in rows.iter().flatten() {
            let mut columns = Columns::new("get", row);
            // Whoever asks for what cannot be read hears of it; the others are not harmed.
            match columns.peek_uid() {
                Ok(uid) => {
                    let action = decode_action(&mut columns);
                    found.insert(uid, action.map(|(_, action)| Arc::new(action)));
                }
                Err(error) => {
                    found.extend(uids.iter().map(|uid| (*uid, Err(error.clone()))));
                }
            }
        }
        for (uids, reply) in looked_up {
            let found = uids.iter().map(|uid| found.get(uid).cloned().transpose());
            let _gone = reply.send(found.collect());
        }
    }

    async fn answer<T>(
        &mut self,
        operation: &'static str,
        reply: Reply<T>,
        script: Result<Script, sqlx::Error>,
        read: impl FnOnce(Vec<Vec<sqlx::sqlite::SqliteRow>>) -> Result<T, StoreError>,
    ) {
        // Nobody waits any more: not worth a query.
        if reply.is_closed() {
            return;
        }
        let answer = match script {
            Ok(script) => self.run_script(operation, script).await.and_then(read),
            Err(error) => Err(store_error(operation, Phase::Before, error)),
        };
        let _gone = reply.send(answer);
    }

    async fn run_script(
        &mut self,
        operation: &'static str,
        script: Script,
    ) -> Result<Vec<Vec<sqlx::sqlite::SqliteRow>>, StoreError> {
        let mut connection = self.line.take().await?;
        match script.run(&mut connection).await {
            Ok(rows) => {
                self.line.hand_back(connection);
                Ok(rows)
            }
            Err(failed) => {
                // It may have a transaction open.
                drop(connection.close().await);
                Err(store_error(operation, Phase::Before, failed.error))
            }
        }
    }
}

pub(super) fn get_script(uids: &BTreeSet<ActionUid>) -> Result<Script, sqlx::Error> {
    let mut script = Script::new();
    let mut envelope = Envelope::new();
    for uid in uids {
        envelope.row(|row| row.blob(uid.as_uuid()));
    }
    script.bind(envelope.finish())?;
    let columns = ACTION_COLUMNS.join(", ");
    script.push(&format!(
        "SELECT {columns} FROM actions_action WHERE uid IN (\
         SELECT unhex(j.value ->> 0) FROM json_each($1) AS j)"
    ));
    Ok(script)
}

/// Reads where the store stands, as [`POSITION`] selects it.
pub(super) const POSITION: &str =
    "SELECT revision, removed_to, removed_created FROM actions_store WHERE id = 1";

pub(super) fn read_position(
    operation: &'static str,
    life: StoreId,
    rows: &[sqlx::sqlite::SqliteRow],
) -> Result<Position, StoreError> {
    let row = rows.first();
    let row = row.ok_or_else(|| corrupt(operation, "the store's own row is missing"))?;
    let mut columns = Columns::new(operation, row);
    Ok(Position {
        life,
        revision: Revision::new(columns.number()?),
        removed_to: Revision::new(columns.number()?),
        removed_created: columns.time_opt()?,
    })
}

pub(super) fn log_script(query: &LogQuery) -> Result<Script, sqlx::Error> {
    let mut script = Script::new();
    let after = query.after.map_or(0, |cursor| cursor.position());
    script.bind(i64::try_from(after).unwrap_or(i64::MAX))?;
    script.bind(i64::from(query.limit) + 1)?;
    let columns: Vec<String> = LOG_COLUMNS
        .iter()
        .map(|column| format!("l.{column}"))
        .collect();
    let columns = columns.join(", ");
    script.push("BEGIN");
    script.push(POSITION);
    match query.uid {
        Some(uid) => {
            script.bind(uid.as_uuid().as_bytes().to_vec())?;
            // The plus keeps the planner from walking the whole log in entry order.
            script.push(&format!(
                "SELECT a.uid, {columns} FROM actions_action AS a \
                 CROSS JOIN actions_log AS l ON l.action = a.number \
                 WHERE a.uid = $3 AND +l.entry > $1 ORDER BY +l.entry LIMIT $2"
            ));
        }
        None => script.push(&format!(
            "SELECT a.uid, {columns} FROM actions_log AS l \
             CROSS JOIN actions_action AS a ON a.number = l.action \
             WHERE l.entry > $1 ORDER BY l.entry LIMIT $2"
        )),
    }
    script.push("COMMIT");
    Ok(script)
}

fn read_log(
    query: &LogQuery,
    life: StoreId,
    results: Vec<Vec<sqlx::sqlite::SqliteRow>>,
) -> Result<Page<Transition>, StoreError> {
    let mut results = results.into_iter().skip(1);
    let mut rows = || results.next().unwrap_or_default();
    let at = read_position("log", life, &rows())?;
    let rows = rows();
    let limit = usize::from(query.limit);
    let more = rows.len() > limit;
    let (mut items, mut last) = (Vec::with_capacity(rows.len().min(limit)), 0);
    for row in rows.iter().take(limit) {
        let (entry, transition) = decode_entry(&mut Columns::new("log", row))?;
        items.push(transition);
        last = entry;
    }
    Ok(Page::new(items, more.then(|| Cursor::log(life, last)), at))
}

fn owners_script() -> Script {
    let mut script = Script::new();
    let columns = OWNER_COLUMNS.join(", ");
    script.push(&format!(
        "SELECT {columns} FROM actions_owner ORDER BY name, id"
    ));
    script
}

fn read_owners(results: Vec<Vec<sqlx::sqlite::SqliteRow>>) -> Result<Vec<Owner>, StoreError> {
    let rows = results.iter().flatten();
    rows.map(|row| decode_owner(&mut Columns::new("owners", row)))
        .collect()
}
