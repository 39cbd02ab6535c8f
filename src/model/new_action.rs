//! An action to be recorded.

use std::sync::Arc;

use uuid::Uuid;

use super::action::Action;
use super::attributes::check_attributes;
use super::fit::Notes;
use super::identity::{ActionUid, Digest};
use super::json::Json;
use super::labels::Labels;
use super::limits::{Invalid, Limits, at_most, label, label_opt, prose_opt};
use super::object::{ObjectRef, RelatedObject};
use super::words::Source;

/// Tenant of actions for which the host sets none.
pub(crate) const DEFAULT_TENANT: &str = "default";

/// An action to be recorded.
///
/// Every store checks it against [`Limits`] when it is written. A description that is too long is
/// cut, and a warning on the action says so, as with a [`Report`](crate::Report). All other values
/// that break a limit are refused.
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
/// | how many | [`Limits::EXCLUSIVE`] | one |
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
    /// Name of the operation, such as `backup_bdb`. A [label](Limits::LABEL).
    pub name: Arc<str>,
    /// Object that the action works on. Required for a state machine.
    pub object: Option<ObjectRef>,
    /// Other objects that the action touches; at most [`Limits::RELATED`].
    pub related: Vec<RelatedObject>,
    /// Tenant of the action. A [label](Limits::LABEL); `default` unless set.
    pub tenant: Arc<str>,
    /// Person or program that asks for the action. A [label](Limits::LABEL).
    pub actor: Option<Arc<str>>,
    /// Action that this action is a part of.
    pub parent: Option<ActionUid>,
    /// Completed action that this action retries.
    pub retry_of: Option<ActionUid>,
    /// Request or trace id of the host. A [label](Limits::LABEL).
    pub correlation: Option<Arc<str>>,
    /// Labels, by which the action is found. They never change.
    pub labels: Labels,
    /// Description for people. [Prose](Limits::TEXT).
    pub description: Option<Arc<str>>,
    /// Further values that the host shows: a JSON object.
    pub attributes: Option<Json>,
    /// Keys that no other unfinished action of the tenant may hold; at most [`Limits::EXCLUSIVE`].
    /// [Labels](Limits::LABEL). See [Keys](NewAction#keys).
    pub exclusive: Vec<Arc<str>>,
    /// Idempotency key. A create that repeats it within the tenant finds the first action until
    /// that action is removed. A [label](Limits::LABEL). See [Keys](NewAction#keys).
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
    /// refused as [`Invalid`].
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

    /// Returns a 16-byte digest of the content. It leaves out the uid, which is compared directly,
    /// and the correlation, which is new in each repeated request.
    #[must_use]
    pub fn digest(&self) -> Digest {
        // Each part follows its length. An absent part has the length `u32::MAX`, which no text
        // has. So different contents never give the same bytes.
        let mut bytes = Vec::with_capacity(256);
        let mut optional = |text: Option<&str>| {
            let len = text.map_or(u32::MAX, |text| text.len() as u32);
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
        };
        optional(Some(self.source.as_str()));
        optional(Some(&self.name));
        optional(self.object.as_ref().map(ObjectRef::as_str));
        optional(Some(&self.tenant));
        optional(self.actor.as_deref());
        optional(self.parent.map(|uid| uid.to_string()).as_deref());
        optional(self.retry_of.map(|uid| uid.to_string()).as_deref());
        optional(self.description.as_deref());
        optional(self.attributes.as_ref().map(Json::as_str));
        optional(self.idempotency_key.as_deref());
        for related in &self.related {
            optional(Some(&related.role));
            optional(Some(related.object.as_str()));
            optional(related.name.as_deref());
        }
        optional(None);
        for key in &self.exclusive {
            optional(Some(key));
        }
        // Without labels the bytes are those of earlier versions.
        if !self.labels.is_empty() {
            optional(None);
            for (key, value) in self.labels.iter() {
                optional(Some(key));
                optional(Some(value));
            }
        }
        Digest::from_uuid(Uuid::new_v5(&Uuid::nil(), &bytes))
    }

    /// Checks all limits.
    ///
    /// # Errors
    /// Returns [`Invalid`] with the first field that breaks a limit.
    pub fn check(&self) -> Result<(), Invalid> {
        label("name", &self.name)?;
        label("tenant", &self.tenant)?;
        label_opt("actor", self.actor.as_deref())?;
        label_opt("correlation", self.correlation.as_deref())?;
        label_opt("idempotency_key", self.idempotency_key.as_deref())?;
        prose_opt("description", self.description.as_deref())?;
        at_most("related", self.related.len(), Limits::RELATED)?;
        for related in &self.related {
            label("related.role", &related.role)?;
            label_opt("related.name", related.name.as_deref())?;
        }
        at_most("exclusive", self.exclusive.len(), Limits::EXCLUSIVE)?;
        for key in &self.exclusive {
            label("exclusive", key)?;
        }
        self.labels.check()?;
        check_relations(
            self.source,
            self.object.as_ref(),
            &self.exclusive,
            self.uid,
            [self.parent, self.retry_of],
        )?;
        self.attributes.as_ref().map_or(Ok(()), check_attributes)
    }
}

