//! What a writer refuses, and what it leaves behind.

use std::{io, sync::Arc};

use crate::support::{UID, context, open};
use stratal_sst::{Error, Table, TableContext, TableOptions, TableWriter};
use stratal_testkit::{KeyShape, Rng, sorted_keys, value};
use stratal_types::{Bytewise, EntryKind, EntryRef, FileUid, KEY_LEN_MAX, Reverse, SeqNo, Trailer};

fn writer<W: io::Write>(ctx: &TableContext, sink: W) -> TableWriter<W> {
    let spec = TableOptions { block_len_target: 512, ..TableOptions::default() }.validate();
    TableWriter::new(ctx, sink, UID, Arc::new(spec.unwrap())).unwrap()
}

#[test]
fn keys_out_of_order_are_refused_and_the_table_goes_on() {
    let ctx = TableContext::default();
    let mut writer = writer(&ctx, Vec::new());
    writer.put(b"b", b"1").unwrap();
    for key in [&b"a"[..], b"b"] {
        assert!(matches!(writer.put(key, b"2"), Err(Error::OutOfOrder { .. })), "{key:?}");
    }
    let older = Trailer::new(SeqNo::ZERO, EntryKind::Delete);
    let newer = Trailer::new(SeqNo::from(9u32), EntryKind::Put);
    writer.add(EntryRef::new(b"c", newer, b"3")).unwrap();
    assert!(matches!(writer.add(EntryRef::new(b"c", newer, b"3")), Err(Error::OutOfOrder { .. })));
    writer.add(EntryRef::new(b"c", older, b"")).unwrap();
    let table = open(&ctx, &writer.finish().unwrap().sink).unwrap();
    assert_eq!(table.properties().entries, 3);
    assert_eq!(table.get(b"b").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(table.get(b"c").unwrap().as_deref(), Some(&b"3"[..]));
}

#[test]
fn keys_and_values_out_of_range_are_refused() {
    let ctx = TableContext::default();
    let mut writer = writer(&ctx, Vec::new());
    for key in [vec![], vec![1; KEY_LEN_MAX + 1]] {
        assert!(matches!(writer.put(&key, b""), Err(Error::Length { what: "key", .. })));
    }
    assert!(writer.finish().unwrap().info.is_none());
}

#[test]
fn a_table_without_entries_leaves_the_sink_untouched() {
    let finished = writer(&TableContext::default(), Vec::new()).finish().unwrap();
    assert!(finished.sink.is_empty() && finished.info.is_none());
}

#[test]
fn the_same_input_gives_the_same_bytes_and_another_uid_others() {
    let ctx = TableContext::default();
    let write = |uid| {
        let mut rng = Rng::new(5);
        let spec = Arc::new(TableOptions::default().validate().unwrap());
        let mut writer = TableWriter::new(&ctx, Vec::new(), uid, spec).unwrap();
        for key in sorted_keys(KeyShape::Place, 2000, &mut rng) {
            writer.put(&key, &value(80, 50, &mut rng)).unwrap();
        }
        writer.user_property("created_at", b"2026".to_vec());
        writer.finish().unwrap().sink
    };
    assert_eq!(write(UID), write(UID));
    assert_ne!(write(UID), write(FileUid([1; 16])));
    let table = open(&ctx, &write(UID)).unwrap();
    assert_eq!(table.properties().user["created_at"], b"2026");
}

#[test]
fn a_table_opens_only_under_its_own_order() {
    let reverse = context(Arc::new(Reverse));
    let mut writer = writer(&reverse, Vec::new());
    writer.put(b"b", b"1").unwrap();
    writer.put(b"a", b"2").unwrap();
    let file = writer.finish().unwrap().sink;
    assert!(open(&reverse, &file).is_ok());
    let error = open(&context(Arc::new(Bytewise)), &file).unwrap_err();
    assert!(matches!(error, Error::ComparatorMismatch { .. }), "{error}");
}

/// A sink that takes so many bytes and then fails, for ever or once.
struct Full {
    room: usize,
    recovers: bool,
    written: Vec<u8>,
    failures: u32,
}

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.room && !(self.recovers && self.failures > 0) {
            self.failures += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room = self.room.saturating_sub(bytes.len());
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Wherever the sink fails, the writer says so, and writes nothing behind the failure even if the
/// sink would take it again.
#[test]
fn a_sink_that_fails_ends_the_table() {
    let ctx = TableContext::default();
    let keys = sorted_keys(KeyShape::Place, 100, &mut Rng::new(3));
    let mut failures = 0;
    for room in (0..16_000).step_by(97) {
        for recovers in [false, true] {
            let mut sink = Full { room, recovers, written: Vec::new(), failures: 0 };
            let mut writer = writer(&ctx, &mut sink);
            let put = keys.iter().try_for_each(|key| writer.put(key, b"0123456789012345"));
            let finished = writer.finish();
            if put.is_ok() && finished.is_ok() {
                assert!(Table::open(&ctx, Arc::new(bytes::Bytes::from(sink.written))).is_ok());
                continue;
            }
            failures += 1;
            let error = put.err().or(finished.err()).unwrap();
            assert!(matches!(error, Error::Write(_)), "{error}");
            assert_eq!(sink.failures, 1, "nothing is tried after a failure");
            assert!(sink.written.len() <= room, "nothing is written behind a failure");
        }
    }
    assert!(failures > 50);
}

#[test]
fn a_merge_operand_is_no_value() {
    let ctx = TableContext::default();
    let mut writer = writer(&ctx, Vec::new());
    writer.add(EntryRef::new(b"k", Trailer::new(1u32.into(), EntryKind::Merge), b"+1")).unwrap();
    let table = open(&ctx, &writer.finish().unwrap().sink).unwrap();
    assert!(matches!(table.get(b"k"), Err(Error::NotAValue(EntryKind::Merge))));
    assert!(table.range::<&[u8]>(..).next().unwrap().is_err());
    let version = table.lookup(b"k", SeqNo::MAX).unwrap().unwrap();
    assert_eq!((version.trailer.kind(), &version.value[..]), (EntryKind::Merge, &b"+1"[..]));
}
