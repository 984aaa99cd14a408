//! The sorted block answers like a sorted list.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may panic, and prints its counts"
)]

use proptest::prelude::*;
use stratal_block::{NewRow, SortedBlock, SortedBlockBuilder, SortedBlockOptions, SortedCursor};
use stratal_simd::Simd;
use stratal_testkit::mutate::for_each_mutant;
use stratal_types::{
    Bytewise, Comparator, EntryDigest, EntryKind, EntryRef, InternalKey, Reverse, SeqNo, Shortlex,
    Trailer, key_hash,
};

/// A row that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    key: Vec<u8>,
    trailer: Trailer,
    value: Vec<u8>,
}

fn row(key: &[u8], seqno: u64, kind: EntryKind, value: &[u8]) -> Row {
    let trailer = Trailer::new(SeqNo::new(seqno).unwrap(), kind);
    Row { key: key.to_vec(), trailer, value: value.to_vec() }
}

fn put(key: &[u8], value: &[u8]) -> Row {
    row(key, 1, EntryKind::Put, value)
}

/// Keys that are prefixes of one another, share long prefixes, hold 0x00 and 0xff, or are random.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let byte = || prop::sample::select(vec![0u8, 1, 7, 254, 255]);
    prop_oneof![
        4 => prop::collection::vec(byte(), 1..6),
        4 => prop::collection::vec(byte(), 8..14),
        2 => prop::collection::vec(any::<u8>(), 16),
        2 => prop::collection::vec(byte(), 0..12)
            .prop_map(|rest| [b"user:000000001234:order:".as_slice(), &rest].concat()),
        1 => (250usize..300, byte()).prop_map(|(len, byte)| [vec![9; len], vec![byte]].concat()),
    ]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let kind =
        || prop_oneof![3 => Just(EntryKind::Put), 1 => prop::sample::select(&EntryKind::ALL[..])];
    let seqno = || {
        prop_oneof![
            3 => Just(5u64),
            3 => 0..20u64,
            1 => 0..70_000u64,
            1 => (0..20u64).prop_map(|below| SeqNo::MAX.get() - below),
        ]
    };
    let value =
        || prop_oneof![3 => Just(vec![1, 2, 3]), 2 => prop::collection::vec(any::<u8>(), 0..20)];
    let row_of = move || {
        (key(), seqno(), kind(), value())
            .prop_map(|(key, seqno, kind, value)| row(&key, seqno, kind, &value))
    };
    let uniform = prop::collection::vec(prop::collection::vec(any::<u8>(), 16), 0..80)
        .prop_map(|keys| keys.iter().map(|key| put(key, &key[..5])).collect());
    let versions = (key(), 0..300u64)
        .prop_map(|(key, n)| (0..n).map(|i| row(&key, i, EntryKind::Put, b"")).collect());
    let keys_alone = prop::collection::vec(prop::collection::vec(0u8..3, 1..12), 0..80)
        .prop_map(|keys| keys.iter().map(|key| put(key, b"")).collect());
    let grouped =
        (2..9usize, any::<bool>(), seqno()).prop_flat_map(move |(group_len, even, seqno)| {
            let name = prop::collection::vec(97..100u8, if even { 12..13 } else { 6..20 });
            let rest = prop::collection::vec(prop::collection::vec(97..123u8, 0..6), group_len);
            let groups = prop::collection::vec((name, rest), 0..20);
            groups.prop_map(move |groups| {
                let rows = groups.into_iter().flat_map(|(name, rests)| {
                    rests.into_iter().map(move |rest| [&name[..], &rest].concat())
                });
                rows.map(|key| row(&key, seqno, EntryKind::Put, b"eight by")).collect()
            })
        });
    prop_oneof![
        3 => grouped,
        1 => keys_alone,
        6 => prop::collection::vec(row_of(), 0..80),
        2 => uniform,
        1 => versions,
    ]
}

