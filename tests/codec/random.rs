//! Any record comes back, and no bytes do harm.

use action_store::action::{Cancel, Evidence, LogEntryKind, Version};
use action_store::command::OpId;
use action_store::owner::{Incarnation, Owner, OwnerEnd, OwnerState};
use action_store::spi::Digest;
use action_store::spi::codec::{self, CodecError, Field, FieldSet, Layout, Record, Value};
use action_store::{
    Action, ActionError, ActionUid, Json, LogEntry, NewAction, ObjectRef, Outcome, OwnerRef,
    Progress, RelatedObject, Source, Status, Timestamp,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use uuid::Uuid;

use crate::{by_hand, samples};

fn label() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{1,20}", "[^\\p{Cc}]{1,20}", "x{1,255}"]
}

/// A key and a value of a label.
fn pair() -> impl Strategy<Value = (String, String)> {
    ("[^\\p{Cc}=]{1,15}", "[^\\p{Cc}]{1,30}")
}

fn prose() -> impl Strategy<Value = String> {
    prop_oneof!["[^\\x00]{0,60}", "x{0,4096}"]
}

fn json() -> impl Strategy<Value = Json> {
    (prose(), any::<i64>(), "[ \t\r\n]{0,3}").prop_map(|(text, number, space)| {
        let text = serde_json::to_string(&text).unwrap();
        Json::new(format!("{space}{{{text}:{space}[{number},{text}]}}{space}")).unwrap()
    })
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn owner_ref() -> impl Strategy<Value = OwnerRef> {
    (label(), uuid()).prop_map(|(name, incarnation)| {
        let mut owner = OwnerRef::new(name);
        owner.incarnation = Incarnation::from_uuid(incarnation);
        owner
    })
}

fn object() -> impl Strategy<Value = ObjectRef> {
    let any = "[^\\p{Cc}]{1,20}".prop_map(|id| ObjectRef::new("kind", &id).unwrap());
    prop_oneof![Just(ObjectRef::cluster()), any]
}

fn new_action() -> impl Strategy<Value = NewAction> {
    let related = (label(), object(), option::of(label())).prop_map(|(role, object, name)| {
        let related = RelatedObject::new(role, object);
        match name {
            Some(name) => related.with_name(name),
            None => related,
        }
    });
    (
        (uuid(), select(Source::ALL), label(), object(), label()),
        (
            option::of(label()),
            option::of(label()),
            option::of(label()),
        ),
        (option::of(uuid()), option::of(uuid()), any::<bool>()),
        (option::of(prose()), option::of(json())),
        prop::collection::vec(related, 0..4),
        prop::collection::btree_set(label(), 0..4),
        prop::collection::vec(pair(), 0..5),
    )
        .prop_map(|(base, labels, uids, texts, related, exclusive, pairs)| {
            let (uid, source, name, object, tenant) = base;
            let mut new = NewAction::new(source, name).with_tenant(tenant);
            new = new.with_uid(ActionUid::from_uuid(uid));
            if uids.2 || source == Source::StateMachine {
                new = new.with_object(object);
            }
            new.actor = labels.0.map(Into::into);
            new.correlation = labels.1.map(Into::into);
            new.idempotency_key = labels.2.map(Into::into);
            new.parent = uids.0.map(ActionUid::from_uuid);
            new.retry_of = uids.1.map(ActionUid::from_uuid);
            new.description = texts.0.map(Into::into);
            new.attributes = texts.1;
            new.related = related;
            for (key, value) in pairs {
                new = new.with_label(key, value);
            }
            new.exclusive = exclusive.into_iter().map(Into::into).collect();
            new
        })
}

/// Any legal action.
fn action() -> impl Strategy<Value = Action> {
    (
        new_action(),
        0..7_u8,
        (any::<i64>(), 0..1_000_000_000_i64, 0..1_000_000_000_i64),
        (
            0..=10_000_u16,
            1..=u64::MAX >> 2,
            1..=u32::MAX,
            uuid(),
            option::of(uuid()),
        ),
        (
            option::of(label()),
            prop::collection::vec(prose(), 0..4),
            option::of(json()),
        ),
        (owner_ref(), any::<bool>(), select(OwnerEnd::ALL)),
        option::of((option::of(label()), option::of(prose()))),
        (label(), prose(), option::of(prose())),
    )
        .prop_map(
            |(new, stage, stamps, counts, texts, owner, cancel, error)| {
                let created = stamps.0.min(i64::MAX - 4_000_000_000);
                let at = |after: i64| Timestamp::from_micros(created + after);
                let (progress, version, log_entries, digest, last_op) = counts;
                let mut action = Action::new(&new, Digest::from_uuid(digest), at(0));
                action.version = Version::new(version).unwrap();
                action.log_entries = log_entries;
                action.last_op = last_op.map(OpId::from_uuid);
                action.step = texts.0.map(Into::into);
                action.warnings = texts.1.into_iter().map(Into::into).collect();
                action.owner = owner.1.then(|| owner.0.clone());
                action.last_seen_at = at(stamps.1 + stamps.2);
                action.cancel = cancel.map(|(by, reason)| {
                    let mut cancel = Cancel::new(at(stamps.1));
                    cancel.by = by.map(Into::into);
                    cancel.reason = reason.map(Into::into);
                    cancel
                });
                if stage > 0 {
                    action.status = Status::Executing;
                    action.owner = Some(owner.0.clone());
                    action.started_at = Some(at(stamps.1));
                    action.progress = Progress::from_hundredths(progress).unwrap();
                }
                let Some(outcome) = stage.checked_sub(2).and_then(Outcome::from_code) else {
                    return action;
                };
                action.status = Status::Completed;
                action.outcome = Some(outcome);
                action.finished_at = Some(at(stamps.1 + stamps.2));
                action.result = texts.2;
                if outcome == Outcome::Succeeded {
                    action.progress = Progress::DONE;
                } else {
                    let mut why = ActionError::new(error.0, error.1);
                    why.detail = error.2.map(Into::into);
                    action.error = Some(why);
                }
                if outcome == Outcome::Lost {
                    let evidence = Evidence::new(owner.0.clone(), owner.2, at(7), owner.0.name);
                    action.evidence = Some(evidence);
                }
                action
            },
        )
}

/// Any log entry.
fn entry() -> impl Strategy<Value = LogEntry> {
    (
        action(),
        select(LogEntryKind::ALL),
        any::<i64>(),
        option::of(label()),
        option::of(prose()),
    )
        .prop_map(|(action, kind, at, by, note)| {
            let mut entry = LogEntry::new(kind, &action, Timestamp::from_micros(at));
            entry.by = by.map(Into::into);
            entry.note = note.map(Into::into);
            if entry.is_late() {
                entry.op = None;
            }
            entry
        })
}

/// Any owner.
fn owner() -> impl Strategy<Value = Owner> {
    (
        owner_ref(),
        select(OwnerState::ALL),
        0..=i64::MAX as u64,
        any::<[i64; 3]>(),
    )
        .prop_map(|(owner, state, renewals, [claimed, renewed, ended])| {
            let mut owner = Owner::claimed(owner, Timestamp::from_micros(claimed));
            owner.state = state;
            owner.renewals = renewals;
            owner.renewed_at = Timestamp::from_micros(renewed);
            let ended = Timestamp::from_micros(ended);
            owner.ended_at = (state != OwnerState::Alive).then_some(ended);
            owner
        })
}

/// A record comes back whole and from any layout, with fields of a later version among its own,
/// and any change of a byte is found.
fn comes_back<R: Record + PartialEq + std::fmt::Debug>(
    record: &R,
    layout: Layout<R>,
    more: &[(u32, Vec<u8>)],
    damage: (Index, u8),
) -> Result<(), TestCaseError> {
    let whole = codec::encode(record).unwrap();
    let read = codec::decode::<R>(&whole);
    prop_assert_eq!(read.as_ref(), Ok(record));
    let (form, mut fields) = by_hand::read(&whole);
    fields.extend(more.iter().map(|(tag, value)| (2 * tag + 2, value.clone())));
    fields.sort();
    fields.dedup_by_key(|(tag, _)| *tag);
    let newer = by_hand::write(1, form, &fields);
    let record = codec::decode::<R>(&newer).unwrap();
    prop_assert_eq!(codec::encode(&record).unwrap(), newer);

    let mut body = Vec::new();
    layout.encode(&record, &mut body).unwrap();
    let values: Vec<Value<'_>> = layout.values(&record).collect();
    let read = layout.decode(&values, &body);
    prop_assert_eq!(read.as_ref(), Ok(&record));
    let at = damage.0.index(body.len());
    body[at] ^= damage.1;
    let damaged = matches!(layout.decode(&values, &body), Err(CodecError::Damaged(_)));
    prop_assert!(damaged);
    Ok(())
}

fn more() -> impl Strategy<Value = Vec<(u32, Vec<u8>)>> {
    let tag = prop_oneof![0..60_u32, 0..2_000_000_000_u32];
    prop::collection::vec((tag, prop::collection::vec(any::<u8>(), 0..20)), 0..5)
}

fn damage() -> impl Strategy<Value = (Index, u8)> {
    (any::<Index>(), 1..=u8::MAX)
}

/// Any set of fields.
macro_rules! layout {
    ($Record:ty) => {
        any::<u64>().prop_map(|bits| {
            let fields = <$Record as Record>::Field::ALL.iter().copied();
            let some: Vec<_> = (fields.enumerate())
                .filter(|(place, _)| bits >> place & 1 == 1)
                .map(|(_, field)| field)
                .collect();
            Layout::without(FieldSet::<$Record>::of(&some))
        })
    };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_action_comes_back(action in action(), layout in layout!(Action), more in more(), damage in damage()) {
        prop_assert_eq!(action.check(), Ok(()));
        comes_back(&action, layout, &more, damage)?;
    }

    #[test]
    fn any_log_entry_comes_back(entry in entry(), layout in layout!(LogEntry), more in more(), damage in damage()) {
        comes_back(&entry, layout, &more, damage)?;
    }

    #[test]
    fn any_owner_comes_back(owner in owner(), layout in layout!(Owner), more in more(), damage in damage()) {
        comes_back(&owner, layout, &more, damage)?;
    }

    #[test]
    fn any_bytes_are_refused_or_a_legal_record(form in 1..4_u8, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        decode_all(&bytes);
        // As the fields of a record with a right checksum, so that they are looked at.
        let mut record = vec![1, form];
        record.extend_from_slice(&bytes);
        record.extend_from_slice(&by_hand::crc32(&record).to_le_bytes());
        decode_all(&record);
    }
}

/// Decodes bytes like the fuzz targets do.
fn decode_all(bytes: &[u8]) {
    if let Ok(action) = codec::decode::<Action>(bytes) {
        action.check_invariants().unwrap();
        assert_eq!(codec::encode(&action).unwrap(), bytes);
    }
    if let Ok(entry) = codec::decode::<LogEntry>(bytes) {
        assert_eq!(codec::encode(&entry).unwrap(), bytes);
    }
    if let Ok(owner) = codec::decode::<Owner>(bytes) {
        assert_eq!(codec::encode(&owner).unwrap(), bytes);
    }
}

/// Changes fields of the samples and repairs the checksums, which a fuzzer would find only slowly.
#[test]
fn records_changed_at_random_are_refused_or_legal() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize % below
    };
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    corpus.extend(
        samples::actions()
            .iter()
            .map(|(_, r)| codec::encode(r).unwrap()),
    );
    corpus.extend(
        samples::entries()
            .iter()
            .map(|(_, r)| codec::encode(r).unwrap()),
    );
    corpus.extend(
        samples::owners()
            .iter()
            .map(|(_, r)| codec::encode(r).unwrap()),
    );
    for record in &corpus {
        decode_all(record);
    }
    let mut read = 0;
    for _ in 0..20_000 {
        let mut record = corpus[draw(corpus.len())].clone();
        record.truncate(record.len() - 4);
        for _ in 0..=draw(3) {
            let (at, end) = (2 + draw(record.len() - 2), record.len());
            match draw(6) {
                0 => record[at] = draw(256) as u8,
                1 => record[at] ^= 1 << draw(8),
                2 => record.truncate(at + 1),
                3 => record.insert(at, draw(256) as u8),
                4 => record.extend_from_within(at..end),
                _ => record[at] = 0xff,
            }
        }
        record.extend_from_slice(&by_hand::crc32(&record).to_le_bytes());
        decode_all(&record);
        read += usize::from(codec::decode::<Action>(&record).is_ok());
    }
    assert!(read > 100, "only {read} of the changed records were read");
}
