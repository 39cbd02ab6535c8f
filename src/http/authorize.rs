//! Authorization: which actions a request may read.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::HeaderValue;
use axum::http::request::Parts;

use crate::error::StoreError;
use crate::model::{Detail, Filter, ObjectRef, ObjectSet, Query};

/// Decides which actions a request may read. It is asked once per request, before anything is
/// looked up.
///
/// A closure that does not need to wait is an authorizer:
///
/// ```
/// use action_store::MemoryStore;
/// use action_store::http::{Denied, Permission, Scope, router};
/// use axum::http::request::Parts;
///
/// let app: axum::Router = router(MemoryStore::new(), |parts: &Parts, permission: Permission| {
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
    /// [`Denied`] says why the request may read nothing.
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

/// The permission that a request needs.
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

/// The actions that a caller may see, and how much of them.
///
/// The scope becomes part of the store's query. An action outside it is never read, counted or
/// paged. It is answered byte for byte like an action that does not exist.
///
/// | scope | actions |
/// | --- | --- |
/// | [`everything`](Scope::everything) | all |
/// | [`tenant`](Scope::tenant) | those of one tenant |
/// | [`objects`](Scope::objects) | those that touch one of a set of objects |
/// | `tenant(..).with_objects(..)` | those of the tenant that touch one of them |
///
/// A tenant must be a label, and a set has at most [`Limits::OBJECTS`](crate::Limits::OBJECTS) objects. A scope beyond these
/// limits shows nothing: every request is answered 500, and the failure hook is called.
///
/// # What it does not hide
///
/// A scope does not hide that other actions exist, nor how busy the store is. Positions of the feed,
/// revisions and cursors count the changes of all actions in the store. A reader of the feed sees
/// these positions move, also in the heartbeats of a stream. A page may be empty and say `more`.
///
/// A list with a filter, or of a database, walks one index. The index also
/// holds actions of other scopes, so the time of an answer grows with their number. Lists of the
/// tenant `default` use no tenant index. After 320,000 rows without a match the answer is empty and
/// continues: its `Link` header names the place. A bare list of a database does not continue. It is
/// 404, even if an action of the scope stands behind that many newer ones of others. Add a filter or
/// `order=newest` to continue there. Where this matters, give each tenant a store.
///
/// Operator detail (of errors, owners and evidence) is in no scope unless it is added:
/// [`with_operator_detail`](Scope::with_operator_detail).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    filters: Vec<Filter>,
    operator_detail: bool,
    client: Option<Arc<str>>,
}

impl Scope {
    /// All actions.
    #[must_use]
    pub const fn everything() -> Scope {
        Scope {
            filters: Vec::new(),
            operator_detail: false,
            client: None,
        }
    }

    /// The actions of a tenant.
    #[must_use]
    pub fn tenant(tenant: impl Into<Arc<str>>) -> Scope {
        Scope::everything().with(Filter::Tenant(tenant.into()))
    }

    /// The actions that touch one of these objects, as their own object or as a related one in any
    /// role. Such an action is shown whole, with the name of its own object. An empty set shows
    /// nothing.
    #[must_use]
    pub fn objects(objects: impl IntoIterator<Item = ObjectRef>) -> Scope {
        Scope::everything().with_objects(objects)
    }

    /// Restricts the scope to actions that touch one of these objects.
    #[must_use]
    pub fn with_objects(self, objects: impl IntoIterator<Item = ObjectRef>) -> Scope {
        self.with(Filter::TouchesAny(ObjectSet::new(objects)))
    }

