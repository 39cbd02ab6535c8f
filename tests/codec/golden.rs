//! Version 1 as it was first written. These files never change: a library that cannot read them
//! cannot read existing stores.

use std::fmt::Debug;
use std::path::PathBuf;

use action_store::action::LogEntryKind;
use action_store::owner::OwnerEnd;
use action_store::spi::codec::{self, Field, Record};
use action_store::{Outcome, Source, Status};

use crate::{by_hand, samples};

fn path(form: &str, name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/codec_v1");
    dir.join(format!("{form}_{}.bin", name.replace('-', "_")))
}

/// The bytes of a golden file. With `ACTIONS_WRITE_GOLDEN` set, a missing one is written first;
/// none is ever overwritten.
fn golden(form: &str, name: &str, written: &[u8]) -> Vec<u8> {
    let path = path(form, name);
    if std::env::var_os("ACTIONS_WRITE_GOLDEN").is_some() && !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, written).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn compare<R: Record + PartialEq + Debug>(form: &str, records: Vec<(&str, R)>) {
    assert!(!records.is_empty());
    for (name, record) in records {
        let written = codec::encode(&record).unwrap();
        let golden = golden(form, name, &written);
        assert_eq!(written, golden, "{form} {name}");
        assert_eq!(codec::decode::<R>(&golden), Ok(record), "{form} {name}");
    }
}

#[test]
fn version_1_is_read_and_written_byte_for_byte() {
    assert_eq!(codec::VERSION, 1);
    compare("action", samples::actions());
    compare("entry", samples::entries());
    compare("owner", samples::owners());
}

/// The tags that occur in some records.
fn seen<R: Record>(records: &[(&str, R)]) -> Vec<u32> {
    let tags = records.iter().flat_map(|(_, record)| {
        let (_, fields) = by_hand::read(&codec::encode(record).unwrap());
        fields.into_iter().map(|(tag, _)| tag)
    });
    let mut tags: Vec<u32> = tags.collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

fn all<F: Field>() -> Vec<u32> {
    F::ALL.iter().map(|field| field.tag()).collect()
}

#[test]
fn the_golden_files_have_every_field_and_every_word() {
    let (actions, entries) = (samples::actions(), samples::entries());
    assert_eq!(seen(&actions), all::<codec::ActionField>());
    assert_eq!(seen(&entries), all::<codec::EntryField>());
    assert_eq!(seen(&samples::owners()), all::<codec::OwnerField>());
    let has = |holds: &dyn Fn(&action_store::Action) -> bool| {
        actions.iter().any(|(_, action)| holds(action))
    };
    for status in Status::ALL {
        assert!(has(&|action| action.status == *status), "{status}");
    }
    for outcome in Outcome::ALL {
        assert!(has(&|action| action.outcome == Some(*outcome)), "{outcome}");
    }
    for source in Source::ALL {
        assert!(has(&|action| action.source == *source), "{source}");
    }
    for end in OwnerEnd::ALL {
        let of = |action: &action_store::Action| action.evidence.as_ref().map(|e| e.end);
        assert!(has(&|action| of(action) == Some(*end)), "{end}");
    }
    for kind in LogEntryKind::ALL {
        assert!(
            entries.iter().any(|(_, entry)| entry.kind == *kind),
            "{kind}"
        );
    }
}

/// The values of golden files are written as the documentation says.
#[test]
fn a_golden_file_reads_as_the_documentation_says() {
    let bytes = std::fs::read(path("action", "plain")).unwrap();
    let (form, fields) = by_hand::read(&bytes);
    assert_eq!(form, 1);
    let value = |tag: u32| {
        let field = fields.iter().find(|(found, _)| *found == tag);
        field.map(|(_, value)| value.as_slice())
    };
    let uid = 0x01a2_0920_6928_767f_877e_84ac_bff8_0001_u128;
    assert_eq!(value(1), Some(&uid.to_be_bytes()[..]));
    assert_eq!(value(3), Some(&[][..])); // source: task, code 0
    assert_eq!(value(5), Some(&b"backup_bdb"[..]));
    assert_eq!(value(7), Some(&b"bdb:17"[..]));
    assert_eq!(value(9), None);
    assert_eq!(value(11), Some(&b"default"[..]));
    let created = 2 * 1_795_449_448_747_582_u64;
    assert_eq!(value(27), Some(&created.to_le_bytes()[..7]));
    assert_eq!(value(29), Some(&[2][..]));
    assert_eq!(value(31), Some(&[][..])); // outcome: succeeded, code 0
    assert_eq!(value(33), Some(&10_000_u16.to_le_bytes()[..]));
    assert_eq!(value(77), Some(&[7][..]));
    assert_eq!(by_hand::write(1, form, &fields), bytes);

    let bytes = std::fs::read(path("action", "heavy")).unwrap();
    let (_, fields) = by_hand::read(&bytes);
    let related = fields.iter().find(|(tag, _)| *tag == 9).unwrap();
    let items = b"\x06source\x06node:7\x0anode seven\x02to\x0cfleet:eu/7:b\x00";
    assert_eq!(related.1, items);
    let bytes = std::fs::read(path("action", "labelled")).unwrap();
    let (_, fields) = by_hand::read(&bytes);
    let labels = fields.iter().find(|(tag, _)| *tag == 83).unwrap();
    let items = "\x06region\x04eu-1\x07équipe\x03a=b";
    assert_eq!(labels.1, items.as_bytes());
    let bytes = std::fs::read(path("action", "unicode")).unwrap();
    let (_, fields) = by_hand::read(&bytes);
    let created = fields.iter().find(|(tag, _)| *tag == 27).unwrap();
    assert_eq!(created.1, [1]); // -1 microsecond
}