fn order_of(rows: &mut Vec<Row>, comparator: &dyn Comparator) {
    rows.sort_by(|a, b| internal_key(a).compare(&internal_key(b), comparator));
    rows.dedup_by(|a, b| (&a.key, a.trailer.seqno()) == (&b.key, b.trailer.seqno()));
}

fn internal_key(row: &Row) -> InternalKey<'_> {
    InternalKey::new(&row.key, row.trailer)
}

fn options() -> impl Strategy<Value = SortedBlockOptions> {
    (any::<bool>(), any::<bool>(), any::<bool>())
        .prop_map(|(tags, heads, digests)| SortedBlockOptions { tags, heads, digests })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_block_answers_like_a_sorted_list(
        rows in rows(),
        options in options(),
        probes in prop::collection::vec((key(), 0..25u64), 20),
        steps in prop::collection::vec(any::<bool>(), 40),
    ) {
        for comparator in [&Bytewise as &dyn Comparator, &Reverse, &Shortlex] {
            let heads = options.heads && comparator.is_bytewise();
            check(rows.clone(), SortedBlockOptions { heads, ..options }, comparator, &probes, &steps);
        }
    }

    #[test]
    fn a_written_block_can_be_damaged_but_not_made_to_panic(
        rows in rows(),
        options in options(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        probe in key(),
    ) {
        let mut rows = rows;
        order_of(&mut rows, &Bytewise);
        let mut bytes = build(&rows, options);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        exercise(&bytes, &probe);
    }

    #[test]
    fn any_bytes_can_be_parsed_without_panic(
        header in prop::collection::vec(0u8..9, 8),
        rest in prop::collection::vec(any::<u8>(), 0..200),
        probe in key(),
    ) {
        exercise(&[&[1], &header[1..7], &[0], &rest].concat(), &probe);
        exercise(&rest, &probe);
    }
}

const WITH_DIGESTS: SortedBlockOptions =
    SortedBlockOptions { tags: true, heads: true, digests: true };

fn build(rows: &[Row], options: SortedBlockOptions) -> Vec<u8> {
    let mut builder = SortedBlockBuilder::new(options);
    // A builder that was used before writes the same.
    builder.add(b"zzz", Trailer::new(SeqNo::MAX, EntryKind::Merge), b"of another block").unwrap();
    builder.finish_into(&mut Vec::new());
    for Row { key, trailer, value } in rows {
        builder.add(key, *trailer, value).unwrap();
    }
    assert_eq!(builder.len(), rows.len());
    assert_eq!(builder.first_key(), rows.first().map(|row| &row.key[..]));
    assert_eq!(builder.last_key(), rows.last().map(|row| &row.key[..]));
    let estimated = builder.estimated_len();
    let mut bytes = b"before".to_vec();
    builder.finish_into(&mut bytes);
    assert!(builder.is_empty());
    assert!(bytes.starts_with(b"before"));
    let bytes = bytes.split_off(6);
    assert!(bytes.len() <= estimated, "{} > {estimated}", bytes.len());
    // Groups save less than they share.
    let grouped: usize =
        if bytes[1] & 2 == 0 { 0 } else { rows.iter().map(|row| row.key.len()).sum() };
    assert!(estimated <= bytes.len() + rows.len() * 4 + grouped, "{} << {estimated}", bytes.len());
    bytes
}

fn check(
    mut rows: Vec<Row>,
    options: SortedBlockOptions,
    comparator: &dyn Comparator,
    probes: &[(Vec<u8>, u64)],
    steps: &[bool],
) {
    order_of(&mut rows, comparator);
    let bytes = build(&rows, options);
    let block = SortedBlock::parse(&bytes[..]).unwrap();
    block.verify(comparator).unwrap();
    assert_eq!((block.len(), block.is_empty()), (rows.len(), rows.is_empty()));
    assert_eq!(block.heap_len(), bytes.len());

    let mut key = vec![];
    for (i, row) in rows.iter().enumerate() {
        let entry = block.entry(i).unwrap();
        assert_eq!((entry.value, entry.trailer), (&row.value[..], row.trailer));
        entry.key_into(&mut key);
        assert_eq!((&key, entry.key_len()), (&row.key, row.key.len()));
        block.key_into(i, &mut key);
        assert_eq!(key, row.key);
        assert_eq!((block.value(i), block.trailer(i)), (Some(&row.value[..]), Some(row.trailer)));
        let digest = EntryDigest::of(EntryRef::new(&row.key, row.trailer, &row.value));
        assert_eq!(block.digest(i), options.digests.then_some(digest));
        block.verify_entry(i, &mut key).unwrap();
    }
    let n = rows.len();
    assert!(block.entry(n).is_none() && block.value(n).is_none() && block.trailer(n).is_none());

    let own = rows.iter().map(|row| (row.key.clone(), row.trailer.seqno().get()));
    let near = own.clone().flat_map(|(key, seqno)| {
        let longer = [&key[..], &[0]].concat();
        let shorter = key[..key.len() - 1].to_vec();
        let next = (key.clone(), (seqno + 1).min(SeqNo::MAX.get()));
        [next, (longer, seqno), (shorter, seqno)]
    });
    let (own, near): (Vec<_>, Vec<_>) = (own.collect(), near.collect());
    for (key, bound) in own.iter().chain(&near).chain(probes) {
        for bound in [SeqNo::new(*bound).unwrap(), SeqNo::MAX] {
            probe(&block, &rows, comparator, key, bound);
        }
    }
    walk(&block, &rows, steps);
}

fn probe(
    block: &SortedBlock<&[u8]>,
    rows: &[Row],
    comparator: &dyn Comparator,
    key: &[u8],
    bound: SeqNo,
) {
    let visible = |row: &Row| row.trailer.seqno().is_visible_at(bound);
    let found = rows.iter().position(|row| row.key == key && visible(row));
    let twins: Vec<_> = Simd::all().map(|simd| block.clone().with_simd(simd)).collect();
    for block in &twins {
        assert_eq!(block.find(key, key_hash(key), bound), found, "{key:?} at {bound}");
        assert_eq!(block.front().is_some(), block.has_tags());
        if let Some(front) = block.front().map(<[u8]>::to_vec) {
            let hash = key_hash(key);
            let first = block.first_tagged(&front, hash);
            assert!(found.is_none_or(|found| first.is_some_and(|first| first <= found)));
            let by_front = |first| block.find_tagged(first, &front, key, hash, bound);
            assert_eq!(first.and_then(by_front), found, "{key:?} at {bound}");
        }
        if let Some(found) = found {
            let (trailer, at) = block.version(found).unwrap();
            assert_eq!(Some(trailer), block.trailer(found));
            assert_eq!(block.as_bytes().get(at), block.value(found));
        }
    }

    let sought = rows.partition_point(|row| match comparator.compare(&row.key, key) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Equal => !visible(row),
        std::cmp::Ordering::Greater => false,
    });
    assert_eq!(block.seek_by(key, bound, comparator, &mut vec![]), sought, "{key:?} at {bound}");
    if comparator.is_bytewise() {
        for block in &twins {
            assert_eq!(block.seek(key, bound), sought, "{key:?} at {bound}");
        }
    }
    for (i, row) in rows.iter().enumerate().skip(sought.saturating_sub(1)).take(3) {
        assert_eq!(block.compare_key(i, key), Some(row.key[..].cmp(key)));
        assert_eq!(block.key_eq(i, key), row.key == key);
    }
}

