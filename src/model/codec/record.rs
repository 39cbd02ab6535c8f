//! Records, their fields, and sets of fields.

use std::fmt;
use std::marker::PhantomData;

use super::error::CodecError;
use super::leaf::{Kind, Value};
use super::wire::{Reader, Writer};
use crate::model::extra::Extra;

/// A field of a record.
///
/// The tag and the kind of a field never change. The tag of a removed field is never used again.
pub trait Field: Copy + Eq + fmt::Debug + Send + Sync + 'static {
    /// All fields, in ascending order of their tags.
    const ALL: &'static [Self];
    /// The tag before the field's value.
    fn tag(self) -> u32;
    /// The name, which is also the name of the field's column.
    fn name(self) -> &'static str;
    /// Kind of the field, which decides the encoding.
    fn kind(self) -> Kind;
    /// Returns true if every record has the field.
    fn is_required(self) -> bool;
    /// Index of the field in [`ALL`](Field::ALL).
    #[doc(hidden)]
    fn place(self) -> u32;
}

/// A type that can be encoded: [`Action`](crate::Action), [`LogEntry`](crate::LogEntry),
/// [`Owner`](crate::owner::Owner).
pub trait Record: sealed::Parts + Sized {
    /// The type of its fields.
    type Field: Field;

    /// Returns the value of a field for a column. Null if the field is absent or a list.
    fn value(&self, field: Self::Field) -> Value<'_>;
}

pub(super) mod sealed {
    use super::{CodecError, Extra, Reader, Writer};

    /// Methods that only this module implements and calls.
    pub trait Parts {
        /// The second byte of its encoding.
        const FORM: u8;
        /// Writes the fields that have a bit in `places`.
        fn write(&self, places: u64, writer: &mut Writer<'_>);
        /// Reads all fields.
        fn read(reader: Reader<'_>) -> Result<Self, CodecError>
        where
            Self: Sized;
        /// The fields of a later version.
        fn extra(&self) -> &Extra;
    }
}

/// A set of a record's fields.
pub struct FieldSet<R> {
    pub(super) bits: u64,
    record: PhantomData<fn() -> R>,
}

impl<R: Record> FieldSet<R> {
    /// No field.
    pub const EMPTY: FieldSet<R> = FieldSet::of_bits(0);

    pub(super) const fn of_bits(bits: u64) -> FieldSet<R> {
        FieldSet {
            bits,
            record: PhantomData,
        }
    }

    /// Returns true if a field is in the set.
    #[must_use]
    pub fn contains(self, field: R::Field) -> bool {
        self.bits & (1 << field.place()) != 0
    }

    /// The fields, in ascending order of their tags. A store makes its list of columns from this.
    pub fn iter(self) -> impl Iterator<Item = R::Field> + Clone {
        let fields = R::Field::ALL.iter().copied();
        fields.filter(move |field| self.contains(*field))
    }

    /// The number of fields.
    #[must_use]
    pub const fn len(self) -> usize {
        self.bits.count_ones() as usize
    }

