use std::collections::{BTreeSet, HashSet};

use crate::{FileName, Version};

/// A file that nothing names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Orphan(pub FileName);

/// The files among `names`, paths relative to the database's directory, that are of no use to
/// `version`: tables that it does not hold, log segments below its floor, manifests of other
/// generations than `generation`, and their markers. In order of `names`.
///
/// `logged_tables` are tables that the log names and no edit does yet. Names that are not those of a
/// database's files are never orphans, nor are value files, which a version does not list. Ask this
/// only of a version that was read whole, after the log was replayed.
pub fn orphans<'a>(
    version: &Version,
    generation: u64,
    logged_tables: &BTreeSet<u64>,
    names: impl IntoIterator<Item = &'a str>,
) -> Vec<Orphan> {
    let tables: HashSet<u64> = version
        .trees
        .values()
        .flat_map(|tree| tree.tables())
        .map(|(_, table)| table.number)
        .chain(logged_tables.iter().copied())
        .collect();
    let is_orphan = |name: &FileName| match name {
        FileName::Table(number) => !tables.contains(number),
        FileName::Wal(number) => *number < version.wal_floor,
        FileName::Manifest(number) | FileName::Marker(number) => *number != generation,
        FileName::Lock | FileName::Identity | FileName::ValueFile(_) => false,
    };
    names.into_iter().filter_map(FileName::parse).filter(is_orphan).map(Orphan).collect()
}

/// The highest number in any of `names`, orphans included: file numbers go on above it.
pub fn last_number<'a>(names: impl IntoIterator<Item = &'a str>) -> u64 {
    let numbers = names.into_iter().filter_map(FileName::parse).filter_map(FileName::number);
    numbers.max().unwrap_or(0)
}
