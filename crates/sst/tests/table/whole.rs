//! Work over whole tables: sets, merges, pieces and differences, against the model.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proptest::prelude::*;
use stratal_sst::{
    Error, Finished, Keep, MergeError, Properties, Table, TableBlock, TableContext, TableFiles,
    TableIdentity, TableOptions, TableSetWriter, TableSpec, TableWriter, merge_tables,
};
use stratal_testkit::{Model, Op, concatenate, strategies};
use stratal_types::{
    Bytewise, Comparator, CutOptions, EntryKind, EntryRef, Fence, FileUid, Fragments, KeyRange,
    OutputCutter, Piece, RangeTombstone, Reverse, SeqNo, Shortlex, Trailer,
};

use crate::support::{Entry, context, forward, fragments_of, open, write_model};

fn comparator() -> impl Strategy<Value = Arc<dyn Comparator>> {
    let all: [Arc<dyn Comparator>; 3] = [Arc::new(Bytewise), Arc::new(Reverse), Arc::new(Shortlex)];
    prop::sample::select(all.to_vec())
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![strategies::small_key(), strategies::key(50)]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let put = (key(), strategies::any_value(60));
    let op = prop_oneof![
        6 => put.prop_map(|(key, value)| Op::Put { key, value }),
        1 => key().prop_map(|key| Op::Delete { key }),
        1 => (key(), key()).prop_map(|(from, to)| Op::DeleteRange { from, to }),
    ];
    prop::collection::vec(op, 1..200)
}

fn spec() -> Arc<TableSpec> {
    Arc::new(TableOptions { block_len_target: 512, ..TableOptions::default() }.validate().unwrap())
}

/// The model of `ops`, numbered from `first` on.
fn model_of(ops: &[Op], first: u32, comparator: &Arc<dyn Comparator>) -> Model {
    let mut model = Model::new(Arc::clone(comparator), concatenate);
    for (seqno, op) in (first..).zip(ops) {
        model.apply(seqno.into(), op);
    }
    model
}

/// A table of everything in `model`; `None` if that is nothing.
fn table_of(ctx: &TableContext, model: &Model) -> Option<Table> {
    let file = write_model(ctx, TableOptions::default(), model).unwrap();
    (!file.is_empty()).then(|| open(ctx, &file).unwrap())
}

/// Files in memory, and how many are begun and not ended.
#[derive(Debug, Default)]
struct Kept {
    files: Vec<Vec<u8>>,
    open: usize,
    refuse_at: Option<usize>,
}

impl TableFiles for Kept {
    type Sink = Vec<u8>;
    type Error = Error;

    fn begin(&mut self) -> Result<(Vec<u8>, TableIdentity), Error> {
        assert_eq!(self.open, 0, "one table at a time");
        if self.refuse_at == Some(self.files.len()) {
            return Err(Error::Write(std::io::ErrorKind::StorageFull.into()));
        }
        self.open += 1;
        Ok((Vec::new(), FileUid([self.files.len().try_into().unwrap(); 16]).into()))
    }

    fn end(&mut self, finished: Finished<Vec<u8>>) -> Result<(), Error> {
        self.open -= 1;
        assert!(finished.info.is_some());
        self.files.push(finished.sink);
        Ok(())
    }

    fn fail(&mut self, error: Error) -> Error {
        error
    }
}

/// Tables that follow one another hold, together, `entries` and `tombstones`; of each, the range
/// tombstones lie in its own span, and no key is in two.
fn check_set(tables: &[Table], entries: &[Entry], tombstones: &Fragments, order: &dyn Comparator) {
    let found: Vec<Entry> = tables.iter().flat_map(|table| forward(table).unwrap()).collect();
    assert_eq!(found, entries);
    let carried: Vec<_> = tables.iter().map(|table| table.tombstones().unwrap()).collect();
    assert_eq!(Fragments::merge(carried.iter().map(AsRef::as_ref), order), *tombstones);
    for [a, b] in tables.array_windows() {
        let (a, b) = (a.properties().span(order), b.properties().span(order));
        assert!(!a.overlaps(&b, order), "{a:?} {b:?}");
    }
    for table in tables {
        assert!(table.verify().unwrap().is_ok());
        assert!(table.properties().entries > 0 || table.properties().range_tombstones > 0);
    }
}

