//! Objects that an action works on or touches.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::limits::{Invalid, Limits, at_most, label};

/// Reference to an object that an action works on: the cluster, a node, a database, or a kind of
/// object that the host defines.
///
/// The written form is `kind:id`, such as `bdb:1`, `node:2` or `fleet:eu/7`. The cluster is written
/// `cluster`, without an id. The kind must not contain a colon; the id may. The maximum length is
/// [`Limits::LABEL`] bytes in total.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Arc<str>", into = "Arc<str>")]
pub struct ObjectRef(Arc<str>);

impl ObjectRef {
    /// The only kind that has no id.
    const CLUSTER: &'static str = "cluster";

    /// Creates a reference from a kind and an id.
    ///
    /// # Errors
    /// Returns [`Invalid`] if a part is empty, if the kind contains a colon, if there is a control
    /// character, or if the total is longer than 255 bytes. The kind `cluster` is refused, too; see
    /// [`ObjectRef::cluster`].
    pub fn new(kind: &str, id: &str) -> Result<ObjectRef, Invalid> {
        if kind.contains(':') {
            return Err(Invalid::new("object", "the kind must not contain a colon"));
        }
        format!("{kind}:{id}").parse()
    }

    /// Returns the reference to the cluster.
    #[must_use]
    pub fn cluster() -> ObjectRef {
        ObjectRef(ObjectRef::CLUSTER.into())
    }

    /// Returns the reference to node `uid`.
    #[must_use]
    pub fn node(uid: u64) -> ObjectRef {
        ObjectRef(format!("node:{uid}").into())
    }

    /// Returns the reference to database `uid`.
    #[must_use]
    pub fn bdb(uid: u64) -> ObjectRef {
        ObjectRef(format!("bdb:{uid}").into())
    }

    /// Returns the kind: `cluster`, `node`, `bdb`, or a kind of the host.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.parts().0
    }

    /// Returns the id; `None` for the cluster.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.parts().1
    }

    /// Returns the kind and the id.
    pub(crate) fn parts(&self) -> (&str, Option<&str>) {
        // Kinds are short, so a plain loop is faster than a search made for long texts.
        let colon = self.0.bytes().position(|byte| byte == b':');
        match colon.and_then(|at| self.0.split_at_checked(at)) {
            Some((kind, rest)) => (kind, rest.get(1..)),
            None => (&self.0, None),
        }
    }

    /// Returns the written form, such as `bdb:1` or `cluster`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<Arc<str>> for ObjectRef {
    type Error = Invalid;

    fn try_from(text: Arc<str>) -> Result<ObjectRef, Invalid> {
        label("object", &text)?;
        match text.split_once(':') {
            Some((ObjectRef::CLUSTER, _)) => Err(Invalid::new(
                "object",
                "the kind cluster is reserved for the cluster itself, which is written without an id",
            )),
            Some((kind, id)) if kind.is_empty() || id.is_empty() => {
                Err(Invalid::new("object", "kind and id must not be empty"))
            }
            None if &*text != ObjectRef::CLUSTER => Err(Invalid::new(
                "object",
                "must be written kind:id, or cluster for the cluster",
            )),
            _ => Ok(ObjectRef(text)),
        }
    }
}

impl From<ObjectRef> for Arc<str> {
    fn from(object: ObjectRef) -> Arc<str> {
        object.0
    }
}

impl FromStr for ObjectRef {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<ObjectRef, Invalid> {
        // Checked before the copy: the text may come from a request.
        if text.len() > Limits::LABEL {
            label("object", text)?;
        }
        ObjectRef::try_from(Arc::<str>::from(text))
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectRef({})", self.0)
    }
}

/// A set of objects for queries about several objects at once. Clones share the content.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ObjectSet(Arc<[ObjectRef]>);

impl ObjectSet {
    /// Creates a set. Order and duplicates do not matter. A query accepts at most
    /// [`Limits::OBJECTS`] objects. An empty set matches nothing.
    #[must_use]
    pub fn new(objects: impl IntoIterator<Item = ObjectRef>) -> ObjectSet {
        let mut objects: Vec<ObjectRef> = objects.into_iter().collect();
        objects.sort_unstable();
        objects.dedup();
        ObjectSet(objects.into())
    }

    /// Returns true if the set contains `object`.
    #[must_use]
    pub fn contains(&self, object: &ObjectRef) -> bool {
        self.0.binary_search(object).is_ok()
    }

    /// Returns the objects, sorted by their written forms.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &ObjectRef> {
        self.0.iter()
    }

    /// Returns the number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        at_most("objects", self.len(), Limits::OBJECTS)
    }
}

impl fmt::Debug for ObjectSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&*self.0).finish()
    }
}

/// Another object that an action touches, with its role and its name at that time. The object may
/// no longer exist when the action is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RelatedObject {
    /// Role of the object: `source`, `destination`, `created`. A [label](Limits::LABEL).
    pub role: Arc<str>,
    /// The object.
    pub object: ObjectRef,
    /// Name of the object at that time, if it has a name besides its id. A [label](Limits::LABEL).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
}

impl RelatedObject {
    /// Creates a related object with a role.
    #[must_use]
    pub fn new(role: impl Into<Arc<str>>, object: ObjectRef) -> RelatedObject {
        RelatedObject {
            role: role.into(),
            object,
            name: None,
        }
    }

    /// Sets the name that the object has now.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> RelatedObject {
        self.name = Some(name.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_form_round_trips() {
        for text in ["bdb:1", "node:2", "cluster", "fleet:eu/7:b"] {
            assert_eq!(text.parse::<ObjectRef>().unwrap().as_str(), text);
        }
        let object: ObjectRef = "fleet:eu/7:b".parse().unwrap();
        assert_eq!((object.kind(), object.id()), ("fleet", Some("eu/7:b")));
        assert_eq!(ObjectRef::cluster().id(), None);
        assert_eq!(ObjectRef::new("bdb", "1").unwrap(), ObjectRef::bdb(1));
    }

    #[test]
    fn a_set_has_no_duplicates() {
        let set = ObjectSet::new([3, 1, 2, 1, 10].map(ObjectRef::bdb));
        assert_eq!(set.len(), 4);
        assert!(
            [1, 2, 3, 10]
                .map(ObjectRef::bdb)
                .iter()
                .all(|o| set.contains(o))
        );
        assert!(!set.contains(&ObjectRef::bdb(4)) && !set.contains(&ObjectRef::node(1)));
        assert_eq!(set, ObjectSet::new([10, 2, 3, 1].map(ObjectRef::bdb)));
        let many = |count| ObjectSet::new((0..count).map(ObjectRef::bdb)).check();
        assert!(many(Limits::OBJECTS as u64).is_ok());
        assert!(many(Limits::OBJECTS as u64 + 1).is_err());
    }

    #[test]
    fn an_invalid_written_form_is_refused() {
        let long = format!("bdb:{}", "1".repeat(252));
        for bad in [
            "",
            "bdb",
            "bdb:",
            ":1",
            "cluster:1",
            "a\n:1",
            "bdb:\0",
            &long,
        ] {
            assert!(bad.parse::<ObjectRef>().is_err(), "{bad:?}");
        }
        assert!(ObjectRef::new("a:b", "1").is_err());
        let reserved = ObjectRef::new("cluster", "eu").unwrap_err();
        assert!(reserved.to_string().contains("reserved"), "{reserved}");
    }
}
