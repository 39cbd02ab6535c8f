//! Records of every shape.

use action_store::action::{Cancel, Evidence, LogEntryKind, Version};
use action_store::command::OpId;
use action_store::owner::{Incarnation, Owner, OwnerEnd, OwnerState};
use action_store::spi::Digest;
use action_store::spi::codec::{ActionField, FieldSet, Layout};
use action_store::{
    Action, ActionError, ActionUid, Json, LogEntry, NewAction, ObjectRef, Outcome, OwnerRef,
    Progress, RelatedObject, Source, Status, Timestamp,
};
use uuid::Uuid;

/// A layout as a SQL store has it: columns for the fields that indexes, filters and checks need.
pub(crate) const COLUMNS: Layout<Action> = Layout::without(FieldSet::<Action>::of(&[
    ActionField::Uid,
    ActionField::Source,
    ActionField::Name,
    ActionField::Object,
    ActionField::Tenant,
    ActionField::Actor,
    ActionField::Parent,
    ActionField::RetryOf,
    ActionField::Correlation,
    ActionField::CreatedAt,
    ActionField::Status,
    ActionField::Outcome,
    ActionField::Progress,
    ActionField::Owner,
    ActionField::Incarnation,
    ActionField::CancelAt,
    ActionField::StartedAt,
    ActionField::FinishedAt,
    ActionField::LastSeenAt,
    ActionField::Version,
    ActionField::LogEntries,
]));

/// An identity that is the same in every run.
fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0x01a2_0920_6928_767f_877e_84ac_bff8_0000 + number)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_795_449_448_747_582 + seconds * 1_000_000)
}

fn owner(name: &str, number: u128) -> OwnerRef {
    let mut owner = OwnerRef::new(name);
    owner.incarnation = Incarnation::from_uuid(uuid(number));
    owner
}

fn create(new: NewAction) -> Action {
    Action::new(&new, Digest::from_uuid(uuid(900)), at(0))
}

fn start(action: &mut Action) {
    action.status = Status::Executing;
    action.owner = Some(owner("plane@host-1", 100));
    action.started_at = Some(at(1));
    action.last_seen_at = at(30);
    action.version = Version::new(2).unwrap();
    action.log_entries = 2;
    action.last_op = Some(OpId::from_uuid(uuid(200)));
}

fn finish(action: &mut Action, outcome: Outcome) {
    action.status = Status::Completed;
    action.outcome = Some(outcome);
    action.finished_at = Some(at(60));
    action.last_seen_at = at(60);
    action.version = Version::new(7).unwrap();
    action.log_entries = 4;
    action.last_op = Some(OpId::from_uuid(uuid(201)));
    if outcome == Outcome::Succeeded {
        action.progress = Progress::DONE;
    }
    if matches!(
        outcome,
        Outcome::Failed | Outcome::Interrupted | Outcome::Lost
    ) {
        action.error = Some(ActionError::new("disk_full", "The disk is full."));
    }
    if outcome == Outcome::Lost {
        action.evidence = Some(Evidence::new(
            owner("plane@host-1", 100),
            OwnerEnd::Fenced,
            at(30),
            "sweeper",
        ));
    }
}

/// A completed action with nothing unusual.
fn plain() -> Action {
    let new = NewAction::task("backup_bdb").with_object(ObjectRef::bdb(17));
    let mut action = create(new.with_uid(ActionUid::from_uuid(uuid(1))));
    start(&mut action);
    action.step = Some("upload".into());
    finish(&mut action, Outcome::Succeeded);
    action
}

/// Queued, with as few fields as there can be.
fn bare() -> Action {
    create(NewAction::task("a").with_uid(ActionUid::from_uuid(uuid(2))))
}

/// Executing, of another source.
fn executing() -> Action {
    let new = NewAction::new(Source::Other, "drain").with_object(ObjectRef::cluster());
    let mut action = create(new.with_uid(ActionUid::from_uuid(uuid(3))));
    start(&mut action);
    action.progress = Progress::ratio(1, 7);
    action.step = Some("move_shards".into());
    action
}