/// A read of the newest state, by the model, of the table of all that was written.
fn live(model: &Model) -> Vec<(Vec<u8>, Vec<u8>)> {
    model.scan(&KeyRange::ALL, SeqNo::MAX)
}

fn live_rows(table: Option<&Table>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = table.into_iter().flat_map(|table| table.range::<&[u8]>(..));
    rows.map(|row| row.unwrap()).map(|(key, value)| (key.into(), value.into())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn a_set_holds_what_was_written_in_tables_that_do_not_overlap(
        ops in ops(),
        comparator in comparator(),
        table_len in prop_oneof![Just(1u64), Just(600), Just(2000), Just(1 << 20)],
        mut fences in prop::collection::vec(key(), 0..6),
    ) {
        let model = model_of(&ops, 1, &comparator);
        let (order, ctx) = (model.comparator(), context(Arc::clone(&comparator)));
        fences.sort_by(|a, b| order.compare(a, b));
        let fences: Vec<_> =
            fences.into_iter().map(|start| Fence { start, len: table_len }).collect();
        let cut = CutOptions { table_len, below_len_max: 2 * table_len };
        let cutter = OutputCutter::new(cut, &fences, Piece::default(), order);
        let mut set = TableSetWriter::new(&ctx, spec(), cutter, Kept::default());
        let tombstones = fragments_of(&model);
        set.add_tombstones(&tombstones).unwrap();
        for (key, trailer, value) in model.entries() {
            set.add(EntryRef::new(&key, trailer, &value)).unwrap();
        }
        let files = set.finish().unwrap().files;
        let tables: Vec<_> = files.iter().map(|file| open(&ctx, file).unwrap()).collect();
        check_set(&tables, &model.entries(), &tombstones, order);
        let keys: BTreeSet<_> = model.entries().into_iter().map(|(key, ..)| key).collect();
        if table_len == 1 && fences.is_empty() {
            // A table ends behind the key at which it was found long enough: its first, if that has
            // more than one version, or its second.
            let least = keys.len().div_ceil(2).max(usize::from(!tombstones.is_empty()));
            prop_assert!((least..=keys.len().max(1)).contains(&tables.len()));
        }
    }

    #[test]
    fn merged_tables_read_like_the_model_of_all_that_was_written(
        ops in ops(),
        comparator in comparator(),
        cuts in prop::collection::vec(0usize..200, 0..4),
        overlap in 0usize..20,
        operands in any::<bool>(),
    ) {
        let ops: Vec<_> = ops.into_iter().map(|op| match op {
            Op::Put { key, value } if operands && value.len() % 3 == 0 =>
                Op::Merge { key, operand: value },
            op => op,
        }).collect();
        let whole = model_of(&ops, 1, &comparator);
        let ctx = context(Arc::clone(&comparator));
        // Pieces of history, the newest first; neighbours share some of it.
        let mut cuts: Vec<_> = cuts.into_iter().map(|at| at.min(ops.len())).collect();
        cuts.extend([0, ops.len()]);
        cuts.sort_unstable();
        let inputs: Vec<_> = cuts.array_windows().rev().filter_map(|&[from, to]| {
            let from = from.saturating_sub(overlap);
            let first = u32::try_from(from + 1).unwrap();
            table_of(&ctx, &model_of(&ops[from..to], first, &comparator))
        }).collect();
        for keep in [Keep::Versions, Keep::Newest, Keep::Live] {
            let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([7; 16]), spec()).unwrap();
            let summary = merge_tables(&inputs, keep, &mut writer).unwrap();
            prop_assert_eq!(summary.read, whole.entries().len() as u64);
            prop_assert_eq!(summary.written, writer.entries());
            let file = writer.finish().unwrap().sink;
            let merged = (!file.is_empty()).then(|| open(&ctx, &file).unwrap());
            let entries = merged.as_ref().map_or_else(Vec::new, |table| forward(table).unwrap());
            let kept = merged.as_ref().map(|table| table.tombstones().unwrap());
            let kept = kept.unwrap_or_default();
            let tombstones = fragments_of(&whole);
            match keep {
                Keep::Versions => {
                    prop_assert_eq!(&entries, &whole.entries());
                    prop_assert_eq!(&*kept, &tombstones);
                }
                Keep::Newest => prop_assert_eq!(&*kept, &tombstones),
                Keep::Live => {
                    prop_assert!(kept.is_empty());
                    prop_assert!(entries.iter().all(|(_, trailer, _)| !trailer.kind().is_delete()));
                }
            }
            // What was merged reads as the model does, operands and all.
            let mut model = Model::new(Arc::clone(&comparator), concatenate);
            for (key, trailer, value) in &entries {
                model.insert(key, *trailer, value);
            }
            for part in kept.iter() {
                model.delete_range(part.seqno, part.start, part.end);
            }
            prop_assert_eq!(live(&model), live(&whole), "{:?}", keep);
            if keep == Keep::Newest && !operands {
                let keys: BTreeSet<_> = entries.iter().map(|(key, ..)| key).collect();
                prop_assert_eq!(keys.len(), entries.len());
                // Whatever older tables hold is hidden by the result as it was by all of the inputs.
                for (key, trailer, _) in whole.entries() {
                    let covered = kept.covering(&key, SeqNo::MAX, whole.comparator());
                    prop_assert!(keys.contains(&key) || covered > Some(trailer.seqno()));
                }
            }
        }
    }

    #[test]
    fn of_tables_without_versions_the_newest_input_has_each_key(
        tables in prop::collection::vec(
            prop::collection::vec((key(), prop::option::of(strategies::any_value(20))), 0..60),
            1..6,
        ),
        comparator in comparator(),
    ) {
        let ctx = context(Arc::clone(&comparator));
        let mut expected: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        let mut inputs = Vec::new();
        for rows in &tables {
            let rows: BTreeMap<_, _> = rows.iter().cloned().collect();
            expected.extend(rows.clone());
            let file = write_rows(&ctx, rows, &comparator);
            inputs.extend((!file.is_empty()).then(|| open(&ctx, &file).unwrap()));
        }
        inputs.reverse();
        for keep in [Keep::Versions, Keep::Newest, Keep::Live] {
            let mut expected = expected.clone();
            expected.retain(|_, value| keep != Keep::Live || value.is_some());
            let mut writer = TableWriter::new(&ctx, Vec::new(), crate::support::UID, spec()).unwrap();
            merge_tables(&inputs, keep, &mut writer).unwrap();
            // The same bytes as if the rows had been written at once.
            let merged = writer.finish().unwrap().sink;
            let mut writer = TableWriter::new(&ctx, Vec::new(), crate::support::UID, spec()).unwrap();
            for (key, value) in sorted(expected, &comparator) {
                let (kind, value) = match &value {
                    Some(value) => (EntryKind::Put, &value[..]),
                    None => (EntryKind::Delete, &[][..]),
                };
                writer.add(EntryRef::new(&key, Trailer::new(SeqNo::ZERO, kind), value)).unwrap();
            }
            prop_assert!(writer.finish().unwrap().sink == merged, "{:?}", keep);
        }
    }

    #[test]
    fn pieces_hold_together_what_the_table_held(
        ops in ops(),
        comparator in comparator(),
        mut at in prop::collection::vec(key(), 0..6),
    ) {
        let model = model_of(&ops, 1, &comparator);
        let (order, ctx) = (model.comparator(), context(Arc::clone(&comparator)));
        let Some(table) = table_of(&ctx, &model) else { return Ok(()) };
        at.sort_by(|a, b| order.compare(a, b));
        at.dedup();
        let mut uids = 0u8..;
        let mut writer = || {
            let uid = FileUid([uids.next().unwrap(); 16]);
            TableWriter::new(&ctx, Vec::new(), uid, spec())
        };
        let pieces = table.split(&at, &mut writer).unwrap();
        prop_assert_eq!(pieces.len(), at.len() + 1);
        let starts = std::iter::once(None).chain(at.iter().map(Some));
        let mut tables = Vec::new();
        for (piece, (start, end)) in
            pieces.iter().zip(starts.zip(at.iter().map(Some).chain([None])))
        {
            prop_assert_eq!(piece.info.is_none(), piece.sink.is_empty());
            let Some(info) = &piece.info else { continue };
            let Properties { first_key, tombstones_start, entries, range_tombstones, .. } =
                &info.properties;
            let is_inside = |first: &[u8]| {
                start.is_none_or(|start| order.compare(start, first).is_le())
                    && end.is_none_or(|end| order.compare(first, end).is_lt())
            };
            prop_assert!(*entries == 0 || is_inside(first_key));
            prop_assert!(*range_tombstones == 0 || is_inside(tombstones_start));
            tables.push(open(&ctx, &piece.sink).unwrap());
        }
        check_set(&tables, &model.entries(), &fragments_of(&model), order);
        at.reverse();
        if at.len() > 1 {
            let refused = table.split(&at, || -> Result<TableWriter<Vec<u8>>, Error> {
                panic!("nothing is begun")
            });
            let is_refused = matches!(refused, Err(Error::OutOfOrder { .. }));
            prop_assert!(is_refused);
        }
    }

    #[test]
    fn differences_turn_one_table_into_the_other(
        before in ops(),
        more in ops(),
        comparator in comparator(),
    ) {
        let ctx = context(Arc::clone(&comparator));
        let left = model_of(&before, 1, &comparator);
        let right = model_of(&[before, more].concat(), 1, &comparator);
        let (Some(a), Some(b)) = (table_of(&ctx, &left), table_of(&ctx, &right)) else {
            return Ok(());
        };
        let (left, right): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (live(&left).into_iter().collect(), live(&right).into_iter().collect());
        let keys: BTreeSet<_> = left.keys().chain(right.keys()).collect();
        let differ = keys.into_iter().filter(|&key| left.get(key) != right.get(key));
        let mut expected: Vec<_> =
            differ.map(|key| (key.clone(), left.get(key).cloned(), right.get(key).cloned())).collect();
        expected.sort_by(|(a, ..), (b, ..)| comparator.compare(a, b));
        let found: Vec<_> = a.diff(&b).unwrap().map(|found| {
            let found = found.unwrap();
            (Vec::from(found.key), found.left.map(Vec::from), found.right.map(Vec::from))
        }).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(a.diff(&a).unwrap().count(), 0);
        prop_assert_eq!(live_rows(Some(&a)).len(), left.len());
    }
}

