//! The reader tasks, each with its own connection.
//!
//! Callers wait for an answer, never for a statement, so a dropped future leaves no transaction
//! open. Every page is read completely before it is returned. So a slow caller cannot hold a
//! snapshot, which would make the WAL grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::sqlite::SqliteRow;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::decode::Columns;
use super::errors::store_error;
use super::file::Lock;
use super::identity::OpenFile;
use super::script::Script;
use super::source::ConnectionSlot;
use super::{get, list, log, owners};
use crate::backend::another_branch;
use crate::backend::position_watch::PositionWatch;
use crate::backend::sql::{Lineage, Phase, corrupt, out_of_place};
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{
    AccessPath, Action, ActionUid, Cursor, End, LogEntry, LogQuery, Owner, OwnerQuery, Page,
    Position, Query, Revision,
};

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// The result of a look-up, in the order of its uids.
type Found = Vec<Option<Arc<Action>>>;

/// One caller's look-up.
type LookUp = (Vec<ActionUid>, Reply<Found>);

/// Maximum number of uids that are looked up together, unless one caller alone asks for more.
const GATHERED: usize = 256;

/// A request and the channel for its answer.
pub(super) enum Read {
    Get(Vec<ActionUid>, Reply<Found>),
    List(Query, Reply<Page<Arc<Action>>>),
    Log(LogQuery, Reply<Page<LogEntry>>),
    Owners(OwnerQuery, Reply<Page<Owner>>),
    /// Reads the position of the store and announces it.
    Position(Reply<Position>),
}

pub(super) struct Reader {
    pub(super) lineage: Arc<Lineage>,
    pub(super) slot: ConnectionSlot,
    pub(super) file: Arc<OpenFile>,
    /// Shared by all readers: the next free reader takes the next request.
    pub(super) questions: Arc<Mutex<mpsc::Receiver<Read>>>,
    /// A request that was taken from the queue while look-ups were collected.
    pub(super) put_off: Option<Read>,
    pub(super) closing: watch::Receiver<bool>,
    /// Announces the positions that pages show. The writer may announce that commit later, or
    /// never: a commit can report a failure and still be applied.
    pub(super) position_watch: Arc<PositionWatch>,
    pub(super) lock: Arc<Option<Lock>>,
    /// True while the store may hold unsynced bytes. Readers answer nothing then.
    pub(super) in_doubt: Arc<AtomicBool>,
}

impl Reader {
    /// Answers requests until the store is closed and no request waits.
    pub(super) async fn run(mut self) {
        while let Some(question) = self.next_question().await {
            let lineage = self.lineage.clone();
            let lineage = &*lineage;
            match question {
                Read::Get(uids, reply) => {
                    let looked_up = self.gather(uids, reply);
                    self.look_up(looked_up).await;
                }
                Read::List(query, reply) => self.list(query, reply).await,
                Read::Log(query, reply) => self.log(query, reply).await,
                Read::Position(reply) => {
                    let (mut script, position_watch) = (Script::new(), self.position_watch.clone());
                    script.push(POSITION);
                    let read = |rows: &[Vec<_>]| {
                        let rows = rows.first().map_or(&[][..], Vec::as_slice);
                        read_position("changed", lineage, rows)
                            .inspect(|at| position_watch.publish(*at))
                    };
                    self.answer("changed", reply, Ok(script), read).await;
                }
                Read::Owners(query, reply) => {
                    let (script, position_watch) =
                        (owners::script(&query), self.position_watch.clone());
                    let read = |rows: &[_]| owners::read(&query, lineage, rows);
                    let read =
                        |rows: &[_]| read(rows).inspect(|page| position_watch.publish(page.at));
                    self.answer("owners", reply, script, read).await;
                }
            }
        }
        self.slot.close().await;
        drop(self.lock);
    }