/// Every field is set.
fn heavy() -> Action {
    let new = NewAction::state_machine("SMCreateBDB", ObjectRef::bdb(1))
        .with_uid(ActionUid::from_uuid(uuid(4)))
        .with_related(RelatedObject::new("source", ObjectRef::node(7)).with_name("node seven"))
        .with_related(RelatedObject::new("to", "fleet:eu/7:b".parse().unwrap()))
        .with_tenant("acme")
        .with_actor("admin@example.com")
        .with_parent(ActionUid::from_uuid(uuid(5)))
        .with_retry_of(ActionUid::from_uuid(uuid(6)))
        .with_correlation("4bf92f3577b34da6a3ce929d0e0e4736")
        .with_exclusive("bdb:1")
        .with_exclusive("node:7")
        .with_idempotency_key("create bdb 1")
        .with_description("Creates the database \"orders\".")
        .with_attributes(Json::new(r#"{"memory": 1073741824, "shards": [1, 2.50]}"#).unwrap());
    let mut action = create(new);
    start(&mut action);
    action.progress = Progress::from_hundredths(8571).unwrap();
    action.step = Some("place_shards".into());
    action.warnings = ["Node 3 was slow.".into(), "".into(), "Twice.".into()].into();
    let mut cancel = Cancel::new(at(40));
    cancel.by = Some("admin@example.com".into());
    cancel.reason = Some("Not needed\nany more.".into());
    action.cancel = Some(cancel);
    finish(&mut action, Outcome::Lost);
    action.error = Some(
        ActionError::new(ActionError::LOST, "Its owner ended without a word.")
            .with_detail("plane@host-1 renewed last at 12:00:30"),
    );
    action.result = Some(Json::new(" { \"moved\" : 12 } \n").unwrap());
    action.version = Version::new(300).unwrap();
    action.log_entries = 70_000;
    action
}

/// Texts beyond ASCII, and stamps before 1970.
fn unicode() -> Action {
    let new = NewAction::task("🦀👩‍👩‍👧‍👦 \u{202e}dlo\u{202c} e\u{301}")
        .with_uid(ActionUid::from_uuid(uuid(7)))
        .with_object("キー:値\u{10ffff}".parse().unwrap())
        .with_tenant("\u{feff}bom \u{2028}\u{2029} \u{a0}\u{fffd}\u{ffff}")
        .with_description("two\nlines\r\n\ttab \u{1}\u{1b}[31m\u{7f}\u{85}")
        .with_attributes(Json::new("{\"bidi\":\"\u{202e}\u{5d0}\\ud83e\\udd80\"}").unwrap());
    let mut action = create(new);
    action.created_at = Timestamp::from_micros(-1);
    action.last_seen_at = Timestamp::from_micros(0);
    action
}

/// Found by labels.
fn labelled() -> Action {
    let new = NewAction::task("backup_bdb").with_uid(ActionUid::from_uuid(uuid(14)));
    let new = new.with_label("region", "eu-1").with_label("équipe", "a=b");
    create(new)
}

fn ended(number: u128, outcome: Outcome) -> Action {
    let mut action = create(NewAction::task("end").with_uid(ActionUid::from_uuid(uuid(number))));
    start(&mut action);
    finish(&mut action, outcome);
    action
}

fn interrupted(number: u128, end: OwnerEnd) -> Action {
    let mut action = ended(number, Outcome::Interrupted);
    action.evidence = Some(Evidence::new(owner("a", 101), end, at(2), "b"));
    action
}

/// Actions of every kind, by name.
pub(crate) fn actions() -> Vec<(&'static str, Action)> {
    vec![
        ("plain", plain()),
        ("bare", bare()),
        ("executing", executing()),
        ("heavy", heavy()),
        ("unicode", unicode()),
        ("failed", ended(8, Outcome::Failed)),
        ("cancelled", ended(9, Outcome::Cancelled)),
        ("interrupted", interrupted(11, OwnerEnd::Unknown)),
        ("released", interrupted(12, OwnerEnd::Released)),
        ("disconnected", interrupted(13, OwnerEnd::Disconnected)),
        ("labelled", labelled()),
    ]
}

/// A log entry of each kind, by name. The first has every field.
pub(crate) fn entries() -> Vec<(&'static str, LogEntry)> {
    let mut full = LogEntry::new(LogEntryKind::CancelRequested, &plain(), at(40));
    full.by = Some("admin@example.com".into());
    full.note = Some("Not needed\nany more. é".into());
    let mut entries = vec![("full", full)];
    for kind in LogEntryKind::ALL {
        let action = match kind {
            LogEntryKind::Created => bare(),
            LogEntryKind::Finished | LogEntryKind::LateReport => heavy(),
            _ => executing(),
        };
        let mut entry = LogEntry::new(*kind, &action, at(5));
        if entry.is_late() {
            entry.op = None;
        }
        entries.push((kind.as_str(), entry));
    }
    entries
}

/// An owner in each state, by name.
pub(crate) fn owners() -> Vec<(&'static str, Owner)> {
    let owners = OwnerState::ALL.iter().map(|state| {
        let mut owner = Owner::claimed(owner("plane@host-1", 100), at(0));
        owner.state = *state;
        owner.renewals = 300 * u64::from(state.code());
        owner.renewed_at = at(50);
        owner.ended_at = (*state != OwnerState::Alive).then(|| at(60));
        (state.as_str(), owner)
    });
    owners.collect()
}
