//! Server on loopback, and a client with a persistent connection.

use std::net::SocketAddr;

use axum::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Server that runs until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub async fn start(app: Router) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Server { address, task }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Persistent connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let buffer = vec![0; 1 << 20];
        Client { stream, buffer }
    }

    /// Sends a request and reads the whole response; returns its status and body length.
    pub async fn ask(&mut self, request: &[u8]) -> (u16, usize) {
        self.stream.write_all(request).await.unwrap();
        let (mut filled, mut head) = (0, None);
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await.unwrap();
            assert!(read > 0, "the connection was closed");
            filled += read;
            let (status, end, body) = match head {
                Some(head) => head,
                None => match self.head(filled) {
                    Some(found) => *head.insert(found),
                    None => continue,
                },
            };
            if filled >= end + body {
                assert_eq!(filled, end + body, "more than an answer");
                return (status, body);
            }
        }
    }

    /// Returns the status, the offset of the body and its length.
    fn head(&self, filled: usize) -> Option<(u16, usize, usize)> {
        let seen = &self.buffer[..filled];
        let end = seen.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&seen[..end]).unwrap();
        let status = head["HTTP/1.1 ".len()..][..3].parse().unwrap();
        let fields = head.lines().filter_map(|line| line.split_once(':'));
        let length = fields
            .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map(|(_, value)| value.trim().parse().unwrap())
            .next();
        Some((status, end + 4, length.expect("a length")))
    }
}
