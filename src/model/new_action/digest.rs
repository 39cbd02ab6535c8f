//! The digest of an action to be recorded, by which a repeated create is recognised.

use uuid::Uuid;

use super::NewAction;
use crate::model::identity::Digest;
use crate::model::json::Json;
use crate::model::object::ObjectRef;

impl NewAction {
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
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::model::{ActionUid, RelatedObject, Source};

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
}
