//! The queries of a reader task: look-ups, pages and the position, each at one moment of the store.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use sqlx::postgres::PgRow;

use super::decode::Columns;
use super::errors::{comes_back, is_lost, store_error};
use super::list;
use super::literal::Rows;
use super::load::read_stored;
use super::queries::{GATE, POSITION, POSITION_WITH_MARKED, READ_POSITION, STAMP, owns};
use super::replica::{self, Replica, SeenCommit};
use super::rows::{STORED_ACTION, STORED_ENTRY, STORED_OWNER};
use super::script::Script;
use super::setup::Setup;
use super::source::ConnectionSlot;
use crate::backend::another_branch;
use crate::backend::sql::{
    FirstRow, FoundOne, Lineage, Phase, ReadEngine, RowWriter, Stored, Type, candidates, corrupt,
    fewest, must_count, out_of_place, read_page,
};
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{
    AccessPath, Action, ActionUid, Cursor, Detail, End, LogEntry, LogQuery, Order, Owner,
    OwnerQuery, Page, Position, Query,
};
use crate::spi::deadline::deadline;

pub(super) struct PostgresReader {
    pub(super) slot: ConnectionSlot,
    pub(super) setup: Arc<Setup>,
    pub(super) lineage: Arc<Lineage>,
    /// Maximum duration of one attempt to read.
    pub(super) timeout: Duration,
    /// The replica that is asked first, if there is one.
    pub(super) replica: Option<Replica>,
    pub(super) seen: SeenCommit,
}

/// The position that a page shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct First {
    /// Position of the store.
    pub(super) at: Position,
    /// End of its history.
    pub(super) end: End,
}

static FOUND: LazyLock<String> = LazyLock::new(|| {
    let action = &*STORED_ACTION;
    format!("SELECT {action} FROM actions_action AS a WHERE a.uid = ANY ($1)")
});

/// The numbers of log entries that are not stamped yet.
const FIRST_UNSTAMPED: u64 = 1 << 62;

static LOG_OF_ACTION: LazyLock<String> = LazyLock::new(|| {
    let entry = &*STORED_ENTRY;
    // The inner query stops the planner from scanning the whole log in entry order.
    format!(
        "SELECT {entry} FROM actions_action AS a JOIN LATERAL (SELECT * FROM actions_log AS l \
         WHERE l.action = a.number OFFSET 0) AS l ON true \
         WHERE a.uid = $3 AND l.entry > $1 ORDER BY l.entry LIMIT $2"
    )
});

static LOG: LazyLock<String> = LazyLock::new(|| {
    let entry = &*STORED_ENTRY;
    // An entry without its action is damage, not a shorter page.
    format!(
        "SELECT {entry} FROM (SELECT * FROM actions_log AS l WHERE l.entry > $1 \
         AND l.entry < {FIRST_UNSTAMPED} ORDER BY l.entry LIMIT $2) AS l LEFT JOIN actions_action AS a ON a.number = l.action \
         ORDER BY l.entry"
    )
});

/// Returns true if a [`READ_POSITION`] found a mark.
fn has_marks(operation: &'static str, results: &[Vec<PgRow>]) -> Result<bool, StoreError> {
    let Some(row) = results.first().and_then(|rows| rows.first()) else {
        return Ok(false);
    };
    let mut columns = Columns::new(operation, row);
    read_stored(&mut columns)?;
    columns.is_true()
}

fn position_of(cursor: Option<Cursor>) -> i64 {
    let position = cursor.map_or(0, |cursor| cursor.position());
    i64::try_from(position).unwrap_or(i64::MAX)
}

impl PostgresReader {
    /// Runs statements that read one moment, and returns the rows of each: on the replica if it
    /// shows what this store has seen, otherwise on the primary.
    async fn run(
        &mut self,
        operation: &'static str,
        build: impl Fn(&mut Script) + Send + Sync,
    ) -> Result<Vec<Vec<PgRow>>, StoreError> {
        if let Some(replica) = &mut self.replica {
            let seen = (self.lineage.store_id, &self.seen);
            if let Some(results) = replica.run(operation, &self.setup, seen, &build).await {
                return Ok(results);
            }
        }
        self.run_and_see(operation, build).await
    }

    /// Runs statements that read one moment of the primary. If there is a replica, remembers what
    /// they have shown, and runs them again if the replica has shown a later moment.
    async fn run_and_see(
        &mut self,
        operation: &'static str,
        build: impl Fn(&mut Script) + Send + Sync,
    ) -> Result<Vec<Vec<PgRow>>, StoreError> {
        if self.replica.is_none() {
            return self.run_on_primary(operation, build).await;
        }
        let build = |script: &mut Script| {
            replica::push_position(script);
            build(script);
        };
        let begun = Instant::now();
        loop {
            let mut results = self.run_on_primary(operation, &build).await?;
            let is_last = begun.elapsed() > replica::PATIENCE;
            if replica::see(operation, &self.seen, &mut results, is_last)? {
                return Ok(results);
            }
            tokio::time::sleep(replica::AGAIN).await;
        }
    }

