//! Fields one after the other: written in the order of their tags, read in the same order.

use super::bytes::{put_varint, take_bytes, take_varint};
use super::error::{Bad, CodecError, Newer};
use super::leaf::{Leaf, Value};
use crate::model::extra::Extra;

/// A tag above all others: there is no further field.
const END: u32 = u32::MAX;

/// Writes the fields of a record, and between them those of a later version.
#[derive(Debug)]
pub struct Writer<'o> {
    pub(super) out: &'o mut Vec<u8>,
    /// Fields of a later version that are still to be written.
    extra: &'o [u8],
    /// The tag of the first of them.
    extra_tag: u32,
}

/// Checks that bytes are complete fields. An incomplete last field would be lost without an error.
pub(super) fn check_fields(mut fields: &[u8]) -> Result<(), CodecError> {
    while !fields.is_empty() {
        let field = take_varint(fields).filter(|(tag, _)| *tag < END);
        let rest = field.and_then(|(_, rest)| take_bytes(rest));
        let (_, rest) = rest.ok_or_else(|| CodecError::damaged("a field goes beyond its end"))?;
        fields = rest;
    }
    Ok(())
}

fn first_tag(fields: &[u8]) -> u32 {
    take_varint(fields).map_or(END, |(tag, _)| tag)
}

impl<'o> Writer<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>, extra: &'o [u8]) -> Writer<'o> {
        let extra_tag = first_tag(extra);
        Writer {
            out,
            extra,
            extra_tag,
        }
    }

    #[inline]
    pub(super) fn put<L: Leaf>(&mut self, tag: u32, value: &L::Of) {
        if self.extra_tag < tag {
            self.put_extra(tag);
        }
        put_varint(self.out, tag as usize);
        L::put(value, self.out);
    }

    /// Writes the fields of a later version that come before a tag.
    #[cold]
    fn put_extra(&mut self, before: u32) {
        while self.extra_tag < before {
            let field = take_varint(self.extra).and_then(|(_, rest)| take_bytes(rest));
            let rest = field.map_or(&[][..], |(_, rest)| rest);
            let length = self.extra.len() - rest.len();
            let (field, rest) = self.extra.split_at(length);
            self.out.extend_from_slice(field);
            self.extra = rest;
            self.extra_tag = first_tag(rest);
        }
    }

    /// Writes the fields of a later version that come last.
    pub(super) fn finish(mut self) {
        if self.extra_tag != END {
            self.put_extra(END);
        }
    }
}

/// Where a record's fields are, as bits by their places in its list of fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    /// In columns.
    pub(super) held: u64,
    /// In columns or in the body; they are not needed.
    pub(super) skipped: u64,
}

/// Reads fields in the order of their tags, from columns and from the bytes between the frame and
/// the checksum.
#[derive(Debug)]
pub struct Reader<'a> {
    columns: std::slice::Iter<'a, Value<'a>>,
    places: Places,
    /// The bytes behind the current field.
    rest: &'a [u8],
    /// Tag of the current field.
    tag: u32,
    value: &'a [u8],
    /// The bytes from the current field on.
    at: &'a [u8],
    /// Fields of a later version.
    extra: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        columns: &'a [Value<'a>],
        places: Places,
        fields: &'a [u8],
    ) -> Result<Reader<'a>, CodecError> {
        let mut reader = Reader {
            columns: columns.iter(),
            places,
            rest: fields,
            tag: 0,
            value: &[],
            at: fields,
            extra: Vec::new(),
        };
        reader.advance()?;
        Ok(reader)
    }

    /// Goes on to the next field.
    #[inline]
    fn advance(&mut self) -> Result<(), CodecError> {
        self.at = self.rest;
        if self.rest.is_empty() {
            self.tag = END;
            return Ok(());
        }
        let field = take_varint(self.rest)
            .and_then(|(tag, rest)| take_bytes(rest).map(|(value, rest)| (tag, value, rest)));
        match field {
            Some((tag, value, rest)) if tag > self.tag && tag < END => {
                (self.tag, self.value, self.rest) = (tag, value, rest);
                Ok(())
            }
            Some(_) => Err(CodecError::damaged("its fields are not in order")),
            None => Err(CodecError::damaged("a field goes beyond its end")),
        }
    }

    /// Keeps the fields before a tag: no field of this version is among them.
    #[cold]
    fn keep(&mut self, before: u32) -> Result<(), CodecError> {
        while self.tag < before {
            if self.tag % 2 == 1 {
                return Err(CodecError::Incompatible(Newer::Field(self.tag)));
            }
            let length = self.at.len() - self.rest.len();
            self.extra
                .extend_from_slice(self.at.get(..length).unwrap_or_default());
            self.advance()?;
        }
        Ok(())
    }

    /// Reads a field that may be absent.
    #[inline]
    pub(super) fn find<L: Leaf>(
        &mut self,
        place: u32,
        tag: u32,
        name: &'static str,
    ) -> Result<Option<L::Of>, CodecError> {
        if self.tag < tag {
            self.keep(tag)?;
        }
        let (bit, here) = (1 << place, self.tag == tag);
        let skipped = self.places.skipped & bit != 0;
        let value = if self.places.held & bit != 0 {
            let column = self.columns.next();
            if here {
                return Err(twice(name));
            }
            match column {
                Some(Value::Null) => return Ok(None),
                Some(_) if skipped => return Ok(None),
                Some(value) => L::of(*value),
                None => return Err(columns_missing(name)),
            }
        } else if !here {
            return Ok(None);
        } else {
            let bytes = self.value;
            self.advance()?;
            if skipped {
                return Ok(None);
            }
            L::take(bytes)
        };
        value.map(Some).map_err(|bad: Bad| bad.of(name))
    }

    /// Reads a field that every record has.
    #[inline]
    pub(super) fn need<L: Leaf>(
        &mut self,
        place: u32,
        tag: u32,
        name: &'static str,
    ) -> Result<L::Of, CodecError> {
        match self.find::<L>(place, tag, name)? {
            Some(value) => Ok(value),
            None => Err(missing(name)),
        }
    }

    /// Reads a list, which is empty if it is absent.
    #[inline]
    pub(super) fn list<L: Leaf<Of: Default>>(
        &mut self,
        place: u32,
        tag: u32,
        name: &'static str,
    ) -> Result<L::Of, CodecError> {
        Ok(self.find::<L>(place, tag, name)?.unwrap_or_default())
    }

    /// Reads to the end, and returns the fields of a later version.
    pub(super) fn finish(mut self) -> Result<Extra, CodecError> {
        if self.tag != END {
            self.keep(END)?;
        }
        Ok(Extra::new(&self.extra))
    }
}

#[cold]
fn missing(name: &str) -> CodecError {
    CodecError::damaged(format!("{name} is missing"))
}

#[cold]
fn twice(name: &str) -> CodecError {
    CodecError::damaged(format!("{name} is in the body and in a column"))
}

#[cold]
fn columns_missing(name: &str) -> CodecError {
    CodecError::damaged(format!("the column {name} is missing"))
}
