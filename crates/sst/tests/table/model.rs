//! Tables under any options answer as the model does.

use std::{ops::Bound, sync::Arc};

use crate::passing::check_passing;
use crate::support::{
    Entry, backward, context, forward, fragments_of, open, owned, write, write_model,
};
use proptest::prelude::*;
use stratal_filter::{FilterKind, FilterSize, FilterSpec};
use stratal_sst::{
    Checksum, Compression, Dictionary, Parity, Partitioning, Seal, Table, TableDictionary,
    TableOptions,
};
use stratal_testkit::{Model, Op, concatenate, strategies};
use stratal_types::{
    Bytewise, Comparator, Cursor, KeyRange, PrefixRange, Reverse, SeqNo, Shortlex, key_hash,
};

fn options() -> impl Strategy<Value = TableOptions> {
    let block_len_target = prop_oneof![Just(512u32), Just(700), Just(4096), Just(1 << 20)];
    let compression = prop_oneof![
        2 => Just((Compression::None, TableDictionary::None)),
        2 => Just((Compression::Lz4, TableDictionary::None)),
        1 => Just((Compression::Zstd { level: 1 }, TableDictionary::None)),
        2 => Just((
            Compression::Zstd { level: 1 },
            TableDictionary::Train { len_max: 256, sample_len: 6000 },
        )),
        1 => Just((
            Compression::Zstd { level: 1 },
            TableDictionary::Given(Dictionary::new(b"what keys and values have in common").unwrap()),
        )),
    ];
    let checksum = || prop_oneof![Just(Checksum::Xxh3), Just(Checksum::Crc32c)];
    let filter = prop_oneof![
        Just(None),
        Just(Some(FilterSize::BitsPerKey(10.0).into())),
        Just(Some(FilterSize::FalsePositiveRate(0.2).into())),
        Just(Some(FilterSpec { kind: FilterKind::Burr, size: FilterSize::default() })),
    ];
    let partitioning = prop_oneof![
        Just(Partitioning::Never),
        Just(Partitioning::Always),
        Just(Partitioning::Auto { keys: 30 }),
        Just(Partitioning::default()),
    ];
    let partition_len_target = prop_oneof![Just(512u32), Just(2000)];
    let partitions = (partitioning, partition_len_target, any::<bool>());
    let seal = prop_oneof![
        2 => Just(Seal::None),
        1 => Just(Seal::Aes256Gcm),
        1 => Just(Seal::ChaCha20Poly1305),
    ];
    // The check of 32 bits and the parity that needs one of 64 are not put together.
    let protection = prop_oneof![
        (checksum(), Just(Parity::None)),
        (checksum(), Just(Parity::SecDed)),
        (checksum(), Just(Parity::Xor { data: 3 })),
        (Just(Checksum::Xxh3), Just(Parity::ReedSolomon { data: 4, parity: 2 })),
    ];
    let seal = (seal, any::<bool>());
    (block_len_target, compression, filter, partitions, seal, protection).prop_map(
        |(block_len_target, compression, filter, partitions, seal, protection)| {
            let (seal, entry_digests) = seal;
            let (partitioning, partition_len_target, locator) = partitions;
            let (checksum, parity) = protection;
            let (compression, dictionary) = compression;
            TableOptions {
                block_len_target,
                compression,
                dictionary,
                checksum,
                seal,
                parity,
                entry_digests,
                filter,
                partitioning,
                partition_len_target,
                locator,
                ..TableOptions::default()
            }
        },
    )
}

fn comparator() -> impl Strategy<Value = Arc<dyn Comparator>> {
    let all: [Arc<dyn Comparator>; 3] = [Arc::new(Bytewise), Arc::new(Reverse), Arc::new(Shortlex)];
    prop::sample::select(all.to_vec())
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let key = prop_oneof![strategies::small_key(), strategies::key(50)];
    let put = (key.clone(), strategies::any_value(300));
    let op = prop_oneof![
        6 => put.prop_map(|(key, value)| Op::Put { key, value }),
        1 => key.clone().prop_map(|key| Op::Delete { key }),
        1 => key.clone().prop_map(|key| Op::WeakDelete { key }),
        1 => (key.clone(), key).prop_map(|(from, to)| Op::DeleteRange { from, to }),
    ];
    prop::collection::vec(op, 1..200)
}

