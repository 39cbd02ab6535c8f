//! `serve`: the read API and the web page over a store. There is no way to serve without a password.

use std::io::BufRead;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use action_store::address::StoreAddress;
use action_store::http::{
    BasicAuth, RequestLimits, RouterOptions, console, limits, openapi, openapi_router, router_with,
};
use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use clap::Args;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::error::{Exit, Failure, Result};
use crate::live::stopped;
use crate::open::{Need, open};
use crate::output::{Out, note};

const SERVE_EXAMPLES: &str = "\
Examples:
  actions serve                                (prints a new password)
  actions serve --user ada --password-file ~/.config/actions-password
  ACTIONS_PASSWORD=... actions serve --addr 127.0.0.1:0

Serves GET /v1/actions, GET /v2/actions, GET /openapi.json and the page at /console, until Ctrl-C.
The store is opened read-only, so a plane can go on beside it. Every request for data needs the name
and the password. There is no TLS: for other machines, put a proxy with TLS in front.";

/// Serve the read API and the web page over a store, with a password
#[derive(Debug, Args)]
#[command(after_long_help = SERVE_EXAMPLES)]
pub(crate) struct Serve {
    /// Address to listen on; port 0 picks a free port
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8480")]
    addr: SocketAddr,
    /// Name of the user
    #[arg(long, value_name = "NAME", default_value = "admin")]
    user: String,
    /// File whose first line is the password; - for standard input [default: ACTIONS_PASSWORD from
    /// the environment, or a new password, which is printed]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// The password, and true if it is new and must be printed.
fn password(command: &Serve) -> Result<(String, bool)> {
    if let Some(path) = &command.password_file {
        return Ok((first_line(path)?, false));
    }
    match std::env::var("ACTIONS_PASSWORD") {
        Ok(password) => Ok((password, false)),
        Err(std::env::VarError::NotPresent) => Ok((random()?, true)),
        Err(error) => Err(Failure::usage(format!("ACTIONS_PASSWORD: {error}"))),
    }
}

fn first_line(path: &Path) -> Result<String> {
    let mut line = String::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().lock().read_line(&mut line),
        false => std::fs::File::open(path)
            .and_then(|file| std::io::BufReader::new(file).read_line(&mut line)),
    };
    read.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Returns a password of 100 bits, in letters and digits that are not mistaken for each other.
fn random() -> Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(Exit::Failed, format!("no random numbers: {error}")))?;
    let letters = bytes
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(byte % 32)));
    Ok(letters.map(|letter| char::from(*letter)).collect())
}

pub(crate) async fn serve(address: &StoreAddress, command: &Serve, out: &mut Out) -> Result<()> {
    let (password, is_new) = password(command)?;
    let auth = BasicAuth::new(&command.user, &password)?;
    let opened = open(address, Need::Read).await?;
    let (stop, stopping) = watch::channel(());
    let signal = stopping.clone();
    let options = RouterOptions::new()
        .with_failure_hook(|failure| note(&format!("error: {failure}")))
        .with_shutdown(move || {
            let mut signal = signal.clone();
            // The sender says nothing: it is dropped at the end.
            async move { drop(signal.changed().await) }
        });
    let description = openapi_router(&openapi(&options));
    let app = router_with(opened.store.clone(), auth, options)
        .merge(description)
        .merge(console())
        .route("/", get(async || Redirect::to("/console")));
    let app = limits(app, RequestLimits::new());
    let listener = TcpListener::bind(command.addr).await;
    let listener = listener.map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("cannot listen on {}: {error}", command.addr),
        )
        .with_hint("choose another port with --addr; port 0 picks a free one")
    })?;
    let at = listener.local_addr()?;
    let stopped = stopped();
    if out.json {
        let password = is_new.then_some(password);
        out.json(
            &json!({"url": format!("http://{at}"), "user": command.user, "password": password}),
        )?;
    } else {
        out.line(format!("listening on http://{at}"))?;
        out.line(format!("the page is http://{at}/console"))?;
        out.line(format!("user: {}", command.user))?;
        if is_new {
            out.line(format!("password: {password}"))?;
        }
        out.line("Ctrl-C ends")?;
    }
    out.flush()?;
    if !at.ip().is_loopback() {
        note(
            "warning: other machines can reach this address, and without TLS the password can be \
              read on the way",
        );
    }
    tokio::spawn(async move {
        stopped.await;
        drop(stop);
    });
    accept(listener, app, stopping).await;
    opened.close().await
}

/// Maximum number of connections. Further clients wait to be accepted.
const CONNECTIONS: u32 = 256;
/// Maximum time for the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// Maximum time of a connection. A stream of events ends earlier.
const CONNECTION: Duration = Duration::from_secs(600);
/// Time that open requests have to end after Ctrl-C.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves connections until the sender of `stop` is dropped.
async fn accept(listener: TcpListener, app: Router, stop: watch::Receiver<()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS as usize));
    let accepting = async {
        while let Ok(place) = places.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(talk(stream, app.clone(), stop.clone(), place));
                }
                // The client is gone, or file handles are exhausted. Both are temporary.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    let mut stopped = stop.clone();
    tokio::select! {
        () = accepting => {}
        _ = stopped.changed() => {}
    }
    // The program ends in either case.
    let _ended = tokio::time::timeout(FAREWELL, places.acquire_many(CONNECTIONS)).await;
}

async fn talk(
    stream: TcpStream,
    app: Router,
    mut stop: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut connection = std::pin::pin!(connection);
    let served = async {
        tokio::select! {
            // An error of a connection concerns its client alone, which notices it too.
            _ = connection.as_mut() => {}
            _ = stop.changed() => {
                connection.as_mut().graceful_shutdown();
                let _ended = connection.await;
            }
        }
    };
    let _in_time = tokio::time::timeout(CONNECTION, served).await;
}