/// A key and its value, or that it has none.
type Row = (Vec<u8>, Option<Vec<u8>>);

fn sorted(rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>, comparator: &Arc<dyn Comparator>) -> Vec<Row> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by(|(a, _), (b, _)| comparator.compare(a, b));
    rows
}

/// A table of values and deletes, all without numbers.
fn write_rows(
    ctx: &TableContext,
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    comparator: &Arc<dyn Comparator>,
) -> Vec<u8> {
    let mut writer = TableWriter::new(ctx, Vec::new(), FileUid([3; 16]), spec()).unwrap();
    for (key, value) in sorted(rows, comparator) {
        let kind = if value.is_some() { EntryKind::Put } else { EntryKind::Delete };
        let value = value.unwrap_or_default();
        writer.add(EntryRef::new(&key, Trailer::new(SeqNo::ZERO, kind), &value)).unwrap();
    }
    writer.finish().unwrap().sink
}

fn rows_table(ctx: &TableContext, rows: &[(&str, &str)]) -> Table {
    let mut writer = TableWriter::new(ctx, Vec::new(), FileUid([1; 16]), spec()).unwrap();
    for (key, value) in rows {
        writer.put(key.as_bytes(), value.as_bytes()).unwrap();
    }
    open(ctx, &writer.finish().unwrap().sink).unwrap()
}

