//! The names that attributes may have.

use std::collections::HashSet;

use super::json::Json;
use super::limits::Invalid;

/// Field names of the documented wire shapes. An attribute with such a name would be mistaken for
/// the field, so it is refused. No shape has `bdb_uid`, but published clients expect a number under
/// that name.
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

/// The one wire field that is stored as an attribute: the pending operations of a state machine, an
/// object.
pub(crate) const PENDING_OPS: &str = "pending_ops";

/// Checks that attributes are an object without duplicate or reserved names.
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
            return Err(Invalid::new("attributes", "must not contain a name twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_or_duplicate_attribute_is_refused() {
        let with = |text: &str| check_attributes(&Json::new(text).unwrap());
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
}
