//! Clients that have not authenticated hold little, and do not keep others out.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::running_plane::Plane;

/// Far more than an answer takes, and less than the time for which half a head is waited for
/// three times.
const DEADLINE: Duration = Duration::from_secs(20);

/// Connections that have each sent half of a head.
fn half_sent(plane: &Plane, count: usize) -> Vec<TcpStream> {
    let half = |_| {
        let mut stream = plane.connect();
        // The plane may have closed it already.
        let _ = stream.write_all(b"GET /v1/actions HTTP/1.1\r\nHost: plane\r\nX-Part: ");
        stream
    };
    (0..count).map(half).collect()
}

/// Returns true if the plane has closed the connection. Skips what it has sent.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// Asks until this many answers are 200. Fails after the deadline.
fn answers(plane: &Plane, count: usize) {
    let begun = Instant::now();
    let mut good = 0;
    while good < count {
        let answer = plane.request("GET", "/v1/actions?limit=1", "");
        assert!(
            begun.elapsed() < DEADLINE,
            "{good} answers in time, then {answer:?}"
        );
        match answer {
            Ok((200, _)) => good += 1,
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

#[test]
fn a_thousand_half_sent_heads_delay_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start(directory.path());
    // A user who is connected before stays connected.
    let stream = "GET /v1/actions/changes HTTP/1.1\r\nAccept: text/event-stream\r\n";
    let mut stream = plane.begin(stream).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");

    let held = half_sent(&plane, 1_000);
    answers(&plane, 20);
    assert!(
        !is_closed(&stream),
        "the flood has closed the connection of a user"
    );
    // The plane has accepted all of them by now, and keeps the newest.
    let begun = Instant::now();
    loop {
        let open = held.iter().filter(|stream| !is_closed(stream)).count();
        if open <= 200 {
            break;
        }
        assert!(
            begun.elapsed() < DEADLINE,
            "{open} half-sent heads are held"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    // The plane closes the rest after the time for a head.
    while held.iter().any(|stream| !is_closed(stream)) {
        assert!(
            begun.elapsed() < 2 * DEADLINE,
            "half a head is held without end"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(!is_closed(&stream));
}

#[test]
fn a_lack_of_file_descriptors_is_survived() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::start_with_files(directory.path(), 128);
    // Its own scenario opens files, too.
    plane.says_within(Duration::from_secs(120), |line| {
        line.starts_with("serving at")
    });
    let begun = Instant::now();
    let held = half_sent(&plane, 1_000);
    answers(&plane, 10);
    // To connect takes long if the plane accepts nothing meanwhile.
    assert!(begun.elapsed() < 2 * DEADLINE, "{:?}", begun.elapsed());
    drop(held);
    answers(&plane, 1);
}