fn walk(block: &SortedBlock<&[u8]>, rows: &[Row], steps: &[bool]) {
    let entry = |i: usize| rows.get(i).map(|row| EntryRef::new(&row.key, row.trailer, &row.value));
    let mut cursor = SortedCursor::new(block.clone());
    assert_eq!((cursor.entry(), cursor.row()), (None, None));
    for i in 0..=rows.len() {
        cursor.advance();
        assert_eq!(cursor.entry(), entry(i));
    }
    cursor.advance();
    for i in (0..rows.len()).rev() {
        cursor.retreat();
        assert_eq!((cursor.entry(), cursor.row()), (entry(i), Some(i)));
    }
    cursor.retreat();
    assert_eq!(cursor.entry(), None);

    let mut place = rows.len() / 2;
    cursor.seek_to(place);
    for &forward in steps {
        if forward && place < rows.len() {
            cursor.advance();
            place += 1;
        } else if !forward && place > 0 {
            cursor.retreat();
            place -= 1;
        }
        assert_eq!(cursor.entry(), entry(place));
    }
    cursor.set_block(block.clone());
    assert_eq!(cursor.entry(), None);
    cursor.seek_to_last();
    assert_eq!(cursor.entry(), rows.len().checked_sub(1).and_then(entry));
    cursor.seek_to_first();
    assert_eq!(cursor.entry(), entry(0));
}

