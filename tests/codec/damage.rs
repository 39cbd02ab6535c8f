//! Damage is an error, never another value and never a panic.

use std::fmt::Debug;

use action_store::action::LogEntryKind;
use action_store::owner::Owner;
use action_store::spi::codec::{self, CodecError, FieldSet, Layout, OwnerField, Record, Value};
use action_store::{Action, LogEntry};

use crate::{by_hand, samples};

/// Decodes a body, and compares the record with the one it was made from.
type Decode = Box<dyn Fn(&[u8]) -> Result<(), CodecError>>;

/// The layouts that damage is tried on, and all samples in them.
fn bodies() -> Vec<(Vec<u8>, Decode)> {
    fn all<R>(layout: Layout<R>, records: Vec<(&'static str, R)>, out: &mut Vec<(Vec<u8>, Decode)>)
    where
        R: Record + PartialEq + Debug + 'static,
    {
        for (name, record) in records {
            let mut body = Vec::new();
            layout.encode(&record, &mut body).unwrap();
            out.push((
                body,
                Box::new(move |body| {
                    let values: Vec<Value<'_>> = layout.values(&record).collect();
                    let decoded = layout.decode(&values, body)?;
                    assert_eq!(decoded, record, "{name}: another value was read");
                    Ok(())
                }),
            ));
        }
    }
    let mut bodies = Vec::new();
    all(Layout::WHOLE, samples::actions(), &mut bodies);
    all(samples::COLUMNS, samples::actions(), &mut bodies);
    all(Layout::WHOLE, samples::entries(), &mut bodies);
    all(Layout::WHOLE, samples::owners(), &mut bodies);
    bodies
}

fn is_damaged(result: &Result<(), CodecError>) -> bool {
    matches!(result, Err(CodecError::Damaged(_)))
}

#[test]
fn every_changed_byte_is_found() {
    for (body, decode) in bodies() {
        assert_eq!(decode(&body), Ok(()));
        for at in 0..body.len() {
            let flips = (0..8).map(|bit| 1 << bit).chain([0xff, body[at]]);
            for flip in flips.filter(|flip| *flip != 0) {
                let mut damaged = body.clone();
                damaged[at] ^= flip;
                assert!(is_damaged(&decode(&damaged)), "byte {at}, flip {flip:#x}");
            }
        }
    }
}

#[test]
fn every_truncation_and_every_zeroed_stretch_is_found() {
    for (body, decode) in bodies() {
        for end in 0..body.len() {
            assert!(is_damaged(&decode(&body[..end])), "cut to {end}");
            assert!(is_damaged(&decode(&body[end + 1..])), "begins at {end}");
        }
        let lengths = [2, 4, 8, 16, 64, 512, body.len()];
        for length in lengths.into_iter().filter(|length| *length <= body.len()) {
            for at in 0..=body.len() - length {
                for filler in [0, 0xff] {
                    let mut damaged = body.clone();
                    damaged[at..at + length].fill(filler);
                    if damaged != body {
                        assert!(is_damaged(&decode(&damaged)), "{length} at {at}");
                    }
                }
            }
        }
        let mut longer = body.clone();
        longer.push(0);
        assert!(is_damaged(&decode(&longer)));
        assert!(is_damaged(&decode(&[body.as_slice(), &body].concat())));
    }
    let long = vec![1; codec::LONGEST + 1];
    assert!(matches!(
        codec::decode::<Action>(&long),
        Err(CodecError::Damaged(_))
    ));
}

#[test]
fn records_that_were_swapped_are_not_read_as_each_other() {
    const KEY: Layout<Owner> = Layout::without(FieldSet::<Owner>::of(&[
        OwnerField::Name,
        OwnerField::Incarnation,
    ]));
    let actions = samples::actions();
    let bodies = actions.iter().map(|(_, action)| {
        let mut body = Vec::new();
        samples::COLUMNS.encode(action, &mut body).unwrap();
        body
    });
    let bodies: Vec<Vec<u8>> = bodies.collect();
    for (own, (_, action)) in actions.iter().enumerate() {
        let values: Vec<Value<'_>> = samples::COLUMNS.values(action).collect();
        for (other, body) in bodies.iter().enumerate() {
            let read = samples::COLUMNS.decode(&values, body);
            assert_eq!(read.is_ok(), own == other, "{own} and {other}");
        }
    }
    let (_, alive) = samples::owners().remove(0);
    let mut body = Vec::new();
    KEY.encode(&alive, &mut body).unwrap();
    let values: Vec<Value<'_>> = KEY.values(&alive).collect();
    assert_eq!(KEY.decode(&values, &body).as_ref(), Ok(&alive));
    for other in [
        [Value::Text("plane@host-2"), values[1]],
        [values[0], Value::Id(uuid::Uuid::nil())],
    ] {
        assert!(KEY.decode(&other, &body).is_err());
    }
}

#[test]
fn a_record_of_one_form_is_not_read_as_another() {
    let (_, action) = samples::actions().remove(0);
    let bytes = codec::encode(&action).unwrap();
    assert!(matches!(
        codec::decode::<LogEntry>(&bytes),
        Err(CodecError::Damaged(_))
    ));
    assert!(matches!(
        codec::decode::<Owner>(&bytes),
        Err(CodecError::Damaged(_))
    ));
}

/// With a right checksum: what another program may have written.
#[test]
fn an_illegal_record_is_refused_although_its_checksum_is_right() {
    let (_, action) = samples::actions().remove(0);
    let (form, fields) = by_hand::read(&codec::encode(&action).unwrap());
    let refused = |change: &dyn Fn(&mut by_hand::Fields)| {
        let mut fields = fields.clone();
        change(&mut fields);
        let error = codec::decode::<Action>(&by_hand::write(1, form, &fields)).unwrap_err();
        let CodecError::Damaged(what) = error else {
            panic!("{error}");
        };
        what.into_owned()
    };
    let without = |tag: u32| refused(&move |fields| fields.retain(|(found, _)| *found != tag));
    assert_eq!(without(5), "name is missing");
    assert!(without(53).starts_with("owner: "), "half an owner");
    assert!(
        without(31).starts_with("outcome: "),
        "completed without an outcome"
    );
    let with = |tag: u32, value: &[u8]| {
        refused(&|fields| {
            fields.retain(|(found, _)| *found != tag);
            fields.push((tag, value.to_vec()));
            fields.sort();
        })
    };
    assert!(with(1, &[7; 15]).starts_with("uid: "));
    assert!(with(5, b"").starts_with("name: "));
    assert!(with(5, b"a\nb").starts_with("name: "));
    assert!(with(5, &[b'x'; 256]).starts_with("name: "));
    assert!(with(5, b"\xff").starts_with("name: "));
    assert!(with(7, b"no colon").starts_with("object: "));
    assert!(with(9, b"").starts_with("related: "));
    assert!(with(9, b"\x09source").starts_with("related: "));
    assert!(
        with(9, &[1, b'r', 5, b'b', b'd', b'b', b':', b'1', 0].repeat(65)).starts_with("related: ")
    );
    assert!(with(21, b"\x01k\x01k").starts_with("exclusive: "));
    assert!(with(33, &10_001_u16.to_le_bytes()).starts_with("progress: "));
    assert!(
        with(33, &[0x10, 0x27, 0]).starts_with("progress: "),
        "not the shortest form"
    );
    assert!(with(37, &[0]).starts_with("description: "));
    assert!(with(39, b"[]").starts_with("attributes: "));
    assert!(with(41, &vec![b' '; 70_000]).starts_with("result: "));
    assert!(with(77, b"").starts_with("version: "));
    assert!(with(15, &action.uid.as_uuid().into_bytes()).starts_with("parent: "));
    let swapped = refused(&|fields| fields.swap(3, 4));
    assert_eq!(swapped, "its fields are not in order");
    let doubled = refused(&|fields| fields.insert(0, fields[0].clone()));
    assert_eq!(doubled, "its fields are not in order");
}

#[test]
fn an_illegal_entry_and_an_illegal_owner_are_refused() {
    let without = |form: u8, fields: &by_hand::Fields, tag: u32| {
        let rest = fields.iter().filter(|(found, _)| *found != tag);
        by_hand::write(1, form, &rest.cloned().collect())
    };
    let (_, mut entry) = samples::entries().remove(0);
    let (form, fields) = by_hand::read(&codec::encode(&entry).unwrap());
    for tag in [1, 3, 5, 7, 9, 13, 17, 19] {
        let read = codec::decode::<LogEntry>(&without(form, &fields, tag));
        assert!(matches!(read, Err(CodecError::Damaged(_))), "without {tag}");
    }
    entry.kind = LogEntryKind::LateReport;
    let late = codec::encode(&entry).unwrap();
    let error = codec::decode::<LogEntry>(&late).unwrap_err();
    assert_eq!(
        error,
        CodecError::Damaged("op: a late report has none".into())
    );
    for (state, owner) in samples::owners() {
        let (form, mut fields) = by_hand::read(&codec::encode(&owner).unwrap());
        let tags: Vec<u32> = fields.iter().map(|(tag, _)| *tag).collect();
        for tag in tags {
            let read = codec::decode::<Owner>(&without(form, &fields, tag));
            assert!(
                matches!(read, Err(CodecError::Damaged(_))),
                "{state} without {tag}"
            );
        }
        if owner.is_alive() {
            fields.push((13, vec![2]));
            let read = codec::decode::<Owner>(&by_hand::write(1, form, &fields));
            assert!(
                matches!(read, Err(CodecError::Damaged(_))),
                "alive and ended"
            );
        }
    }
}
