//! A table written and asked, in twenty lines.

use std::{error::Error, sync::Arc};

use bytes::Bytes;
use stratal_sst::{Table, TableContext, TableOptions, TableWriter};
use stratal_types::FileUid;

fn main() -> Result<(), Box<dyn Error>> {
    let ctx = TableContext::default();
    let spec = Arc::new(TableOptions::default().validate()?);
    let uid = FileUid(*b"sixteen bytes id"); // drawn at random where files may be confused
    let mut writer = TableWriter::new(&ctx, Vec::new(), uid, spec)?;
    writer.put(b"AD/Canillo", b"3292")?;
    writer.put(b"AD/Vila", b"1418")?;
    writer.put(b"AE/Warisan", b"108759")?;
    let file = writer.finish()?.sink;

    let table = Table::open(&ctx, Arc::new(Bytes::from(file)))?;
    println!("Vila has {:?} people", table.get(b"AD/Vila")?);
    for place in table.prefix(b"AD/") {
        let (name, people) = place?;
        println!("{name:?}: {people:?}");
    }
    Ok(())
}

#[test]
fn it_runs() {
    main().unwrap();
}