/// Calls everything on a block that may be damaged, as long as it parses.
fn exercise(bytes: &[u8], probe: &[u8]) {
    let Ok(block) = SortedBlock::parse(bytes) else { return };
    let (mut key, mut len) = (vec![], 0);
    for i in 0..=block.len() {
        len += block.value(i).map_or(0, <[u8]>::len) + usize::from(block.key_eq(i, probe));
        block.key_into(i, &mut key);
        assert_eq!(block.compare_key(i, &key).is_some(), i < block.len());
        let _: Option<Trailer> = block.trailer(i);
        block.prefetch_columns(i);
        block.prefetch_row(i);
        let value = block.version(i).map(|(_, at)| block.as_bytes().get(at).unwrap());
        assert_eq!(value, block.value(i));
    }
    assert!(len <= bytes.len() + block.len());
    for key in [probe, &key] {
        for bound in [SeqNo::MAX, SeqNo::from(3), SeqNo::ZERO] {
            let found = block.find(key, key_hash(key), bound);
            assert!(found.is_none_or(|i| i < block.len() && block.key_eq(i, key)));
            // Whatever front is given, and whatever row.
            let hash = key_hash(key);
            let made = hash.to_le_bytes().as_slice().repeat(9);
            for front in [block.front().unwrap_or_default(), &made] {
                let first = block.first_tagged(front, hash);
                for first in [first.unwrap_or(0), block.len(), usize::MAX] {
                    let found = block.find_tagged(first, front, key, hash, bound);
                    assert!(found.is_none_or(|i| i < block.len()));
                }
            }
            assert!(block.seek(key, bound) <= block.len());
            assert!(block.seek_by(key, bound, &Reverse, &mut vec![]) <= block.len());
        }
    }
    let verified =
        [&Bytewise as &dyn Comparator, &Shortlex].map(|order| block.verify(order).is_ok());
    let mut cursor = SortedCursor::new(block);
    let mut rows = 0;
    cursor.seek_to_first();
    while cursor.entry().is_some() {
        rows += 1;
        cursor.advance();
    }
    assert_eq!(rows, cursor.block().len());
    assert!(rows <= bytes.len() || !verified[0]);
}

/// Both options on, bytewise, with the rows' own keys as probes.
fn holds(rows: &[Row]) {
    let mut shuffled = rows.to_vec();
    shuffled.reverse();
    check(shuffled, SortedBlockOptions::default(), &Bytewise, &[(vec![0], 3)], &[]);
}

#[test]
fn an_empty_block_is_a_block() {
    holds(&[]);
}

#[test]
fn one_row_of_one_byte() {
    holds(&[put(b"\0", b"")]);
}

