//! HTTP Basic: users with passwords, password hashes, or the host's own check.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::request::Parts;
use subtle::{Choice, ConditionallySelectable as _};
use tokio::sync::Semaphore;

use super::authorize::{Authorizer, Denied, Permission, Scope};
use super::credentials::Credentials;
#[cfg(feature = "argon2")]
use super::password_hash::PasswordHashes;
use crate::model::{Invalid, Limits};
use crate::runtime;

/// Admits users by name and password (HTTP Basic). Without TLS, passwords travel in plain text.
///
/// Passwords come in three ways, which may be combined:
///
/// | | kept in memory | cost of a request |
/// | --- | --- | --- |
/// | [`with_user`](BasicAuth::with_user) | the password | a comparison |
/// | `with_password_hash` (feature `argon2`) | an argon2 hash | a hash for the first request of a user and for every wrong password, a comparison after that |
/// | [`with_check`](BasicAuth::with_check) | nothing | a call of the host's function |
///
/// A comparison takes the same time for any wrong part of any user's credentials. Hashing takes the
/// same time for a user that does not exist.
///
/// Hashes and checks run on tokio's blocking threads, at most
/// [`with_concurrent_checks`](BasicAuth::with_concurrent_checks) at once. Thirty-two more requests
/// wait. Further ones are answered 503, so a flood of wrong passwords cannot take the CPU. Users who
/// need neither a hash nor a check are not affected.
///
/// Every user sees everything, without operator detail, unless
/// [`with_scope`](BasicAuth::with_scope) says otherwise.
///
/// ```
/// use action_store::http::{BasicAuth, Scope};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let auth = BasicAuth::new("ada", "correct horse")?
///     .with_scope("ada", Scope::everything().with_operator_detail())?
///     .with_user("eve", "battery staple")?
///     .with_scope("eve", Scope::tenant("acme"))?;
/// # let _ = auth;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct BasicAuth {
    users: Vec<User>,
    passwords: Vec<Password>,
    #[cfg(feature = "argon2")]
    hashes: PasswordHashes,
    check: Option<Check>,
    checks: Checks,
    denied: Denied,
}

type Check = Arc<dyn Fn(&str, &str) -> Result<Option<Scope>, Denied> + Send + Sync>;

#[derive(Clone)]
struct User {
    name: Arc<str>,
    scope: Scope,
}

/// A password in plain text, and the index of its user.
#[derive(Clone)]
struct Password {
    credentials: Credentials,
    user: u32,
}

/// Bounds the hashes and checks.
#[derive(Clone)]
struct Checks {
    /// Permits to run.
    running: Arc<Semaphore>,
    /// Permits to run or to wait.
    admitted: Arc<Semaphore>,
}

impl Checks {
    /// Maximum number of requests that wait for a hash or a check.
    const WAITING: usize = 32;

    fn new(running: usize) -> Checks {
        Checks {
            running: Arc::new(Semaphore::new(running)),
            admitted: Arc::new(Semaphore::new(running + Checks::WAITING)),
        }
    }

    /// Runs a closure on a blocking thread. The permit belongs to the closure, because it runs to
    /// its end even if the client disconnects.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Denied> {
        let unavailable = Denied::Unavailable;
        let admitted = self.admitted.clone().try_acquire_owned();
        let admitted = admitted.map_err(|_| unavailable.clone())?;
        let running = self.running.clone().acquire_owned().await;
        let running = running.map_err(|_| unavailable.clone())?;
        let runtime = runtime::current("authorize").map_err(|_| unavailable.clone())?;
        let done = runtime.spawn_blocking(move || {
            let _permits = (admitted, running);
            work()
        });
        done.await.map_err(|_| unavailable)
    }
}

impl Default for BasicAuth {
    /// Admits no user until one, or a check, is added. The realm is `actions`.
    fn default() -> BasicAuth {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        BasicAuth {
            users: Vec::new(),
            passwords: Vec::new(),
            #[cfg(feature = "argon2")]
            hashes: PasswordHashes::default(),
            check: None,
            checks: Checks::new((cpus / 4).max(1)),
            denied: Denied::basic("actions"),
        }
    }
}

