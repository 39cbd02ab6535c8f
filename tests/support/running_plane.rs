//! The example plane as a process, and what can be asked of it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use action_store::ActionUid;
use base64::Engine as _;
use serde_json::Value;

/// A running plane. Killed, without a chance to say a word, when this is dropped.
pub(crate) struct Plane {
    child: Child,
    address: String,
    /// What it has printed since it listens, to either stream.
    said: Arc<Mutex<Vec<String>>>,
}

impl Plane {
    fn program() -> PathBuf {
        // Examples are built beside the directory of the tests.
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

    /// Starts one and waits until it listens: then it has settled what the last one left.
    pub(crate) fn start(data: &Path) -> Plane {
        Plane::start_with(data, &[])
    }

    pub(crate) fn start_with(data: &Path, options: &[&str]) -> Plane {
        let mut command = Plane::command(data);
        command.args(options);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        // From the start: a pipe must not fill up.
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
            Some(line.strip_prefix("listening on http://")?.to_owned())
        });
        let address = found.unwrap_or_else(|| panic!("the plane ended: {:?}", child.wait()));
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

    /// The first line that it prints within ten seconds of which this is true.
    pub(crate) fn says(&self, is: impl Fn(&str) -> bool) -> String {
        for _ in 0..200 {
            let said = self.said.lock().unwrap();
            if let Some(line) = said.iter().find(|line| is(line)) {
                return line.clone();
            }
            drop(said);
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("it does not say so: {:?}", self.said.lock().unwrap());
    }

    /// A connection on which nothing is sent yet.
    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    /// Sends the head of a request, and says whose it is.
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

    /// Asks for an operation. An answer is a promise; that another one is in its way is none.
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

    /// Asks for an operation that nothing is in the way of.
    pub(crate) fn order(&self, method: &str, path: &str, body: &str) -> ActionUid {
        self.ask(method, path, body).unwrap().unwrap()
    }

    pub(crate) fn read(&self, uid: ActionUid) -> Value {
        let path = format!("/v1/actions/{uid}");
        let (status, entry) = self.request("GET", &path, "").unwrap();
        assert_eq!(status, 200, "{entry}");
        entry
    }

    /// An action once it is over, within a minute.
    pub(crate) fn ended(&self, uid: ActionUid) -> Value {
        let over = |entry: &Value| entry["status"] != "queued" && entry["status"] != "executing";
        self.until(uid, over)
    }

    /// An action once something is true of it, within a minute.
    pub(crate) fn until(&self, uid: ActionUid, is: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1200 {
            let entry = self.read(uid);
            if is(&entry) {
                return entry;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{uid} does not come that far");
    }

    /// Sends a request that says nothing of who asks, and demands that it is refused.
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

    /// Kills it while somebody is still talking to it.
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
