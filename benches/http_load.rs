//! Measures the cost of many clients for a server and for concurrent writers.
//!
//! `cargo bench --all-features --bench http_load` runs both parts, and `-- --quick` is a short
//! smoke test. `--rows`, `--seconds` and `--only slow|pages` set the size, the time and the part.
//! The server is this program in a separate process with a SQLite store, so that its memory can be
//! measured alone.
//!
//! | part | what | aim |
//! | --- | --- | --- |
//! | `slow` | 200 readers at a byte a second: the writers' p99 beside that without them | at most 3 times |
//! | `pages` | 64 clients page through all of a million actions: the server's peak memory above idle | below 150 MB |
//! | `pages` | a bare `GET /v1/actions` of that store | bounded in time and size |
//!
//! Each part prints whether its target was met; a slow result is not a failure.
#![allow(missing_docs, unreachable_pub, reason = "nobody imports a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what fails has lost"
)]

#[path = "shared/flags.rs"]
#[allow(dead_code, reason = "other benchmarks use all of it")]
mod flags;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use action_store::http::{AllowAll, RequestLimits, limits, router};
use action_store::{
    ActionStore, ActionStoreExt, Batch, Change, Command, Finish, Json, NewAction, ObjectRef,
    Outcome, SqliteStore,
};
use flags::Flags;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::process::{Child, ChildStdin, ChildStdout};

const SLOW_READERS: usize = 200;
/// Number of these that read events.
const STREAMS: usize = 50;
const CLIENTS: usize = 64;
const WRITERS: usize = 4;
const MEMORY_AIM: u64 = 150;

/// Server process: serves a store, and writes on command.
async fn serve(path: &Path) {
    let store = Arc::new(SqliteStore::open(path).await.unwrap());
    let app = limits(router(store.clone(), AllowAll), RequestLimits::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        let seconds = Duration::from_millis(line.parse().unwrap());
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..WRITERS {
            writers.spawn(write(store.clone(), seconds));
        }
        let mut times: Vec<Duration> = writers.join_all().await.concat();
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        println!(
            "{} {} {}",
            times.len(),
            at(50).as_micros(),
            at(99).as_micros()
        );
    }
    store.close().await.unwrap();
}

/// Creates and completes actions one after the other; returns the time of each call.
async fn write(store: Arc<SqliteStore>, time: Duration) -> Vec<Duration> {
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < time {
        let call = Instant::now();
        let uid = store.create(ordinary(0)).await.unwrap().uid;
        times.push(call.elapsed());
        let call = Instant::now();
        let finish = Finish::new(Outcome::Cancelled);
        store.finish(uid, finish, None).await.unwrap();
        times.push(call.elapsed());
    }
    times
}

fn ordinary(n: usize) -> NewAction {
    let attributes =
        Json::of(&serde_json::json!({ "module_uid": format!("{n:032}"), "shards": 4 }));
    NewAction::task("backup_bdb")
        .with_object(ObjectRef::bdb(n as u64 % 1_000))
        .with_description("a backup to the place that it is always made to")
        .with_attributes(attributes.unwrap())
}

/// Creates a store with the given number of actions, one in fifty unfinished.
async fn fill(path: &Path, rows: usize) {
    let store = SqliteStore::open(path).await.unwrap();
    for from in (0..rows).step_by(500) {
        let mut commands = Vec::new();
        for n in from..rows.min(from + 500) {
            let new = ordinary(n);
            let uid = new.uid;
            commands.push(Command::create(new));
            if n % 50 != 0 {
                commands.push(Command::apply(
                    uid,
                    Change::Finish(Finish::new(Outcome::Cancelled)),
                ));
            }
        }
        for answer in store.write(Batch::each(commands)).await.unwrap() {
            answer.unwrap();
        }
    }
    store.close().await.unwrap();
}

