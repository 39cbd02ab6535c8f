//! Who may read what.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConstantTimeEq as _};

use crate::error::StoreError;
use crate::model::{Detail, Invalid, Limits, ObjectRef, ObjectSet, Query, Term};

/// Decides who may read what. Asked once per request, before anything is looked up.
///
/// A closure that need not wait is one:
///
/// ```
/// use action_store::MemoryStore;
/// use action_store::http::{Denied, Permission, Scope, router};
/// use axum::http::request::Parts;
///
/// let app = router(MemoryStore::new(), |parts: &Parts, permission: Permission| {
///     // What the host's own layer has found out about the caller.
///     match parts.extensions.get::<Vec<String>>() {
///         Some(granted) if granted.iter().any(|g| g == permission.as_str()) => {
///             Ok(Scope::everything())
///         }
///         Some(_) => Err(Denied::Forbidden),
///         None => Err(Denied::basic("cluster")),
///     }
/// });
/// # let _ = app;
/// ```
#[async_trait]
pub trait Authorizer: Send + Sync + 'static {
    /// Decides about a request, by its head. When the router is nested, axum has cut the path of
    /// `parts.uri` to the router's own part.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    async fn authorize(&self, parts: &Parts, permission: Permission) -> Result<Scope, Denied>;
}

#[async_trait]
impl<F> Authorizer for F
where
    F: Fn(&Parts, Permission) -> Result<Scope, Denied> + Send + Sync + 'static,
{
    async fn authorize(&self, parts: &Parts, permission: Permission) -> Result<Scope, Denied> {
        self(parts, permission)
    }
}

#[async_trait]
impl<A: Authorizer + ?Sized> Authorizer for Arc<A> {
    async fn authorize(&self, parts: &Parts, permission: Permission) -> Result<Scope, Denied> {
        (**self).authorize(parts, permission).await
    }
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Permission {
    /// See the status of actions: everything this router offers.
    ViewStatusOfClusterAction,
}

impl Permission {
    /// The documented name: `view_status_of_cluster_action`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Permission::ViewStatusOfClusterAction => "view_status_of_cluster_action",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which actions somebody may see, and how much of them.
///
/// It becomes part of what the store is asked: what is outside is never read, counted or paged, and
/// is answered byte for byte as what does not exist.
///
/// | scope | actions |
/// | --- | --- |
/// | [`everything`](Scope::everything) | all |
/// | [`tenant`](Scope::tenant) | those of one tenant |
/// | [`objects`](Scope::objects) | those that touch one of a set of objects |
/// | `tenant(..).with_objects(..)` | those of the tenant that touch one of them |
///
/// A tenant must be a label, and a set have at most [`Limits::OBJECTS`] objects; a scope beyond
/// that shows nothing: every request is a 500, of which the failure hook hears.
///
/// # What it does not hide
///
/// That there are others, and how busy they are. Positions of the feed, revisions and cursors count
/// what all of a store's actions do, so whoever reads the feed sees at what rate the store is written
/// to: its positions move on, in heartbeats of a stream, too, and a page may be empty and say that
/// there is `more`.
///
/// A list with a condition, or of a database, is found by the condition that fewest actions meet,
/// and others' actions may be among those: it takes the longer the more these are. (So does any
/// list of the tenant `default`, which has no index of its own.) When 320,000 of
/// them have been looked at and nothing was found, the answer is empty and goes on; with `Link` it
/// says so, and from what number. A bare list of a database does not go on: it is 404 as if nothing
/// were there, also when something of the scope's is behind so many newer ones of others. With a
/// condition, say `order=newest`, it goes on and finds it. Where that matters, give each tenant a
/// store.
///
/// Operator detail of errors ([`ActionError::detail`](crate::ActionError::detail)) is in no scope
/// unless it is added: [`with_operator_detail`](Scope::with_operator_detail).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    terms: Vec<Term>,
    operator_detail: bool,
}

impl Scope {
    /// All actions.
    #[must_use]
    pub const fn everything() -> Scope {
        Scope {
            terms: Vec::new(),
            operator_detail: false,
        }
    }

    /// The actions of a tenant.
    #[must_use]
    pub fn tenant(tenant: impl Into<Arc<str>>) -> Scope {
        Scope::everything().with(Term::Tenant(tenant.into()))
    }

    /// The actions that touch one of these objects: as their object or as a related one, in
    /// whatever role. Such an action is shown whole, the name of its own object included. Of no
    /// objects, nothing.
    #[must_use]
    pub fn objects(objects: impl IntoIterator<Item = ObjectRef>) -> Scope {
        Scope::everything().with_objects(objects)
    }

    /// Only those of them that touch one of these objects.
    #[must_use]
    pub fn with_objects(self, objects: impl IntoIterator<Item = ObjectRef>) -> Scope {
        self.with(Term::TouchesAny(ObjectSet::new(objects)))
    }

    /// Adds what only operators may see of an error: the field `error_detail` of a failed action
    /// (in version 2 within `additional_info`), where a single action is asked for. Lists are
    /// summaries and never have it. The documented shapes do not know that field, so give it to
    /// whoever asks for it, not to clients that were written for the documents.
    #[must_use]
    pub fn with_operator_detail(mut self) -> Scope {
        self.operator_detail = true;
        self
    }

    fn with(mut self, term: Term) -> Scope {
        self.terms.push(term);
        self
    }

    /// What the store is asked beside what the client asks.
    pub(super) fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Whether what only operators may see is shown.
    pub(super) fn shows_detail(&self) -> bool {
        self.operator_detail
    }

    /// How much of a single action may be seen.
    pub(super) fn detail(&self) -> Detail {
        match self.operator_detail {
            true => Detail::Full,
            false => Detail::Summary,
        }
    }

