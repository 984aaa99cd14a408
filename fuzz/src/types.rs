//! The decoders of `stratal-types`.

use stratal_types::{
    Bytewise, Comparator, InternalKey, KeyRange, Reverse, Shortlex, Trailer, dump as print, varint,
};

/// Integers one behind the other: what is read has one encoding, and a refusal takes nothing.
pub fn varint(data: &[u8]) {
    let mut input = data;
    while !input.is_empty() {
        let before = input;
        narrow(before);
        let Some(value) = varint::take(&mut input) else {
            assert_eq!(input, before, "a refusal takes nothing");
            input = &before[1..];
            continue;
        };
        let taken = &before[..before.len() - input.len()];
        let mut again = Vec::new();
        varint::put(&mut again, value);
        assert_eq!(again, taken, "{value} has one encoding");
        assert_eq!(varint::len(value), taken.len());
    }
}

/// The narrower readers take the same bytes or none.
fn narrow(data: &[u8]) {
    let (mut wide, mut narrow, mut native) = (data, data, data);
    let value = varint::take(&mut wide);
    match (varint::take_u32(&mut narrow), value) {
        (Some(short), value) => assert_eq!((Some(u64::from(short)), narrow), (value, wide)),
        (None, value) => {
            assert!(value.is_none_or(|value| value > u64::from(u32::MAX)));
            assert_eq!(narrow, data);
        }
    }
    match varint::take_usize(&mut native) {
        Some(length) => assert_eq!((u64::try_from(length).ok(), native), (value, wide)),
        None => assert_eq!(native, data),
    }
}

/// Packed trailers: what is accepted falls apart into its two halves and back.
pub fn trailer(data: &[u8]) {
    let (words, _) = data.as_chunks::<{ Trailer::LEN }>();
    let mut newest: Option<Trailer> = None;
    for word in words {
        let bits = u64::from_le_bytes(*word);
        let Some(trailer) = Trailer::from_bits(bits) else { continue };
        assert_eq!(trailer.bits(), bits);
        assert_eq!(Trailer::new(trailer.seqno(), trailer.kind()), trailer);
        if let Some(other) = newest {
            let order =
                InternalKey::new(b"k", trailer).compare(&InternalKey::new(b"k", other), &Bytewise);
            assert_eq!(order, other.bits().cmp(&bits), "newest first");
        }
        newest = newest.max(Some(trailer));
    }
}

/// Three keys of any bytes: each order is total, and its prefix ranges leave no key out.
pub fn comparator(data: &[u8]) {
    let Some((&[cut_a, cut_b], keys)) = data.split_first_chunk() else { return };
    let (a, rest) = keys.split_at(usize::from(cut_a).min(keys.len()));
    let (b, c) = rest.split_at(usize::from(cut_b).min(rest.len()));
    for order in [&Bytewise as &dyn Comparator, &Reverse, &Shortlex] {
        assert_eq!(order.compare(a, b), order.compare(b, a).reverse());
        assert_eq!(order.compare(a, b).is_eq(), a == b);
        if order.compare(a, b).is_le() && order.compare(b, c).is_le() {
            assert!(order.compare(a, c).is_le(), "{} is an order", order.name());
        }
        for (prefix, key) in [(a, b), (a, keys), (b, c)] {
            let range = order.prefix_range(prefix);
            let within = KeyRange { start: range.start, end: range.end }.contains(key, order);
            assert!(within || !key.starts_with(prefix), "{} leaves out a key", order.name());
            assert!(
                !within || !range.exact || key.starts_with(prefix),
                "{} is not exact",
                order.name()
            );
        }
    }
}

/// Longest run of zeros that one line of a dump stands for, in bytes.
const ZEROS_MAX: usize = 1 << 20;

/// Dumps: any text is read or refused, and what is printed reads back.
pub fn dump(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(bytes) = print::bytes_of(&text) {
        let runs = text.lines().filter(|line| line.contains("0*")).count();
        assert!(bytes.len() <= data.len() + runs * ZEROS_MAX, "else a byte takes a digit");
    }
    let Some((&field_len, bytes)) = data.split_first() else { return };
    let field_len = usize::from(field_len).max(1);
    let mut whole = print::Dump::new(bytes);
    let mut shortened = print::Dump::at(usize::MAX, bytes).with_rows_max(field_len % 3);
    while !whole.remaining().is_empty() {
        whole.field(field_len, "field").field(0, "nothing").note("a note").zeros(field_len);
        shortened.field(field_len, "field").zeros(field_len);
    }
    assert_eq!(print::bytes_of(&whole.finish()).as_deref(), Some(bytes));
    assert!(shortened.finish().lines().all(|line| line.contains("..")));
}
