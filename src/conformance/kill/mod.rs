//! Kills processes that write to a store, and checks what the store has afterwards.
//!
//! A [`KillTest`] starts a child process that opens the store and calls
//! [`work_until_killed`]. The child writes, and reports each write on its standard output
//! before it sends it and after it is acknowledged. The parent kills the child in the
//! middle of its work (`SIGKILL` on Unix), opens the store and verifies it with a
//! [`Ledger`]. Then the next child continues with the same store.
//!
//! The child can be the test program itself, started again with one test and an
//! environment variable:
//!
//! ```no_run
//! use std::path::PathBuf;
//! use std::process::Command;
//! use std::sync::Arc;
//!
//! use action_store::conformance::kill::{KillTest, work_until_killed};
//! # #[cfg(feature = "sqlite")]
//! use action_store::SqliteStore;
//!
//! # #[cfg(feature = "sqlite")]
//! #[tokio::test]
//! async fn in_a_child_process() {
//!     let Some(path) = std::env::var_os("STORE_OF_A_CHILD") else {
//!         return;
//!     };
//!     let store = SqliteStore::open(PathBuf::from(path)).await.unwrap();
//!     panic!("{}", work_until_killed(Arc::new(store)).await);
//! }
//!
//! # #[cfg(feature = "sqlite")]
//! #[tokio::test]
//! async fn a_killed_store_has_every_acknowledged_write() {
//!     let dir = tempfile::tempdir().unwrap();
//!     let path = dir.path().join("actions.db");
//!     let child = || {
//!         let mut child = Command::new(std::env::current_exe().unwrap());
//!         child.args(["--exact", "in_a_child_process", "--nocapture"]);
//!         child.env("STORE_OF_A_CHILD", &path);
//!         child
//!     };
//!     let killed = KillTest::new().run(child, || SqliteStore::open(&path)).await.unwrap();
//!     println!("{killed:?}");
//! }
//! ```
//!
//! # A power cut
//!
//! A kill loses what the process had in its memory. It does not lose what the operating
//! system had not yet written to the disk. The repository of this crate has a recorder
//! that does: it records each write and sync of a child process, and replays what a power
//! cut at any moment may leave. To run it with a store of your own, see
//! `tests/power_cut/own_store.rs`. It uses [`work`] and [`Ledger`], too.

mod ledger;
mod work;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

pub use ledger::{Ledger, Note, NoteError};
pub use work::{work, work_until_killed};

use super::check::Checked;
use super::failure::{Failure, Proof, Stop, at_call, holds};
use super::harness::{PATIENCE, in_time};
use crate::error::StoreError;
use crate::store::{ActionStore, Durability};

/// Name of this test in a [`Failure`].
const NAME: &str = "a_killed_store_has_every_acknowledged_write";

/// A test that kills processes which write to a store. See the [module](self).
#[derive(Debug, Clone)]
#[must_use]
pub struct KillTest {
    kills: usize,
    writes: usize,
}

/// Result of a [`KillTest`] that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Killed {
    /// Number of processes that were killed.
    pub kills: usize,
    /// Number of acknowledged writes, by all processes.
    pub acknowledged: u64,
    /// The content of the store at the end.
    pub checked: Checked,
}

impl Default for KillTest {
    fn default() -> KillTest {
        KillTest::new()
    }
}

impl KillTest {
    /// Creates a test that kills five processes, each after 100 acknowledged writes.
    pub fn new() -> KillTest {
        KillTest {
            kills: 5,
            writes: 100,
        }
    }

    /// Sets the number of processes to kill. At least 1; the default is 5.
    pub fn with_kills(mut self, kills: usize) -> KillTest {
        self.kills = kills.max(1);
        self
    }

    /// Sets after how many acknowledged writes a process is killed. Each process makes a
    /// few more than the one before. The default is 100.
    pub fn with_writes(mut self, writes: usize) -> KillTest {
        self.writes = writes;
        self
    }

