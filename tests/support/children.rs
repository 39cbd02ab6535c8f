//! Child processes: this test program, started again with a role and a store. Its
//! `main.rs` must have a test `in_a_process_of_its_own` that calls [`play`].

use std::ffi::OsString;
use std::future::Future;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, ChildStdout, Command, ExitStatus, Stdio};

const ROLE: &str = "ATTACK_ROLE";
const PATH: &str = "ATTACK_PATH";
const MORE: &str = "ATTACK_MORE";

/// Role of a child that repeats each line it receives.
const ECHO: &str = "echo";

/// A child process. It is killed when this is dropped, so a failed test leaves no process
/// behind.
pub(crate) struct Child {
    process: Process,
    /// `None` after [`listen`](Child::listen) took it.
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Child {
    /// Starts a child that plays a role with the store at `path`. `more` is an argument
    /// of the role.
    pub(crate) fn start(role: &str, path: &Path, more: &str) -> Child {
        Child::start_with(role, path, more, Vec::new())
    }

    /// The same with more variables in its environment.
    pub(crate) fn start_with(
        role: &str,
        path: &Path,
        more: &str,
        environment: Vec<(&'static str, OsString)>,
    ) -> Child {
        let mut process = Command::new(std::env::current_exe().unwrap());
        process.args(["--exact", "in_a_process_of_its_own", "--nocapture"]);
        process.env(ROLE, role).env(PATH, path).env(MORE, more);
        process.envs(environment);
        process.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = process.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let lines = Some(lines);
        Child { process, lines }
    }

    /// Returns the next line from the child, or `None` once it has ended.
    pub(crate) fn heard(&mut self) -> Option<String> {
        next_said(self.lines.as_mut()?)
    }

    /// Returns an iterator over the following lines of the child, for use in a thread.
    pub(crate) fn listen(&mut self) -> impl Iterator<Item = String> + Send + use<> {
        let mut lines = self.lines.take().unwrap();
        std::iter::from_fn(move || next_said(&mut lines))
    }

    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.process.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
    }

    /// Sends SIGSTOP. The child pauses until [`go_on`](Child::go_on).
    pub(crate) fn stop(&self) {
        self.signal("STOP");
    }

    /// Sends SIGCONT.
    pub(crate) fn go_on(&self) {
        self.signal("CONT");
    }

    /// Uses the `kill` that is built into the shell.
    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let script = "kill -s \"$1\" \"$2\"";
        let mut shell = Command::new("sh");
        let status = shell.args(["-c", script, "sh", signal, &id]).status();
        assert!(status.unwrap().success(), "kill -s {signal} {id}");
    }

    /// Closes the child's standard input, which tells it to end.
    pub(crate) fn let_go(&mut self) {
        drop(self.process.stdin.take());
    }

    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The child may have ended already.
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

/// Sends one line to the parent, in a single write.
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

/// Waits until the parent closes this process's standard input or ends.
pub(crate) fn until_let_go() {
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).unwrap();
}

/// Body of the test that a child process runs: plays the role it was started for. In the
/// parent process it starts a child with the role `echo`, sends it a line and checks the
/// answer.
pub(crate) fn play<F: Future<Output = ()>>(role: impl FnOnce(String, PathBuf, String) -> F) {
    let Ok(name) = std::env::var(ROLE) else {
        let mut child = Child::start(ECHO, Path::new("nowhere"), "");
        child.tell("is anybody there?");
        assert_eq!(child.heard().as_deref(), Some("is anybody there?"));
        assert!(child.ended().success());
        return;
    };
    if name == ECHO {
        return say(&told());
    }
    let variable = |name| std::env::var(name).expect("a variable that the parent test sets");
    let (path, more) = (PathBuf::from(variable(PATH)), variable(MORE));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(role(name, path, more));
}
