//! A PostgreSQL server for tests, which stops when the test program ends.
//!
//! It needs the server's programs, which Debian's package `postgresql` installs below
//! `/usr/lib/postgresql`. Without them [`Server::shared`] prints `skipped: ...`; with
//! `ACTIONS_REQUIRE_TOOLS` it fails instead.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

const SCRIPT: &str = include_str!("postgres.sh");
const POOLER_SCRIPT: &str = include_str!("pgbouncer.sh");
const POOLER: &str = "/usr/sbin/pgbouncer";

/// A server on a port of the loopback interface. It is stopped and removed when this is dropped,
/// and when this process ends.
pub(crate) struct Server {
    pub(crate) port: u16,
    script: Mutex<Script>,
}

/// The process that owns the server: see `postgres.sh`.
struct Script {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Server {
    /// Returns the server that the tests of this program share. `None` if there is no PostgreSQL
    /// here; `test` is then reported as skipped.
    pub(crate) fn shared(test: &str) -> Option<&'static Server> {
        static SHARED: OnceLock<Server> = OnceLock::new();
        if programs().is_none() {
            report_absence(test);
            return None;
        }
        Some(SHARED.get_or_init(|| Server::start(&[])))
    }

    /// Starts a server with more settings (`-c`, `name=value`, ...).
    pub(crate) fn start(settings: &[&str]) -> Server {
        Server::start_as("-", settings)
    }

    /// Starts a standby of this server.
    #[allow(dead_code)]
    pub(crate) fn start_standby(&self, settings: &[&str]) -> Server {
        Server::start_as(&self.port.to_string(), settings)
    }

    fn start_as(primary: &str, settings: &[&str]) -> Server {
        // Another program may take the free port before the server does.
        let mut failure = String::new();
        for _ in 0..5 {
            match Server::try_start(primary, settings) {
                Ok(server) => return server,
                Err(error) => failure = error,
            }
        }
        panic!("PostgreSQL does not start: {failure}");
    }

    fn try_start(primary: &str, settings: &[&str]) -> Result<Server, String> {
        let bin = programs().ok_or("it is not installed")?;
        let port = free_port();
        let mut command = shell();
        command.args(["-c", SCRIPT, "postgres.sh"]);
        command.arg(bin).args([&port.to_string(), primary]);
        command.args(["-c", "max_connections=200", "-c", "shared_buffers=32MB"]);
        command.args(["-c", "max_wal_size=256MB", "-c", "log_min_messages=log"]);
        command.args(settings);
        let script = Script::start(command)?;
        let script = Mutex::new(script);
        Ok(Server { port, script })
    }

    /// Returns the URL of the database, as its superuser.
    pub(crate) fn url(&self) -> String {
        self.url_of("actions")
    }

    /// Returns the URL of the database for a role.
    pub(crate) fn url_of(&self, role: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/postgres", self.port)
    }

    /// Gives a command to `postgres.sh`, and waits until it is done.
    #[allow(dead_code)]
    pub(crate) fn tell(&self, command: &str) {
        let mut script = self.script.lock().unwrap();
        let input = script.input.as_mut().unwrap();
        input.write_all(format!("{command}\n").as_bytes()).unwrap();
        script.heard().unwrap();
    }
}

/// A pgbouncer in transaction mode before a server. It is stopped when this is dropped, and when
/// this process ends.
#[allow(dead_code)]
pub(crate) struct Pooler {
    port: u16,
    _script: Script,
}

#[allow(dead_code)]
impl Pooler {
    /// Starts one. `None` if it is not installed; `test` is then reported as skipped.
    pub(crate) fn start(server: &Server, test: &str) -> Option<Pooler> {
        if !Path::new(POOLER).exists() {
            report(
                test,
                "no /usr/sbin/pgbouncer (Debian's package `pgbouncer`)",
            );
            return None;
        }
        let mut failure = String::new();
        for _ in 0..5 {
            let port = free_port();
            let mut command = shell();
            command.args(["-c", POOLER_SCRIPT, "pgbouncer.sh", POOLER]);
            command.args([port.to_string(), server.port.to_string()]);
            match Script::start(command) {
                Ok(_script) => return Some(Pooler { port, _script }),
                Err(error) => failure = error,
            }
        }
        panic!("pgbouncer does not start: {failure}");
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://actions@127.0.0.1:{}/postgres", self.port)
    }
}

fn free_port() -> u16 {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    free.local_addr().unwrap().port()
}

impl Script {
    /// Starts a script, and waits until it says that its program runs.
    fn start(mut command: Command) -> Result<Script, String> {
        command.current_dir("/").env("LC_ALL", "C");
        if Path::new("/dev/shm").is_dir() {
            command.env("SCRATCH", "/dev/shm");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // The script outlives this process for a moment, and must not hold its output open.
        command.stderr(Stdio::null());
        let mut process = command.spawn().map_err(|error| error.to_string())?;
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut script = Script {
            process,
            input,
            output,
        };
        script.heard()?;
        Ok(script)
    }

    fn heard(&mut self) -> Result<(), String> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        match line.trim() {
            "ok" => Ok(()),
            other => Err(other.to_owned()),
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ended = self.process.wait();
    }
}

/// Returns a name for a schema that no other test uses.
#[allow(dead_code)]
pub(crate) fn new_schema() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The directory with the programs of the newest server.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let bin_of = |entry: std::fs::DirEntry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let bin = entry.path().join("bin");
        bin.join("initdb").exists().then_some((version, bin))
    };
    let mut found: Vec<_> = versions.flatten().filter_map(bin_of).collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

/// A shell that is not root's: PostgreSQL refuses to run as root.
fn shell() -> Command {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root {
        return Command::new("sh");
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let has_postgres = users.lines().any(|line| line.starts_with("postgres:"));
    let user = if has_postgres { "postgres" } else { "nobody" };
    let mut command = Command::new("runuser");
    command.args(["-u", user, "--", "sh"]);
    command
}

fn report_absence(test: &str) {
    let why = "no PostgreSQL below /usr/lib/postgresql (Debian's package `postgresql`)";
    report(test, why);
}

/// Reports a test as skipped. Fails if all tools are required.
fn report(test: &str, why: &str) {
    let required = std::env::var_os("ACTIONS_REQUIRE_TOOLS").is_some();
    assert!(!required, "{test} needs a tool: {why}");
    // Past the test harness, which shows nothing that a passing test prints.
    let line = format!("skipped: {test}: {why}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}