#[test]
fn the_longest_key_alone_and_beside_its_own_prefix() {
    let longest = vec![0xff; 65_535];
    holds(&[put(&longest, b"value")]);
    holds(&[put(&longest[..65_534], b""), put(&longest, b"")]);
    holds(&[put(b"a", b""), put(&longest, b"x")]);
}

#[test]
fn a_block_longer_than_narrow_offsets_reach() {
    let rows: Vec<Row> = (0..300u32)
        .map(|i| put(format!("{i:08}").as_bytes(), &vec![i as u8; i as usize * 3]))
        .collect();
    holds(&rows);
}

#[test]
fn keys_that_end_where_others_have_zeros() {
    let keys =
        [&b"a"[..], b"a\0", b"a\0\0", b"a\0\0\0", b"a\0\0\0\0", b"a\0\0\0\0\0\0\0\0\0", b"b"];
    holds(&keys.map(|key| put(key, b"v")));
}

#[test]
fn keys_that_tie_in_their_first_four_bytes_have_wide_heads() {
    let rows: Vec<Row> =
        (0..64u32).map(|i| put(format!("{}tie{i:04}tail", i / 40).as_bytes(), &[7; 400])).collect();
    holds(&rows);
    let bytes = build(&rows, SortedBlockOptions::default());
    assert_eq!(bytes[2], 8);
}

#[test]
fn rows_that_columns_leave_empty_need_no_offsets() {
    let rows: Vec<Row> =
        (0..64u32).map(|i| put(format!("{}tie{i:04}", i / 40).as_bytes(), b"")).collect();
    holds(&rows);
    let bytes = build(&rows, SortedBlockOptions::default());
    assert_eq!(bytes[3], 0);
    assert_eq!(SortedBlock::parse(&bytes[..]).unwrap().value(63), Some(&[][..]));
}

/// Users with ten orders each, so that keys share a name that not all share.
fn orders(name: fn(u32) -> String, value_len: fn(u32) -> usize) -> Vec<Row> {
    let order = |i: u32| {
        let key = format!("user:{}:order:{:06}", name(i / 10), i % 10 * 37);
        put(key.as_bytes(), &vec![b'v'; value_len(i)])
    };
    (0..120).map(order).collect()
}

#[track_caller]
fn holds_in_groups(rows: &[Row], groups: u32, is_even: bool, rest_width: u8) {
    holds(rows);
    for tags in [true, false] {
        for heads in [true, false] {
            let options = SortedBlockOptions { tags, heads, ..SortedBlockOptions::default() };
            let bytes = build(rows, options);
            assert_eq!(bytes[1] & 2, 2, "there are groups");
            assert_eq!(bytes[24..28], groups.to_le_bytes());
            assert_eq!(bytes[28..30] != [0, 0], is_even);
            assert!(bytes[4] == rest_width || !heads, "{}", bytes[4]);
            check(rows.to_vec(), options, &Bytewise, &[], &[]);
            let without = SortedBlockOptions { heads: false, ..options };
            check(rows.to_vec(), without, &Reverse, &[], &[]);
        }
    }
}

#[test]
fn keys_of_one_length_share_middles_of_one_length() {
    holds_in_groups(&orders(|user| format!("{user:09}"), |_| 8), 12, true, 0);
    holds_in_groups(&orders(|user| format!("{user:09}"), |i| i as usize % 9), 12, true, 0);
}

#[test]
fn keys_of_several_lengths_share_middles_of_several_lengths() {
    let name = |user: u32| "x".repeat(user as usize % 5) + &format!("{:x}", user * 0x0123_4567);
    holds_in_groups(&orders(name, |_| 8), 21, false, 1);
    holds_in_groups(&orders(name, |i| i as usize % 9), 21, false, 1);
    let rows: Vec<Row> = (0..120u32)
        .map(|i| put(format!("{:04}/a long name/{}", i / 10, 100 + i * i).as_bytes(), b"12345678"))
        .collect();
    assert_eq!(build(&rows, SortedBlockOptions::default())[4], 3, "values tell the lengths");
    holds(&rows);
}

