//! What a caller asks to be recorded.

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use super::action::Action;
use super::fit::Notes;
use super::identity::{ActionUid, Digest};
use super::json::Json;
use super::limits::{Invalid, Limits, at_most, label, label_opt, prose_opt};
use super::object::{ObjectRef, RelatedObject};
use super::words::Source;

/// The tenant of actions whose host has none.
pub(crate) const DEFAULT_TENANT: &str = "default";

/// Names that the documented wire shapes use themselves. An attribute of such a name would be
/// taken for the field, so it is refused. No shape has `bdb_uid`, but published clients expect a
/// number there, which no attribute of a task is.
const RESERVED: &[&str] = &[
    "action_type",
    "action_uid",
    "additional_info",
    "bdb_uid",
    "creation_time",
    "description",
    "error",
    "error_code",
    "error_detail",
    "error_message",
    "heartbeat",
    "name",
    "node_uid",
    "object_name",
    "object_type",
    "object_uid",
    "progress",
    "state",
    "status",
    "task_id",
];

/// The one wire field that is an attribute: what a state machine still has to do, an object.
pub(crate) const PENDING_OPS: &str = "pending_ops";

/// An action to be recorded. Its texts are checked when it is written, against
/// [`Limits`], by every store alike. A description that does not fit is cut, and a warning on the
/// action says so, as with a [`Report`](crate::Report); everything else is refused.
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
/// An action may bring keys of two kinds, none unless asked for. Both are labels of its tenant,
/// compared byte for byte; two tenants never meet in a key, and neither do the two kinds.
///
/// | | exclusive keys | idempotency key |
/// | --- | --- | --- |
/// | says | not beside another one | not a second time |
/// | how many | [`Limits::EXCLUSIVE`] | one |
/// | held from | its create | its create |
/// | held until | it is completed, however it ends | it is removed, by retention or by hand |
/// | another create with it | [`Conflict`](crate::Refused::Conflict) with the holder | the same content: [`Already`](crate::Effect::Already) with the action there is; other content: `Conflict` with it |
///
/// An exclusive key is also held while its action is only queued, and by an action whose owner has
/// died until that is settled. A create takes all its keys or none, in the transaction that records
/// it. The idempotency key is looked at first: a create that is repeated is not in its own way.
/// Nobody queues for a key: who wants its turn waits for the holder
/// ([`Error::current`](crate::Error::current)) and creates again.
///
/// One at a time for each database, and a request that may come twice:
///
/// ```
/// # async fn example() -> Result<(), action_store::Error> {
/// use action_store::{ActionStoreExt, Clash, Error, MemoryStore, NewAction, ObjectRef, Refused};
///
/// let store = MemoryStore::new();
/// let on_bdb = |name: &str| {
///     NewAction::task(name).with_object(ObjectRef::bdb(1)).exclusive_on_object()
/// };
/// let backup = || on_bdb("backup_bdb").with_idempotency_key("request-17");
/// let first = store.create(backup()).await?;
///
/// match store.create(on_bdb("check_bdb")).await {
///     Err(Error::Refused(Refused::Conflict { clash: Clash::Exclusive(key), current })) => {
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
    /// Which action; also the operation id of its create, so that a repeat is recognised.
    pub uid: ActionUid,
    /// What kind of machinery.
    pub source: Source,
    /// What is done. A label.
    pub name: Arc<str>,
    /// What it is done to; a state machine has one.
    pub object: Option<ObjectRef>,
    /// What else it touches; at most [`Limits::RELATED`].
    pub related: Vec<RelatedObject>,
    /// Whose action it is. A label; `default` unless set.
    pub tenant: Arc<str>,
    /// Who asked for it. A label.
    pub actor: Option<Arc<str>>,
    /// The action it is a part of.
    pub parent: Option<ActionUid>,
    /// The completed action it tries again.
    pub retry_of: Option<ActionUid>,
    /// The host's request or trace id. A label.
    pub correlation: Option<Arc<str>>,
    /// A sentence about it. Prose.
    pub description: Option<Arc<str>>,
    /// A JSON object of whatever else the host wants shown.
    pub attributes: Option<Json>,
    /// Keys that no other unfinished action of the tenant may hold; at most
    /// [`Limits::EXCLUSIVE`]. Labels. See [Keys](NewAction#keys).
    pub exclusive: Vec<Arc<str>>,
    /// A create that repeats this key within the tenant finds the first one's action, for as long
    /// as that action is kept. A label. See [Keys](NewAction#keys).
    pub idempotency_key: Option<Arc<str>>,
    /// Notes about what was cut; they become warnings.
    pub(super) notes: Notes,
}