    /// Says so when no store could be asked.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let mut query = Query::new();
        query.terms.extend_from_slice(&self.terms);
        let checked = query.check();
        checked.map_err(|e| StoreError::from_check("authorize", e))
    }
}

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// Nobody knows who it is: 401.
    Unauthenticated {
        /// How to say who one is: the `WWW-Authenticate` header. See [`Denied::basic`].
        challenge: HeaderValue,
    },
    /// It is known who it is, and they may not: 403.
    Forbidden,
    /// It cannot be decided now: 503.
    Unavailable,
}

impl Denied {
    /// Asks for a user name and a password (`Basic`) for a realm, of which only printable ASCII
    /// characters are kept.
    #[must_use]
    pub fn basic(realm: &str) -> Denied {
        let quoted: String = realm
            .chars()
            .filter(|c| *c == ' ' || c.is_ascii_graphic())
            .flat_map(|c| {
                let escape = matches!(c, '"' | '\\').then_some('\\');
                escape.into_iter().chain([c])
            })
            .collect();
        let challenge = HeaderValue::try_from(format!("Basic realm=\"{quoted}\""));
        Denied::Unauthenticated {
            // Printable ASCII cannot fail to be a header.
            challenge: challenge.unwrap_or(HeaderValue::from_static("Basic realm=\"actions\"")),
        }
    }
}

/// Lets everybody see everything. For tests, and for hosts that answer nobody but themselves, say
/// on a loopback address of a machine that all its users may see into.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

#[async_trait]
impl Authorizer for AllowAll {
    async fn authorize(&self, _: &Parts, _: Permission) -> Result<Scope, Denied> {
        Ok(Scope::everything())
    }
}

/// Lets a few users in by name and password (HTTP Basic) and shows them everything: for small
/// hosts. Passwords are kept in memory as they are; without TLS they also travel so.
///
/// Comparing takes the same time whichever part of which user's credentials is wrong.
#[derive(Clone)]
pub struct BasicAuth {
    users: Vec<(String, Credentials)>,
    denied: Denied,
}

/// `user:password`, filled up: comparing two takes the same time whatever is in them.
#[derive(Clone)]
struct Credentials {
    bytes: [u8; Credentials::MOST],
    len: u64,
}

impl Credentials {
    /// Two labels and a colon.
    const MOST: usize = 2 * Limits::LABEL + 1;

    fn new(text: &[u8]) -> Option<Credentials> {
        let mut bytes = [0; Credentials::MOST];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        let len = u64::try_from(text.len()).ok()?;
        Some(Credentials { bytes, len })
    }

    fn ct_eq(&self, other: &Credentials) -> Choice {
        self.bytes.ct_eq(&other.bytes) & self.len.ct_eq(&other.len)
    }
}

impl BasicAuth {
    /// One user, realm `actions`.
    ///
    /// # Errors
    /// [`Invalid`] names `user` or `password` when it is empty, has more than 255 bytes or holds a
    /// control character, or when the user's name holds a colon.
    pub fn new(user: &str, password: &str) -> Result<BasicAuth, Invalid> {
        let nobody = BasicAuth {
            users: Vec::new(),
            denied: Denied::basic("actions"),
        };
        nobody.with_user(user, password)
    }

    /// Adds a user. A name may be there with several passwords, to change one without a gap.
    ///
    /// # Errors
    /// As [`BasicAuth::new`].
    pub fn with_user(mut self, user: &str, password: &str) -> Result<BasicAuth, Invalid> {
        for (field, text) in [("user", user), ("password", password)] {
            let reason = match text {
                "" => "must not be empty",
                _ if text.len() > Limits::LABEL => "has more than 255 bytes",
                _ if text.chars().any(char::is_control) => "contains a control character",
                _ => continue,
            };
            return Err(Invalid::new(field, reason));
        }
        if user.contains(':') {
            return Err(Invalid::new("user", "contains a colon"));
        }
        let credentials = Credentials::new(format!("{user}:{password}").as_bytes());
        let credentials = credentials.ok_or_else(|| Invalid::new("password", "is too long"))?;
        self.users.push((user.to_owned(), credentials));
        Ok(self)
    }

    /// Sets the realm that a client shows when it asks for the password.
    #[must_use]
    pub fn with_realm(mut self, realm: &str) -> BasicAuth {
        self.denied = Denied::basic(realm);
        self
    }

    fn knows(&self, given: &Credentials) -> bool {
        // No early exit: which user it is, is nobody's business either.
        let known = self.users.iter().fold(Choice::from(0), |known, (_, user)| {
            known | user.ct_eq(given)
        });
        known.into()
    }
}

/// What a request's only `Authorization` header says, if it is `Basic`.
fn given(parts: &Parts) -> Option<Credentials> {
    let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
    let header = headers.next()?;
    if headers.next().is_some() {
        return None;
    }
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    // Longer than any credentials there are; not worth decoding.
    if !scheme.eq_ignore_ascii_case("Basic") || token.len() > Credentials::MOST * 2 {
        return None;
    }
    Credentials::new(&STANDARD.decode(token.trim()).ok()?)
}

#[async_trait]
impl Authorizer for BasicAuth {
    async fn authorize(&self, parts: &Parts, _: Permission) -> Result<Scope, Denied> {
        match given(parts) {
            Some(given) if self.knows(&given) => Ok(Scope::everything()),
            _ => Err(self.denied.clone()),
        }
    }
}

impl fmt::Debug for BasicAuth {
    /// Names the users only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<&String> = self.users.iter().map(|(user, _)| user).collect();
        f.debug_struct("BasicAuth")
            .field("users", &users)
            .finish_non_exhaustive()
    }
}