/// Checks the rules between fields that never change.
pub(crate) fn check_relations(
    source: Source,
    object: Option<&ObjectRef>,
    exclusive: &[Arc<str>],
    uid: ActionUid,
    relatives: [Option<ActionUid>; 2],
) -> Result<(), Invalid> {
    for (index, key) in exclusive.iter().enumerate() {
        if exclusive[..index].contains(key) {
            return Err(Invalid::new("exclusive", "must not contain a key twice"));
        }
    }
    if source == Source::StateMachine && object.is_none() {
        let reason = "is missing: a state machine must have an object";
        return Err(Invalid::new("object", reason));
    }
    if relatives.contains(&Some(uid)) {
        let reason = "must not be the action itself";
        return Err(Invalid::new("parent", reason));
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_digest_covers_all_fields_but_uid_and_correlation() {
        let base = NewAction::task("a");
        let other = || NewAction::task("a");
        assert_eq!(base.digest(), other().digest());
        assert_eq!(base.digest(), other().with_correlation("r-1").digest());
        let some = ActionUid::new();
        let variants = [
            NewAction::task("b"),
            NewAction::new(Source::Other, "a"),
            other().with_object(ObjectRef::bdb(1)),
            other().with_tenant("t"),
            other().with_actor("t"),
            other().with_label("t", "u"),
            other().with_label("t", "v"),
            other().with_label("t", "u").with_label("v", "w"),
            other().with_exclusive("t").with_label("t", "u"),
            other().with_description("t"),
            other().with_idempotency_key("t"),
            other().with_exclusive("t"),
            other().with_parent(some),
            other().with_retry_of(some),
            other().with_attributes(Json::new("{}").unwrap()),
            other().with_related(RelatedObject::new("t", ObjectRef::bdb(1))),
            other().with_related(RelatedObject::new("t", ObjectRef::bdb(1)).with_name("n")),
        ];
        let digests: HashSet<Uuid> = variants
            .iter()
            .chain([&base])
            .map(|new| *new.digest().as_uuid())
            .collect();
        assert_eq!(digests.len(), variants.len() + 1);
    }

    #[test]
    fn exclusive_on_object_requires_an_object() {
        let early = NewAction::task("a").exclusive_on_object();
        for without in [early.clone(), early.with_object(ObjectRef::bdb(1))] {
            let invalid = without.check().unwrap_err();
            assert_eq!(invalid.field, "exclusive");
            assert_eq!(invalid.reason, "must not be empty");
        }
        let sound = NewAction::state_machine("SM", ObjectRef::bdb(1)).exclusive_on_object();
        assert_eq!(sound.check(), Ok(()));
        assert_eq!(*sound.exclusive, ["bdb:1".into()]);
    }

    #[test]
    fn a_state_machine_needs_an_object() {
        let missing = NewAction::new(Source::StateMachine, "SM").check();
        assert_eq!(missing.unwrap_err().field, "object");
    }
}
