//! A table served from a buffer in memory: from a file that was embedded, mapped or fetched, by as many
//! threads as want to read it, with one budget for all that they keep.
#![allow(clippy::big_endian_bytes, reason = "keys whose order is that of the numbers")]

use std::{error::Error, io, ops::Range, sync::Arc, thread};

use bytes::Bytes;
use stratal_cache::Cache;
use stratal_sst::{ReadAt, Table, TableContext, TableOptions, TableWriter};
use stratal_types::FileUid;

/// Where a table is may be anything that gives the bytes of a range: here a buffer that is fetched from
/// somewhere in pieces of any length, as an object store does it.
#[derive(Debug)]
struct Fetched {
    object: Bytes,
}

impl ReadAt for Fetched {
    fn len(&self) -> u64 {
        self.object.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        // Bytes that implement ReadAt themselves share their memory with what is read.
        ReadAt::read(&self.object, range)
    }
}

/// A table of the squares below ten million, as a file.
fn object() -> Result<Vec<u8>, Box<dyn Error>> {
    let spec = Arc::new(TableOptions::default().validate()?);
    let ctx = TableContext::default();
    let mut writer = TableWriter::new(&ctx, Vec::new(), FileUid([1; 16]), spec)?;
    for root in 0..3163u32 {
        writer.put(&(root * root).to_be_bytes(), root.to_string().as_bytes())?;
    }
    Ok(writer.finish()?.sink)
}

fn main() -> Result<(), Box<dyn Error>> {
    let source = Arc::new(Fetched { object: object()?.into() });
    // All tables that share a context share its cache.
    let ctx = TableContext { cache: Arc::new(Cache::new(1 << 20)), ..TableContext::default() };
    let table = Table::open(&ctx, source)?;
    let found = thread::scope(|scope| {
        let readers: Vec<_> = (0..4u32)
            .map(|part| {
                let table = table.clone();
                scope.spawn(move || {
                    let numbers = (part..10_000).step_by(4);
                    numbers.filter(|n| matches!(table.get(&n.to_be_bytes()), Ok(Some(_)))).count()
                })
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().unwrap_or(0)).sum::<usize>()
    });
    println!("{found} squares below ten thousand");
    assert_eq!(found, 100);
    Ok(())
}

#[test]
fn it_runs() {
    main().unwrap();
}
