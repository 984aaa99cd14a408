//! What a writer holds does not grow with the table.

use std::{io, sync::Arc};

use crate::support::UID;
use stratal_block::Compression;
use stratal_sst::{Partitioning, TableContext, TableOptions, TableWriter};

/// Takes everything and keeps nothing.
#[derive(Default)]
struct Counting(u64);

impl io::Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The most that was held, in bytes, after the first and after the second half of a table of `rows`
/// rows of some 130 bytes, and the length of the file.
fn held(partitioning: Partitioning, rows: u64) -> ([usize; 2], u64) {
    let options =
        TableOptions { partitioning, compression: Compression::None, ..TableOptions::default() };
    let spec = Arc::new(options.validate().unwrap());
    let mut writer =
        TableWriter::new(&TableContext::default(), Counting::default(), UID, spec).unwrap();
    let mut held = [0, 0];
    for row in 0..rows {
        writer.put(format!("row {row:012}").as_bytes(), &[row as u8; 112]).unwrap();
        if row % 64 == 0 {
            let half = &mut held[usize::from(row >= rows / 2)];
            *half = writer.memory().max(*half);
        }
    }
    let finished = writer.finish().unwrap();
    assert_eq!(finished.info.unwrap().file_len, finished.sink.0);
    (held, finished.sink.0)
}

#[test]
fn a_large_table_takes_no_more_memory_than_one_half_as_large() {
    let rows = 1_000_000;
    let (divided, len) = held(Partitioning::Auto { keys: 50_000 }, rows);
    let (whole, _) = held(Partitioning::Never, rows);
    println!("{len} bytes: {divided:?} held if divided, {whole:?} if whole");
    assert!(len > 100 << 20);
    // The upper level has a row for each partition.
    assert!(divided[1] <= divided[0] + (32 << 10), "{divided:?}");
    assert!(divided[0] < 2 << 20, "{divided:?}");
    // What is held is counted: eight bytes per key, and more.
    assert!(whole[1] > rows as usize * 8, "{whole:?}");
}

/// Few keys, but long ones that begin alike: their fences take little room in the file, and much in
/// memory until they are written.
#[test]
fn long_fences_do_not_wait_for_many_keys() {
    let options =
        TableOptions { partitioning: Partitioning::Auto { keys: 5000 }, ..TableOptions::default() };
    let spec = Arc::new(options.validate().unwrap());
    let mut writer =
        TableWriter::new(&TableContext::default(), Counting::default(), UID, spec).unwrap();
    let mut held = 0;
    for row in 0..1000u32 {
        // A separator is as long as the key.
        let key = format!("{}{row:06}", "k".repeat(20_000));
        writer.put(key.as_bytes(), &[7; 10]).unwrap();
        held = held.max(writer.memory());
    }
    println!("{held} bytes held");
    assert!((1 << 20..3 << 20).contains(&held), "{held}");
    let properties = writer.finish().unwrap().info.unwrap().properties;
    assert!(properties.index_partitions > 10, "{properties:?}");
}