#[test]
fn tombstones_between_the_keys_of_two_tables_are_carried() {
    let ctx = TableContext::default();
    let wide = Fragments::build(&[RangeTombstone::new("a", "z", SeqNo::from(9u32))], &Bytewise);
    let cut = CutOptions { table_len: 1, ..CutOptions::default() };
    let cutter = OutputCutter::new(cut, &[], Piece::default(), &Bytewise);
    let mut set = TableSetWriter::new(&ctx, spec(), cutter, Kept::default());
    set.add_tombstones(&wide).unwrap();
    for key in ["c", "d", "g", "h", "p"] {
        set.put(key.as_bytes(), b"").unwrap();
    }
    let files = set.finish().unwrap().files;
    let spans: Vec<_> =
        files.iter().map(|file| open(&ctx, file).unwrap().tombstones().unwrap().span()).collect();
    let expected = [("a", "g"), ("g", "p"), ("p", "z")];
    assert_eq!(spans, expected.map(|(from, to)| Some(KeyRange::half_open(from, to))));

    // Without entries they are a table of their own.
    let cutter = OutputCutter::new(cut, &[], Piece::default(), &Bytewise);
    let mut set = TableSetWriter::new(&ctx, spec(), cutter, Kept::default());
    set.add_tombstones(&wide).unwrap();
    assert_eq!(set.finish().unwrap().files.len(), 1);
    let cutter = OutputCutter::new(cut, &[], Piece::default(), &Bytewise);
    let set = TableSetWriter::new(&ctx, spec(), cutter, Kept::default());
    assert_eq!(set.finish().unwrap().files.len(), 0);
}

