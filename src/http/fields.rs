//! Fields that several shapes have.

use std::borrow::Cow;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::model::{Action, ActionUid, Json, PENDING_OPS};

/// A uid, written as text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Uid(pub(super) ActionUid);

impl Serialize for Uid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 36];
        let hyphenated = self.0.as_uuid().hyphenated();
        serializer.serialize_str(hyphenated.encode_lower(&mut text))
    }
}

/// How far a state machine has come, in percent.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(super) enum Percent {
    Whole(u8),
    /// Of whole hundredths, so it is written with at least one and at most two decimals.
    Decimal(f64),
}

/// What is still to be done: an object, written as the text it was recorded as.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PendingOps<'a>(Option<&'a RawValue>);

impl Serialize for PendingOps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(text) => text.serialize(serializer),
            None => serializer.serialize_map(Some(0))?.end(),
        }
    }
}

/// An attribute as a string: a string as the text it was recorded as, anything else as JSON text in
/// a string.
#[derive(Debug, Clone, Copy)]
pub(super) struct AsText<'a>(pub(super) &'a RawValue);

impl Serialize for AsText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.get() {
            text if text.starts_with('"') => self.0.serialize(serializer),
            other => serializer.serialize_str(other),
        }
    }
}

/// The attributes of an action, each value as JSON text.
pub(super) fn members(action: &Action) -> Vec<(Cow<'_, str>, &RawValue)> {
    let attributes = action.attributes.as_ref();
    attributes.map(Json::raw_members).unwrap_or_default()
}

/// What an action carries as an attribute of that name, if that is an object.
pub(super) fn pending_ops(action: &Action) -> Option<PendingOps<'_>> {
    let mut members = members(action).into_iter();
    let (_, value) = members.find(|(name, _)| name == PENDING_OPS)?;
    let is_object = value.get().starts_with('{');
    is_object.then_some(PendingOps(Some(value)))
}
