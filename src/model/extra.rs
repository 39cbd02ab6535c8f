//! Fields of a later version, kept as they came.

use std::fmt;
use std::sync::Arc;

/// The encoded fields of a record that this version does not know, so that they are written
/// again with it. Empty for nearly all records.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Extra(Option<Arc<[u8]>>);

impl Extra {
    /// Keeps encoded fields: whole ones, in ascending order of their tags.
    pub(super) fn new(fields: &[u8]) -> Extra {
        Extra((!fields.is_empty()).then(|| fields.into()))
    }

    /// The encoded fields.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl fmt::Debug for Extra {
    /// Shows the size only: this version cannot tell whether the fields are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extra({} bytes)", self.as_bytes().len())
    }
}
