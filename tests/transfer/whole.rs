//! An export has every field of the stored form, fields of a later version included.

use action_store::action::LogEntryKind;
use action_store::spi::codec::{self, Field, Record};
use action_store::{Action, ActionStore, Command, LogEntry, MemoryStore, StoreErrorKind, transfer};

use crate::plant::{action_lines, all, text_of, write};
use crate::{by_hand, samples};

/// The samples of the codec, among which every field is set, each with a log of one entry.
fn whole() -> Vec<(Action, LogEntry)> {
    let actions = samples::actions().into_iter().map(|(_, action)| {
        let mut entry = LogEntry::new(LogEntryKind::Noted, &action, action.last_seen_at);
        entry.by = Some("somebody".into());
        entry.note = Some("something".into());
        (action, entry)
    });
    actions.collect()
}

/// A record with fields of a later version.
fn newer<R: Record>(record: &R, fields: &[(u32, &[u8])]) -> R {
    let fields = fields.iter().map(|(tag, value)| (*tag, value.to_vec()));
    let fields = by_hand::put_fields(&fields.collect());
    codec::with_unknown_fields(record, &fields).unwrap()
}

async fn enter(store: &MemoryStore, whole: &[(Action, LogEntry)]) {
    let commands = whole
        .iter()
        .map(|(action, entry)| Command::import(action.clone(), vec![entry.clone()]));
    write(store, commands.collect()).await;
}

/// A store with what the export of another one says.
async fn imported(text: &str) -> MemoryStore {
    let store = MemoryStore::new();
    let report = transfer::import(&store, &mut text.as_bytes())
        .await
        .unwrap();
    assert_eq!(report.refused, 0);
    store
}

/// The encodings of all actions and entries of a store.
async fn encoded(store: &dyn ActionStore) -> Vec<Vec<u8>> {
    let mut encoded = Vec::new();
    for (action, log) in all(store).await {
        encoded.push(codec::encode(&*action).unwrap());
        encoded.extend(log.iter().map(|entry| codec::encode(entry).unwrap()));
    }
    encoded
}

#[tokio::test]
async fn every_field_of_the_stored_form_is_exported_and_comes_back() {
    fn tags(records: &[Vec<u8>], form: u8) -> Vec<u32> {
        let records = records.iter().map(|record| by_hand::read(record));
        let fields = records.filter(|(found, _)| *found == form);
        let mut tags: Vec<u32> = fields
            .flat_map(|(_, fields)| fields.into_iter().map(|(tag, _)| tag))
            .collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }
    fn all_tags<F: Field>() -> Vec<u32> {
        F::ALL.iter().map(|field| field.tag()).collect()
    }
    let store = MemoryStore::new();
    enter(&store, &whole()).await;
    let before = encoded(&store).await;
    // A field that no sample has would not be tried.
    assert_eq!(tags(&before, 1), all_tags::<codec::ActionField>());
    assert_eq!(tags(&before, 2), all_tags::<codec::EntryField>());
    let other = imported(&text_of(&store).await).await;
    assert_eq!(encoded(&other).await, before);
}

#[tokio::test]
async fn fields_of_a_later_version_are_exported_and_come_back() {
    let whole: Vec<(Action, LogEntry)> = whole()
        .iter()
        .map(|(action, entry)| {
            let action = newer(action, &[(2, b"early"), (34, &[0xff; 200]), (500, b"")]);
            (action, newer(entry, &[(40, b"of the entry")]))
        })
        .collect();
    let store = MemoryStore::new();
    enter(&store, &whole).await;
    let text = text_of(&store).await;
    let in_entry = r#""unknown_fields":"280c6f662074686520656e747279"}"#;
    assert!(action_lines(&text)[0].contains(in_entry));
    let other = imported(&text).await;
    assert_eq!(encoded(&other).await, encoded(&store).await);
    let (action, log) = &all(&other).await[0];
    assert_eq!((&**action, &log[0]), (&whole[0].0, &whole[0].1));
}

#[test]
fn fields_that_this_version_knows_become_its_own() {
    let (mut action, _) = whole().remove(0);
    let step = action.step.take().unwrap();
    let read = newer(&action, &[(35, step.as_bytes()), (36, b"later")]);
    assert_eq!(read.step, Some(step));
    assert_eq!(codec::unknown_fields(&read), b"\x24\x05later");
    assert_eq!(codec::unknown_fields(&newer(&read, &[])), b"");
}

#[tokio::test]
async fn unknown_fields_that_are_damaged_or_critical_are_refused() {
    let store = MemoryStore::new();
    enter(&store, &whole()[..1]).await;
    let text = text_of(&store).await;
    let (header, line) = (text.lines().next().unwrap(), action_lines(&text)[0]);
    for (fields, kind, reason) in [
        ("2", StoreErrorKind::Invalid, "not hexadecimal"),
        ("2x", StoreErrorKind::Invalid, "not hexadecimal"),
        ("é", StoreErrorKind::Invalid, "not hexadecimal"),
        ("2405", StoreErrorKind::Corrupt, "beyond its end"),
        (
            "24050000000000ff",
            StoreErrorKind::Corrupt,
            "beyond its end",
        ),
        ("0100", StoreErrorKind::Corrupt, "not in order"),
        ("24002400", StoreErrorKind::Corrupt, "not in order"),
        ("6500", StoreErrorKind::Incompatible, "tag 101"),
    ] {
        for last in ["},\"log\"", "}]}"] {
            let with = format!(",\"unknown_fields\":\"{fields}\"{last}");
            let changed = format!("{header}\n{}\n", line.replacen(last, &with, 1));
            assert!(changed.contains("unknown_fields"));
            let to = MemoryStore::new();
            let error = transfer::import(&to, &mut changed.as_bytes()).await;
            let error = error.unwrap_err();
            assert_eq!(error.kind(), kind, "{fields}: {error}");
            assert!(error.to_string().contains(reason), "{fields}: {error}");
        }
    }
}
