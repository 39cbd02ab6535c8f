//! A TCP proxy that cuts a connection at a chosen message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The treatment of the next message with a COMMIT of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Nothing = 0,
    /// It does not reach the server.
    Request = 1,
    /// The server gets it, and its answer is lost.
    Answer = 2,
    /// The server gets it later, after the connection is lost: the answer is lost, too.
    Late = 3,
    /// It does not reach the server, nor does any later one that repeats a write.
    Repeats = 4,
    /// The next load does not reach the server, and the connection stays open.
    Silence = 5,
    /// The server gets the next load, and its answer is not read.
    Unread = 6,
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    next: Arc<AtomicU8>,
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let next = Arc::new(AtomicU8::new(0));
        let cut = next.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server, cut.clone()));
            }
        });
        Proxy { port, next }
    }

    pub(crate) fn cut_next(&self, cut: Cut) {
        self.next.store(cut as u8, Ordering::SeqCst);
    }

    /// Returns true if the cut was made.
    pub(crate) fn has_cut(&self) -> bool {
        self.next.load(Ordering::SeqCst) == 0
    }
}

async fn relay(mut client: TcpStream, port: u16, next: Arc<AtomicU8>) {
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut up, mut down) = ([0; 65536], [0; 65536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                let message = &up[..length];
                let commits = message.windows(27).any(|text| text == b"INSERT INTO actions_commit ");
                let has = |text: &[u8]| message.windows(text.len()).any(|part| part == text);
                let set = next.load(Ordering::SeqCst);
                if set == Cut::Repeats as u8 {
                    if has(b"SELECT 1 / (CASE") && !commits {
                        return;
                    }
                } else if set == Cut::Silence as u8 && has(b"FROM actions_begin(") {
                    next.store(0, Ordering::SeqCst);
                    let _open = client;
                    return std::future::pending().await;
                }
                if set == Cut::Unread as u8 && has(b"FROM actions_begin(") {
                    next.store(0, Ordering::SeqCst);
                    server.write_all(message).await.unwrap();
                    let _open = (client, server);
                    return std::future::pending().await;
                }
                let is_one = matches!(set, 1..=3);
                let cut = if commits && is_one { next.swap(0, Ordering::SeqCst) } else { 0 };
                if cut == Cut::Request as u8 {
                    return;
                }
                if cut == Cut::Late as u8 {
                    drop(client);
                    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                    server.write_all(message).await.unwrap();
                    let _answer = server.read(&mut down).await;
                    return;
                }
                server.write_all(message).await.unwrap();
                if cut == Cut::Answer as u8 {
                    // The answer comes, and is dropped.
                    let _answer = server.read(&mut down).await;
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&down[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
