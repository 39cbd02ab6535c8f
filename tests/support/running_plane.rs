//! The example plane as a process, with a client for it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use action_store::ActionUid;
use base64::Engine as _;
use serde_json::Value;

/// A running plane. It is killed with SIGKILL when this is dropped.
pub(crate) struct Plane {
    child: Child,
    address: String,
    /// The lines that it has printed, on stdout and stderr.
    said: Arc<Mutex<Vec<String>>>,
}

impl Plane {
    fn program() -> PathBuf {
        // Cargo puts examples beside the directory of the tests.
        let test = std::env::current_exe().unwrap();
        let built = test.parent().and_then(Path::parent).unwrap();
        let program = built.join("examples/management_plane");
        let program = program.with_extension(std::env::consts::EXE_EXTENSION);
        assert!(
            program.exists(),
            "{} is not built: `cargo test` does it, and `cargo build --example management_plane`",
            program.display()
        );
        program
    }

    pub(crate) fn command(data: &Path) -> Command {
        let mut command = Command::new(Plane::program());
        command.args([
            "--addr",
            "127.0.0.1:0",
            "--user",
            "ada",
            "--password",
            "pass word",
        ]);
        command.arg("--data").arg(data);
        command
    }

    /// Starts a plane and waits until it listens. By then it has recovered the actions of
    /// the last run.
    pub(crate) fn start(data: &Path) -> Plane {
        Plane::start_with(data, &[])
    }

    pub(crate) fn start_with(data: &Path, options: &[&str]) -> Plane {
        let mut command = Plane::command(data);
        command.args(options);
        Plane::spawn(command)
    }

    /// Starts a plane that may have only this many files open.
    #[cfg(unix)]
    pub(crate) fn start_with_files(data: &Path, files: u32) -> Plane {
        let plane = Plane::command(data);
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
        command.arg("-c").arg(script).arg(plane.get_program());
        command.args(plane.get_args());
        Plane::spawn(command)
    }

    fn spawn(mut command: Command) -> Plane {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        // Read from the start, because a full pipe would block the plane.
        let complaints = BufReader::new(child.stderr.take().unwrap()).lines();
        let heard = said.clone();
        std::thread::spawn(move || {
            for line in complaints.map_while(Result::ok) {
                eprintln!("{line}");
                heard.lock().unwrap().push(line);
            }
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let found = lines.find_map(|line| {
            let line = line.unwrap();
            let address = line.strip_prefix("listening on http://").map(str::to_owned);
            said.lock().unwrap().push(line);
            address
        });
        let address = found
            .unwrap_or_else(|| panic!("the plane ended before it listened: {:?}", child.wait()));
        let heard = said.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                heard.lock().unwrap().push(line);
            }
        });
        Plane {
            child,
            address,
            said,
        }
    }

    /// Returns the first line that matches, within ten seconds.
    pub(crate) fn says(&self, is: impl Fn(&str) -> bool) -> String {
        self.says_within(Duration::from_secs(10), is)
    }

    /// Returns the first line that matches, within a time.
    pub(crate) fn says_within(&self, time: Duration, is: impl Fn(&str) -> bool) -> String {
        let begun = std::time::Instant::now();
        while begun.elapsed() < time {
            let said = self.said.lock().unwrap();
            if let Some(line) = said.iter().find(|line| is(line)) {
                return line.clone();
            }
            drop(said);
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!(
            "no matching line within {time:?}: {:?}",
            self.said.lock().unwrap()
        );
    }

    /// Opens a connection without sending anything.
    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    /// Sends the head of a request, with the user's credentials.
    pub(crate) fn begin(&self, head: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let user = base64::engine::general_purpose::STANDARD.encode("ada:pass word");
        write!(
            stream,
            "{head}Host: plane\r\nAuthorization: Basic {user}\r\n\r\n"
        )?;
        Ok(stream)
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, Value)> {
        let mut stream = self.begin(&format!(
            "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n\
             Content-Type: application/json\r\n",
            body.len()
        ))?;
        stream.write_all(body.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
        let status = head.get(9..12).and_then(|code| code.parse().ok());
        Ok((status.ok_or_else(broken)?, serde_json::from_str(body)?))
    }

    /// Requests an operation. Returns its uid if it was accepted, or `None` if it
    /// conflicts with another one.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> io::Result<Option<ActionUid>> {
        let (status, answer) = self.request(method, path, body)?;
        assert!([202, 409].contains(&status), "{method} {path}: {answer}");
        let uid = answer["action_uid"].as_str().unwrap().parse().unwrap();
        Ok((status == 202).then_some(uid))
    }

    /// Requests an operation that must be accepted.
    pub(crate) fn order(&self, method: &str, path: &str, body: &str) -> ActionUid {
        self.ask(method, path, body).unwrap().unwrap()
    }

    pub(crate) fn read(&self, uid: ActionUid) -> Value {
        let path = format!("/v1/actions/{uid}");
        let (status, entry) = self.request("GET", &path, "").unwrap();
        assert_eq!(status, 200, "{entry}");
        entry
    }

    /// Waits up to a minute until an action has ended, and returns it.
    pub(crate) fn ended(&self, uid: ActionUid) -> Value {
        let over = |entry: &Value| entry["status"] != "queued" && entry["status"] != "executing";
        self.until(uid, over)
    }

    /// Waits up to a minute until an action matches, and returns it.
    pub(crate) fn until(&self, uid: ActionUid, is: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1200 {
            let entry = self.read(uid);
            if is(&entry) {
                return entry;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{uid} did not reach the expected state within a minute");
    }

    /// Sends a request without credentials. Requires that it is refused.
    pub(crate) fn refuses_without_password(&self, request: &str) {
        let mut stream = self.connect();
        let end = "Host: plane\r\nConnection: close\r\n\r\n{\"name\":\"a\",\"rows\":1}";
        let request = format!("{request}{end}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        let answer = answer.to_ascii_lowercase();
        assert!(answer.contains("www-authenticate: basic"), "{answer}");
    }

    /// Kills the plane while clients are still connected.
    pub(crate) fn kill(&self) {
        let mut kill = Command::new("kill");
        let killed = kill.arg("-9").arg(self.child.id().to_string()).status();
        assert!(killed.unwrap().success());
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        // SIGKILL on Unix.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