    /// Returns `None` once the store is closed or dropped, and no request waits.
    async fn next_question(&mut self) -> Option<Read> {
        if let Some(question) = self.put_off.take() {
            return Some(question);
        }
        // Waits with the lock held, so that the readers take turns.
        let mut questions = self.questions.lock().await;
        tokio::select! {
            biased;
            question = questions.recv() => return question,
            _ = self.closing.wait_for(|closing| *closing) => questions.close(),
        }
        // Requests that came before the close are still answered.
        questions.recv().await
    }

    /// Collects other waiting look-ups: one round trip to SQLite's thread serves all of them.
    fn gather(&mut self, uids: Vec<ActionUid>, reply: Reply<Found>) -> Vec<LookUp> {
        let mut count = uids.len();
        let mut looked_up = vec![(uids, reply)];
        // If another reader waits for its turn, it has the lock and takes them.
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
        let mut uids: Vec<ActionUid> = looked_up
            .iter()
            .flat_map(|(uids, _)| uids.clone())
            .collect();
        uids.sort_unstable();
        uids.dedup();
        let rows = match get::script(&uids) {
            Ok(script) => self.run_script("get", script).await,
            Err(error) => Err(store_error("get", Phase::Before, error)),
        };
        let mut found = rows.and_then(|rows| get::read(&uids, &rows));
        if let Ok(found) = &mut found {
            self.check_absence(&uids, found).await;
        }
        for (uids_of_one, reply) in looked_up {
            let found = found.as_ref().map_err(StoreError::clone).and_then(|found| {
                let one = |uid| match uids.binary_search(uid) {
                    Ok(at) => found[at].clone(),
                    Err(_) => Ok(None),
                };
                uids_of_one.iter().map(one).collect()
            });
            let _gone = reply.send(found);
        }
    }

    async fn list(&mut self, query: Query, reply: Reply<Page<Arc<Action>>>) {
        if reply.is_closed() {
            return;
        }
        let page = self.read_page(&query).await;
        let page = page.inspect(|page| self.position_watch.publish(page.at));
        let _gone = reply.send(page);
    }

    /// Chooses an index and reads a page by it.
    async fn read_page(&mut self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        let before = |error| store_error("list", Phase::Before, error);
        let mut paths = list::candidates(query);
        let (path, selective) = if list::must_count(query, &paths) {
            let script = list::count_script(query, &paths).map_err(before)?;
            let counts = self.run_script("list", script).await?;
            list::fewest(paths, &counts)?
        } else {
            (paths.pop().unwrap_or(AccessPath::All), false)
        };
        let script = list::script(query, &path, selective).map_err(before)?;
        let results = self.run_script("list", script).await?;
        list::read(query, &self.lineage, &results)
    }

    /// Looks again for uids that were not found: damage of an index must not hide an action.
    async fn check_absence(&mut self, uids: &[ActionUid], found: &mut [get::FoundOne]) {
        let absent = uids.iter().zip(&*found);
        let absent = absent.filter(|(_, found)| matches!(found, Ok(None)));
        let absent: Vec<ActionUid> = absent.map(|(uid, _)| *uid).collect();
        if absent.is_empty() {
            return;
        }
        let damaged = match get::absent_script(&absent) {
            Ok(script) => self.run_script("get", script).await,
            Err(error) => Err(store_error("get", Phase::Before, error)),
        };
        let error = match damaged {
            Ok(rows) if rows.iter().flatten().next().is_none() => return,
            Ok(_) => out_of_place("get"),
            Err(error) => error,
        };
        for found in found.iter_mut().filter(|found| matches!(found, Ok(None))) {
            *found = Err(error.clone());
        }
    }

    /// Reads a page of a log. An action without any entry may be one that damage hides.
    async fn log(&mut self, query: LogQuery, reply: Reply<Page<LogEntry>>) {
        if reply.is_closed() {
            return;
        }
        let script = log::script(&query).map_err(|error| store_error("log", Phase::Before, error));
        let page = match script {
            Ok(script) => self.run_script("log", script).await,
            Err(error) => Err(error),
        };
        let mut page = page.and_then(|rows| log::read(&query, &self.lineage, &rows));
        if let (Ok(read), Some(uid)) = (&page, query.uid)
            && read.items.is_empty()
            && query.after.is_none()
        {
            let mut found = [Ok(None)];
            self.check_absence(&[uid], &mut found).await;
            if let [Err(error)] = found {
                page = Err(error);
            }
        }
        let page = page.inspect(|page| self.position_watch.publish(page.at));
        let _gone = reply.send(page);
    }