struct Server {
    process: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl Server {
    async fn start(path: &Path) -> Server {
        let mut process = tokio::process::Command::new(std::env::current_exe().unwrap())
            .arg("--serve")
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let to = process.stdin.take().unwrap();
        let mut from = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = from.next_line().await.unwrap().unwrap().parse().unwrap();
        Server {
            process,
            to,
            from,
            address,
        }
    }

    /// Runs the writers; returns the number of calls, and their median and p99 in microseconds.
    async fn write(&mut self, time: Duration) -> [u64; 3] {
        let line = format!("{}\n", time.as_millis());
        self.to.write_all(line.as_bytes()).await.unwrap();
        let said = self.from.next_line().await.unwrap().unwrap();
        let numbers: Vec<u64> = said.split(' ').map(|n| n.parse().unwrap()).collect();
        numbers.try_into().unwrap()
    }

    /// Returns the memory of the server in kB: current (`VmRSS`) or peak (`VmHWM`).
    fn memory(&self, what: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process.id().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what));
        let number = line.unwrap().trim_matches(|c: char| !c.is_ascii_digit());
        number.parse().unwrap()
    }

    async fn stop(mut self) {
        drop(self.to);
        assert!(self.process.wait().await.unwrap().success());
    }
}

/// Client with a persistent connection.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(address: SocketAddr) -> Client {
        Client(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    /// Returns the length of a response, which must be a 200, and the link to the next page.
    async fn get(&mut self, path: &str, body: &mut Vec<u8>) -> Option<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
        let (mut length, mut next) = (0, None);
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{path}: {line}");
        loop {
            line.clear();
            self.0.read_line(&mut line).await.unwrap();
            match line.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(("link", value)) => {
                    let target = value.strip_prefix('<').unwrap().split('>').next();
                    next = target.map(str::to_owned);
                }
                Some(_) => {}
                None => break,
            }
        }
        body.resize(length, 0);
        self.0.read_exact(body).await.unwrap();
        next
    }
}