fn model_of(ops: &[Op], comparator: Arc<dyn Comparator>) -> Model {
    let mut model = Model::new(comparator, concatenate);
    for (seqno, op) in (1u32..).zip(ops) {
        model.apply(seqno.into(), op);
    }
    model
}

/// The one function that knows the API.
fn check(table: &Table, model: &Model, probes: &[Vec<u8>]) {
    let entries = model.entries();
    assert_eq!(forward(table).unwrap(), entries);
    let mut reversed = backward(table).unwrap();
    reversed.reverse();
    assert_eq!(reversed, entries);
    check_batches(table, probes);
    check_points(table, model, &entries, probes);
    check_batches(table, probes);
    check_ranges(table, model, probes);
    check_passing(table, &entries, probes);
    assert_eq!(table.properties().entries, entries.len() as u64);
    assert_eq!(*table.tombstones().unwrap(), fragments_of(model));
    check_span(table, model);
    let report = table.verify().unwrap();
    assert!(report.is_ok(), "{:?}", report.damage);
    assert_eq!(report.entries, entries.len() as u64);
    check_blocks(table);
}

/// Each block of the file has a nonce of its own, none is missed, and a scrub copies the file.
fn check_blocks(table: &Table) {
    let blocks = table.blocks().unwrap();
    let mut ordinals: Vec<u64> = blocks.iter().map(|block| block.ordinal).collect();
    ordinals.sort_unstable();
    ordinals.dedup();
    assert_eq!(ordinals.len(), blocks.len());
    assert!(ordinals.iter().all(|&ordinal| ordinal < 1 << 32));
    let in_blocks: u64 = blocks.iter().map(|block| u64::from(block.len)).sum();
    let in_sections: u64 = table.contents().entries.iter().map(|entry| entry.len).sum();
    assert_eq!(in_blocks, in_sections);
    let mut copy = Vec::new();
    let report = table.scrub(&mut copy).unwrap();
    assert!(report.is_whole() && report.healed.is_empty(), "{report:?}");
    assert_eq!(copy.len() as u64, table.info().file_len);
}

/// Everything in the table lies in its span.
fn check_span(table: &Table, model: &Model) {
    let order = model.comparator();
    let span = table.properties().span(order);
    assert!(model.entries().iter().all(|(key, ..)| span.contains(key, order)));
    for (from, ..) in
        model.tombstones().iter().filter(|(from, to, _)| order.compare(from, to).is_lt())
    {
        assert!(span.contains(from, order));
    }
    if let Some(hull) = table.tombstones().unwrap().span() {
        assert_eq!(span.hull(&hull, order), span);
    }
}

fn check_points(table: &Table, model: &Model, entries: &[Entry], probes: &[Vec<u8>]) {
    let order = model.comparator();
    let mut cursor = table.cursor();
    let bounds = [0, 1, 2, 7, 50, 150, 1000].map(SeqNo::from);
    for key in probes {
        assert_eq!(table.get(key).unwrap().map(Vec::from), model.get(key, SeqNo::MAX));
        assert_eq!(table.contains(key).unwrap(), model.get(key, SeqNo::MAX).is_some());
        for bound in bounds.into_iter().chain([SeqNo::MAX]) {
            let at = entries.partition_point(|(other, trailer, _)| {
                let by_key = order.compare(other, key);
                by_key.is_lt() || by_key.is_eq() && !trailer.seqno().is_visible_at(bound)
            });
            cursor.seek(key, bound).unwrap();
            assert_eq!(cursor.entry().map(owned).as_ref(), entries.get(at), "{key:?} {bound}");
            let expected = entries.get(at).filter(|entry| entry.0 == *key);
            let found = table.lookup(key, bound).unwrap();
            let found = found.map(|version| (key.clone(), version.trailer, version.value.to_vec()));
            assert_eq!(found.as_ref(), expected, "{key:?} {bound}");

            cursor.retreat().unwrap();
            let before = at.checked_sub(1).and_then(|before| entries.get(before));
            assert_eq!(cursor.entry().map(owned).as_ref(), before, "{key:?} {bound}");
            cursor.advance().unwrap();
            assert_eq!(cursor.entry().map(owned).as_ref(), entries.get(at), "{key:?} {bound}");
        }
    }
}

