//! Tables that were written apart from the tree.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use stratal_engine::{Error, Tree, TreeOptions};
use stratal_fs::{Access, Fs, MemFs, NewFile};
use stratal_sst::{TableContext, TableOptions, TableWriter};
use stratal_types::{
    Bytewise, Comparator, EntryKind, EntryRef, FileUid, Fragments, RangeTombstone, Reverse, SeqNo,
    Trailer,
};

use crate::support::{open_store, open_tree};

/// Writes a table of rows: key, number, kind.
fn table(
    fs: &MemFs,
    name: &str,
    rows: &[(&str, u32, EntryKind)],
    excised: Option<(&str, &str)>,
) -> PathBuf {
    table_sorted(fs, name, rows, excised, Arc::new(Bytewise))
}

fn table_sorted(
    fs: &MemFs,
    name: &str,
    rows: &[(&str, u32, EntryKind)],
    excised: Option<(&str, &str)>,
    comparator: Arc<dyn Comparator>,
) -> PathBuf {
    let ctx = TableContext { comparator, ..TableContext::default() };
    let path = PathBuf::from(format!("/{name}"));
    let file = NewFile::create(fs, &path).unwrap();
    let mut uid = [9; 16];
    uid[..name.len().min(16)].copy_from_slice(&name.as_bytes()[..name.len().min(16)]);
    let spec = Arc::new(TableOptions::default().validate().unwrap());
    let mut writer = TableWriter::new(&ctx, file, FileUid(uid), spec).unwrap();
    if let Some((from, to)) = excised {
        let range = RangeTombstone::new(from, to, SeqNo::ZERO);
        writer.add_tombstones(&Fragments::build([&range], ctx.comparator.as_ref())).unwrap();
    }
    for (key, seqno, kind) in rows {
        let trailer = Trailer::new((*seqno).into(), *kind);
        writer.add(EntryRef::new(key.as_bytes(), trailer, b"new")).unwrap();
    }
    drop(writer.finish().unwrap().sink.finish().unwrap());
    path
}

fn tree(fs: &Arc<MemFs>) -> Arc<Tree> {
    let (store, _) = open_store(Arc::clone(fs) as _, 1).unwrap();
    let tree = open_tree(&store, "bytewise", TreeOptions::default().validate().unwrap()).unwrap();
    for key in ["a", "b", "c", "d", "e"] {
        tree.put(key.as_bytes(), b"old").unwrap();
    }
    tree
}

fn value(tree: &Tree, key: &str) -> Option<Vec<u8>> {
    tree.get(key.as_bytes()).unwrap().map(Vec::from)
}

#[test]
fn tables_from_elsewhere_become_part_of_the_tree_and_stay_where_they_were() {
    use EntryKind::{Delete, Merge, Put};
    let fs = Arc::new(MemFs::new());
    let tree = tree(&fs);
    let late = table(&fs, "late.sst", &[("d", 0, Put), ("e", 0, Merge)], None);
    let early = table(&fs, "early.sst", &[("a", 0, Delete), ("aa", 0, Put)], Some(("b", "c")));
    let before = tree.snapshot();
    let ready = tree.adopt(&[late.clone(), early.clone()]).unwrap();
    assert_eq!(value(&tree, "a").as_deref(), Some(&b"old"[..]), "not yet");
    let summary = tree.ingest(ready).unwrap();
    assert_eq!((summary.rows, summary.tables), (4, 2));
    let expected = [
        ("a", None),
        ("aa", Some("new")),
        ("b", None),
        ("c", Some("old")),
        ("d", Some("new")),
        ("e", Some("oldnew")),
    ];
    for merged in [false, true] {
        for (key, expected) in expected {
            let found = value(&tree, key);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{key}, merged: {merged}");
        }
        assert_eq!(tree.range_at::<&[u8]>(.., &before).unwrap().count(), 5);
        tree.compact(true).unwrap();
    }
    assert!(fs.metadata(&late).is_ok() && fs.metadata(&early).is_ok());
}

#[test]
fn a_table_that_cannot_be_seen_at_one_number_is_refused_and_nothing_is_left() {
    use EntryKind::{Delete, Put};
    let fs = Arc::new(MemFs::new());
    let tree = tree(&fs);
    tree.flush().unwrap();
    let files = || fs.list(Path::new("/db/tables")).unwrap().len();
    let before = files();
    let good = table(&fs, "good.sst", &[("b", 0, Put), ("d", 0, Put)], None);
    let damaged = table(&fs, "damaged.sst", &[("x", 0, Put)], None);
    let file = fs.open(&damaged, Access::ReadWrite).unwrap();
    let mut byte = [0];
    let at = (0..file.len().unwrap()).find(|at| {
        file.read_exact_at(&mut byte, *at).unwrap();
        byte[0] == b'x'
    });
    file.write_at(b"y", at.unwrap()).unwrap();
    let refused = [
        ("number", vec![table(&fs, "numbered.sst", &[("b", 7, Put)], None)]),
        ("versions", vec![table(&fs, "twice.sst", &[("b", 0, Delete), ("b", 0, Put)], None)]),
        ("overlaps", vec![good.clone(), table(&fs, "over.sst", &[("c", 0, Put)], None)]),
        ("overlaps", vec![good.clone(), good.clone()]),
        ("overlaps", vec![good.clone(), table(&fs, "range.sst", &[], Some(("d", "e")))]),
    ];
    for (why, paths) in refused {
        match tree.adopt(&paths) {
            Err(Error::InvalidArgument(what)) => assert!(what.contains(why), "{why}: {what}"),
            other => panic!("{why}: {other:?}"),
        }
        assert_eq!(files(), before, "{why}");
    }
    let backwards =
        table_sorted(&fs, "reverse.sst", &[("b", 0, Put), ("a", 0, Put)], None, Arc::new(Reverse));
    assert!(matches!(tree.adopt(&[backwards]), Err(Error::Table { .. })));
    let corrupt = tree.adopt(&[damaged]).unwrap_err();
    assert!(corrupt.is_corruption(), "{corrupt}");
    assert!(matches!(tree.adopt(&["/missing.sst".into()]), Err(Error::Io { .. })));
    assert_eq!(files(), before);

    tree.ingest(tree.adopt(std::slice::from_ref(&good)).unwrap()).unwrap();
    let again = tree.adopt(&[good]);
    assert!(matches!(&again, Err(Error::InvalidArgument(what)) if what.contains("already")));
    assert_eq!(files(), before + 1);
    assert_eq!(value(&tree, "b").as_deref(), Some(&b"new"[..]));
}
