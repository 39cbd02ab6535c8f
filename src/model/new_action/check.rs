//! The limits of an action to be recorded, and the rules between its fields.

use std::sync::Arc;

use super::NewAction;
use crate::model::attributes::check_attributes;
use crate::model::identity::ActionUid;
use crate::model::limits::{Invalid, Limits, at_most, label, label_opt, prose_opt};
use crate::model::object::ObjectRef;
use crate::model::words::Source;

impl NewAction {
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

#[cfg(test)]
mod tests {
    use super::*;

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
