//! Varints, whole numbers and the checksum: the bytes below the fields.

use super::error::{Bad, CodecError};

/// Appends a number, seven bits a byte, the lowest first (LEB128).
#[inline]
pub(super) fn put_varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push((number as u8) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads a number that [`put_varint`] wrote: at most 2^32-1, in its shortest form.
#[inline]
pub(super) fn take_varint(bytes: &[u8]) -> Option<(u32, &[u8])> {
    match bytes {
        [first, rest @ ..] if *first < 0x80 => Some((u32::from(*first), rest)),
        _ => take_long_varint(bytes),
    }
}

fn take_long_varint(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            // A last byte of zero would be a second way to write the same number.
            let shortest = *byte != 0 || index == 0;
            let number = u32::try_from(number).ok().filter(|_| shortest)?;
            return Some((number, bytes.get(index + 1..)?));
        }
    }
    None
}

/// Appends a whole number and its length: little-endian, without the zero bytes at its end.
#[inline]
pub(super) fn put_number(out: &mut Vec<u8>, number: u64) {
    let length = 8 - number.leading_zeros() as usize / 8;
    let mut buffer = [0; 9];
    buffer[0] = length as u8;
    buffer[1..].copy_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&buffer[..=length]);
}

/// Reads a whole number from all of the bytes.
#[inline]
pub(super) fn take_number(bytes: &[u8]) -> Result<u64, Bad> {
    if bytes.len() > 8 || bytes.last() == Some(&0) {
        return Err(Bad::damaged("is no number in its shortest form"));
    }
    let number = bytes
        .iter()
        .rev()
        .fold(0, |high, low| (high << 8) | u64::from(*low));
    Ok(number)
}

/// Maps numbers with a sign so that those near zero stay short.
#[inline]
pub(super) const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

/// The reverse of [`zigzag`].
#[inline]
pub(super) const fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Appends a length and as many bytes.
#[inline]
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Reads a length and as many bytes.
#[inline]
pub(super) fn take_bytes(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = take_varint(bytes)?;
    rest.split_at_checked(length as usize)
}

/// The bytes of a checksum at the end of a record.
pub(super) const SUM: usize = 4;

/// Replaces the bytes behind `end` with the checksum over everything from `start` on.
pub(super) fn seal(out: &mut Vec<u8>, start: usize, end: usize) {
    let sum = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.truncate(end);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Checks the checksum at the end of a record and returns the bytes before it. `apart` are the
/// encoded fields that are in columns.
pub(super) fn unseal<'a>(record: &'a [u8], apart: &[u8]) -> Result<&'a [u8], CodecError> {
    let (inside, sum) = record
        .split_last_chunk::<SUM>()
        .ok_or_else(|| CodecError::damaged("it is shorter than a checksum"))?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(inside);
    if !apart.is_empty() {
        hasher.update(apart);
    }
    if hasher.finalize() == u32::from_le_bytes(*sum) {
        Ok(inside)
    } else {
        Err(CodecError::damaged("its checksum does not match"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_and_have_one_form() {
        for number in [0, 1, 127, 128, 16_383, 16_384, 1 << 28, u32::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, number as usize);
            assert_eq!(take_varint(&out), Some((number, &[][..])));
        }
        for bad in [
            &[][..],
            &[0x80],
            &[0x80, 0],
            &[0xff; 5],
            &[0xff, 0xff, 0xff, 0xff, 0x1f],
        ] {
            assert_eq!(take_varint(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn numbers_round_trip_and_have_one_form() {
        for shift in 0..64 {
            for number in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_number(&mut out, number);
                assert_eq!(usize::from(out[0]), out.len() - 1);
                assert_eq!(take_number(&out[1..]), Ok(number));
                let signed = number as i64;
                assert_eq!(unzigzag(zigzag(signed)), signed);
            }
        }
        assert!(take_number(&[1, 0]).is_err());
        assert!(take_number(&[1; 9]).is_err());
    }
}