impl NewAction {
    /// An action of a source and a name, with a uid drawn now.
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
            description: None,
            attributes: None,
            exclusive: Vec::new(),
            idempotency_key: None,
            notes: Notes::new(),
        }
    }

    /// A task.
    #[must_use]
    pub fn task(name: impl Into<Arc<str>>) -> NewAction {
        NewAction::new(Source::Task, name)
    }

    /// A state machine and its object.
    #[must_use]
    pub fn state_machine(name: impl Into<Arc<str>>, object: ObjectRef) -> NewAction {
        NewAction::new(Source::StateMachine, name).with_object(object)
    }

    /// Brings a uid of the caller's own. Draw version 7 UUIDs: random ones cost a third of the
    /// write speed of a large store.
    #[must_use]
    pub fn with_uid(mut self, uid: ActionUid) -> NewAction {
        self.uid = uid;
        self
    }

    /// Says what it is done to.
    #[must_use]
    pub fn with_object(mut self, object: ObjectRef) -> NewAction {
        self.object = Some(object);
        self
    }

    /// Names another object it touches.
    #[must_use]
    pub fn with_related(mut self, related: RelatedObject) -> NewAction {
        self.related.push(related);
        self
    }

    /// Says whose action it is.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<Arc<str>>) -> NewAction {
        self.tenant = tenant.into();
        self
    }

    /// Says who asked for it.
    #[must_use]
    pub fn with_actor(mut self, actor: impl Into<Arc<str>>) -> NewAction {
        self.actor = Some(actor.into());
        self
    }

    /// Makes it a part of another action, of that one's tenant, unless it is of another than
    /// `default`, and with its actor and correlation, unless it brings its own.
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

    /// Names the action it is a part of, which need not be there. See also
    /// [`part_of`](NewAction::part_of).
    ///
    /// The parent need not be on record, now or ever. If it is, it must be unfinished when the part
    /// is created: a completed action takes no new parts. Parts of an unfinished action are not
    /// removed. A part that executes when its parent ends goes on: it has its own owner and outcome.
    #[must_use]
    pub fn with_parent(mut self, parent: ActionUid) -> NewAction {
        self.parent = Some(parent);
        self
    }

    /// Names the action it tries again.
    #[must_use]
    pub fn with_retry_of(mut self, retry_of: ActionUid) -> NewAction {
        self.retry_of = Some(retry_of);
        self
    }

    /// Keeps the host's request or trace id.
    #[must_use]
    pub fn with_correlation(mut self, correlation: impl Into<Arc<str>>) -> NewAction {
        self.correlation = Some(correlation.into());
        self
    }

    /// Describes it in a sentence. One that is too long is cut when it is recorded.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<Arc<str>>) -> NewAction {
        self.description = Some(description.into());
        self
    }

    /// Adds a JSON object of whatever else is to be shown.
    #[must_use]
    pub fn with_attributes(mut self, attributes: Json) -> NewAction {
        self.attributes = Some(attributes);
        self
    }

    /// Holds a key that no other unfinished action of the tenant may hold; see
    /// [Keys](NewAction#keys).
    #[must_use]
    pub fn with_exclusive(mut self, key: impl Into<Arc<str>>) -> NewAction {
        self.exclusive.push(key.into());
        self
    }

    /// Holds its object's written form (`bdb:1`) as an exclusive key: one action at a time on an
    /// object, among those that ask for it. Comes after the object is named; without one the key is
    /// empty, so the action is [`Invalid`].
    ///
    /// What must have other objects to itself as well takes their keys, too:
    /// `with_exclusive(ObjectRef::node(7).as_str())`.
    #[must_use]
    pub fn exclusive_on_object(self) -> NewAction {
        // An empty key is none that the check lets through.
        let key: Arc<str> = self.object.clone().map_or("".into(), Arc::from);
        self.with_exclusive(key)
    }

    /// Lets a repeated create find this action; see [Keys](NewAction#keys).
    #[must_use]
    pub fn with_idempotency_key(mut self, key: impl Into<Arc<str>>) -> NewAction {
        self.idempotency_key = Some(key.into());
        self
    }

    /// What is asked for, in 16 bytes. Leaves out the uid (it is compared itself) and the
    /// correlation (a request that is repeated has a new one).
    #[must_use]
    pub fn digest(&self) -> Digest {
        // Each part is preceded by its length, and what is not there stands as a length that none
        // has, so that no two contents read alike. (A text of 4 GiB is refused by its limit.)
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
        Digest::from_uuid(Uuid::new_v5(&Uuid::nil(), &bytes))
    }

    /// Checks every limit.
    ///
    /// # Errors
    /// [`Invalid`] names the field that breaks one.
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