    /// Adds operator detail. Other callers do not see:
    ///
    /// - the detail of an error ([`ActionError::detail`](crate::ActionError::detail)). It is the
    ///   field `error_detail` of a single failed action, in version 2 within `additional_info`. In
    ///   the history and the full view (`view=full`) it is the field `detail` of the error. Lists
    ///   and the feed are summaries and never have it.
    ///
    /// - the name of the owner, in the feed, the history and the full view
    ///
    /// - the name in an entry of the history (`by`), except who asked to cancel
    ///
    /// - the `evidence` about an owner that did not complete the action, in the full view
    ///
    /// - lists and counts with the filter `owner`, which are answered 403
    ///
    /// The documented shapes have no field `error_detail`. Do not add operator detail for clients
    /// that reject unknown fields.
    #[must_use]
    pub fn with_operator_detail(mut self) -> Scope {
        self.operator_detail = true;
        self
    }

    /// Names the client, for
    /// [`RouterOptions::with_watchers_per_client`](super::RouterOptions::with_watchers_per_client):
    /// a user, a token or a network address. [`BasicAuth`](super::BasicAuth) names the user. It does
    /// not change what is shown.
    #[must_use]
    pub fn with_client(mut self, client: impl Into<Arc<str>>) -> Scope {
        self.client = Some(client.into());
        self
    }

    /// The client, if it is named.
    pub(super) fn client(&self) -> Option<&Arc<str>> {
        self.client.as_ref()
    }

    fn with(mut self, filter: Filter) -> Scope {
        self.filters.push(filter);
        self
    }

    /// The filters that the scope adds to the client's query.
    pub(super) fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// Returns true if operators' detail is shown.
    pub(super) fn shows_detail(&self) -> bool {
        self.operator_detail
    }

    /// How much of a single action is read.
    pub(super) fn detail(&self) -> Detail {
        if self.operator_detail {
            Detail::Full
        } else {
            Detail::Summary
        }
    }

    /// Checks that a store can be asked with this scope.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let mut query = Query::new();
        query.filters.extend_from_slice(&self.filters);
        let checked = query.check();
        checked.map_err(|e| StoreError::from_check("authorize", e))
    }
}

/// Why a request may read nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// The caller is not authenticated: 401.
    Unauthenticated {
        /// How to authenticate: the `WWW-Authenticate` header. See [`Denied::basic`].
        challenge: HeaderValue,
    },
    /// The caller is authenticated and lacks the permission: 403.
    Forbidden,
    /// The decision cannot be made now: 503.
    Unavailable,
}

impl Denied {
    /// Asks for a user name and a password (`Basic`) for a realm. Only the printable ASCII
    /// characters of the realm are kept.
    #[must_use]
    pub fn basic(realm: &str) -> Denied {
        Denied::challenge("Basic", realm)
    }

    /// Asks for a token in the `Authorization` header (`Bearer`, RFC 6750) for a realm. Only the
    /// printable ASCII characters of the realm are kept.
    ///
    /// ```
    /// use action_store::http::Denied;
    ///
    /// let Denied::Unauthenticated { challenge } = Denied::bearer("cluster") else {
    ///     unreachable!()
    /// };
    /// assert_eq!(challenge, "Bearer realm=\"cluster\"");
    /// ```
    #[must_use]
    pub fn bearer(realm: &str) -> Denied {
        Denied::challenge("Bearer", realm)
    }

    fn challenge(scheme: &'static str, realm: &str) -> Denied {
        let quoted: String = realm
            .chars()
            .filter(|c| *c == ' ' || c.is_ascii_graphic())
            .flat_map(|c| {
                let escape = matches!(c, '"' | '\\').then_some('\\');
                escape.into_iter().chain([c])
            })
            .collect();
        let challenge = HeaderValue::try_from(format!("{scheme} realm=\"{quoted}\""));
        Denied::Unauthenticated {
            // Printable ASCII cannot fail to be a header.
            challenge: challenge.unwrap_or(HeaderValue::from_static(scheme)),
        }
    }
}

/// Shows everything to every caller. Use it in tests, and on a loopback address of a machine whose
/// users may all see everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

#[async_trait]
impl Authorizer for AllowAll {
    async fn authorize(&self, _: &Parts, _: Permission) -> Result<Scope, Denied> {
        Ok(Scope::everything())
    }
}
