//! The name and the password of a request.

use axum::http::header;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConstantTimeEq as _};

use crate::model::Limits;

/// `user:password`, padded: a comparison takes the same time for all contents.
#[derive(Clone)]
pub(super) struct Credentials {
    bytes: [u8; Credentials::MOST],
    len: u64,
}

impl Credentials {
    /// Two labels and a colon.
    const MOST: usize = 2 * Limits::LABEL + 1;

    pub(super) fn new(text: &[u8]) -> Option<Credentials> {
        let mut bytes = [0; Credentials::MOST];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        let len = u64::try_from(text.len()).ok()?;
        Some(Credentials { bytes, len })
    }

    /// The credentials of the request's `Authorization` header, if there is one and it is `Basic`.
    pub(super) fn given(parts: &Parts) -> Option<Credentials> {
        let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
        let header = headers.next()?;
        if headers.next().is_some() {
            return None;
        }
        let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
        // A token longer than any credentials is not decoded.
        if !scheme.eq_ignore_ascii_case("Basic") || token.len() > Credentials::MOST * 2 {
            return None;
        }
        Credentials::new(&STANDARD.decode(token.trim()).ok()?)
    }

    pub(super) fn ct_eq(&self, other: &Credentials) -> Choice {
        self.bytes.ct_eq(&other.bytes) & self.len.ct_eq(&other.len)
    }

    /// `user:password` without the padding.
    pub(super) fn bytes(&self) -> &[u8] {
        let len = usize::try_from(self.len).unwrap_or(Credentials::MOST);
        self.bytes.get(..len).unwrap_or(&self.bytes)
    }

    /// Name and password. A name contains no colon.
    pub(super) fn parts(&self) -> Option<(&str, &str)> {
        std::str::from_utf8(self.bytes()).ok()?.split_once(':')
    }
}
