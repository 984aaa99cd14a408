//! What `docs/INVARIANTS.md` promises of a tree and no other test shows.

use std::{path::Path, sync::Arc};

use stratal_fs::{Fs, MemFs};
use stratal_testkit::Rng;

use crate::support::{open_store, open_tree, small};

fn table_files(fs: &MemFs) -> usize {
    fs.list(Path::new("/db/tables")).unwrap().len()
}

#[test]
fn a_file_that_only_a_reader_held_goes_with_the_next_flush_though_there_is_none() {
    let fs = Arc::new(MemFs::new());
    let (store, _) = open_store(fs.clone(), 1).unwrap();
    let tree = open_tree(&store, "bytewise", small(&mut Rng::new(1))).unwrap();
    for number in [1u8, 2] {
        tree.put(b"key", &[number]).unwrap();
        tree.flush().unwrap();
    }
    let reader = tree.range::<&[u8]>(..).unwrap();
    tree.compact(true).unwrap();
    assert_eq!(table_files(&fs), 3, "two that are read, and the one that replaces them");
    assert_eq!(reader.count(), 1);
    assert_eq!(tree.flush().unwrap().outputs, 0);
    assert_eq!(table_files(&fs), 1);
}
