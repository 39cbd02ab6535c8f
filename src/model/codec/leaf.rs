//! The kinds of values a field can have, as bytes and as columns, and their checks.

use std::marker::PhantomData;
use std::sync::Arc;

use uuid::Uuid;

use super::bytes::{put_bytes, put_number, take_number, unzigzag, zigzag};
use super::error::Bad;
use crate::model::identity::{ActionUid, Digest, OpId, Version};
use crate::model::json::Json;
use crate::model::limits::{Limits, label, prose};
use crate::model::log_entry::LogEntryKind;
use crate::model::object::ObjectRef;
use crate::model::owner::{Incarnation, OwnerState};
use crate::model::progress::Progress;
use crate::model::time::Timestamp;
use crate::model::words::{Outcome, OwnerEnd, Source, Status};

/// Kind of a field. It decides the encoding and the type of the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A whole number from 0 to 2^63-1. A word is stored as the number of its code.
    Unsigned,
    /// A whole number with a sign: microseconds since the Unix epoch.
    Signed,
    /// UTF-8.
    Text,
    /// 16 bytes.
    Id,
    /// A list of texts. It is always stored in the body, never in a column.
    List,
}

/// The value of a field, as a column holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// The field is absent.
    Null,
    /// A value of kind [`Unsigned`](Kind::Unsigned) or [`Signed`](Kind::Signed).
    Int(i64),
    /// A value of kind [`Text`](Kind::Text).
    Text(&'a str),
    /// A value of kind [`Id`](Kind::Id).
    Id(Uuid),
}

impl Value<'_> {
    /// Appends the value with its length, as a body has it. `None` if it is absent or
    /// of another kind.
    pub(super) fn put(&self, kind: Kind, out: &mut Vec<u8>) -> Option<()> {
        match (*self, kind) {
            (Value::Int(number), Kind::Unsigned) => {
                put_number(out, u64::try_from(number).ok()?);
            }
            (Value::Int(number), Kind::Signed) => put_number(out, zigzag(number)),
            (Value::Text(text), Kind::Text) => put_bytes(out, text.as_bytes()),
            (Value::Id(id), Kind::Id) => put_bytes(out, id.as_bytes()),
            _ => return None,
        }
        Some(())
    }
}

/// A kind of value with its checks. Implemented by marker types, several for the same Rust type.
pub(super) trait Leaf {
    /// The type of the value.
    type Of;
    const KIND: Kind;
    /// Appends the value with its length.
    fn put(value: &Self::Of, out: &mut Vec<u8>);
    /// Reads the value from the bytes behind its length.
    fn take(bytes: &[u8]) -> Result<Self::Of, Bad>;
    /// The value as a column holds it; null for a list.
    fn value(value: &Self::Of) -> Value<'_>;
    /// Reads the value from its column.
    fn of(value: Value<'_>) -> Result<Self::Of, Bad>;
}

#[cold]
pub(super) fn other_kind() -> Bad {
    Bad::damaged("its column has a value of another type")
}

/// A leaf that is an unsigned whole number: the conversions between the value and the number.
macro_rules! number {
    ({$($T:ident: $Bound:ident)?} $Leaf:ty, $Of:ty, $to:expr, $from:expr) => {
        impl<$($T: $Bound)?> Leaf for $Leaf {
            type Of = $Of;
            const KIND: Kind = Kind::Unsigned;
            #[inline]
            fn put(value: &$Of, out: &mut Vec<u8>) {
                let number: u64 = $to(value);
                // A column holds no more.
                put_number(out, number.min(i64::MAX as u64));
            }
            #[inline]
            fn take(bytes: &[u8]) -> Result<$Of, Bad> {
                $from(take_number(bytes)?)
            }
            #[inline]
            fn value(value: &$Of) -> Value<'_> {
                Value::Int(i64::try_from($to(value)).unwrap_or(i64::MAX))
            }
            #[inline]
            fn of(value: Value<'_>) -> Result<$Of, Bad> {
                let Value::Int(number) = value else {
                    return Err(other_kind());
                };
                $from(u64::try_from(number).map_err(|_| other_kind())?)
            }
        }
    };
}

