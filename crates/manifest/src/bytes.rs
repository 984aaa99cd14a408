//! The fields of records, each checked against the bytes at hand.
#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

use std::ops::Bound;

use stratal_types::{
    FileUid, KeyRange, SeqNo,
    fields::{take, take_slice},
    varint,
};

use crate::Error;

pub(crate) fn take_number(input: &mut &[u8]) -> Result<u64, Error> {
    varint::take(input).ok_or(Error::Malformed { what: "a number is cut or too wide" })
}

pub(crate) fn take_seqno(input: &mut &[u8]) -> Result<SeqNo, Error> {
    let number = take_number(input)?;
    SeqNo::new(number).ok_or(Error::Malformed { what: "a sequence number has more than 56 bits" })
}

pub(crate) fn take_uid(input: &mut &[u8]) -> Result<FileUid, Error> {
    Ok(FileUid(take(input)?))
}

/// Takes a length and that many bytes.
pub(crate) fn take_prefixed<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], Error> {
    let len = take_number(input)?;
    Ok(take_slice(input, len)?)
}

pub(crate) fn take_text(input: &mut &[u8]) -> Result<String, Error> {
    let bytes = take_prefixed(input)?;
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned).map_err(|_| Error::Malformed { what: "a name is not UTF-8" })
}

pub(crate) fn take_range(input: &mut &[u8]) -> Result<KeyRange, Error> {
    Ok(KeyRange { start: take_bound(input)?, end: take_bound(input)? })
}

fn take_bound(input: &mut &[u8]) -> Result<Bound<Vec<u8>>, Error> {
    match take::<1>(input)? {
        [0] => Ok(Bound::Unbounded),
        [1] => Ok(Bound::Included(take_prefixed(input)?.to_vec())),
        [2] => Ok(Bound::Excluded(take_prefixed(input)?.to_vec())),
        _ => Err(Error::Malformed { what: "a bound is of no known kind" }),
    }
}

pub(crate) fn put_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_range(out: &mut Vec<u8>, range: &KeyRange) {
    for bound in [&range.start, &range.end] {
        match bound {
            Bound::Unbounded => out.push(0),
            Bound::Included(key) => {
                out.push(1);
                put_prefixed(out, key);
            }
            Bound::Excluded(key) => {
                out.push(2);
                put_prefixed(out, key);
            }
        }
    }
}

/// Appends a field: its tag, its length, and what `put` appends.
pub(crate) fn put_field(out: &mut Vec<u8>, tag: u64, put: impl FnOnce(&mut Vec<u8>)) {
    let mut value = Vec::new();
    put(&mut value);
    varint::put(out, tag);
    put_prefixed(out, &value);
}

/// Takes a field: its tag and its value. `last` is the tag before; tags do not descend.
pub(crate) fn take_field<'a>(
    input: &mut &'a [u8],
    last: &mut u64,
) -> Result<(u64, &'a [u8]), Error> {
    let tag = take_number(input)?;
    if tag < *last {
        return Err(Error::Malformed { what: "fields are out of order" });
    }
    *last = tag;
    Ok((tag, take_prefixed(input)?))
}

/// What to do about a field that this build does not know: skip it if its tag is even.
pub(crate) fn skip_unknown(tag: u64, known: u64, what: &'static str) -> Result<(), Error> {
    if tag.is_multiple_of(2) { Ok(()) } else { Err(Error::Unsupported { what, found: tag, known }) }
}

/// The end of a value must be the end of its bytes.
pub(crate) fn end(input: &[u8]) -> Result<(), Error> {
    if input.is_empty() { Ok(()) } else { Err(Error::Malformed { what: "a field is too long" }) }
}
