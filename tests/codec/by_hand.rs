//! A reader and a writer of the format, made from its documentation and from nothing of the
//! library.

/// The fields of a record, by tag.
pub(crate) type Fields = Vec<(u32, Vec<u8>)>;

/// CRC-32 as in zlib, bit by bit.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            let low = sum & 1;
            sum = (sum >> 1) ^ (low * 0xedb8_8320);
        }
    }
    !sum
}

fn put_varint(out: &mut Vec<u8>, mut number: u32) {
    while number > 127 {
        out.push(number as u8 | 128);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_varint(bytes: &mut &[u8]) -> u32 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u32::from(byte & 127) << shift;
        shift += 7;
        if byte & 128 == 0 {
            return number;
        }
    }
}

/// The bytes of fields, without frame and checksum.
pub(crate) fn put_fields(fields: &Fields) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, value) in fields {
        put_varint(&mut out, *tag);
        put_varint(&mut out, value.len() as u32);
        out.extend_from_slice(value);
    }
    out
}

/// A record with a right checksum.
pub(crate) fn write(version: u8, form: u8, fields: &Fields) -> Vec<u8> {
    let mut out = vec![version, form];
    out.extend(put_fields(fields));
    let sum = crc32(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// The form and the fields of a whole record.
pub(crate) fn read(record: &[u8]) -> (u8, Fields) {
    let (mut inside, sum) = record.split_at(record.len() - 4);
    assert_eq!(sum, crc32(inside).to_le_bytes());
    assert_eq!(inside[0], 1);
    let form = inside[1];
    inside = &inside[2..];
    let mut fields = Vec::new();
    while !inside.is_empty() {
        let tag = take_varint(&mut inside);
        let length = take_varint(&mut inside) as usize;
        let (value, rest) = inside.split_at(length);
        fields.push((tag, value.to_vec()));
        inside = rest;
    }
    (form, fields)
}
