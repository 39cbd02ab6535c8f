//! Requests that are almost HTTP, and random bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::attack::{Dice, asked_for};
use crate::server::{END, LOCKED, Server};

/// Timeout of an exchange. It is longer than any wait or stream of this server.
const LONGEST: Duration = Duration::from_secs(20);
const STREAM_TIME: Duration = Duration::from_millis(200);

/// The last request of each connection. Its answer shows that every request before it was
/// answered.
fn last_request() -> String {
    format!("GET {END} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

/// The credentials of the only user.
const KEY: &str = "YTpi";

/// An authorization header, valid or not.
fn authorization(dice: &Dice) -> String {
    let value = match dice.roll(10) {
        0..3 => format!("Basic {KEY}"),
        3 => format!("bAsIc  {KEY} "),
        4 => "Basic YTpj".to_owned(),
        5 => "Basic ".to_owned() + &"YTpi".repeat(dice.roll(300) as usize + 2),
        6 => "Basic".to_owned(),
        7 => "Bearer YTpj".to_owned(),
        8 => "Basic \u{e9}===".to_owned(),
        _ => {
            let bytes = (0..dice.roll(40)).map(|_| char::from(dice.roll(128) as u8));
            format!("Basic {}", bytes.collect::<String>())
        }
    };
    format!("Authorization: {value}\r\n")
}

const CLIENTS: usize = 32;

/// One request, valid or not.
fn request(server: &Server, dice: &Dice) -> Vec<u8> {
    let methods = [
        "GET", "GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE",
        "CONNECT", "BREW", "get", "G\0T", "",
    ];
    let versions = [
        "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/9", "",
    ];
    let headers = [
        "Accept: text/event-stream",
        "Last-Event-ID: 0",
        "Last-Event-ID: 1f.x.1.1",
        "If-None-Match: *",
        "If-None-Match: \"1.0.v1\", W/\"\u{e9}\"",
        "Authorization: Basic !!!!",
        "Authorization: Basic YTpi",
        "Content-Length: 5",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Upgrade: h2c",
        "Range: bytes=0-1",
        "Connection: close",
        "Cookie: \u{1}",
        "X\0Y: z",
        "no colon here",
        ": empty name",
    ];
    let mut path = server.path(dice);
    // Half of the requests are valid HTTP, so that they reach the adapter.
    let wild = dice.roll(2) == 0;
    match dice.roll(if wild { 10 } else { 100 }) {
        0 => path = format!("http://a{path}"),
        1 => path.push_str(
            dice.one_of::<&str>(&["%", "%zz", "%00", "?", "#x", "/..", "\u{e9}", "&a=b", " "]),
        ),
        2 => path.extend(std::iter::repeat_n('a', dice.roll(70_000) as usize)),
        3 => {
            path = (*dice.one_of(&["*", "", "/", "//", "?", "a", "/v1/actions/%2e%2e"])).to_owned()
        }
        _ => {}
    }
    let locked = dice.roll(4) == 0;
    if locked {
        path.insert_str(0, LOCKED);
    }
    let (method, version) = match wild {
        true => (*dice.one_of(&methods), *dice.one_of(&versions)),
        false => (*dice.one_of(&methods[..6]), "HTTP/1.1"),
    };
    let headers = if wild { &headers[..] } else { &headers[..7] };
    let mut text = format!("{method} {path} {version}\r\nHost: a\r\n");
    for _ in 0..if locked { dice.roll(3) } else { 0 } {
        text.push_str(&authorization(dice));
    }
    for _ in 0..dice.roll(4) {
        text.push_str(dice.one_of::<&str>(headers));
        text.push_str("\r\n");
    }
    if dice.roll(40) == 0 {
        (0..200).for_each(|n| text.push_str(&format!("X-{n}: y\r\n")));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    match dice.roll(if wild { 8 } else { 80 }) {
        // Changes a few bytes.
        0 => {
            for _ in 0..=dice.roll(4) {
                let at = dice.roll(bytes.len() as u64) as usize;
                bytes[at] = dice.roll(256) as u8;
            }
        }
        1 => bytes.truncate(dice.roll(bytes.len() as u64) as usize),
        2 => {
            let at = dice.roll(bytes.len() as u64) as usize;
            bytes.insert(at, dice.roll(256) as u8);
        }
        3 => bytes.extend((0..dice.roll(300)).map(|_| dice.roll(256) as u8)),
        4 if dice.roll(4) == 0 => {
            bytes = (0..dice.roll(400)).map(|_| dice.roll(256) as u8).collect()
        }
        5 => bytes.extend_from_within(..),
        _ => {}
    }
    bytes
}

/// Sends bytes and returns everything received. The server must end the connection in
/// time, whatever it receives.
async fn exchange(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut answer = Vec::new();
    let exchanged = async {
        let (mut reads, mut writes) = stream.split();
        let sending = async {
            // A write may fail because the server has closed the connection.
            let _ = writes.write_all(bytes).await;
            let _ = writes.write_all(last_request().as_bytes()).await;
        };
        // A reset also ends the connection.
        let _ = tokio::join!(sending, reads.read_to_end(&mut answer));
    };
    let ended = timeout(LONGEST, exchanged).await;
    let said = String::from_utf8_lossy(bytes);
    assert!(ended.is_ok(), "the connection stayed open after {said:?}");
    answer
}

/// Returns the end of a chunked body, or where it was cut off.
fn end_of_chunks(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let Some(line) = bytes[at..].windows(2).position(|two| two == b"\r\n") else {
            return bytes.len();
        };
        let size = std::str::from_utf8(&bytes[at..at + line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        at += line + 2 + size + 2;
        if size == 0 || at >= bytes.len() {
            return at.min(bytes.len());
        }
    }
}

/// Returns the status of each answer. The bytes must be a sequence of answers.
fn statuses(mut bytes: &[u8], asked: &[u8]) -> Vec<u16> {
    let said = || String::from_utf8_lossy(asked).into_owned();
    let mut statuses = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else {
            // The answer was cut off by a reset. The rest must begin like an answer.
            assert!(bytes.starts_with(b"HTTP/1."), "{bytes:?} to {:?}", said());
            break;
        };
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        assert!(head.starts_with("HTTP/1."), "{head} to {:?}", said());
        let field = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        };
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let retry = field("retry-after").is_some();
        assert!(
            status < 500 || (status == 503 && retry),
            "{head} to {:?}",
            said()
        );
        statuses.push(status);
        let rest = &bytes[end + 4..];
        let length = field("content-length").map(|length| length.parse::<usize>().unwrap());
        let length = match field("transfer-encoding") {
            // No body of the adapter begins like this, so this answer was to a HEAD and
            // has no body.
            _ if rest.starts_with(b"HTTP/1.") => 0,
            Some(_) => end_of_chunks(rest),
            // A stream to an HTTP/1.0 client has no chunks and ends with the connection.
            None => length.unwrap_or(rest.len()).min(rest.len()),
        };
        let body = String::from_utf8_lossy(&rest[..length]);
        for secret in ["SELECT", "sqlite", "actions.db", "panicked"] {
            assert!(!body.contains(secret), "{body} to {:?}", said());
        }
        bytes = &rest[length..];
    }
    statuses
}

/// True if the answer shows protected actions to a client without the credentials.
fn is_broken_into(asked: &[u8], answer: &[u8]) -> bool {
    let holds = |bytes: &[u8], text: &str| {
        let text = text.as_bytes();
        bytes.windows(text.len()).any(|some| some == text)
    };
    // A request with several authorization headers is refused, even if one of them is
    // valid.
    holds(asked, LOCKED) && !holds(asked, KEY) && holds(answer, "action_uid")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_causes_a_server_error() {
    let panics = Arc::new(AtomicUsize::new(0));
    let (counted, before) = (panics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        counted.fetch_add(1, Ordering::Relaxed);
        before(info);
    }));
    let server = Arc::new(Server::start(2_000, STREAM_TIME).await);
    let dice = Arc::new(Dice::new());
    let most = asked_for("FUZZ_REQUESTS", 2_000);
    let sent = Arc::new(AtomicU64::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (server, dice, sent) = (server.clone(), dice.clone(), sent.clone());
        clients.spawn(async move {
            let mut counts = [0_usize; 1000];
            while sent.fetch_add(1, Ordering::Relaxed) < most {
                let bytes = request(&server, &dice);
                let answer = exchange(&server, &bytes).await;
                let found = statuses(&answer, &bytes);
                let said = || String::from_utf8_lossy(&bytes).into_owned();
                assert!(!is_broken_into(&bytes, &answer), "{:?}", said());
                counts[0] += usize::from(found.is_empty());
                found
                    .into_iter()
                    .for_each(|status| counts[usize::from(status)] += 1);
            }
            counts
        });
    }
    let mut counts = [0_usize; 1000];
    while let Some(client) = clients.join_next().await {
        counts
            .iter_mut()
            .zip(client.unwrap())
            .for_each(|(all, one)| *all += one);
    }
    for (status, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        println!("{status}: {count}");
    }
    // Every status occurred, so the requests were not all refused by the parser.
    for status in [200, 304, 400, 401, 404, 405] {
        assert!(counts[status] > 0, "no {status}");
    }
    // At most 1 % of the clients got no answer, and a quarter reached their last request.
    let most = usize::try_from(most).unwrap();
    assert!(
        counts[0] * 100 <= most,
        "{} clients got no answer",
        counts[0]
    );
    assert!(
        counts[418] * 4 >= most,
        "{} clients reached their last request",
        counts[418]
    );
    assert_eq!(panics.load(Ordering::Relaxed), 0);
    let (status, body) = server.get("/v1/actions?limit=1000&order=oldest").await;
    assert_eq!((status, body.matches("action_uid").count()), (200, 1000));
}