/// Tables of two thousand bytes of `tombstones`, between a row before all of them and one behind; how many
/// tables there are, those without rows, and the range tombstones in all of them.
fn cut_for_tombstones(tombstones: &[(u32, u32)]) -> (usize, usize, u64) {
    let ctx = TableContext::default();
    let key = |i: u32| format!("key {i:08}");
    let tombstones: Vec<_> = tombstones
        .iter()
        .zip(1u32..)
        .map(|((from, to), seqno)| RangeTombstone::new(key(*from), key(*to), SeqNo::from(seqno)))
        .collect();
    let fragments = Fragments::build(&tombstones, &Bytewise);
    let cut = CutOptions { table_len: 2_000, ..CutOptions::default() };
    let cutter = OutputCutter::new(cut, &[], Piece::default(), &Bytewise);
    let mut set = TableSetWriter::new(&ctx, spec(), cutter, Kept::default());
    set.add_tombstones(&fragments).unwrap();
    set.put(b"key", b"").unwrap();
    set.put(b"key a", b"").unwrap();
    let files = set.finish().unwrap().files;
    let tables: Vec<Table> = files.iter().map(|file| open(&ctx, file).unwrap()).collect();
    let trailer = Trailer::new(SeqNo::ZERO, EntryKind::Put);
    let rows = [&b"key"[..], b"key a"].map(|key| (key.to_vec(), trailer, Vec::new()));
    check_set(&tables, &rows, &fragments, &Bytewise);
    let without_rows = tables.iter().filter(|table| table.properties().entries == 0).count();
    let carried = tables.iter().map(|table| table.properties().range_tombstones).sum();
    (tables.len(), without_rows, carried)
}

#[test]
fn tables_end_among_range_tombstones_where_there_are_no_rows() {
    // Beside one another: each bound takes 28 bytes, and none is cut.
    let apart: Vec<_> = (0..500).map(|i| (2 * i, 2 * i + 1)).collect();
    assert_eq!(cut_for_tombstones(&apart), (14, 12, 500));
    // About one another: they are cut, but where a table is worth it.
    let nested: Vec<_> = (0..500).map(|i| (i, 3_000 - i)).collect();
    let (tables, without_rows, carried) = cut_for_tombstones(&nested);
    assert!((4..12).contains(&tables) && without_rows + 2 == tables, "{tables} {without_rows}");
    assert!((500..2_500).contains(&carried), "{carried}");
    // Few enough for one table.
    assert_eq!(cut_for_tombstones(&apart[..20]), (1, 0, 20));
    assert_eq!(cut_for_tombstones(&[]), (1, 0, 0));
}

#[test]
fn a_set_refuses_what_would_make_tables_overlap_and_is_over_then() {
    let ctx = TableContext::default();
    let cut = CutOptions { table_len: 1, ..CutOptions::default() };
    let set = |files| {
        let cutter = OutputCutter::new(cut, &[], Piece::default(), &Bytewise);
        TableSetWriter::new(&ctx, spec(), cutter, files)
    };
    let early = Fragments::build(&[RangeTombstone::new("a", "z", SeqNo::from(9u32))], &Bytewise);

    // "b" would begin a table behind that of "c".
    let mut out_of_order = set(Kept::default());
    out_of_order.put(b"c", b"").unwrap();
    assert!(matches!(out_of_order.put(b"b", b""), Err(Error::OutOfOrder { .. })));
    assert!(matches!(out_of_order.put(b"d", b""), Err(Error::WriterFailed)));
    assert!(matches!(out_of_order.finish(), Err(Error::WriterFailed)));

    let mut late = set(Kept::default());
    late.put(b"c", b"").unwrap();
    late.put(b"d", b"").unwrap();
    late.put(b"e", b"").unwrap();
    assert!(matches!(late.add_tombstones(&early), Err(Error::OutOfOrder { .. })));

    let mut full = set(Kept { refuse_at: Some(1), ..Kept::default() });
    full.put(b"c", b"").unwrap();
    full.put(b"d", b"").unwrap_or_else(|error| assert!(matches!(error, Error::Write(_))));
    assert!(full.put(b"e", b"").is_err() && full.finish().is_err());
}

