//! Processes of their own: this very program, started again to play a role with a store.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, ChildStdout, Command, ExitStatus, Stdio};

const ROLE: &str = "ATTACK_ROLE";
const PATH: &str = "ATTACK_PATH";
const MORE: &str = "ATTACK_MORE";

/// Another process. It is ended with this value, so that a test that fails leaves none behind.
pub(crate) struct Child {
    process: Process,
    /// None once somebody else listens.
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Child {
    /// Starts one that plays a role with the store at a path; `more` tells it what the role asks.
    pub(crate) fn start(role: &str, path: &Path, more: &str) -> Child {
        let mut process = Command::new(std::env::current_exe().unwrap());
        let arguments = ["--exact", "children::in_a_process_of_its_own", "--ignored"];
        process.args(arguments).arg("--nocapture");
        process.env(ROLE, role).env(PATH, path).env(MORE, more);
        process.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = process.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let lines = Some(lines);
        Child { process, lines }
    }

    /// The next thing it says; none once it has ended.
    pub(crate) fn heard(&mut self) -> Option<String> {
        next_said(self.lines.as_mut()?)
    }

    /// What it says from now on, for a thread that listens.
    pub(crate) fn listen(&mut self) -> impl Iterator<Item = String> + Send + use<> {
        let mut lines = self.lines.take().unwrap();
        std::iter::from_fn(move || next_said(&mut lines))
    }

    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.process.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
    }

    /// Closes what it listens to, which is how it is told to end.
    pub(crate) fn let_go(&mut self) {
        drop(self.process.stdin.take());
    }

    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _gone = self.process.kill();
        let _waited = self.process.wait();
    }
}

fn next_said(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<String> {
    lines.find_map(|line| {
        let line = line.ok()?;
        let said = line.strip_prefix('=')?.strip_suffix('=')?;
        Some(said.to_owned())
    })
}

/// Says one line to the parent, whole or not at all.
pub(crate) fn say(line: &str) {
    let line = format!("\n={line}=\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Waits for a line from the parent.
pub(crate) fn told() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// Waits until the parent lets go, or is gone.
pub(crate) fn until_let_go() {
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).unwrap();
}

#[test]
#[ignore = "a part of the other tests, which start it"]
fn in_a_process_of_its_own() {
    let variable = |name| std::env::var(name).expect("to be started by a test");
    let (role, path, more) = (
        variable(ROLE),
        PathBuf::from(variable(PATH)),
        variable(MORE),
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        match &*role {
            "opener" => super::opening::open_when_told(&path, &more).await,
            "racer" => super::racer::race_until_let_go(&path, &more).await,
            "fenced" => super::fencing::work_until_let_go(&path, &more).await,
            "holder" => super::places::hold_until_let_go(&path, &more).await,
            other => panic!("no role {other:?}"),
        }
    });
}