    /// Runs the test. `child` makes the command that starts a child process. `open` opens
    /// the store in this process, after the child was killed. Needs a tokio runtime with
    /// time enabled.
    ///
    /// # Errors
    /// Returns [`Failure`] in these cases:
    ///
    /// - The store is not consistent after a kill, or an acknowledged write is missing.
    ///   See [`Ledger::verify`].
    ///
    /// - The store cannot be opened or closed.
    ///
    /// - The child ends by itself, or acknowledges nothing for 30 seconds.
    ///
    /// - The durability of the store is [`Durability::Volatile`].
    #[track_caller]
    pub fn run<C, F, Fut, S>(
        &self,
        child: C,
        open: F,
    ) -> impl Future<Output = Result<Killed, Failure>>
    where
        C: Fn() -> Command,
        F: Fn() -> Fut,
        Fut: Future<Output = Result<S, StoreError>>,
        S: ActionStore,
    {
        let test = self.clone();
        let killed = at_call(async move { test.killed(child, open).await });
        async move {
            let mut failure = match killed.await {
                Ok(killed) => return Ok(killed),
                Err(Stop::Failed(failure)) => *failure,
                Err(Stop::NotApplicable(why)) => Failure::new("a kill test", why),
            };
            failure.case = NAME;
            Err(failure)
        }
    }

    async fn killed<C, F, Fut, S>(&self, child: C, open: F) -> Proof<Killed>
    where
        C: Fn() -> Command,
        F: Fn() -> Fut,
        Fut: Future<Output = Result<S, StoreError>>,
        S: ActionStore,
    {
        let mut ledger = Ledger::new();
        let mut acknowledged = 0;
        let mut round = 0;
        loop {
            // Kills come at other steps of the work each time.
            let (command, writes) = (child(), self.writes.saturating_add(7 * round));
            let work = tokio::task::spawn_blocking(move || notes_until_kill(command, writes));
            for note in work.await?? {
                acknowledged += u64::from(note.acknowledged);
                ledger.note(&note);
            }
            round += 1;
            let store = in_time("an open store after the kill", open()).await??;
            let durability = store.capabilities().durability;
            let durable = durability > Durability::Volatile;
            holds("a durability of `Process` or `Disk`", durable, durability)?;
            let checked = ledger.verify(&store).await?;
            in_time("the end of closing", store.close()).await??;
            drop(store);
            if round == self.kills {
                return Ok(Killed {
                    kills: round,
                    acknowledged,
                    checked,
                });
            }
        }
    }
}

/// A child process, killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already. Then there is nothing to kill, and it is waited for.
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Runs a child until it has acknowledged so many writes, and kills it. Returns all its
/// notes.
fn notes_until_kill(mut command: Command, writes: usize) -> Proof<Vec<Note>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let failed = |error: std::io::Error| Failure::new("a child process", error.to_string());
    let mut child = Running(command.spawn().map_err(failed)?);
    let Some(output) = child.0.stdout.take() else {
        return Err(Failure::new("the output of a child process", "none").into());
    };
    let lines = read(output);
    let (mut notes, mut acknowledged) = (Vec::new(), 0);
    while acknowledged < writes {
        match lines.recv_timeout(PATIENCE) {
            Ok(note) => {
                acknowledged += usize::from(note.acknowledged);
                notes.push(note);
            }
            Err(RecvTimeoutError::Timeout) => {
                let found = format!("none in {PATIENCE:?}, after {acknowledged}");
                return Err(Failure::new("an acknowledged write", found).into());
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = child.0.wait().map_err(failed)?;
                let found = format!("it ended after {acknowledged} writes: {status}");
                return Err(Failure::new("a child that works until it is killed", found).into());
            }
        }
    }
    child.0.kill().map_err(failed)?;
    child.0.wait().map_err(failed)?;
    // The pipe still holds what the child said last. Its end follows.
    while let Ok(note) = lines.recv_timeout(PATIENCE) {
        notes.push(note);
    }
    Ok(notes)
}

/// Reads the notes of a child in a thread, until its output ends.
fn read(output: ChildStdout) -> Receiver<Note> {
    let (sender, notes) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { return };
            // Other lines are of the test program.
            if let Some(note) = work::heard(&line)
                && sender.send(note).is_err()
            {
                return;
            }
        }
    });
    notes
}
