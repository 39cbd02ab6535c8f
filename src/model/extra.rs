//! Fields of a later version of this library, kept unchanged.

use std::fmt;
use std::sync::Arc;

/// Encoded fields of a record that this version does not know. They are written again with the
/// record. Empty for nearly all records.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Extra(Option<Arc<[u8]>>);

impl Extra {
    /// Keeps encoded fields. They must be complete and in ascending order of their tags.
    pub(super) fn new(fields: &[u8]) -> Extra {
        Extra((!fields.is_empty()).then(|| fields.into()))
    }

    /// Returns the encoded fields.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl fmt::Debug for Extra {
    /// Shows the size only: the unknown fields may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extra({} bytes)", self.as_bytes().len())
    }
}