impl BasicAuth {
    /// One user, realm `actions`.
    ///
    /// # Errors
    /// [`Invalid`] names `user` or `password` when it is empty, has more than 255 bytes or holds a
    /// control character, or when the user's name holds a colon.
    pub fn new(user: &str, password: &str) -> Result<BasicAuth, Invalid> {
        BasicAuth::default().with_user(user, password)
    }

    /// Adds a user, with the password in plain text. A name may have several passwords, so that one
    /// can be changed without a gap.
    ///
    /// # Errors
    /// As [`BasicAuth::new`].
    pub fn with_user(mut self, user: &str, password: &str) -> Result<BasicAuth, Invalid> {
        check_label("password", password)?;
        let user_index = self.user(user)?;
        let credentials = Credentials::new(format!("{user}:{password}").as_bytes());
        let credentials = credentials.ok_or_else(|| Invalid::new("password", "is too long"))?;
        self.passwords.push(Password {
            credentials,
            user: user_index,
        });
        Ok(self)
    }

    /// Adds a user, with the hash of a password: a PHC string such as
    /// `$argon2id$v=19$m=19456,t=2,p=1$...`, as the `argon2` command and most libraries write it. A
    /// name may have several hashes.
    ///
    /// Use the same parameters for all hashes: the time of an answer shows the most expensive ones.
    /// Each hash that runs takes the memory that its parameters name.
    ///
    /// A keyed digest of the password is kept once it was right, so that the next requests of the
    /// same user are not hashed. The key is random and never leaves the process.
    ///
    /// # Errors
    /// [`Invalid`] names `user` as [`BasicAuth::new`] does, or `hash` when it is not a complete argon2
    /// hash in PHC format.
    #[cfg(feature = "argon2")]
    pub fn with_password_hash(mut self, user: &str, hash: &str) -> Result<BasicAuth, Invalid> {
        let checked = self.hashes.check(hash)?;
        let user = self.user(user)?;
        self.hashes.add(user, checked);
        Ok(self)
    }

    /// Adds the host's own check of a name and a password. It is asked about credentials that no user
    /// of this value has. It returns what the user may see, or `None` for wrong credentials.
    ///
    /// It may block: it runs on one of tokio's blocking threads. It is asked for every request, so it
    /// should remember what is expensive to find out. A panic in it is answered like
    /// [`Denied::Unavailable`].
    ///
    /// ```
    /// use action_store::http::{BasicAuth, Scope};
    ///
    /// # fn directory(_: &str, _: &str) -> bool { false }
    /// let auth = BasicAuth::default().with_check(|user, password| {
    ///     Ok(directory(user, password).then(Scope::everything))
    /// });
    /// # let _ = auth;
    /// ```
    #[must_use]
    pub fn with_check(
        mut self,
        check: impl Fn(&str, &str) -> Result<Option<Scope>, Denied> + Send + Sync + 'static,
    ) -> BasicAuth {
        self.check = Some(Arc::new(check));
        self
    }

    /// Sets what a user sees; [`Scope::everything`] by default.
    ///
    /// # Errors
    /// [`Invalid`] names `user` when it was not added before.
    pub fn with_scope(mut self, user: &str, scope: Scope) -> Result<BasicAuth, Invalid> {
        let found = self.users.iter_mut().find(|known| *known.name == *user);
        let found = found.ok_or_else(|| Invalid::new("user", "was not added before its scope"))?;
        found.scope = scope;
        Ok(self)
    }

    /// Sets the realm that a client shows when it asks for the password.
    #[must_use]
    pub fn with_realm(mut self, realm: &str) -> BasicAuth {
        self.denied = Denied::basic(realm);
        self
    }

    /// Sets how many hashes and checks run at once; a quarter of the CPUs by default, at least one.
    /// Zero is taken for 1.
    #[must_use]
    pub fn with_concurrent_checks(mut self, checks: u16) -> BasicAuth {
        self.checks = Checks::new(usize::from(checks.max(1)));
        self
    }