#[test]
fn groups_of_more_rows_than_a_narrow_number_names() {
    for count in [255, 256, 257, 1000] {
        let rows: Vec<Row> = (0..count)
            .map(|i| put(format!("{:06}/the same for some/{}", i / 4, i % 4).as_bytes(), b"v"))
            .collect();
        holds(&rows);
        assert_eq!(build(&rows, SortedBlockOptions::default())[1] & 2, 2);
    }
}

#[test]
fn a_key_that_ends_where_its_group_goes_on_is_found_and_sought() {
    let mut rows = orders(|user| format!("{user:09}"), |_| 8);
    rows.push(put(b"user:00000000", b"short"));
    rows.push(put(b"user:000000003:order", b"longer"));
    rows.push(put(b"user:000000003:order:000074", b"ends beyond"));
    holds(&rows);
}

#[test]
fn verify_finds_groups_that_overlap() {
    let rows = orders(|user| format!("{user:09}"), |_| 8);
    let bytes = build(&rows, SortedBlockOptions::default());
    assert!(SortedBlock::parse(&bytes[..]).unwrap().verify(&Bytewise).is_ok());
    // The third group begins with the last row of the second, whose key it gives another middle.
    let starts_at = bytes.windows(4).position(|starts| starts == [0, 10, 20, 30]).unwrap();
    let mut moved = bytes.clone();
    moved[starts_at + 2] = 19;
    let error = SortedBlock::parse(&moved[..]).unwrap().verify(&Bytewise).unwrap_err();
    assert!(error.is_corruption(), "{error}");
    for start in [10, 31, 200] {
        moved[starts_at + 2] = start;
        assert!(SortedBlock::parse(&moved[..]).unwrap_err().is_corruption());
    }
}

#[test]
fn lengths_out_of_range_are_refused_and_leave_the_builder_as_it_was() {
    let mut builder = SortedBlockBuilder::new(SortedBlockOptions::default());
    let trailer = Trailer::new(SeqNo::ZERO, EntryKind::Put);
    for key in [&[][..], &vec![0; 65_536]] {
        let error = builder.add(key, trailer, b"").unwrap_err();
        assert!(!error.is_corruption(), "{error}");
    }
    assert!(builder.is_empty());
}

#[test]
fn a_block_that_claims_billions_of_rows_is_refused() {
    let neither = SortedBlockOptions { tags: false, heads: false, digests: false };
    let mut bytes = build(&[put(b"abc", b"v")], neither);
    bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(SortedBlock::parse(&bytes[..]).unwrap_err().is_corruption());
}

#[test]
fn a_digest_that_came_with_its_entry_tells_what_happened_to_it_on_its_way() {
    let [a, b, c] = [put(b"aaaa", b"1"), put(b"bbbb", b"2"), put(b"cccc", b"3")];
    let mut builder = SortedBlockBuilder::new(WITH_DIGESTS);
    for (row, inserted) in [(&a, &a), (&b, &put(b"bbbb", b"3")), (&c, &c)] {
        let digest = EntryDigest::of(EntryRef::new(&inserted.key, row.trailer, &inserted.value));
        let Row { key, trailer, value } = row;
        let (key_hash, digest) = (key_hash(key), Some(digest));
        let new = NewRow { key, key_hash, trailer: *trailer, value, digest, step: None };
        builder.add_row(&new).unwrap();
    }
    let mut bytes = vec![];
    builder.finish_into(&mut bytes);
    let block = SortedBlock::parse(&bytes[..]).unwrap();
    let right: Vec<bool> = (0..4).map(|i| block.verify_entry(i, &mut vec![]).is_ok()).collect();
    assert_eq!(right, [true, false, true, true]);
    assert!(block.verify(&Bytewise).unwrap_err().is_corruption());
    assert!(block.has_digests());
}