/// Checks what holds between fields that never change.
pub(crate) fn check_relations(
    source: Source,
    object: Option<&ObjectRef>,
    exclusive: &[Arc<str>],
    uid: ActionUid,
    relatives: [Option<ActionUid>; 2],
) -> Result<(), Invalid> {
    for (index, key) in exclusive.iter().enumerate() {
        if exclusive[..index].contains(key) {
            return Err(Invalid::new("exclusive", "a key stands there twice"));
        }
    }
    if source == Source::StateMachine && object.is_none() {
        let reason = "is missing: a state machine has one";
        return Err(Invalid::new("object", reason));
    }
    if relatives.contains(&Some(uid)) {
        let reason = "an action is not its own relative";
        return Err(Invalid::new("parent", reason));
    }
    Ok(())
}

/// Attributes are an object without doubled or reserved names.
pub(crate) fn check_attributes(attributes: &Json) -> Result<(), Invalid> {
    if !attributes.is_object() {
        return Err(Invalid::new("attributes", "must be a JSON object"));
    }
    let mut seen = HashSet::new();
    for member in attributes.raw_members() {
        let name = member.name();
        if RESERVED.contains(&&*name) {
            return Err(Invalid::new(
                "attributes",
                format!("{name:?} is a reserved name"),
            ));
        }
        if name == PENDING_OPS && !member.value.starts_with('{') {
            return Err(Invalid::new("attributes", "pending_ops must be an object"));
        }
        if !seen.insert(name) {
            return Err(Invalid::new("attributes", "a name stands there twice"));
        }
    }
    Ok(())
}

impl From<&Action> for NewAction {
    /// What an action was asked to be, as far as it has not been reported over since.
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
    use super::*;

    #[test]
    fn every_part_but_uid_and_correlation_is_in_the_digest() {
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
    fn a_reserved_or_doubled_attribute_is_refused() {
        let with = |text: &str| {
            NewAction::task("a")
                .with_attributes(Json::new(text).unwrap())
                .check()
        };
        assert!(with(r#"{"module_uid":"1","pending_ops":{}}"#).is_ok());
        for name in RESERVED {
            assert!(with(&format!("{{{name:?}:1}}")).is_err(), "{name}");
        }
        // The same name in another spelling is the same name.
        assert!(with(r#"{"n\u0061me":1}"#).is_err());
        assert!(with(r#"{"a":1,"\u0061":2}"#).is_err());
        assert!(with(r#"{"pending_ops":1}"#).is_err());
        assert!(with("[]").is_err());
    }

    #[test]
    fn what_is_to_be_exclusive_on_its_object_needs_one() {
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