/// Reads one byte per second, for ever.
async fn read_slowly(address: SocketAddr, streams: bool, answered: Arc<AtomicU64>) {
    let socket = TcpSocket::new_v4().unwrap();
    // Keep the receive buffer small, so that the system does not read ahead.
    socket.set_recv_buffer_size(2_048).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request = match streams {
        true => {
            "GET /v1/actions/changes?after=0&limit=1000 HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n"
        }
        false => "GET /v1/actions HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_u8().await.unwrap();
    answered.fetch_add(1, Ordering::Relaxed);
    while stream.read_u8().await.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn megabytes(path: &Path) -> f64 {
    std::fs::metadata(path).map_or(0, |file| file.len()) as f64 / 1e6
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "NOT met" }
}

async fn slow(dir: &Path, options: &Options) {
    let path = dir.join("slow.db");
    fill(&path, options.rows.min(20_000)).await;
    let wal = dir.join("slow.db-wal");
    let mut server = Server::start(&path).await;
    let idle = server.memory("VmRSS:");
    server.write(options.time / 4).await;
    let mut ratios = Vec::new();
    let (mut memory, mut largest) = (idle, 0.0_f64);
    for _ in 0..options.rounds {
        let [_, _, without] = server.write(options.time).await;
        let mut readers = tokio::task::JoinSet::new();
        let answered = Arc::new(AtomicU64::new(0));
        for n in 0..SLOW_READERS {
            readers.spawn(read_slowly(server.address, n < STREAMS, answered.clone()));
        }
        // All readers have started. Now check that they continue.
        while answered.load(Ordering::Relaxed) < SLOW_READERS as u64 {
            assert_eq!(readers.len(), SLOW_READERS);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let [calls, p50, with] = server.write(options.time).await;
        assert_eq!(readers.len(), SLOW_READERS);
        memory = memory.max(server.memory("VmHWM:"));
        largest = largest.max(megabytes(&wal));
        println!(
            "slow: p99 of {calls} calls {with} us (p50 {p50}), {without} us without readers; \
             memory {} MB above idle, WAL {:.1} MB",
            (memory - idle) / 1_000,
            megabytes(&wal),
        );
        ratios.push(with as f64 / without as f64);
        readers.shutdown().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    ratios.sort_by(f64::total_cmp);
    let middle = ratios[ratios.len() / 2];
    println!(
        "slow: p99 with {SLOW_READERS} slow readers is {middle:.2} times that without: aim of 3 {}; \
         memory at most {} MB above idle, WAL at most {largest:.1} MB",
        verdict(middle <= 3.0),
        (memory - idle) / 1_000
    );
    server.stop().await;
}

async fn pages(dir: &Path, options: &Options) {
    let path = dir.join("pages.db");
    let begun = Instant::now();
    fill(&path, options.rows).await;
    println!(
        "pages: {} actions recorded in {:.0?}",
        options.rows,
        begun.elapsed()
    );
    let server = Server::start(&path).await;
    // Baseline before the first request.
    let idle = server.memory("VmRSS:");
    let mut client = Client::connect(server.address).await;
    let (mut body, mut times) = (Vec::new(), Vec::new());
    for _ in 0..21 {
        let begun = Instant::now();
        client.get("/v1/actions", &mut body).await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let (bytes, shown) = (
        body.len(),
        body.windows(10).filter(|w| w == b"\"task_id\":").count(),
    );
    println!(
        "pages: a bare GET /v1/actions: {shown} actions, {bytes} bytes, median {:.1?}, slowest {:.1?}",
        times[10], times[20]
    );
    assert!(shown <= 1_000);
    let served = server.memory("VmRSS:");
    let (read, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for _ in 0..CLIENTS {
        let (address, most) = (server.address, options.walk);
        let (read, ended, rows) = (read.clone(), ended.clone(), options.rows);
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            let (mut path, mut body, mut seen) = ("/v1/actions".to_owned(), Vec::new(), 0);
            while begun.elapsed() < most {
                let next = client.get(&path, &mut body).await;
                let shown = body.windows(10).filter(|w| w == b"\"task_id\":").count();
                seen += shown;
                read.fetch_add(shown as u64, Ordering::Relaxed);
                match next {
                    Some(next) => path = format!("/v1/actions{next}"),
                    None => {
                        assert_eq!(seen, rows, "a walk to the end shows everything once");
                        ended.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                }
            }
        });
    }
    let mut peak = idle;
    while !clients.is_empty() {
        tokio::select! {
            Some(client) = clients.join_next() => client.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(20)) => {
                peak = peak.max(server.memory("VmRSS:"));
            }
        }
    }
    peak = peak.max(server.memory("VmHWM:"));
    let (read, above) = (read.load(Ordering::Relaxed), (peak - idle) / 1_000);
    println!(
        "pages: {CLIENTS} clients read {read} actions in {:.0?}, {} of them to the end",
        begun.elapsed(),
        ended.load(Ordering::Relaxed)
    );
    println!(
        "pages: {} MB idle before the first request, {} MB after the first 21, at most {above} MB \
         above idle: aim of {MEMORY_AIM} {}",
        idle / 1_000,
        served / 1_000,
        verdict(above <= MEMORY_AIM)
    );
    server.stop().await;
}

struct Options {
    only: Option<String>,
    rows: usize,
    /// Time of one measurement of the writers.
    time: Duration,
    rounds: usize,
    /// Time limit of a client.
    walk: Duration,
}

impl Options {
    fn read(flags: &Flags) -> Options {
        Options {
            only: flags.text("only").map(str::to_owned),
            rows: flags.number("rows", 10_000, 1_000_000),
            time: Duration::from_secs(flags.number("seconds", 1, 10)),
            rounds: flags.number("rounds", 1, 3),
            walk: Duration::from_secs(flags.number("walk-seconds", 60, 3_600)),
        }
    }
}

#[tokio::main]
async fn main() {
    let flags = Flags::read(&["serve", "only", "rows", "seconds", "rounds", "walk-seconds"]);
    if let Some(path) = flags.text("serve") {
        return serve(path.as_ref()).await;
    }
    let options = Options::read(&flags);
    let dir = tempfile::tempdir().unwrap();
    let is_asked_for = |part: &str| options.only.as_deref().is_none_or(|only| only == part);
    if is_asked_for("slow") {
        slow(dir.path(), &options).await;
    }
    if is_asked_for("pages") {
        pages(dir.path(), &options).await;
    }
}