/// Many keys at once are answered like one by one, in any order and however often they are asked for,
/// from the cache and from the file.
fn check_batches(table: &Table, probes: &[Vec<u8>]) {
    let mut keys: Vec<_> = probes.iter().chain(probes.iter().rev().step_by(2)).collect();
    keys.rotate_left(probes.len() / 3);
    let one_by_one: Vec<_> = keys.iter().map(|key| table.get(key).unwrap()).collect();
    assert_eq!(table.multi_get(&keys).unwrap(), one_by_one);
    let hashed: Vec<_> = keys.iter().map(|key| (&key[..], key_hash(key))).collect();
    for bound in [0, 1, 7, 100].map(SeqNo::from).into_iter().chain([SeqNo::MAX]) {
        let one_by_one: Vec<_> = keys.iter().map(|key| table.lookup(key, bound).unwrap()).collect();
        assert_eq!(table.multi_lookup(&hashed, bound).unwrap(), one_by_one, "{bound}");
    }
}

fn check_ranges(table: &Table, model: &Model, probes: &[Vec<u8>]) {
    let bounds = |key: &Vec<u8>| {
        [Bound::Included(key.clone()), Bound::Excluded(key.clone()), Bound::Unbounded]
    };
    for pair in probes.windows(2).take(6) {
        for (start, end) in bounds(&pair[0])
            .into_iter()
            .flat_map(|start| bounds(&pair[1]).map(|end| (start.clone(), end)))
        {
            let expected =
                model.scan(&KeyRange { start: start.clone(), end: end.clone() }, SeqNo::MAX);
            let rows = || table.range((start.clone(), end.clone())).map(|row| row.unwrap());
            let own =
                |(key, value): (bytes::Bytes, bytes::Bytes)| (Vec::from(key), Vec::from(value));
            assert_eq!(rows().map(own).collect::<Vec<_>>(), expected);
            let keys =
                || table.keys((start.clone(), end.clone())).map(|key| Vec::from(key.unwrap()));
            let expected_keys = || expected.iter().map(|(key, _)| key.clone());
            assert!(keys().eq(expected_keys()) && keys().rev().eq(expected_keys().rev()));
            let mut backwards: Vec<_> = rows().rev().map(own).collect();
            backwards.reverse();
            assert_eq!(backwards, expected);
            check_meeting(table, &(start, end), &expected);
        }
    }
    for prefix in probes.iter().take(6).map(|key| &key[..key.len().min(2)]) {
        let PrefixRange { start, end, .. } = model.comparator().prefix_range(prefix);
        let mut expected = model.scan(&KeyRange { start, end }, SeqNo::MAX);
        expected.retain(|(key, _)| key.starts_with(prefix));
        let found: Vec<_> = table.prefix(prefix).map(|row| Vec::from(row.unwrap().0)).collect();
        assert_eq!(found, expected.into_iter().map(|(key, _)| key).collect::<Vec<_>>());
    }
}

