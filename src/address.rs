//! Opens a store by its address, a URL.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::MemoryStore;
#[cfg(feature = "postgres")]
use crate::backend::PostgresStore;
#[cfg(feature = "sqlite-unbundled")]
use crate::backend::{SqliteOptions, SqliteStore};
use crate::error::StoreError;
use crate::model::Invalid;
use crate::store::ActionStore;

/// Opens the store at an address, such as `sqlite:plane.db`. See [`StoreAddress`] for the forms.
///
/// ```
/// # async fn example() -> Result<(), action_store::Error> {
/// use action_store::{ActionStoreExt, NewAction, connect};
///
/// let store = connect("memory:").await?;
/// let action = store.create(NewAction::task("backup_bdb")).await?;
/// assert!(store.action(action.uid).await?.is_some());
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
///
/// # Errors
/// `Invalid` if the address is malformed; the message names the part. Otherwise as
/// [`StoreAddress::open`].
pub async fn connect(address: &str) -> Result<Arc<dyn ActionStore>, StoreError> {
    let address: StoreAddress = address
        .parse()
        .map_err(|invalid: Invalid| StoreError::from_check("connect", invalid.into()))?;
    address.open().await
}

/// The address of a store: a URL that names the kind of store, its place and how to open it.
///
/// | address | store |
/// | --- | --- |
/// | `memory:` | a new [`MemoryStore`] |
/// | `sqlite:PATH`, `sqlite://PATH` | a `SqliteStore` in a file; see [`SqliteAddress`] |
/// | `postgres://...`, `postgresql://...` | a `PostgresStore` in the schema `actions` of a database |
///
/// `Display` writes the address without its password, and so does `Debug`.
///
/// ```
/// use action_store::address::{SqliteMode, StoreAddress};
///
/// let address: StoreAddress = "sqlite:/var/lib/plane.db?mode=ro".parse()?;
/// let StoreAddress::Sqlite(sqlite) = &address else { panic!("not SQLite") };
/// assert_eq!(sqlite.mode, Some(SqliteMode::ReadOnly));
///
/// let wrong = "sqlite:plane.db?mode=rw".parse::<StoreAddress>().unwrap_err();
/// assert_eq!(wrong.to_string(), "mode: is \"rw\"; must be exclusive, shared or ro");
/// # Ok::<(), action_store::action::Invalid>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreAddress {
    /// A new store in memory.
    Memory,
    /// A store in a SQLite file.
    Sqlite(SqliteAddress),
    /// A store in a PostgreSQL database, by its complete URL.
    Postgres(Arc<str>),
}

/// The address of a store in a SQLite file.
///
/// The path is all that stands between `sqlite:` (or `sqlite://`) and `?`. It is relative to the
/// working directory unless it begins with `/`. Write `?` as `%3F` and `%` as `%25`.
///
/// | parameter | |
/// | --- | --- |
/// | `mode` | `exclusive` (the default), `shared` or `ro`: see [`SqliteMode`] |
/// | `create` | `true` (the default) or `false`: do not create a missing store |
/// | `timeout` | maximum duration of a call: `30s`, `500ms` |
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteAddress {
    /// Path of the file.
    pub path: PathBuf,
    /// How the file is opened; `None` if the address does not say.
    pub mode: Option<SqliteMode>,
    /// True if a missing store is created.
    pub create: bool,
    /// Maximum duration of a call; `None` if the address does not say.
    pub timeout: Option<Duration>,
}

/// How a SQLite file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SqliteMode {
    /// By this process alone. Earlier owners are ended.
    Exclusive,
    /// Together with other processes that also open it shared.
    Shared,
    /// For reading only, beside any other process.
    ReadOnly,
}

impl SqliteMode {
    const ALL: [SqliteMode; 3] = [
        SqliteMode::Exclusive,
        SqliteMode::Shared,
        SqliteMode::ReadOnly,
    ];

