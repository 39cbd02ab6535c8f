//! An action to be recorded.

mod check;
mod digest;

use std::sync::Arc;

use super::action::Action;
use super::fit::Notes;
use super::identity::ActionUid;
use super::json::Json;
use super::labels::Labels;
use super::object::{ObjectRef, RelatedObject};
use super::words::Source;

pub(super) use self::check::check_relations;

/// Tenant of actions for which the host sets none.
pub(crate) const DEFAULT_TENANT: &str = "default";

/// An action to be recorded.
///
/// Every store checks it against [`Limits`](crate::Limits) when it is written. A description that is
/// too long is cut, and a warning on the action says so, as with a [`Report`](crate::Report). All
/// other values that break a limit are refused.
///
/// ```
/// use action_store::{NewAction, ObjectRef};
///
/// let new = NewAction::state_machine("SMCreateBDB", ObjectRef::bdb(1))
///     .with_actor("ada@example.com")
///     .with_description("create orders, 3 shards");
/// ```
///
/// # Keys
///
/// An action may have keys of two kinds. It has none by default. A key belongs to the tenant of its
/// action and is a label, compared byte for byte. The keys of two tenants never conflict, and the
/// two kinds never conflict with each other.
///
/// | | exclusive keys | idempotency key |
/// | --- | --- | --- |
/// | meaning | at most one unfinished action | at most one create |
/// | how many | [`Limits::EXCLUSIVE`](crate::Limits::EXCLUSIVE) | one |
/// | held from | its create | its create |
/// | held until | completion, with any outcome | removal, by retention or by hand |
/// | another create with it | [`Conflict`](crate::Rejection::Conflict) with the holder | same content: [`Already`](crate::command::Effect::Already) with the existing action; other content: `Conflict` with that action |
///
/// A queued action holds its exclusive keys, too. An action whose owner has died holds them until
/// the action is completed. A create takes all its keys or none, in the transaction that records
/// the action. The idempotency key is checked first, so a repeated create does not conflict with
/// itself.
///
/// There is no queue for a key. To wait for a key, wait until its holder
/// ([`Error::current`](crate::Error::current)) is completed, then create again.
///
/// Example: one action at a time on a database, and a request that may be repeated.
///
/// ```
/// # async fn example() -> Result<(), action_store::Error> {
/// use action_store::command::ConflictReason;
/// use action_store::{ActionStoreExt, Error, MemoryStore, NewAction, ObjectRef, Rejection};
///
/// let store = MemoryStore::new();
/// let on_bdb = |name: &str| {
///     NewAction::task(name).with_object(ObjectRef::bdb(1)).exclusive_on_object()
/// };
/// let backup = || on_bdb("backup_bdb").with_idempotency_key("request-17");
/// let first = store.create(backup()).await?;
///
/// match store.create(on_bdb("check_bdb")).await {
///     Err(Error::Rejected(Rejection::Conflict { reason: ConflictReason::Exclusive(key), current })) => {
///         assert_eq!((&*key, current.uid), ("bdb:1", first.uid));
///     }
///     other => unreachable!("{other:?}"),
/// }
/// assert_eq!(store.create(backup()).await?.uid, first.uid); // the same request again
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewAction {
    /// Identity of the action. It also identifies the create, so that a repeat is recognised.
    pub uid: ActionUid,
    /// Kind of action: a task, a state machine, or other.
    pub source: Source,
    /// Name of the operation, such as `backup_bdb`. A [label](crate::Limits::LABEL).
    pub name: Arc<str>,
    /// Object that the action works on. Required for a state machine.
    pub object: Option<ObjectRef>,
    /// Other objects that the action touches; at most [`Limits::RELATED`](crate::Limits::RELATED).
    pub related: Vec<RelatedObject>,
    /// Tenant of the action. A [label](crate::Limits::LABEL); `default` unless set.
    pub tenant: Arc<str>,
    /// Person or program that asks for the action. A [label](crate::Limits::LABEL).
    pub actor: Option<Arc<str>>,
    /// Action that this action is a part of.
    pub parent: Option<ActionUid>,
    /// Completed action that this action retries.
    pub retry_of: Option<ActionUid>,
    /// Request or trace id of the host. A [label](crate::Limits::LABEL).
    pub correlation: Option<Arc<str>>,
    /// Labels, by which the action is found. They never change.
    pub labels: Labels,
    /// Description for people. [Prose](crate::Limits::TEXT).
    pub description: Option<Arc<str>>,
    /// Further values that the host shows: a JSON object.
    pub attributes: Option<Json>,
    /// Keys that no other unfinished action of the tenant may hold; at most
    /// [`Limits::EXCLUSIVE`](crate::Limits::EXCLUSIVE). [Labels](crate::Limits::LABEL). See
    /// [Keys](NewAction#keys).
    pub exclusive: Vec<Arc<str>>,
    /// Idempotency key. A create that repeats it within the tenant finds the first action until
    /// that action is removed. A [label](crate::Limits::LABEL). See [Keys](NewAction#keys).
    pub idempotency_key: Option<Arc<str>>,
    /// Notes about texts that were cut. They become warnings.
    pub(super) notes: Notes,
}

