//! SQLite as a shared reader uses it.

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;

use super::errors::store_error;
use super::file::Lock;
use super::identity::OpenFile;
use super::known_damage::{KnownDamage, Part};
use super::position::{POSITION, read_position};
use super::script::Script;
use super::source::ConnectionSlot;
use super::{get, list, log, owners};
use crate::backend::sql::{
    FoundOne, Lineage, Phase, ReadEngine, candidates, fewest, must_count, out_of_place,
};
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{
    AccessPath, Action, ActionUid, LogEntry, LogQuery, Owner, OwnerQuery, Page, Position, Query,
};

pub(super) struct SqliteReader {
    pub(super) lineage: Arc<Lineage>,
    pub(super) slot: ConnectionSlot,
    pub(super) file: Arc<OpenFile>,
    pub(super) lock: Arc<Option<Lock>>,
    /// Damage that a check has found.
    pub(super) damage: Arc<KnownDamage>,
}

impl SqliteReader {
    pub(super) async fn run(
        &mut self,
        operation: &'static str,
        script: Result<Script, sqlx::Error>,
    ) -> Result<Vec<Vec<SqliteRow>>, StoreError> {
        let script = script.map_err(|error| store_error(operation, Phase::Before, error))?;
        self.file.check_before(operation)?;
        let mut connection = self.slot.take().await?;
        // After opening the connection, because opening may read unsynced bytes.
        if self.file.is_in_doubt() {
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
                self.slot.end(connection).await;
                Err(store_error(operation, Phase::Before, failed.error))
            }
        }
    }

    /// Chooses an index and reads a page by it.
    pub(super) async fn read_page(
        &mut self,
        query: &Query,
    ) -> Result<Page<Arc<Action>>, StoreError> {
        let mut paths = candidates(query);
        let (path, selective) = if must_count(query, &paths) {
            let counts = self.run("list", list::count_script(query, &paths)).await?;
            let counts = list::read_counts(&paths, &counts)?;
            fewest(paths, counts)
        } else {
            (paths.pop().unwrap_or(AccessPath::All), false)
        };
        let results = self
            .run("list", list::script(query, &path, selective))
            .await?;
        list::read(query, &self.lineage, &results)
    }
}

impl ReadEngine for SqliteReader {
    async fn get(&mut self, uids: &[ActionUid]) -> Result<Vec<FoundOne>, StoreError> {
        let rows = self.run("get", get::script(uids)).await?;
        get::read(uids, &rows)
    }

    async fn check_absent(&mut self, uids: &[ActionUid]) -> Result<(), StoreError> {
        let rows = self.run("get", get::absent_script(uids)).await?;
        match rows.iter().flatten().next() {
            None => Ok(()),
            Some(_) => Err(out_of_place("get")),
        }
    }

    async fn list(&mut self, query: &Query) -> Result<Page<Arc<Action>>, StoreError> {
        match self.damage.affects_lists() {
            false => self.read_page(query).await,
            true => self.read_damaged_page(query).await,
        }
    }

    async fn log(&mut self, query: &LogQuery) -> Result<Page<LogEntry>, StoreError> {
        let rows = self.run("log", log::script(query)).await?;
        let page = log::read(query, &self.lineage, &rows)?;
        self.check_damaged_log(query, &page).await?;
        Ok(page)
    }

    async fn owners(&mut self, query: &OwnerQuery) -> Result<Page<Owner>, StoreError> {
        let rows = self.run("owners", owners::script(query)).await?;
        self.damage.check("owners", Part::Owners)?;
        owners::read(query, &self.lineage, &rows)
    }

    async fn position(&mut self) -> Result<Position, StoreError> {
        let results = self.run("changed", Ok(Script::of(POSITION))).await?;
        let rows = results.first().map_or(&[][..], Vec::as_slice);
        read_position("changed", &self.lineage, rows)
    }

    async fn close(mut self) {
        self.slot.close().await;
        drop(self.lock);
    }
}
