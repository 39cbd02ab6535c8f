//! The command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use action_store::http::StatusVocabulary;

pub(crate) const HELP: &str = "\
A small management plane. Its databases are SQLite files; its operations are recorded and
served at GET /v1/actions, also after restarts and crashes.

    --addr ADDR      address to listen on (default 127.0.0.1:9443; port 0 picks a free port)
    --data DIR       directory of the databases and the history (default target/plane-data)
    --user NAME      name of the only user (default admin)
    --password TEXT  password of that user (default: a random one, printed at each start)
    --words WORDS    status vocabulary of version 1: lifecycle (default) or vendor; vendor also allows
                     cancelling with DELETE /v1/actions/{action_uid}
    --once           run the built-in scenario and exit: 0 if every action ended as expected

    POST   /v1/bdbs {\"name\":\"orders\",\"rows\":50000}   create a database and load rows
    PUT    /v1/bdbs/{uid}/actions/backup             back it up
    POST   /v1/bdbs/{uid}/actions/check              check its integrity
    DELETE /v1/bdbs/{uid}                            delete it
    POST   /v1/nodes/1/actions/check                 check all databases of the node
    GET    /v1/actions, /v1/actions/{action_uid}     list the operations, read one
    GET    /console                                  the same as a live web page
    GET    /openapi.json                             the API description
    POST   /v1/actions/{action_uid}/cancel           request a cancel; optional {\"reason\":\"...\"}
";

/// The parsed arguments.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) addr: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) user: String,
    /// A random password if `None`.
    pub(crate) password: Option<String>,
    /// Status vocabulary of version 1.
    pub(crate) words: StatusVocabulary,
    pub(crate) once: bool,
}

impl Args {
    /// Parses the command line. Returns `None` if only the help text is requested.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Args>, String> {
        let mut args = Args {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 9443)),
            data: PathBuf::from("target/plane-data"),
            user: "admin".to_owned(),
            password: None,
            words: StatusVocabulary::Lifecycle,
            once: false,
        };
        while let Some(flag) = words.next() {
            let mut value = || words.next().ok_or(format!("{flag} needs a value"));
            match flag.as_str() {
                "--addr" => {
                    let text = value()?;
                    let wrong = |e| format!("--addr {text}: {e}; write it like 127.0.0.1:9443");
                    args.addr = text.parse().map_err(wrong)?;
                }
                "--data" => args.data = PathBuf::from(value()?),
                "--user" => args.user = value()?,
                "--password" => args.password = Some(value()?),
                "--words" => {
                    args.words = match value()?.as_str() {
                        "lifecycle" => StatusVocabulary::Lifecycle,
                        "vendor" => StatusVocabulary::Vendor,
                        other => {
                            return Err(format!("--words {other}: must be lifecycle or vendor"));
                        }
                    }
                }
                "--once" => args.once = true,
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("unknown flag {flag}; try --help")),
            }
        }
        Ok(Some(args))
    }
}
