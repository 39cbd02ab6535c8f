//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use action_store::address::StoreAddress;
use action_store::http::StatusVocabulary;
use clap::Parser;

const ENDPOINTS: &str = "Endpoints:
    POST   /v1/bdbs {\"name\":\"orders\",\"rows\":50000}   create a database and load rows
    PUT    /v1/bdbs/{uid}/actions/backup             back it up
    POST   /v1/bdbs/{uid}/actions/check              check its integrity
    DELETE /v1/bdbs/{uid}                            delete it
    POST   /v1/nodes/{node}/actions/check            check all databases of the node
    GET    /v1/actions, /v1/actions/{action_uid}     list the operations, read one
    GET    /console                                  the same as a live web page
    GET    /openapi.json                             the API description
    GET    /metrics                                  metrics for Prometheus
    POST   /v1/actions/{action_uid}/cancel           request a cancel; optional {\"reason\":\"...\"}";

/// A small management plane. Its databases are SQLite files; its operations are recorded and
/// served at GET /v1/actions, also after restarts and crashes.
#[derive(Debug, Parser)]
#[command(after_help = ENDPOINTS)]
pub(crate) struct Args {
    /// Address to listen on; port 0 picks a free port
    #[arg(long, default_value = "127.0.0.1:9443")]
    pub(crate) addr: SocketAddr,
    /// Directory of the databases, and of the history without --store
    #[arg(long, value_name = "DIR", default_value = "target/plane-data")]
    pub(crate) data: PathBuf,
    /// Address of the history; several planes may share it, for example
    /// postgres://plane@localhost/plane [default: a SQLite file in the directory]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) store: Option<StoreAddress>,
    /// Number of this node; each plane that shares a history needs its own, and its own directory
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) node: u32,
    /// Seconds of silence after which the other planes settle the actions of a plane; the same for
    /// all
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) lease: u32,
    /// Name of the only user
    #[arg(long, value_name = "NAME", default_value = "admin")]
    pub(crate) user: String,
    /// Password of that user [default: a random one, printed at each start]
    #[arg(long, value_name = "TEXT")]
    pub(crate) password: Option<String>,
    /// Status vocabulary of version 1: lifecycle or vendor; vendor also allows cancelling with
    /// DELETE /v1/actions/{action_uid}
    #[arg(long, default_value = "lifecycle", value_parser = vocabulary)]
    pub(crate) words: StatusVocabulary,
    /// Run the built-in scenario and exit: 0 if every action ended as expected
    #[arg(long)]
    pub(crate) once: bool,
}

fn vocabulary(word: &str) -> Result<StatusVocabulary, &'static str> {
    match word {
        "lifecycle" => Ok(StatusVocabulary::Lifecycle),
        "vendor" => Ok(StatusVocabulary::Vendor),
        _ => Err("must be lifecycle or vendor"),
    }
}