/// Both ends of one iterator, taken in turn, meet once.
fn check_meeting(
    table: &Table,
    range: &(Bound<Vec<u8>>, Bound<Vec<u8>>),
    expected: &[(Vec<u8>, Vec<u8>)],
) {
    let mut rows = table.range(range.clone());
    let (mut front, mut back) = (Vec::new(), Vec::new());
    loop {
        let Some(row) = rows.next() else { break };
        front.push(Vec::from(row.unwrap().0));
        let Some(row) = rows.next_back() else { break };
        back.push(Vec::from(row.unwrap().0));
    }
    assert!(rows.next().is_none() && rows.next_back().is_none());
    front.extend(back.into_iter().rev());
    assert_eq!(front, expected.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn a_table_answers_as_the_model_does(
        ops in ops(),
        options in options(),
        comparator in comparator(),
        others in prop::collection::vec(strategies::key(50), 1..8),
    ) {
        let model = model_of(&ops, Arc::clone(&comparator));
        let ctx = context(comparator);
        let file = write_model(&ctx, options, &model).unwrap();
        prop_assume!(!file.is_empty());
        let table = open(&ctx, &file).unwrap();
        let keys = model.entries().into_iter().map(|(key, ..)| key);
        let mut probes: Vec<_> = keys.step_by(7).chain(others).collect();
        probes.sort_by(|a, b| model.comparator().compare(a, b));
        probes.dedup();
        check(&table, &model, &probes);
    }
}

#[test]
fn a_table_may_hold_range_tombstones_alone() {
    for comparator in [Arc::new(Bytewise) as Arc<dyn Comparator>, Arc::new(Reverse)] {
        let mut model = Model::new(Arc::clone(&comparator), concatenate);
        for (seqno, (from, to)) in (1u32..).zip([("b", "d"), ("c", "f"), ("f", "c"), ("x", "z")]) {
            model.delete_range(seqno.into(), from.as_bytes(), to.as_bytes());
        }
        let ctx = context(comparator);
        let file = write_model(&ctx, TableOptions::default(), &model).unwrap();
        let table = open(&ctx, &file).unwrap();
        check(&table, &model, &["a", "b", "c", "f", "y"].map(Vec::from));
        assert!(table.blocks().unwrap().len() >= 4, "tombstones and properties, twice");
        assert!(!table.annotate().unwrap().contains("not described"));
    }
}

#[test]
fn versions_of_one_key_may_fill_many_blocks_and_partitions() {
    let mut model = Model::bytewise();
    model.put(1u32.into(), b"a", b"first");
    model.put(1u32.into(), b"c", b"last");
    for seqno in 2..300u32 {
        model.put(seqno.into(), b"b", &[b'v'; 100]);
    }
    let ctx = context(Arc::new(Bytewise));
    for (partitioning, locator) in
        [(Partitioning::Never, false), (Partitioning::Never, true), (Partitioning::Always, true)]
    {
        let options = TableOptions {
            block_len_target: 512,
            locator,
            partitioning,
            partition_len_target: 512,
            ..TableOptions::default()
        };
        let table = open(&ctx, &write(&ctx, options, &model.entries()).unwrap()).unwrap();
        assert!(table.properties().data_blocks > 50);
        let is_divided = partitioning == Partitioning::Always;
        assert_eq!(table.properties().index_partitions > 1, is_divided);
        assert_eq!(table.properties().locator_bytes > 0, locator && !is_divided);
        check(&table, &model, &["a", "aa", "b", "bb", "c", "d"].map(Vec::from));
        for bound in 0..302u32 {
            let expected =
                (3..=300).contains(&bound).then(|| bound - 1).or((bound > 300).then_some(299));
            let found = table.lookup(b"b", bound.into()).unwrap();
            assert_eq!(
                found.map(|version| version.trailer.seqno()),
                expected.map(SeqNo::from),
                "{bound}"
            );
        }
    }
}

#[test]
fn entries_at_the_limits_are_stored() {
    let mut model = Model::bytewise();
    model.put(1u32.into(), &vec![0xff; stratal_types::KEY_LEN_MAX], &[]);
    model.put(2u32.into(), b"\x00", &vec![7; 3 << 20]);
    model.delete(3u32.into(), &vec![0xff; stratal_types::KEY_LEN_MAX - 1]);
    let ctx = context(Arc::new(Bytewise));
    for block_len_target in [512, 1 << 20] {
        let options = TableOptions { block_len_target, ..TableOptions::default() };
        let table = open(&ctx, &write(&ctx, options, &model.entries()).unwrap()).unwrap();
        let probes: Vec<_> = model.entries().into_iter().map(|(key, ..)| key).collect();
        check(&table, &model, &probes);
    }
}

#[test]
fn a_cache_without_room_changes_no_answer() {
    let mut model = Model::bytewise();
    for key in 0..500u32 {
        model.put(1u32.into(), format!("key{key:04}").as_bytes(), &[1; 50]);
    }
    let mut ctx = context(Arc::new(Bytewise));
    ctx.cache = Arc::new(stratal_cache::Cache::new(0));
    let table =
        open(&ctx, &write(&ctx, TableOptions::default(), &model.entries()).unwrap()).unwrap();
    check(&table, &model, &[b"key0000".to_vec(), b"key0250".to_vec(), b"key9".to_vec()]);
}