    /// Runs statements that read one moment of the primary. Tries again on a new connection if this
    /// one was lost.
    async fn run_on_primary(
        &mut self,
        operation: &'static str,
        build: impl Fn(&mut Script) + Send + Sync,
    ) -> Result<Vec<Vec<PgRow>>, StoreError> {
        match self.run_once(operation, &build).await {
            Err(error) if comes_back(&error) => self.run_once(operation, &build).await,
            results => results,
        }
    }

    async fn run_once(
        &mut self,
        operation: &'static str,
        build: &(impl Fn(&mut Script) + Send + Sync),
    ) -> Result<Vec<Vec<PgRow>>, StoreError> {
        let mut script = Script::new();
        self.setup.begin_read(&mut script);
        let skipped = script.len();
        build(&mut script);
        script.push("COMMIT");
        let mut results = self.send(operation, script).await?;
        results.pop();
        results.drain(..skipped);
        Ok(results)
    }

    /// Runs a script that is one whole transaction.
    async fn send(
        &mut self,
        operation: &'static str,
        script: Script,
    ) -> Result<Vec<Vec<PgRow>>, StoreError> {
        let mut connection = self.slot.take(operation).await?;
        connection.enter();
        let ran = deadline(self.timeout, connection.run(script)).await;
        match ran {
            Some(Ok(results)) => {
                connection.leave();
                self.slot.hand_back(connection);
                Ok(results)
            }
            Some(Err(error)) => {
                if is_lost(&error) || !connection.roll_back().await {
                    connection.throw_away().await;
                } else {
                    self.slot.hand_back(connection);
                }
                Err(store_error(operation, Phase::Before, error))
            }
            None => {
                connection.throw_away().await;
                let message = "the server did not answer in time";
                Err(StoreError::new(ErrorKind::Unavailable, operation, message))
            }
        }
    }

    /// Runs statements that begin with [`READ_POSITION`]. If a host has committed something that is
    /// not stamped yet, stamps it and runs them again. Another host may commit before that: the
    /// statements then begin with `again`.
    async fn run_stamped(
        &mut self,
        operation: &'static str,
        again: &str,
        build: impl Fn(&mut Script) + Send + Sync,
    ) -> Result<Vec<Vec<PgRow>>, StoreError> {
        let begin = |script: &mut Script, position: &str| {
            script.push(position);
            build(script);
        };
        let first = self.run(operation, |script| begin(script, &READ_POSITION));
        let results = first.await?;
        if !has_marks(operation, &results)? {
            return Ok(results);
        }
        self.stamp(operation).await?;
        let again = |script: &mut Script| begin(script, again);
        self.run_and_see(operation, again).await
    }

    /// Stamps what hosts have committed.
    async fn stamp(&mut self, operation: &'static str) -> Result<(), StoreError> {
        let mut script = Script::new();
        self.setup.begin(&mut script);
        script.push(GATE);
        script.push(STAMP);
        script.push("COMMIT");
        self.send(operation, script).await.map(drop)
    }

    /// Reads the position of a page, and refuses a cursor of another branch.
    fn first(
        &self,
        operation: &'static str,
        after: Option<Cursor>,
        stored: Stored,
    ) -> Result<First, StoreError> {
        let number = |number: i64| {
            u64::try_from(number).map_err(|_| corrupt(operation, "a number is negative"))
        };
        let end = End {
            revision: number(stored.revision)?,
            number: number(stored.last_number)?,
            entry: number(stored.last_entry)?,
        };
        let at = self.lineage.at(stored);
        match after {
            Some(cursor) if !self.lineage.branches.understand(&cursor, end) => {
                Err(another_branch(operation))
            }
            _ => Ok(First { at, end }),
        }
    }
}

/// Reads the position, which comes before the rows of a page.
fn take_position(
    operation: &'static str,
    results: &mut Vec<Vec<PgRow>>,
) -> Result<Stored, StoreError> {
    let rows = if results.is_empty() {
        Vec::new()
    } else {
        results.remove(0)
    };
    let row = rows.first();
    let row = row.ok_or_else(|| corrupt(operation, "the store's position is missing"))?;
    read_stored(&mut Columns::new(operation, row))
}

impl ReadEngine for PostgresReader {
    async fn get(&mut self, uids: &[ActionUid]) -> Result<Vec<FoundOne>, StoreError> {
        let mut rows = Rows::new(&[Type::Id]);
        for uid in uids {
            rows.row(|row| row.id(uid.as_uuid()));
        }
        let results = self
            .run("get", |script| {
                script.bind_rows(&rows);
                script.push(&FOUND);
            })
            .await?;
        let mut found: HashMap<ActionUid, FoundOne> = HashMap::new();
        for row in results.iter().flatten() {
            // Which one it is can be read even if the rest is damaged.
            let uid = ActionUid::from_uuid(Columns::new("get", row).id()?);
            let action = Columns::new("get", row).action(Detail::Full);
            found.insert(uid, action.map(|action| Some(Arc::new(action))));
        }
        let one = |uid| found.remove(uid).unwrap_or(Ok(None));
        Ok(uids.iter().map(one).collect())
    }