impl NewAction {
    /// Creates an action with a source, a name and a new uid.
    #[must_use]
    pub fn new(source: Source, name: impl Into<Arc<str>>) -> NewAction {
        NewAction {
            uid: ActionUid::new(),
            source,
            name: name.into(),
            object: None,
            related: Vec::new(),
            tenant: DEFAULT_TENANT.into(),
            actor: None,
            parent: None,
            retry_of: None,
            correlation: None,
            labels: Labels::new(),
            description: None,
            attributes: None,
            exclusive: Vec::new(),
            idempotency_key: None,
            notes: Notes::new(),
        }
    }

    /// Creates a task.
    #[must_use]
    pub fn task(name: impl Into<Arc<str>>) -> NewAction {
        NewAction::new(Source::Task, name)
    }

    /// Creates a state machine that works on `object`.
    #[must_use]
    pub fn state_machine(name: impl Into<Arc<str>>, object: ObjectRef) -> NewAction {
        NewAction::new(Source::StateMachine, name).with_object(object)
    }

    /// Sets the uid. Use version 7 UUIDs: random UUIDs cost a third of the write speed of a large
    /// store.
    #[must_use]
    pub fn with_uid(mut self, uid: ActionUid) -> NewAction {
        self.uid = uid;
        self
    }

    /// Sets the object that the action works on.
    #[must_use]
    pub fn with_object(mut self, object: ObjectRef) -> NewAction {
        self.object = Some(object);
        self
    }

    /// Adds another object that the action touches.
    #[must_use]
    pub fn with_related(mut self, related: RelatedObject) -> NewAction {
        self.related.push(related);
        self
    }