    /// Returns the word in an address: `exclusive`, `shared` or `ro`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SqliteMode::Exclusive => "exclusive",
            SqliteMode::Shared => "shared",
            SqliteMode::ReadOnly => "ro",
        }
    }
}

impl StoreAddress {
    /// Opens the store.
    ///
    /// # Errors
    /// `Unsupported` if this build has no such store; the message names the feature. Otherwise as
    /// the store's own constructor.
    pub async fn open(&self) -> Result<Arc<dyn ActionStore>, StoreError> {
        match self {
            StoreAddress::Memory => Ok(Arc::new(MemoryStore::new())),
            #[cfg(feature = "sqlite-unbundled")]
            StoreAddress::Sqlite(address) => Ok(Arc::new(address.open().await?)),
            #[cfg(not(feature = "sqlite-unbundled"))]
            StoreAddress::Sqlite(_) => Err(unsupported(
                "this program was built without SQLite; enable the feature `sqlite`",
            )),
            #[cfg(feature = "postgres")]
            StoreAddress::Postgres(url) => Ok(Arc::new(PostgresStore::connect(url).await?)),
            #[cfg(not(feature = "postgres"))]
            StoreAddress::Postgres(_) => Err(unsupported(
                "this program was built without PostgreSQL; enable the feature `postgres`",
            )),
        }
    }
}

#[cfg(not(all(feature = "sqlite-unbundled", feature = "postgres")))]
fn unsupported(message: &'static str) -> StoreError {
    let kind = crate::error::StoreErrorKind::Unsupported;
    StoreError::new(kind, "connect", message)
}

#[cfg(feature = "sqlite-unbundled")]
impl SqliteAddress {
    /// Returns the options that the address asks for.
    #[must_use]
    pub fn options(&self) -> SqliteOptions {
        let mut options = SqliteOptions::new();
        options = match self.mode {
            None | Some(SqliteMode::Exclusive) => options,
            Some(SqliteMode::Shared) => options.shared(),
            Some(SqliteMode::ReadOnly) => options.read_only(),
        };
        if !self.create {
            options = options.must_exist();
        }
        match self.timeout {
            Some(timeout) => options.with_timeout(timeout),
            None => options,
        }
    }

    /// Opens the store.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open(&self) -> Result<SqliteStore, StoreError> {
        self.options().open(&self.path).await
    }
}

impl FromStr for StoreAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<StoreAddress, Invalid> {
        let Some((scheme, rest)) = text.split_once(':') else {
            let reason = match text {
                "" => "the address is empty; write sqlite:PATH".to_owned(),
                _ => format!("{text:?} has none; a file is written sqlite:{text}"),
            };
            return Err(Invalid::new("scheme", reason));
        };
        match scheme {
            "memory" if rest.is_empty() => Ok(StoreAddress::Memory),
            "memory" => Err(Invalid::new(
                "path",
                format!("is {rest:?}; a store in memory has none: write memory:"),
            )),
            "sqlite" => Ok(StoreAddress::Sqlite(sqlite(rest)?)),
            "postgres" | "postgresql" if rest.starts_with("//") => {
                Ok(StoreAddress::Postgres(text.into()))
            }
            "postgres" | "postgresql" => Err(Invalid::new(
                "host",
                format!("is missing; write {scheme}://HOST/DATABASE"),
            )),
            _ => Err(Invalid::new(
                "scheme",
                format!("is {scheme:?}; must be sqlite, postgres or memory"),
            )),
        }
    }
}

