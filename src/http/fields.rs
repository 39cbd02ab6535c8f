//! Fields that several shapes share.

use super::json_writer::JsonWriter;
use crate::model::{Action, ActionUid, PENDING_OPS};

/// A uid, written as text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Uid(pub(super) ActionUid);

/// The remaining operations: a JSON object, written exactly as recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct PendingOps<'a>(&'a str);

impl PendingOps<'_> {
    pub(super) const NONE: PendingOps<'static> = PendingOps("{}");

    pub(super) fn write(to: &mut JsonWriter, pending: PendingOps<'_>) {
        to.json(pending.0);
    }
}

/// Returns the attribute `pending_ops` if it is an object.
pub(super) fn pending_ops(action: &Action) -> Option<PendingOps<'_>> {
    let mut members = action.attributes.as_ref()?.raw_members();
    let pending = members.find(|member| member.name() == PENDING_OPS)?;
    let is_object = pending.value.starts_with('{');
    is_object.then_some(PendingOps(pending.value))
}
