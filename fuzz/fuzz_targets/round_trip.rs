//! A record that can be decoded is legal, and is encoded to the same bytes.
#![no_main]

use std::fmt::Debug;

use action_store::spi::codec::{self, Record};
use action_store::{Action, Owner, LogEntry};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // A right checksum replaces the last four bytes, so that the fields are looked at.
    let Some((inside, _)) = bytes.split_last_chunk::<4>() else {
        return;
    };
    let mut sealed = inside.to_vec();
    sealed.extend_from_slice(&crc32fast::hash(inside).to_le_bytes());
    if let Some(action) = round_trip::<Action>(&sealed) {
        action
            .check_invariants()
            .expect("a decoded action is legal");
    }
    round_trip::<LogEntry>(&sealed);
    round_trip::<Owner>(&sealed);
});

fn round_trip<R: Record + PartialEq + Debug>(bytes: &[u8]) -> Option<R> {
    let record = codec::decode::<R>(bytes).ok()?;
    let encoded = codec::encode(&record).expect("it fitted before");
    assert_eq!(encoded, bytes);
    assert_eq!(codec::decode::<R>(&encoded).as_ref(), Ok(&record));
    Some(record)
}
