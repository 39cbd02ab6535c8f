//! No bytes make decoding panic, with a wrong checksum or with a right one.
#![no_main]

use action_store::spi::codec::{self, ActionField, FieldSet, Layout, Value};
use action_store::{Action, Owner, LogEntry};
use libfuzzer_sys::fuzz_target;

const COLUMNS: Layout<Action> = Layout::without(FieldSet::<Action>::of(&[
    ActionField::Name,
    ActionField::Status,
    ActionField::Version,
]));

fuzz_target!(|bytes: &[u8]| {
    decode(bytes);
    // The last four bytes are the checksum, as in the golden files.
    let Some((inside, _)) = bytes.split_last_chunk::<4>() else {
        return;
    };
    let mut sealed = inside.to_vec();
    sealed.extend_from_slice(&crc32fast::hash(inside).to_le_bytes());
    decode(&sealed);
});

fn decode(bytes: &[u8]) {
    let _ = codec::decode::<Action>(bytes);
    let _ = codec::decode::<LogEntry>(bytes);
    let _ = codec::decode::<Owner>(bytes);
    let values = [Value::Text("name"), Value::Int(1), Value::Int(2)];
    let _ = COLUMNS.decode(&values, bytes);
    let _ = COLUMNS.decode_summary(&values, bytes);
}