#[test]
fn what_a_tree_must_know_of_dropped_deletes_stays_with_what_is_kept() {
    let ctx = TableContext::default();
    let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([1; 16]), spec()).unwrap();
    let rows = [
        ("a", 5u32, EntryKind::WeakDelete),
        ("a", 4, EntryKind::Put),
        ("b", 5, EntryKind::Put),
        ("b", 4, EntryKind::Delete),
        ("c", 5, EntryKind::ValuePointer),
        ("c", 4, EntryKind::Put),
        ("c", 3, EntryKind::Delete),
        ("d", 5, EntryKind::Merge),
        ("d", 4, EntryKind::Put),
        ("d", 3, EntryKind::WeakDelete),
    ];
    for (key, seqno, kind) in rows {
        writer.add(EntryRef::new(key.as_bytes(), Trailer::new(seqno.into(), kind), b"")).unwrap();
    }
    let table = open(&ctx, &writer.finish().unwrap().sink).unwrap();
    let merged = |keep| {
        let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([2; 16]), spec()).unwrap();
        merge_tables(std::slice::from_ref(&table), keep, &mut writer).unwrap();
        let entries = forward(&open(&ctx, &writer.finish().unwrap().sink).unwrap()).unwrap();
        let shown = |(key, trailer, _): Entry| {
            format!("{} {}@{}", key.escape_ascii(), trailer.kind(), trailer.seqno())
        };
        entries.into_iter().map(shown).collect::<Vec<_>>()
    };
    let newest = [
        "a delete@5",
        "b put over delete@5",
        "c value pointer over delete@5",
        "d merge@5",
        "d put over delete@4",
    ];
    assert_eq!(merged(Keep::Newest), newest);
    assert_eq!(merged(Keep::Live), ["b put@5", "c value pointer@5", "d merge@5", "d put@4"]);
    assert_eq!(merged(Keep::Versions).len(), rows.len());
}

#[test]
fn tables_of_another_order_are_refused_by_number() {
    let ctx = TableContext::default();
    let bytewise = rows_table(&ctx, &[("a", "1")]);
    let reverse = rows_table(&context(Arc::new(Reverse)), &[("a", "1")]);
    let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([2; 16]), spec()).unwrap();
    let refused = merge_tables(&[bytewise.clone(), reverse.clone()], Keep::Newest, &mut writer);
    assert!(matches!(
        refused,
        Err(MergeError::Input { number: 1, source: Error::ComparatorMismatch { .. } })
    ));
    assert!(matches!(bytewise.diff(&reverse), Err(Error::ComparatorMismatch { .. })));
    assert!(merge_tables(&[], Keep::Newest, &mut writer).is_ok_and(|summary| summary.read == 0));
}

#[test]
fn a_damaged_input_is_named() {
    let ctx = TableContext::default();
    let rows: Vec<_> = (0..200).map(|i| (format!("{i:03}"), "value".repeat(9))).collect();
    let rows: Vec<_> = rows.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let whole = rows_table(&ctx, &rows);
    let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([1; 16]), spec()).unwrap();
    for (key, value) in rows {
        writer.put(key.as_bytes(), value.as_bytes()).unwrap();
    }
    let mut file = writer.finish().unwrap().sink;
    let tag = TableBlock::Data.section();
    let data = whole.contents().find(tag).next().unwrap().range();
    let at = usize::try_from(data.end - 40).unwrap();
    file[at] ^= 1;
    let damaged = open(&ctx, &file).unwrap();
    let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([2; 16]), spec()).unwrap();
    let failed = merge_tables(&[whole.clone(), damaged.clone()], Keep::Live, &mut writer);
    assert!(matches!(
        &failed,
        Err(MergeError::Input { number: 1, source }) if source.is_corruption()
    ));
    let mut diff = whole.diff(&damaged).unwrap();
    assert!(diff.next().is_some_and(|found| found.is_err()) && diff.next().is_none());
}
