//! Makes the files of rows that tables are compared on: `pb-tables-data random|places OUT [N]`.
mod places;

use std::{env, path::Path};

use pb_core::data::{self, KeyShape, Keys, Rng, Values};
use pb_tables::{Res, RowsBuilder};

const PROBES: usize = 200_000;
const VALUE_LEN: usize = 100;

fn main() -> Res<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let (set, out) = match args.as_slice() {
        [set, out, ..] => (set.as_str(), Path::new(out)),
        _ => return Err("usage: pb-tables-data random|places OUT [N]".into()),
    };
    let n: usize = args.get(2).map_or(Ok(1_000_000), |n| n.parse())?;
    let mut builder = RowsBuilder::default();
    match set {
        "random" => random(n, &mut builder)?,
        "places" => places::fill(n, &mut builder)?,
        _ => return Err(format!("no such set of rows: {set}").into()),
    }
    let hash = builder.save(out)?;
    println!("{set}: {n} rows, hash {hash:016x}");
    Ok(())
}

/// Keys of 16 random bytes, values of 100 bytes of which half compress.
fn random(n: usize, builder: &mut RowsBuilder) -> Res<()> {
    let keys = Keys::new(n as u64, KeyShape::Uniform);
    let mut values = Values::new(VALUE_LEN);
    for i in 0..n as u64 {
        builder.row(&keys.key(i), values.get(i, 0))?;
    }
    let mut rng = Rng::new(9);
    for row in probed(n) {
        builder.probe(row, &keys.missing(rng.below(n as u64)))?;
    }
    Ok(())
}

/// The rows that are asked for, in no order; none comes again before all were there.
fn probed(n: usize) -> impl Iterator<Item = usize> {
    data::permutation(n as u64, 9).into_iter().map(|row| row as usize).cycle().take(PROBES)
}