    async fn answer<T>(
        &mut self,
        operation: &'static str,
        reply: Reply<T>,
        script: Result<Script, sqlx::Error>,
        read: impl FnOnce(&[Vec<SqliteRow>]) -> Result<T, StoreError>,
    ) {
        // No caller waits any more, so no query is needed.
        if reply.is_closed() {
            return;
        }
        let answer = match script {
            Ok(script) => {
                let results = self.run_script(operation, script).await;
                results.and_then(|results| read(&results))
            }
            Err(error) => Err(store_error(operation, Phase::Before, error)),
        };
        let _gone = reply.send(answer);
    }

    async fn run_script(
        &mut self,
        operation: &'static str,
        script: Script,
    ) -> Result<Vec<Vec<SqliteRow>>, StoreError> {
        self.file.check_before(operation)?;
        let mut connection = self.slot.take().await?;
        // After opening the connection, because opening may read unsynced bytes.
        if self.in_doubt.load(Ordering::Acquire) {
            self.slot.hand_back(connection);
            let message =
                "a commit failed, and its data may not be on the disk yet; try again later";
            return Err(StoreError::new(ErrorKind::Unavailable, operation, message));
        }
        match script.run(&mut connection).await {
            Ok(rows) => {
                self.slot.hand_back(connection);
                Ok(rows)
            }
            Err(failed) => {
                // The connection may have a transaction open.
                drop(connection.close().await);
                Err(store_error(operation, Phase::Before, failed.error))
            }
        }
    }
}

/// Reads the position of the store, for [`read_position`].
pub(super) const POSITION: &str = "SELECT json_array(revision, pruned_through, pruned_created, actions, last_number, last_entry) FROM actions_store WHERE id = 1";

pub(super) fn read_position(
    operation: &'static str,
    lineage: &Lineage,
    rows: &[SqliteRow],
) -> Result<Position, StoreError> {
    let row = rows.first();
    let row = row.ok_or_else(|| corrupt(operation, "the store's own row is missing"))?;
    Ok(position_of(lineage, &mut Columns::new(operation, row)?)?.0)
}

fn position_of(
    lineage: &Lineage,
    columns: &mut Columns<'_>,
) -> Result<(Position, End), StoreError> {
    let at = Position {
        revision: Revision::new(columns.number()?),
        pruned_through: Revision::new(columns.number()?),
        pruned_created: columns.time_opt()?,
        actions: columns.number()?,
        ..lineage.position()
    };
    let end = End {
        revision: at.revision.get(),
        number: columns.number()?,
        entry: columns.number()?,
    };
    Ok((at, end))
}

/// The first row of a page, and the rows after it.
pub(super) struct First<'r> {
    /// Position of the store.
    pub(super) at: Position,
    /// End of its history.
    pub(super) end: End,
    /// The other values of the first row.
    pub(super) columns: Columns<'r>,
    pub(super) rows: &'r [SqliteRow],
}

pub(super) fn read_first<'r>(
    operation: &'static str,
    lineage: &Lineage,
    after: Option<Cursor>,
    results: &'r [Vec<SqliteRow>],
) -> Result<First<'r>, StoreError> {
    let rows = results.first().and_then(|rows| rows.split_first());
    let (first, rows) = rows.ok_or_else(|| corrupt(operation, "the store's own row is missing"))?;
    let mut columns = Columns::new(operation, first)?;
    let (at, end) = position_of(lineage, &mut columns)?;
    match after {
        Some(cursor) if !lineage.branches.understand(&cursor, end) => {
            Err(another_branch(operation))
        }
        _ => Ok(First {
            at,
            end,
            columns,
            rows,
        }),
    }
}
