//! Runs the program, and fills stores for it.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::{
    Action, ActionError, ActionStore, ActionStoreExt, ActionUid, Clock, Finish, Json, NewAction,
    ObjectRef, Outcome, OwnerRef, Progress, Report, SqliteOptions, SqliteStore, Timestamp,
};
use serde_json::Value;

/// A directory with the file of a store.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
}

/// The result of a run of the program.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Returns the output of a run that ended with this code.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Returns the lines of JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        let lines = self.out.lines().map(serde_json::from_str);
        lines
            .collect::<Result<_, _>>()
            .unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }

    /// Returns the only line of JSON.
    #[track_caller]
    pub(crate) fn one(&self) -> Value {
        let lines = self.json();
        assert_eq!(lines.len(), 1, "{self:#?}");
        lines[0].clone()
    }

    /// Returns the cells of a table, without its head.
    pub(crate) fn rows(&self) -> Vec<Vec<&str>> {
        self.out.lines().skip(1).map(cells).collect()
    }
}

fn cells(line: &str) -> Vec<&str> {
    let cells = line.split("  ").map(str::trim);
    cells.filter(|cell| !cell.is_empty()).collect()
}

impl Place {
    pub(crate) fn new() -> Place {
        Place {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn address(&self) -> String {
        format!("sqlite:{}", self.path("plane.db").display())
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = actions(arguments);
        command
            .env("ACTIONS_STORE", self.address())
            .current_dir(self.dir.path());
        command
    }

    /// Runs the program on the store.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        ran(self.command(arguments))
    }

    /// Runs the program and returns its lines of JSON. It must end with 0.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let arguments = [arguments, &["--json"]].concat();
        self.run(&arguments).ends(0).json()
    }

    pub(crate) async fn open(&self) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::open(self.path("plane.db")).await.unwrap())
    }

    pub(crate) async fn open_shared(&self) -> Arc<SqliteStore> {
        let options = SqliteOptions::new().shared();
        Arc::new(options.open(self.path("plane.db")).await.unwrap())
    }

    /// Fills the store, and closes it.
    pub(crate) async fn filled(&self) -> Filled {
        let store = self.open().await;
        let filled = fill(&*store).await;
        store.close().await.unwrap();
        filled
    }

    /// Fills the store with completed actions of some age, and closes it.
    pub(crate) async fn aged(&self, days: &[u64]) -> Vec<ActionUid> {
        let clock = Clock::manual(Timestamp::from_seconds(1_770_000_000));
        let options = SqliteOptions::new().with_clock(clock.clone());
        let store = options.open(self.path("plane.db")).await.unwrap();
        let (mut uids, mut sorted) = (Vec::new(), days.to_vec());
        sorted.sort_unstable_by(|one, other| other.cmp(one));
        let oldest = sorted[0];
        for days in sorted {
            let day = 24 * 60 * 60;
            let at = 1_770_000_000 + (oldest - days) as i64 * day;
            clock.set(Timestamp::from_seconds(at));
            let new = NewAction::task("nightly").with_object(ObjectRef::bdb(7));
            let uid = store.create(new).await.unwrap().uid;
            store
                .finish(uid, Finish::new(Outcome::Cancelled), None)
                .await
                .unwrap();
            uids.push(uid);
        }
        store.close().await.unwrap();
        uids
    }
}

/// The program, in an environment that says nothing.
pub(crate) fn actions(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_actions"));
    command
        .args(arguments)
        .env_remove("ACTIONS_STORE")
        .env_remove("ACTIONS_PASSWORD");
    command.env("USER", "ada").stdin(Stdio::null());
    command
}

#[track_caller]
pub(crate) fn ran(mut command: Command) -> Ran {
    let done = command.output().unwrap();
    Ran {
        code: done.status.code().expect("an exit code, not a signal"),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

/// A store with one action of each kind.
pub(crate) struct Filled {
    pub(crate) owner: OwnerRef,
    pub(crate) queued: ActionUid,
    pub(crate) executing: ActionUid,
    pub(crate) succeeded: ActionUid,
    pub(crate) failed: ActionUid,
    pub(crate) part: ActionUid,
}

pub(crate) async fn fill(store: &dyn ActionStore) -> Filled {
    let owner = OwnerRef::new("plane@host-1");
    store
        .command(action_store::Command::claim(owner.clone()))
        .await
        .unwrap();
    let begin = async |new: NewAction| {
        let uid = store.create(new).await.unwrap().uid;
        store.start(uid, &owner).await.unwrap().uid
    };
    let queued = NewAction::task("drain_node").with_object(ObjectRef::node(7));
    let queued = store.create(queued).await.unwrap().uid;
    let create = NewAction::state_machine("SMCreateBDB", ObjectRef::bdb(1)).with_actor("bob");
    let executing = begin(create).await;
    let report = Report::new()
        .with_step("load_rows")
        .with_progress(Progress::percent(42.5))
        .with_attributes(Json::new(r#"{"rows":[1,2]}"#))
        .with_warning("one node is slow");
    store.report(executing, report, &owner).await.unwrap();
    let part = begin(NewAction::task("load_shard").with_parent(executing)).await;
    let succeeded = begin(NewAction::task("backup_bdb").with_tenant("acme")).await;
    let done = Finish::succeeded().with_result(Json::new(r#"{"bytes":9}"#));
    store.finish(succeeded, done, Some(&owner)).await.unwrap();
    let failed = begin(NewAction::task("check_bdb").with_object(ObjectRef::bdb(1))).await;
    let error = ActionError::new("disk_full", "the disk is full").with_detail("/dev/sdb: ENOSPC");
    store
        .finish(failed, Finish::failed(error), Some(&owner))
        .await
        .unwrap();
    Filled {
        owner,
        queued,
        executing,
        succeeded,
        failed,
        part,
    }
}

/// A command that runs until it is ended. It is killed when this is dropped, so a failed test leaves
/// no process behind.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, lines }
    }

    /// Returns the next line of its output, or `None` at the end.
    pub(crate) fn line(&mut self) -> Option<String> {
        self.lines.next().map(Result::unwrap)
    }

    pub(crate) fn tell(&mut self, text: &str) {
        let mut stdin = self.child.stdin.take().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
    }

    /// Sends a signal (`INT`, `TERM`), as Ctrl-C and service managers do.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &process])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Ran {
        let begun = Instant::now();
        let ended = loop {
            if let Some(ended) = self.child.try_wait().unwrap() {
                break ended;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        let out: Vec<String> = self.lines.by_ref().map(Result::unwrap).collect();
        let mut err = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut err).unwrap();
        Ran {
            code: ended.code().expect("an exit code, not a signal"),
            out: out.join("\n"),
            err,
        }
    }
}

/// Returns the uids in the order of the lines.
pub(crate) fn uids(lines: &[Value]) -> Vec<String> {
    let uid = |line: &Value| line["uid"].as_str().unwrap().to_owned();
    lines.iter().map(uid).collect()
}

pub(crate) async fn action(store: &dyn ActionStore, uid: ActionUid) -> Arc<Action> {
    store.action(uid).await.unwrap().unwrap()
}
