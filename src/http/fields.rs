//! Fields that several shapes have.

use super::text::Text;
use crate::model::{Action, ActionUid, PENDING_OPS};

/// A uid, written as text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Uid(pub(super) ActionUid);

/// What is still to be done: an object, written as the text it was recorded as.
#[derive(Debug, Clone, Copy)]
pub(super) struct PendingOps<'a>(&'a str);

impl PendingOps<'_> {
    pub(super) const NONE: PendingOps<'static> = PendingOps("{}");

    pub(super) fn write(to: &mut Text, pending: PendingOps<'_>) {
        to.json(pending.0);
    }
}

/// What an action carries as an attribute of that name, if that is an object.
pub(super) fn pending_ops(action: &Action) -> Option<PendingOps<'_>> {
    let mut members = action.attributes.as_ref()?.raw_members();
    let pending = members.find(|member| member.name() == PENDING_OPS)?;
    let is_object = pending.value.starts_with('{');
    is_object.then_some(PendingOps(pending.value))
}
