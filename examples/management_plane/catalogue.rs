//! The list of databases: a small JSON file. It is replaced atomically, so that a crash
//! leaves either the old or the new one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

/// A database that exists or is being created.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bdb {
    pub(crate) name: String,
    pub(crate) rows: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Entries {
    last_uid: u64,
    bdbs: BTreeMap<u64, Bdb>,
}

/// The databases in a data directory.
#[derive(Debug)]
pub(crate) struct Catalogue {
    data: PathBuf,
    entries: Mutex<Arc<Entries>>,
}

impl Catalogue {
    /// Reads the catalogue, and removes files that a crash left incomplete. The uids of its
    /// databases are above `after`.
    pub(crate) fn open(data: &Path, after: u64) -> io::Result<Catalogue> {
        let backups = data.join("backups");
        fs::create_dir_all(&backups)?;
        let mut entries: Entries = match fs::read(data.join("bdbs.json")) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Entries::default(),
            Err(error) => return Err(error),
        };
        entries.last_uid = entries.last_uid.max(after);
        let listed = |path: &Path| entries.bdbs.keys().any(|uid| file(data, *uid) == path);
        for entry in fs::read_dir(data)?.chain(fs::read_dir(backups)?) {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.unwrap_or_default();
            let is_bdb = name.starts_with("bdb-") && path.parent() == Some(data);
            if name.contains(".part") || (is_bdb && !listed(&path)) {
                fs::remove_file(&path)?;
            }
        }
        Ok(Catalogue {
            data: data.to_owned(),
            entries: Mutex::new(Arc::new(entries)),
        })
    }

    /// Returns the path of a database's file.
    pub(crate) fn file(&self, uid: u64) -> PathBuf {
        file(&self.data, uid)
    }

    /// Returns the path of the backup that an action makes of a database.
    pub(crate) fn backup(&self, uid: u64, action: impl std::fmt::Display) -> PathBuf {
        let name = format!("bdb-{uid}-{action}.db");
        self.data.join("backups").join(name)
    }

    pub(crate) async fn find(&self, uid: u64) -> Option<Bdb> {
        self.entries.lock().await.bdbs.get(&uid).cloned()
    }

    pub(crate) async fn uids(&self) -> Vec<u64> {
        self.entries.lock().await.bdbs.keys().copied().collect()
    }

    /// Reserves the uid of a new database. A uid is never reused, so that the histories
    /// of two databases are never mixed up.
    pub(crate) async fn next_uid(&self) -> io::Result<u64> {
        self.change(|entries| {
            entries.last_uid += 1;
            entries.last_uid
        })
        .await
    }

    pub(crate) async fn add(&self, uid: u64, bdb: Bdb) -> io::Result<()> {
        self.change(|entries| drop(entries.bdbs.insert(uid, bdb)))
            .await
    }

    pub(crate) async fn remove(&self, uid: u64) -> io::Result<()> {
        self.change(|entries| drop(entries.bdbs.remove(&uid))).await
    }

    async fn change<T>(&self, change: impl FnOnce(&mut Entries) -> T) -> io::Result<T> {
        let mut entries = self.entries.lock().await;
        let mut next = Entries::clone(&entries);
        let answer = change(&mut next);
        let next = Arc::new(next);
        let (data, saved) = (self.data.clone(), next.clone());
        tokio::task::spawn_blocking(move || save(&data, &saved)).await??;
        *entries = next;
        Ok(answer)
    }
}

fn file(data: &Path, uid: u64) -> PathBuf {
    data.join(format!("bdb-{uid}.db"))
}

fn save(data: &Path, entries: &Entries) -> io::Result<()> {
    let part = data.join("bdbs.json.part");
    let mut file = File::create(&part)?;
    file.write_all(&serde_json::to_vec_pretty(entries)?)?;
    file.sync_all()?;
    fs::rename(part, data.join("bdbs.json"))?;
    File::open(data)?.sync_all()
}
