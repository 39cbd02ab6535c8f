//! Tells another service of each end, at least once, and resumes after a restart.
//! A crash between the answer and the saved cursor sends an end again, with the same uid.
//!
//!     cargo run --example webhook

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io, io::Write, path::PathBuf, time::Duration};

use action_store::{ActionStoreExt, ErrorKind, Finish, MemoryStore, NewAction, Outcome, Watcher};
use axum::{Json, Router, http::StatusCode, routing::post};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Stop = oneshot::Receiver<()>;

async fn send(watcher: Watcher, url: String, saved: PathBuf, mut stop: Stop) -> Result<(), Error> {
    let http = reqwest::Client::new();
    let mut feed = match fs::read_to_string(&saved) {
        Ok(cursor) => watcher.watch_all(Some(cursor.parse()?)).await?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => watcher.watch_from_beginning(),
        Err(e) => return Err(e.into()),
    };
    loop {
        match tokio::select! { next = feed.next() => next, _ = &mut stop => return Ok(()) } {
            Ok(action) if action.is_unfinished() => continue,
            Ok(action) => {
                let (uid, outcome) = (action.uid.to_string(), action.outcome.map(Outcome::as_str));
                let end = json!({ "uid": uid, "name": action.name, "outcome": outcome });
                let tell = async || http.post(&url).json(&end).send().await?.error_for_status();
                while let Err(error) = tell().await {
                    println!("{error}: trying again"); // wait longer each time in a real host
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            // Ends were removed before they were sent, or a backup was restored.
            Err(e) if e.kind() == ErrorKind::CursorExpired => feed.restart().await?,
            Err(e) => return Err(e.into()),
        }
        if let Some(cursor) = feed.cursor() {
            let mut file = tempfile::NamedTempFile::new_in(saved.parent().ok_or("no directory")?)?;
            write!(file, "{cursor}")?;
            file.as_file().sync_all()?; // otherwise a power cut may leave an empty file
            file.persist(&saved)?;
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (accepted, mut ends) = mpsc::unbounded_channel();
    let is_up = Arc::new(AtomicBool::new(false));
    let service = post(async move |Json(end): Json<Value>| {
        match is_up.swap(true, Ordering::Relaxed) && accepted.send(end).is_ok() {
            true => StatusCode::NO_CONTENT,
            false => StatusCode::SERVICE_UNAVAILABLE, // the answer to the first request
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/ends", listener.local_addr()?);
    tokio::spawn(async { axum::serve(listener, Router::new().route("/ends", service)).await });

    let (store, dir) = (Arc::new(MemoryStore::new()), tempfile::tempdir()?);
    for name in ["backup_bdb", "check_bdb"] {
        // The second action ends while no sender runs.
        let uid = store.create(NewAction::task(name)).await?.uid;
        let cancelled = Finish::new(Outcome::Cancelled);
        store.finish(uid, cancelled, None).await?;
        let (saved, (stop, stopped)) = (dir.path().join("cursor"), oneshot::channel());
        let watcher = Watcher::new(store.clone());
        let sender = tokio::spawn(send(watcher, url.clone(), saved, stopped));
        let end = json!({ "uid": uid.to_string(), "name": name, "outcome": "cancelled" });
        assert_eq!(ends.recv().await, Some(end)); // the second sender does not repeat the first end
        stop.send(()).map_err(|()| "the sender failed")?;
        sender.await??; // its cursor is saved
    }
    Ok(())
}