/// In a block with digests, no row is taken for whole that is not one of those written.
#[test]
fn a_damaged_row_does_not_fit_its_digest() {
    let kinds = EntryKind::ALL;
    let rows: Vec<Row> = (0..40u64)
        .map(|i| {
            let key = format!("{:03}/key/{i:04}", i / 4);
            row(key.as_bytes(), i % 3, kinds[i as usize % 3], &[b'v'; 20])
        })
        .collect();
    let bytes = build(&rows, WITH_DIGESTS);
    let (mut parsed, mut verified, mut key) = (0, 0, vec![]);
    let counts = for_each_mutant(&bytes, |what, mutant| {
        let Ok(block) = SortedBlock::parse(mutant) else { return };
        if !block.has_digests() {
            return;
        }
        parsed += 1;
        for i in 0..block.len() {
            if block.verify_entry(i, &mut key).is_err() {
                continue;
            }
            verified += 1;
            let (trailer, value) = (block.trailer(i).unwrap(), block.value(i).unwrap());
            let whole = rows
                .iter()
                .any(|row| (&row.key, row.trailer, &row.value[..]) == (&key, trailer, value));
            assert!(whole, "{what}: row {i} is none that was written");
        }
    });
    println!("rows with digests: {counts}; {parsed} parsed, {verified} rows whole");
    assert!(parsed > 0 && verified > 0);
}

#[test]
fn verify_finds_rows_out_of_order_and_foreign_tags() {
    let rows = [put(b"aaaa", b"1"), put(b"bbbb", b"2"), put(b"cccc", b"3")];
    let wrong = |rows: &[Row], order: &dyn Comparator| {
        let bytes = build(rows, SortedBlockOptions::default());
        let error = SortedBlock::parse(&bytes[..]).unwrap().verify(order).unwrap_err();
        assert!(error.is_corruption());
        error.to_string()
    };
    let [a, b, c] = rows.clone();
    assert!(wrong(&[a.clone(), c.clone(), b.clone()], &Bytewise).contains("out of order"));
    assert!(wrong(&[a.clone(), a.clone(), b.clone()], &Bytewise).contains("out of order"));
    assert!(wrong(&[a, b, c], &Shortlex).contains("not bytewise"));

    let mut bytes = build(&rows, SortedBlockOptions::default());
    bytes[24] ^= 1;
    let error = SortedBlock::parse(&bytes[..]).unwrap().verify(&Bytewise).unwrap_err();
    assert!(error.to_string().contains("tag"), "{error}");
}

/// Blocks filled up to a length reach it, whether or not groups make them shorter, and hardly pass it.
#[test]
fn blocks_can_be_filled_up_to_a_length() {
    use stratal_testkit::{KeyShape, Rng, sorted_keys, value};
    for shape in KeyShape::ALL {
        for (value_len, len_max) in [(8, 4096), (100, 4096), (100, 1024), (0, 512)] {
            let mut rng = Rng::new(1);
            let keys = sorted_keys(shape, 20_000, &mut rng);
            let mut builder = SortedBlockBuilder::new(SortedBlockOptions::default());
            let mut lens = Vec::new();
            for key in &keys {
                let value = value(value_len, 50, &mut rng);
                if !builder.is_empty() && !builder.has_room_for(key.len() + value.len(), len_max) {
                    let (rows, mut bytes) = (builder.len(), Vec::new());
                    builder.finish_into(&mut bytes);
                    assert!(bytes.len() <= len_max + 2 * rows, "{shape:?}: {} bytes", bytes.len());
                    lens.push(bytes.len());
                }
                builder.add(key, Trailer::new(SeqNo::from(1), EntryKind::Put), &value).unwrap();
            }
            let mean = lens.iter().sum::<usize>() / lens.len().max(1);
            let reached = lens.is_empty() || mean * 100 >= (len_max - value_len - 70) * 90;
            assert!(reached, "{shape:?}, {value_len}: {mean} of {len_max}");
        }
    }
}