    /// Sets the tenant.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<Arc<str>>) -> NewAction {
        self.tenant = tenant.into();
        self
    }

    /// Sets the person or program that asks for the action.
    #[must_use]
    pub fn with_actor(mut self, actor: impl Into<Arc<str>>) -> NewAction {
        self.actor = Some(actor.into());
        self
    }

    /// Makes the action a part of `parent`.
    ///
    /// Copies the tenant of the parent unless this action has a tenant other than `default`. Copies
    /// the parent's actor and correlation unless they are set.
    #[must_use]
    pub fn part_of(mut self, parent: &NewAction) -> NewAction {
        self.parent = Some(parent.uid);
        if *self.tenant == *DEFAULT_TENANT {
            self.tenant = parent.tenant.clone();
        }
        self.actor = self.actor.or_else(|| parent.actor.clone());
        self.correlation = self.correlation.or_else(|| parent.correlation.clone());
        self
    }

    /// Sets the action that this action is a part of. See also [`part_of`](NewAction::part_of).
    ///
    /// The parent does not have to be on record, now or later. If it is, it must be unfinished when
    /// the part is created: a completed action takes no new parts. Parts of an unfinished action
    /// are not removed. A part continues when its parent ends: it has its own owner and outcome.
    #[must_use]
    pub fn with_parent(mut self, parent: ActionUid) -> NewAction {
        self.parent = Some(parent);
        self
    }

    /// Sets the completed action that this action retries.
    #[must_use]
    pub fn with_retry_of(mut self, retry_of: ActionUid) -> NewAction {
        self.retry_of = Some(retry_of);
        self
    }

    /// Sets the request or trace id of the host.
    #[must_use]
    pub fn with_correlation(mut self, correlation: impl Into<Arc<str>>) -> NewAction {
        self.correlation = Some(correlation.into());
        self
    }

    /// Adds a label, by which the action is found. Replaces the value if the key exists. See
    /// [`Labels`] for the limits, and [`Filter::label`](crate::Filter::label) for the search.
    ///
    /// A part does not copy the labels of its parent.
    ///
    /// ```
    /// # async fn example() -> Result<(), action_store::Error> {
    /// use action_store::{ActionStoreExt, Filter, MemoryStore, NewAction, Query};
    ///
    /// let store = MemoryStore::new();
    /// let new = NewAction::task("backup_bdb").with_label("region", "eu-1");
    /// let action = store.create(new).await?;
    ///
    /// let query = Query::new().with_filter(Filter::label("region", "eu-1"));
    /// let found = store.pages(query).collect().await?;
    /// assert_eq!(found[0].uid, action.uid);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    #[must_use]
    pub fn with_label(mut self, key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> NewAction {
        self.labels = self.labels.with(key, value);
        self
    }

    /// Sets the description. A text that is too long is cut when the action is recorded.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<Arc<str>>) -> NewAction {
        self.description = Some(description.into());
        self
    }

    /// Sets further values to show: a JSON object.
    #[must_use]
    pub fn with_attributes(mut self, attributes: Json) -> NewAction {
        self.attributes = Some(attributes);
        self
    }

    /// Adds a key that no other unfinished action of the tenant may hold; see
    /// [Keys](NewAction#keys).
    #[must_use]
    pub fn with_exclusive(mut self, key: impl Into<Arc<str>>) -> NewAction {
        self.exclusive.push(key.into());
        self
    }

    /// Adds the written form of the object (`bdb:1`) as an exclusive key. Of the actions that use
    /// this key, only one at a time can be unfinished.
    ///
    /// Set the object before you call this. Without an object the key is empty, and the create is
    /// refused as [`Invalid`](crate::action::Invalid).
    ///
    /// To lock further objects, add their keys: `with_exclusive(ObjectRef::node(7).as_str())`.
    #[must_use]
    pub fn exclusive_on_object(self) -> NewAction {
        // The check refuses an empty key.
        let key: Arc<str> = self.object.clone().map_or("".into(), Arc::from);
        self.with_exclusive(key)
    }

    /// Sets the idempotency key, so that a repeated create finds this action; see
    /// [Keys](NewAction#keys).
    #[must_use]
    pub fn with_idempotency_key(mut self, key: impl Into<Arc<str>>) -> NewAction {
        self.idempotency_key = Some(key.into());
        self
    }
}

impl From<&Action> for NewAction {
    /// Rebuilds the content of a create from an action. Values that reports have replaced are the
    /// reported ones.
    fn from(action: &Action) -> NewAction {
        NewAction {
            uid: action.uid,
            source: action.source,
            name: action.name.clone(),
            object: action.object.clone(),
            related: action.related.to_vec(),
            tenant: action.tenant.clone(),
            actor: action.actor.clone(),
            parent: action.parent,
            retry_of: action.retry_of,
            correlation: action.correlation.clone(),
            labels: action.labels.clone(),
            description: action.description.clone(),
            attributes: action.attributes.clone(),
            exclusive: action.exclusive.to_vec(),
            idempotency_key: action.idempotency_key.clone(),
            notes: Notes::new(),
        }
    }
}