fn sqlite(rest: &str) -> Result<SqliteAddress, Invalid> {
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let path = decoded(path.strip_prefix("//").unwrap_or(path))?;
    match path.as_str() {
        "" => return Err(Invalid::new("path", "is empty; write sqlite:PATH")),
        ":memory:" => {
            let reason = "SQLite in memory is not offered; write memory:";
            return Err(Invalid::new("path", reason));
        }
        _ => {}
    }
    let mut address = SqliteAddress {
        path: PathBuf::from(path),
        mode: None,
        create: true,
        timeout: None,
    };
    let mut seen = Vec::new();
    for parameter in query.into_iter().flat_map(|query| query.split('&')) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if seen.contains(&name) {
            return Err(Invalid::new(name.to_owned(), "is given twice"));
        }
        seen.push(name);
        match name {
            "mode" => {
                let mode = SqliteMode::ALL.iter().find(|mode| mode.as_str() == value);
                let wrong = || format!("is {value:?}; must be exclusive, shared or ro");
                address.mode = Some(*mode.ok_or_else(|| Invalid::new("mode", wrong()))?);
            }
            "create" => {
                let wrong = || format!("is {value:?}; must be true or false");
                let create = value.parse();
                address.create = create.map_err(|_| Invalid::new("create", wrong()))?;
            }
            "timeout" => {
                let wrong = || format!("is {value:?}; write 30s or 500ms, and not zero");
                let timeout = duration(value).filter(|time| !time.is_zero());
                address.timeout = Some(timeout.ok_or_else(|| Invalid::new("timeout", wrong()))?);
            }
            _ => {
                let reason = format!("{name:?} is unknown; use mode, create or timeout");
                return Err(Invalid::new("parameter", reason));
            }
        }
    }
    Ok(address)
}

/// Replaces `%` and two hexadecimal digits with the byte that they name.
fn decoded(path: &str) -> Result<String, Invalid> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after.get(..2);
        let is_hex = |digits: &&str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let byte = digits.filter(is_hex);
        let byte = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(byte) = byte else {
            let reason = "a % must be followed by two hexadecimal digits; write % as %25";
            return Err(Invalid::new("path", reason));
        };
        bytes.push(byte);
        rest = after.get(2..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| Invalid::new("path", "is not UTF-8"))
}

fn duration(text: &str) -> Option<Duration> {
    let digits = |text: &str| -> Option<u64> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten()
    };
    match text.strip_suffix("ms") {
        Some(millis) => digits(millis).map(Duration::from_millis),
        None => text
            .strip_suffix('s')
            .and_then(digits)
            .map(Duration::from_secs),
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreAddress::Memory => f.write_str("memory:"),
            StoreAddress::Sqlite(address) => address.fmt(f),
            StoreAddress::Postgres(url) => without_password(url, f),
        }
    }
}

impl fmt::Display for SqliteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.to_string_lossy();
        write!(f, "sqlite:{}", path.replace('%', "%25").replace('?', "%3F"))?;
        let mode = self.mode.map(|mode| format!("mode={}", mode.as_str()));
        let create = (!self.create).then(|| "create=false".to_owned());
        let timeout = self.timeout;
        let timeout = timeout.map(|timeout| format!("timeout={}ms", timeout.as_millis()));
        let mut sign = '?';
        for parameter in [mode, create, timeout].into_iter().flatten() {
            write!(f, "{sign}{parameter}")?;
            sign = '&';
        }
        Ok(())
    }
}

/// Writes a URL up to its parameters, which may contain a password too.
fn without_password(url: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let until = |text: &str, ends: &[char]| text.split(ends).next().unwrap_or_default().to_owned();
    // A password may contain an unescaped `@`, `/`, `?` or `#`, so the last `@` ends it.
    let Some((user, host)) = rest.rsplit_once('@') else {
        return write!(f, "{scheme}://{}", until(rest, &['?', '#']));
    };
    // Unless the `@` belongs to a parameter. The text after it may then be a part of a password.
    let parameters = user.split_once(['?', '#']);
    if parameters.is_some_and(|(_, parameters)| parameters.contains('=')) {
        return write!(f, "{scheme}://...");
    }
    let user = until(user, &[':', '/', '?', '#']);
    write!(f, "{scheme}://{user}@{}", until(host, &['?', '#']))
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreAddress({self})")
    }
}
