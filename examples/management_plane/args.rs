//! The command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use action_store::http::Words;

pub(crate) const HELP: &str = "\
A small management plane. Its databases are SQLite files; what it does to them is on record at
GET /v1/actions, across restarts and crashes.

    --addr ADDR      where to listen (default 127.0.0.1:9443; port 0 picks a free one)
    --data DIR       where the databases and the history live (default target/plane-data)
    --user NAME      the one user there is (default admin)
    --password TEXT  their password (default: a new one at each start, printed)
    --words WORDS    lifecycle (default), or vendor: the status words of version 1, and the vendor's way
                     to cancel, DELETE /v1/actions/{action_uid}
    --once           run the built-in scenario, then exit: 0 only if all is as it should be

    POST   /v1/bdbs {\"name\":\"orders\",\"rows\":50000}   create a database and load rows
    PUT    /v1/bdbs/{uid}/actions/backup             copy it
    POST   /v1/bdbs/{uid}/actions/check              check its integrity
    DELETE /v1/bdbs/{uid}                            remove it
    POST   /v1/nodes/1/actions/check                 check all that the only node has
    GET    /v1/actions, /v1/actions/{action_uid}     what became of it
    GET    /console                                  the same as a page, live
    GET    /openapi.json                             what is served, for machines
    POST   /v1/actions/{action_uid}/cancel           stop it; {\"reason\":\"...\"} if you like
";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) addr: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) user: String,
    /// None: draw one.
    pub(crate) password: Option<String>,
    /// In which version 1 speaks.
    pub(crate) words: Words,
    pub(crate) once: bool,
}

impl Args {
    /// Reads the command line; `None` if only help is wanted.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Args>, String> {
        let mut args = Args {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 9443)),
            data: PathBuf::from("target/plane-data"),
            user: "admin".to_owned(),
            password: None,
            words: Words::Lifecycle,
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
                        "lifecycle" => Words::Lifecycle,
                        "vendor" => Words::Vendor,
                        other => return Err(format!("--words {other}: lifecycle or vendor")),
                    }
                }
                "--once" => args.once = true,
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("{flag} is no flag of this program; try --help")),
            }
        }
        Ok(Some(args))
    }
}
