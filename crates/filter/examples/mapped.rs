//! A filter served from a mapped file: built once, written as it is, and probed where the operating
//! system put it, by any number of processes, without a copy or a decoding step.
//!
//! `cargo run --release -p stratal-filter --example mapped -- [KEYS] [FILE]`
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an example without the fs crate, which stands beside this one, and it talks to its user"
)]

use std::{
    env,
    error::Error,
    fs::{self, File},
    path::PathBuf,
    time::Instant,
};

use memmap2::Mmap;
use stratal_filter::{Filter, FilterBuilder, FilterKind, FilterSize, FilterSpec};
use stratal_types::key_hash;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let keys: u32 = arguments.next().map_or(Ok(1_000_000), |keys| keys.parse())?;
    let path = arguments.next().map_or_else(|| env::temp_dir().join("keys.sflt"), PathBuf::from);

    let spec = FilterSpec { kind: FilterKind::Burr, size: FilterSize::FalsePositiveRate(0.004) };
    spec.validate()?;
    let started = Instant::now();
    let mut builder = FilterBuilder::new(spec);
    for key in 0..keys {
        builder.add(key_hash(key_of(key).as_bytes()));
    }
    let mut bytes = Vec::new();
    if !builder.finish_into(&mut bytes) {
        return Err("without keys there is no filter".into());
    }
    fs::write(&path, &bytes)?;
    println!("{keys} keys in {} bytes, built in {:?}", bytes.len(), started.elapsed());

    let file = File::open(&path)?;
    // SAFETY: the file was written and closed above, and this program alone knows of it; as long as
    // nobody shortens it, the mapping stays valid. Were its contents changed, the filter would
    // answer wrongly, but it trusts no byte and reads none outside the mapping.
    let mapping = unsafe { Mmap::map(&file)? };
    let filter = Filter::parse(mapping)?;
    println!(
        "mapped: {} filter, {:.2} bits per key, wrong about {:.2} % of absent keys",
        filter.kind().name(),
        filter.bits_per_key(),
        filter.estimated_fpr() * 100.0
    );

    let finds = |key: u32| filter.may_contain(key_hash(key_of(key).as_bytes()));
    let lost = (0..keys).filter(|&key| !finds(key)).count();
    let strangers = keys..keys.saturating_mul(2);
    let asked = strangers.len();
    let wrong = strangers.filter(|&key| finds(key)).count();
    println!("of {keys} keys {lost} are lost; of {asked} strangers {wrong} are taken for keys");
    fs::remove_file(&path)?;
    if lost == 0 { Ok(()) } else { Err("a filter must not lose a key".into()) }
}

fn key_of(number: u32) -> String {
    format!("place/{number}")
}