    async fn check_absent(&mut self, _uids: &[ActionUid]) -> Result<(), StoreError> {
        // PostgreSQL's data checksums are for this.
        Ok(())
    }

    async fn list(&mut self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        let mut paths = candidates(query);
        let (path, selective) = if must_count(query, &paths) {
            let counted = self.run("list", |script| list::push_count(script, query, &paths));
            let rows = counted.await?.pop().unwrap_or_default();
            let counts = list::read_counts(&paths, &rows)?;
            fewest(paths, counts)
        } else {
            (paths.pop().unwrap_or(AccessPath::All), false)
        };
        // The feed has no place for actions that are not stamped.
        let again = match query.order {
            Order::Feed => &READ_POSITION,
            _ => &POSITION_WITH_MARKED,
        };
        let mut results = self
            .run_stamped("list", again, |script| {
                list::push_page(script, query, &path, selective);
            })
            .await?;
        let stored = take_position("list", &mut results)?;
        let First { at, end } = self.first("list", query.after, stored)?;
        let rows = results.pop().unwrap_or_default();
        let examined = list::read_examined(query, &rows)?;
        let first = FirstRow {
            at,
            end,
            last_examined: examined.last,
            examined_at: examined.at,
        };
        let rows = list::with_action(query, &rows)?;
        read_page(query, first, rows, |row| list::decode(query, row))
    }

    async fn log(&mut self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        let mut results = self
            .run_stamped("log", &READ_POSITION, |script| {
                script.bind_int(position_of(query.after));
                script.bind_int(i64::from(query.limit) + 1);
                match query.uid {
                    Some(uid) => {
                        script.bind_id(uid.as_uuid());
                        script.push(&LOG_OF_ACTION);
                    }
                    None => script.push(&LOG),
                }
            })
            .await?;
        let stored = take_position("log", &mut results)?;
        let First { at, .. } = self.first("log", query.after, stored)?;
        let rows = results.first().map_or(&[][..], Vec::as_slice);
        let limit = usize::from(query.limit);
        let mut last = query.after.map_or(0, |cursor| cursor.position());
        let mut items = Vec::with_capacity(rows.len().min(limit));
        for row in rows.iter().take(limit) {
            let (entry, logged) = Columns::new("log", row).entry()?;
            if entry <= last || query.uid.is_some_and(|uid| uid != logged.uid) {
                return Err(out_of_place("log"));
            }
            items.push(logged);
            last = entry;
        }
        if rows.len() > limit && last >= FIRST_UNSTAMPED {
            // No cursor can name an entry that has no number yet.
            let message = "a host's transaction was committed meanwhile; try again";
            return Err(StoreError::new(ErrorKind::Unavailable, "log", message));
        }
        let next = (rows.len() > limit).then(|| Cursor::log(at, last));
        Ok(Page::new(items, next, at))
    }

    async fn owners(&mut self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        let mut results = self
            .run("owners", |script| {
                script.push(POSITION);
                script.bind_int(position_of(query.after));
                script.bind_int(i64::from(query.limit) + 1);
                let mut conditions = String::new();
                if let Some(name) = &query.name {
                    script.bind_text(name);
                    conditions.push_str(" AND o.name = $3");
                }
                if query.active {
                    let owns = owns("o");
                    conditions.push_str(&format!(" AND (o.state = 0 OR {owns})"));
                }
                let owner = &*STORED_OWNER;
                script.push(&format!(
                    "SELECT {owner} FROM actions_owner AS o WHERE o.id > $1{conditions} \
                     ORDER BY o.id LIMIT $2"
                ));
            })
            .await?;
        let stored = take_position("owners", &mut results)?;
        let First { at, .. } = self.first("owners", query.after, stored)?;
        let rows = results.first().map_or(&[][..], Vec::as_slice);
        let limit = usize::from(query.limit);
        let (mut items, mut last) = (Vec::with_capacity(rows.len().min(limit)), 0);
        for row in rows.iter().take(limit) {
            let (id, owner) = Columns::new("owners", row).owner_record()?;
            items.push(owner);
            last = id;
        }
        let next = (rows.len() > limit).then(|| Cursor::owners(at, last));
        Ok(Page::new(items, next, at))
    }

    async fn position(&mut self) -> Result<Position, StoreError> {
        let read = |script: &mut Script| script.push(&READ_POSITION);
        let mut results = self.run_and_see("changed", read).await?;
        // Otherwise the next poll tries again.
        if has_marks("changed", &results)? && self.stamp("changed").await.is_ok() {
            results = self.run_and_see("changed", read).await?;
        }
        let stored = take_position("changed", &mut results)?;
        Ok(self.lineage.at(stored))
    }

    async fn close(mut self) {
        if let Some(replica) = &mut self.replica {
            replica.slot.close().await;
        }
        self.slot.close().await;
    }
}