    /// Returns the index of a user, which is added if it is new.
    fn user(&mut self, name: &str) -> Result<u32, Invalid> {
        check_label("user", name)?;
        if name.contains(':') {
            return Err(Invalid::new("user", "contains a colon"));
        }
        let known = self.users.iter().position(|user| *user.name == *name);
        let at = known.unwrap_or(self.users.len());
        if known.is_none() {
            self.users.push(User {
                name: name.into(),
                scope: Scope::everything(),
            });
        }
        u32::try_from(at).map_err(|_| Invalid::new("user", "is one too many"))
    }

    /// Returns the index of the user with this password in plain text.
    fn known(&self, given: &Credentials) -> Option<u32> {
        // No early exit: the time must not tell which user matched.
        let none = (Choice::from(0), 0);
        let (found, user) = self.passwords.iter().fold(none, |(found, user), password| {
            let equal = password.credentials.ct_eq(given);
            let user = u32::conditional_select(&user, &password.user, equal);
            (found | equal, user)
        });
        bool::from(found).then_some(user)
    }

    fn scope(&self, user: u32) -> Option<Scope> {
        let user = self.users.get(usize::try_from(user).ok()?)?;
        Some(named(user.scope.clone(), &user.name))
    }

    /// Checks the hash of a password. The outer option is `None` if there are no hashes.
    #[cfg(feature = "argon2")]
    async fn hashed(&self, given: &Credentials) -> Result<Option<Scope>, Denied> {
        if let Some(user) = self.hashes.remembered(given) {
            return Ok(self.scope(user));
        }
        let Some((name, password)) = given.parts().filter(|_| !self.hashes.is_empty()) else {
            return Ok(None);
        };
        let user = self.users.iter().position(|user| *user.name == *name);
        let user = user.and_then(|user| u32::try_from(user).ok());
        let (hashes, password) = (self.hashes.clone(), password.to_owned());
        let given = given.clone();
        let right = self
            .checks
            .run(move || hashes.verify(user, &password, &given));
        Ok(right
            .await?
            .then_some(user)
            .flatten()
            .and_then(|user| self.scope(user)))
    }

    async fn checked(&self, given: &Credentials) -> Result<Option<Scope>, Denied> {
        let (Some(check), Some((name, password))) = (self.check.clone(), given.parts()) else {
            return Ok(None);
        };
        let (name, password) = (Arc::<str>::from(name), password.to_owned());
        let asked = name.clone();
        let checked = self.checks.run(move || check(&asked, &password)).await??;
        Ok(checked.map(|scope| named(scope, &name)))
    }
}

/// Names the user as the client, unless the scope names another.
fn named(scope: Scope, user: &Arc<str>) -> Scope {
    match scope.client() {
        Some(_) => scope,
        None => scope.with_client(user.clone()),
    }
}

fn check_label(field: &'static str, text: &str) -> Result<(), Invalid> {
    let reason = match text {
        "" => "must not be empty",
        _ if text.len() > Limits::LABEL => "has more than 255 bytes",
        _ if text.chars().any(char::is_control) => "contains a control character",
        _ => return Ok(()),
    };
    Err(Invalid::new(field, reason))
}

#[async_trait]
impl Authorizer for BasicAuth {
    async fn authorize(&self, parts: &Parts, _: Permission) -> Result<Scope, Denied> {
        let Some(given) = Credentials::given(parts) else {
            return Err(self.denied.clone());
        };
        if let Some(scope) = self.known(&given).and_then(|user| self.scope(user)) {
            return Ok(scope);
        }
        #[cfg(feature = "argon2")]
        if let Some(scope) = self.hashed(&given).await? {
            return Ok(scope);
        }
        let checked = self.checked(&given).await?;
        checked.ok_or_else(|| self.denied.clone())
    }
}

impl fmt::Debug for BasicAuth {
    /// Shows the names of the users only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<&Arc<str>> = self.users.iter().map(|user| &user.name).collect();
        f.debug_struct("BasicAuth")
            .field("users", &users)
            .finish_non_exhaustive()
    }
}