    /// Returns true if the set has no field.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }
}

impl<R> Clone for FieldSet<R> {
    fn clone(&self) -> FieldSet<R> {
        *self
    }
}

impl<R> Copy for FieldSet<R> {}

impl<R> PartialEq for FieldSet<R> {
    fn eq(&self, other: &FieldSet<R>) -> bool {
        self.bits == other.bits
    }
}

impl<R> Eq for FieldSet<R> {}

impl<R: Record> fmt::Debug for FieldSet<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Defines the fields of a record, each once: its place in the encoding, its kind, and where its
/// value is found. Everything else follows from these lines: the enum of the fields, writing,
/// reading, and the values of columns. Reading fills a struct of leaves, one for each line; the
/// record is assembled from these.
///
/// `need` is for fields that every record has, `find` for those that may be absent, `list` for
/// lists, which are absent when they are empty.
macro_rules! record {
    (
        $(#[$meta:meta])*
        $Field:ident of $Record:ident, form $form:literal, leaves $Leaves:ident, |$record:ident|
        $($Name:ident $name:ident $tag:literal $need:ident $Leaf:ty = $get:expr;)+
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $Field {
            $(#[doc = concat!("Field `", stringify!($name), "`, tag ", $tag, ".")] $Name,)+
        }

        impl Field for $Field {
            const ALL: &'static [$Field] = &[$($Field::$Name,)+];

            fn tag(self) -> u32 {
                match self { $($Field::$Name => $tag,)+ }
            }

            fn name(self) -> &'static str {
                match self { $($Field::$Name => stringify!($name),)+ }
            }

            fn kind(self) -> Kind {
                match self { $($Field::$Name => <$Leaf as Leaf>::KIND,)+ }
            }

            fn is_required(self) -> bool {
                match self { $($Field::$Name => record!(@required $need),)+ }
            }

            fn place(self) -> u32 {
                self as u32
            }
        }

        impl FieldSet<$Record> {
            /// These fields. Lists are always stored in the body, so the set leaves them out.
            #[must_use]
            pub const fn of(fields: &[$Field]) -> FieldSet<$Record> {
                let (mut bits, mut index) = (0_u64, 0);
                while index < fields.len() {
                    bits |= 1 << fields[index] as u32;
                    index += 1;
                }
                $(if matches!(<$Leaf as Leaf>::KIND, Kind::List) {
                    bits &= !(1 << $Field::$Name as u32);
                })+
                FieldSet::of_bits(bits)
            }
        }

        // Bits of a `u64`, and tags in ascending order.
        const _: () = {
            let tags = [$($tag,)+];
            assert!(tags.len() <= 64);
            let mut index = 1;
            while index < tags.len() {
                assert!(tags[index - 1] < tags[index]);
                index += 1;
            }
        };

        /// The values that were read, one for each field.
        struct $Leaves {
            $($name: record!(@type $need $Leaf),)+
        }

        impl $Leaves {
            #[inline]
            fn read(reader: &mut Reader<'_>) -> Result<$Leaves, CodecError> {
                Ok($Leaves {
                    $($name: reader.$need::<$Leaf>($Field::$Name as u32, $tag, stringify!($name))?,)+
                })
            }
        }

        impl Record for $Record {
            type Field = $Field;

            fn value(&self, field: $Field) -> Value<'_> {
                let $record = self;
                match field {
                    $($Field::$Name => match record!(@get $need $get) {
                        Some(value) => <$Leaf as Leaf>::value(value),
                        None => Value::Null,
                    },)+
                }
            }
        }

        impl sealed::Parts for $Record {
            const FORM: u8 = $form;

            #[inline]
            fn write(&self, places: u64, writer: &mut Writer<'_>) {
                let $record = self;
                $(if places & (1 << $Field::$Name as u32) != 0
                    && let Some(value) = record!(@get $need $get)
                {
                    writer.put::<$Leaf>($tag, value);
                })+
            }

            fn read(mut reader: Reader<'_>) -> Result<$Record, CodecError> {
                let leaves = $Leaves::read(&mut reader)?;
                leaves.assemble(reader.finish()?)
            }

            fn extra(&self) -> &Extra {
                &self.extra
            }
        }
    };
    (@required need) => { true };
    (@required $need:ident) => { false };
    (@type need $Leaf:ty) => { <$Leaf as Leaf>::Of };
    (@type list $Leaf:ty) => { <$Leaf as Leaf>::Of };
    (@type find $Leaf:ty) => { Option<<$Leaf as Leaf>::Of> };
    (@get need $get:expr) => { Some(&$get) };
    (@get list $get:expr) => { Some(&$get).filter(|list| !list.is_empty()) };
    (@get find $get:expr) => { $get };
}
pub(super) use record;
