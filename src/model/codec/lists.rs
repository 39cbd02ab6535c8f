//! Lists of texts.

use std::marker::PhantomData;
use std::sync::Arc;

use super::bytes::{put_bytes, put_varint, take_bytes};
use super::error::Bad;
use super::leaf::{Kind, Label, Leaf, Object, Value, other_kind};
use crate::model::labels::Labels;
use crate::model::limits::{Limits, at_most};
use crate::model::object::RelatedObject;

/// A list of texts of a kind.
pub(super) struct List<L, const MOST: usize>(PhantomData<L>);

impl<L: Leaf, const MOST: usize> Leaf for List<L, MOST> {
    type Of = Arc<[L::Of]>;
    const KIND: Kind = Kind::List;

    fn put(items: &Arc<[L::Of]>, out: &mut Vec<u8>) {
        let mut inside = Vec::with_capacity(64);
        items.iter().for_each(|item| L::put(item, &mut inside));
        put_bytes(out, &inside);
    }

    fn take(mut bytes: &[u8]) -> Result<Arc<[L::Of]>, Bad> {
        let mut items = Vec::new();
        while !bytes.is_empty() {
            let (item, rest) = take_bytes(bytes).ok_or_else(cut_list)?;
            at_most("", items.len() + 1, MOST)?;
            items.push(L::take(item)?);
            bytes = rest;
        }
        finished(items)
    }

    fn value(_: &Arc<[L::Of]>) -> Value<'_> {
        Value::Null
    }

    fn of(_: Value<'_>) -> Result<Arc<[L::Of]>, Bad> {
        Err(other_kind())
    }
}

fn cut_list() -> Bad {
    Bad::damaged("an item goes beyond the end of its list")
}

/// An empty list is an absent field; there is no second way to write it.
fn finished<T>(items: Vec<T>) -> Result<Arc<[T]>, Bad> {
    if items.is_empty() {
        Err(no_item())
    } else {
        Ok(items.into())
    }
}

fn no_item() -> Bad {
    Bad::damaged("is a list without an item")
}

/// Related objects: three texts each, the name empty if there is none.
pub(super) struct Related;

impl Leaf for Related {
    type Of = Arc<[RelatedObject]>;
    const KIND: Kind = Kind::List;

    fn put(items: &Arc<[RelatedObject]>, out: &mut Vec<u8>) {
        let mut inside = Vec::with_capacity(64);
        for related in items.iter() {
            put_bytes(&mut inside, related.role.as_bytes());
            put_bytes(&mut inside, related.object.as_str().as_bytes());
            match &related.name {
                Some(name) => put_bytes(&mut inside, name.as_bytes()),
                None => put_varint(&mut inside, 0),
            }
        }
        put_bytes(out, &inside);
    }

    fn take(mut bytes: &[u8]) -> Result<Arc<[RelatedObject]>, Bad> {
        let mut items = Vec::new();
        while !bytes.is_empty() {
            let (role, rest) = take_bytes(bytes).ok_or_else(cut_list)?;
            let (object, rest) = take_bytes(rest).ok_or_else(cut_list)?;
            let (name, rest) = take_bytes(rest).ok_or_else(cut_list)?;
            at_most("", items.len() + 1, Limits::RELATED)?;
            let mut related = RelatedObject::new(Label::take(role)?, Object::take(object)?);
            if !name.is_empty() {
                related.name = Some(Label::take(name)?);
            }
            items.push(related);
            bytes = rest;
        }
        finished(items)
    }

    fn value(_: &Arc<[RelatedObject]>) -> Value<'_> {
        Value::Null
    }

    fn of(_: Value<'_>) -> Result<Arc<[RelatedObject]>, Bad> {
        Err(other_kind())
    }
}

/// Labels: two texts each, in the order of the keys.
pub(super) struct LabelPairs;

impl Leaf for LabelPairs {
    type Of = Labels;
    const KIND: Kind = Kind::List;

    fn put(labels: &Labels, out: &mut Vec<u8>) {
        let mut inside = Vec::with_capacity(64);
        for (key, value) in labels.iter() {
            put_bytes(&mut inside, key.as_bytes());
            put_bytes(&mut inside, value.as_bytes());
        }
        put_bytes(out, &inside);
    }

    fn take(mut bytes: &[u8]) -> Result<Labels, Bad> {
        let mut pairs = Vec::new();
        while !bytes.is_empty() {
            let (key, rest) = take_bytes(bytes).ok_or_else(cut_list)?;
            let (value, rest) = take_bytes(rest).ok_or_else(cut_list)?;
            at_most("", pairs.len() + 1, Limits::LABELS)?;
            pairs.push((Label::take(key)?, Label::take(value)?));
            bytes = rest;
        }
        if pairs.is_empty() {
            return Err(no_item());
        }
        Ok(Labels::in_order(pairs)?)
    }

    fn value(_: &Labels) -> Value<'_> {
        Value::Null
    }

    fn of(_: Value<'_>) -> Result<Labels, Bad> {
        Err(other_kind())
    }
}