/// The code of a word.
pub(super) struct Word<T>(PhantomData<T>);

/// A type with a fixed set of values, each with a code.
pub(super) trait Coded: Sized + Copy {
    fn to_code(self) -> u8;
    fn of_code(code: u8) -> Option<Self>;
}

macro_rules! coded {
    ($($Type:ty),+) => { $(
        impl Coded for $Type {
            #[inline]
            fn to_code(self) -> u8 {
                self.code()
            }
            #[inline]
            fn of_code(code: u8) -> Option<$Type> {
                <$Type>::from_code(code)
            }
        }
    )+ };
}
coded!(Status, Outcome, Source, OwnerEnd, OwnerState, LogEntryKind);

number!({T: Coded} Word<T>, T, |word: &T| u64::from(word.to_code()), |code: u64| {
    let word = u8::try_from(code).ok().and_then(T::of_code);
    word.ok_or(Bad::Word(code))
});

/// Hundredths of a percent.
pub(super) struct Hundredths;
number!({} Hundredths,
    Progress,
    |progress: &Progress| u64::from(progress.hundredths()),
    |number: u64| {
        let hundredths = u16::try_from(number).map_err(|_| Bad::damaged("is above 100 percent"));
        Ok(Progress::from_hundredths(hundredths?)?)
    }
);

/// A version.
pub(super) struct VersionNumber;
number!({} VersionNumber,
    Version,
    |version: &Version| version.get(),
    |number: u64| {
        Version::new(number).map_err(|_| Bad::damaged("is not between 1 and 2^63-1"))
    }
);

/// A count of at most 32 bits.
pub(super) struct Count;
number!({} Count,
    u32,
    |count: &u32| u64::from(*count),
    |number: u64| { u32::try_from(number).map_err(|_| Bad::damaged("is above 2^32-1")) }
);

/// A count of at most 63 bits.
pub(super) struct LongCount;
number!({} LongCount, u64, |count: &u64| *count, |number: u64| {
    match i64::try_from(number) {
        Ok(_) => Ok(number),
        Err(_) => Err(Bad::damaged("is above 2^63-1")),
    }
});

/// Microseconds since the Unix epoch.
pub(super) struct Micros;

impl Leaf for Micros {
    type Of = Timestamp;
    const KIND: Kind = Kind::Signed;
    #[inline]
    fn put(time: &Timestamp, out: &mut Vec<u8>) {
        put_number(out, zigzag(time.as_micros()));
    }
    #[inline]
    fn take(bytes: &[u8]) -> Result<Timestamp, Bad> {
        Ok(Timestamp::from_micros(unzigzag(take_number(bytes)?)))
    }
    #[inline]
    fn value(time: &Timestamp) -> Value<'_> {
        Value::Int(time.as_micros())
    }
    #[inline]
    fn of(value: Value<'_>) -> Result<Timestamp, Bad> {
        match value {
            Value::Int(micros) => Ok(Timestamp::from_micros(micros)),
            _ => Err(other_kind()),
        }
    }
}

/// The 16 bytes of a UUID.
pub(super) struct Id<T>(PhantomData<T>);

/// A type that wraps a UUID.
pub(super) trait Wrapped {
    fn bare(&self) -> &Uuid;
    fn wrap(uuid: Uuid) -> Self;
}

macro_rules! wrapped {
    ($($Type:ty),+) => { $(
        impl Wrapped for $Type {
            #[inline]
            fn bare(&self) -> &Uuid {
                self.as_uuid()
            }
            #[inline]
            fn wrap(uuid: Uuid) -> $Type {
                <$Type>::from_uuid(uuid)
            }
        }
    )+ };
}
wrapped!(ActionUid, OpId, Digest, Incarnation);

