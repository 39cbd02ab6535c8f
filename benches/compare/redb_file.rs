//! The file of a store over redb. Its calls run in `spawn_blocking`.

use std::path::Path;
use std::sync::Arc;

use redb::{
    Database, Key, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, WriteTransaction,
};

use crate::contestant::{Head, Held};

type Table<K> = TableDefinition<'static, K, &'static [u8]>;

pub struct RedbFile(Arc<Database>);

impl RedbFile {
    /// `begin` must open each table that is read: reading one that was never opened for writing
    /// fails.
    pub fn create(directory: &Path, begin: impl FnOnce(&WriteTransaction)) -> RedbFile {
        let database = Database::create(directory.join("actions.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        begin(&transaction);
        transaction.commit().unwrap();
        RedbFile(Arc::new(database))
    }

    pub async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Database) -> T + Send + 'static,
    ) -> T {
        let database = self.0.clone();
        let called = tokio::task::spawn_blocking(move || call(&database));
        called.await.unwrap()
    }

    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> T + Send + 'static,
    ) -> T {
        self.call(|database| read(&database.begin_read().unwrap()))
            .await
    }

    pub async fn held<K: Key + Send, L: Key + Send>(
        &self,
        records: Table<K>,
        log: Table<L>,
        head: fn(&[u8]) -> Head,
    ) -> Held {
        self.read(move |transaction| {
            let records = transaction.open_table(records).unwrap();
            let rows = records.iter().unwrap();
            let heads = rows.map(|row| head(row.unwrap().1.value())).collect();
            let log = transaction.open_table(log).unwrap();
            let entries = usize::try_from(log.len().unwrap()).unwrap();
            Held { heads, entries }
        })
        .await
    }
}
