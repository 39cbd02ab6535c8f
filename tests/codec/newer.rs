//! Records that a later version wrote.

use std::fmt::Debug;

use action_store::action::LogEntryKind;
use action_store::owner::Owner;
use action_store::spi::codec::{self, CodecError, Newer, Record, Value};
use action_store::{
    Action, ActionStore, ActionStoreExt, Batch, CancelRequest, Change, Command, LogEntry, LogQuery,
    MemoryStore, StoreError, StoreErrorKind,
};

use crate::{by_hand, samples};

/// A whole record with more fields.
fn with_fields<R: Record>(record: &R, more: &[(u32, &[u8])]) -> Vec<u8> {
    let (form, mut fields) = by_hand::read(&codec::encode(record).unwrap());
    fields.extend(more.iter().map(|(tag, value)| (*tag, value.to_vec())));
    fields.sort();
    by_hand::write(1, form, &fields)
}

const MORE: [(u32, &[u8]); 6] = [
    (2, b"early"),
    (4, b""),
    (34, &[0xff; 300]),
    (52, b"\x00\x01"),
    (128, b"beyond one byte"),
    (4_000_000_000, b"last"),
];

fn kept<R: Record + PartialEq + Debug>(records: Vec<(&str, R)>) {
    for (name, record) in records {
        let bytes = with_fields(&record, &MORE);
        let read = codec::decode::<R>(&bytes).unwrap();
        assert_ne!(read, record, "{name}: unknown fields count for equality");
        assert_eq!(codec::encode(&read).unwrap(), bytes, "{name}");
        for one in MORE {
            let bytes = with_fields(&record, &[one]);
            let read = codec::decode::<R>(&bytes).unwrap();
            assert_eq!(
                codec::encode(&read).unwrap(),
                bytes,
                "{name}, tag {}",
                one.0
            );
        }
    }
}

#[test]
fn unknown_fields_are_kept_and_written_again_in_their_place() {
    kept(samples::actions());
    kept(samples::entries());
    kept(samples::owners());
}

#[test]
fn unknown_fields_are_kept_in_a_body_beside_columns() {
    for (name, action) in samples::actions() {
        let action = codec::decode::<Action>(&with_fields(&action, &MORE)).unwrap();
        let mut body = Vec::new();
        samples::COLUMNS.encode(&action, &mut body).unwrap();
        let values: Vec<Value<'_>> = samples::COLUMNS.values(&action).collect();
        let read = samples::COLUMNS.decode(&values, &body).unwrap();
        assert_eq!(read, action, "{name}");
        assert_eq!(codec::encode(&read), codec::encode(&action), "{name}");
    }
}

/// The tags of the unknown fields of a record.
fn unknown<R: Record>(record: &R) -> Vec<u32> {
    let (_, fields) = by_hand::read(&codec::encode(record).unwrap());
    let tags = fields.into_iter().map(|(tag, _)| tag);
    tags.filter(|tag| tag % 2 == 0).collect()
}

#[tokio::test]
async fn a_change_carries_unknown_fields_over() {
    let (_, action) = samples::actions().remove(1);
    let entry = LogEntry::new(LogEntryKind::Created, &action, action.created_at);
    let action: Action = codec::decode(&with_fields(&action, &MORE)).unwrap();
    let entry: LogEntry = codec::decode(&with_fields(&entry, &MORE[..2])).unwrap();
    let store = MemoryStore::new();
    let uid = action.uid;
    let import = Command::import(action, vec![entry]);
    let cancel = Command::apply(uid, Change::RequestCancel(CancelRequest::new()));
    let batch = Batch::all(vec![import, cancel]);
    for answer in store.write(batch).await.unwrap() {
        answer.unwrap();
    }
    let changed = store.action(uid).await.unwrap().unwrap();
    assert!(changed.cancel.is_some());
    assert_eq!(unknown(&*changed), MORE.map(|(tag, _)| tag));
    let log = store.log(&LogQuery::of(uid)).await.unwrap().items;
    let tags: Vec<Vec<u32>> = log.iter().map(unknown).collect();
    assert_eq!(tags, [vec![2, 4], vec![]]);
}

#[test]
fn debug_shows_no_value_of_an_unknown_field() {
    let (_, action) = samples::actions().remove(0);
    let secret = with_fields(&action, &[(4, b"secret")]);
    let shown = format!("{:?}", codec::decode::<Action>(&secret).unwrap());
    assert!(
        !shown.contains("secret") && !shown.contains("115, 101"),
        "{shown}"
    );
}

#[test]
fn an_unknown_critical_field_refuses_the_record() {
    fn refused<R: Record + PartialEq + Debug>(record: &R) {
        for tag in [101, 4_000_000_001] {
            let bytes = with_fields(record, &[(2, b"x"), (tag, b"")]);
            let error = CodecError::Incompatible(Newer::Field(tag));
            assert_eq!(codec::decode::<R>(&bytes).unwrap_err(), error);
        }
    }
    refused(&samples::actions()[0].1);
    refused(&samples::entries()[0].1);
    refused(&samples::owners()[0].1);
}

#[test]
fn another_version_and_an_unknown_word_refuse_the_record() {
    let (_, action) = samples::actions().remove(0);
    let (form, fields) = by_hand::read(&codec::encode(&action).unwrap());
    let newer = by_hand::write(2, form, &fields);
    let error = codec::decode::<Action>(&newer).unwrap_err();
    assert_eq!(error, CodecError::Incompatible(Newer::Version(2)));
    let mut other = fields.clone();
    for (tag, value) in &mut other {
        if *tag == 29 {
            *value = vec![9];
        }
    }
    let error = codec::decode::<Action>(&by_hand::write(1, form, &other)).unwrap_err();
    let word = Newer::Word {
        field: "status",
        code: 9,
    };
    assert_eq!(error, CodecError::Incompatible(word));
    assert_eq!(
        error.to_string(),
        "the stored record was written by a later version of this library: status has code 9"
    );
    let error = StoreError::from_codec("get", error);
    assert_eq!(error.kind(), StoreErrorKind::Incompatible);
    let damaged = codec::decode::<Owner>(&[]).unwrap_err();
    let error = StoreError::from_codec("get", damaged);
    assert_eq!(
        (error.kind(), error.operation()),
        (StoreErrorKind::Corrupt, "get")
    );
    assert!(codec::decode::<LogEntry>(&newer).is_err());
}

/// A record may be too large only through fields of a later version.
#[test]
fn a_record_that_would_be_too_long_is_not_written() {
    let (_, mut action) = samples::actions().remove(0);
    action.description = Some("x".repeat(codec::LONGEST).into());
    let mut out = vec![1, 2, 3];
    let error = codec::Layout::WHOLE.encode(&action, &mut out).unwrap_err();
    assert!(matches!(error, CodecError::TooLarge { bytes } if bytes > codec::LONGEST));
    assert_eq!(out, [1, 2, 3]);
    assert_eq!(
        StoreError::from_codec("write", error).kind(),
        StoreErrorKind::Invalid
    );
}