impl<T: Wrapped> Leaf for Id<T> {
    type Of = T;
    const KIND: Kind = Kind::Id;
    #[inline]
    fn put(id: &T, out: &mut Vec<u8>) {
        let mut buffer = [16; 17];
        buffer[1..].copy_from_slice(id.bare().as_bytes());
        out.extend_from_slice(&buffer);
    }
    #[inline]
    fn take(bytes: &[u8]) -> Result<T, Bad> {
        let bytes = bytes.try_into();
        let bytes = bytes.map_err(|_| Bad::damaged("does not have 16 bytes"))?;
        Ok(T::wrap(Uuid::from_bytes(bytes)))
    }
    #[inline]
    fn value(id: &T) -> Value<'_> {
        Value::Id(*id.bare())
    }
    #[inline]
    fn of(value: Value<'_>) -> Result<T, Bad> {
        match value {
            Value::Id(uuid) => Ok(T::wrap(uuid)),
            _ => Err(other_kind()),
        }
    }
}

/// Refuses a text that is not a label. The common case is one pass without a branch.
#[inline]
fn checked_label(text: &str) -> Result<&str, Bad> {
    let plain = |all, byte: &u8| all & (*byte >= b' ') & (*byte < 0x7f);
    let plain = text.as_bytes().iter().fold(true, plain);
    if !plain || text.is_empty() || text.len() > Limits::LABEL {
        label("", text)?;
    }
    Ok(text)
}

fn checked_json(text: &str) -> Result<&str, Bad> {
    match text.len() {
        1..=Limits::JSON => Ok(text),
        length => Err(Bad::damaged(format!("has {length} bytes"))),
    }
}

/// A leaf that is a text: its check, and the conversions between the text and the value.
macro_rules! text {
    ($(#[$meta:meta])* $Leaf:ident, $Of:ty, $as_str:expr, $check:expr, $from:expr) => {
        $(#[$meta])*
        pub(super) struct $Leaf;

        impl Leaf for $Leaf {
            type Of = $Of;
            const KIND: Kind = Kind::Text;
            #[inline]
            fn put(value: &$Of, out: &mut Vec<u8>) {
                let text: &str = $as_str(value);
                put_bytes(out, text.as_bytes());
            }
            #[inline]
            fn take(bytes: &[u8]) -> Result<$Of, Bad> {
                let text = std::str::from_utf8(bytes);
                $Leaf::of(Value::Text(text.map_err(|_| Bad::damaged("is not UTF-8"))?))
            }
            #[inline]
            fn value(value: &$Of) -> Value<'_> {
                Value::Text($as_str(value))
            }
            #[inline]
            fn of(value: Value<'_>) -> Result<$Of, Bad> {
                let Value::Text(text) = value else {
                    return Err(other_kind());
                };
                let check: fn(&str) -> Result<&str, Bad> = $check;
                $from(Arc::<str>::from(check(text)?))
            }
        }
    };
}

text! {
    /// A label: see [`Limits::LABEL`].
    Label, Arc<str>, |text| text, checked_label, Ok
}
text! {
    /// Prose: see [`Limits::TEXT`].
    Prose, Arc<str>, |text| text, |text| Ok(prose("", text).map(|()| text)?), Ok
}
text! {
    /// The written form of an object.
    Object, ObjectRef, ObjectRef::as_str, |text| Ok(text), |text| Ok(ObjectRef::try_from(text)?)
}
text! {
    /// A JSON text. It was checked before it was encoded, and the checksum proves it is unchanged.
    JsonText, Json, Json::as_str, checked_json, |text| Ok(Json::from_stored(text))
}
text! {
    /// A JSON text that is an object, checked like [`JsonText`].
    JsonObject, Json, Json::as_str, checked_json, |text| {
        let json = Json::from_stored(text);
        if json.is_object() {
            Ok(json)
        } else {
            Err(Bad::damaged("is no JSON object"))
        }
    }
}
