//! Saying what a file is and what is in it.
//!
//! A file is told by its first bytes, and only an empty one by its name. Tables can be read without
//! their first bytes and explain themselves, unless they are damaged; everything else is small enough
//! to be read whole, and each sort of it gives an [`Explained`].

mod block;
mod table;
mod frames;
mod log;
mod manifest;
mod identity;
mod archive;

use std::{ops::Range, path::Path};

use serde_json::{Value, json};
use stratal_archive::{ArchiveHeader, sfa};
use stratal_fs::{Access, File, Fs, StdFs, read_to_vec};
use stratal_manifest::{FileName, ManifestHeader};
use stratal_wal::SegmentHeader;

use block::{Block, block_ranges, dump_block, no_block};

use crate::{
    args::{Common, InspectArgs},
    failure::Failure,
    file::open_source,
    output::Output,
};

/// A whole file in memory, in bytes. Far above what any of these files grows to.
const FILE_LEN_MAX: usize = 4 << 30;

/// Bytes from which a file is told.
const MAGIC_LEN: usize = 8;

/// Bytes of a magic that must be right. A file of another sort shares the first one at most by
/// accident, and a damaged one rarely loses more.
const MAGIC_SIMILAR_MIN: usize = 6;

/// The sorts of files that have a magic.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Table,
    Log,
    Manifest,
    Identity,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Table, Self::Log, Self::Manifest, Self::Identity];

    const fn magic(self) -> [u8; MAGIC_LEN] {
        match self {
            Self::Table => ArchiveHeader::MAGIC,
            Self::Log => SegmentHeader::MAGIC,
            Self::Manifest => ManifestHeader::MAGIC,
            Self::Identity => identity::MAGIC,
        }
    }

    /// Whether a database gives such a file that name.
    fn is_named(self, name: Option<FileName>) -> bool {
        match self {
            Self::Table => name.is_none(),
            Self::Log => matches!(name, Some(FileName::Wal(_))),
            Self::Manifest => matches!(name, Some(FileName::Manifest(_))),
            Self::Identity => matches!(name, Some(FileName::Identity)),
        }
    }
}

/// What one file says about itself.
struct Explained {
    /// What it is, for JSON.
    name: &'static str,
    /// What it is, in words.
    title: &'static str,
    /// The essentials.
    facts: Vec<(&'static str, Value)>,
    /// What the file consists of. The first is the header.
    blocks: Vec<Block>,
    /// Why not all of it can be explained.
    trouble: Option<Trouble>,
    /// Describes the block of that number byte by byte.
    dump: fn(&[u8], &Self, usize) -> String,
}

/// Why a file, or a part of one, cannot be explained to its end.
#[derive(Clone, Debug)]
enum Trouble {
    /// The bytes from `offset` on are wrong.
    Damage { offset: u64, what: String },
    /// It was made by a newer version, or needs what is not here.
    Refused { what: String },
}

impl Trouble {
    fn damage(offset: usize, what: impl Into<String>) -> Self {
        Self::Damage { offset: offset as u64, what: what.into() }
    }

    /// Whether this is about the bytes of `range`. What is missing is missed behind the last block.
    fn is_in(&self, range: &Range<usize>, is_last: bool) -> bool {
        match self {
            Self::Damage { offset, .. } => usize::try_from(*offset)
                .is_ok_and(|at| range.contains(&at) || is_last && at >= range.end),
            Self::Refused { .. } => range.start == 0,
        }
    }

    fn as_json(&self) -> Value {
        match self {
            Self::Damage { offset, what } => json!({ "offset": offset, "verdict": what }),
            Self::Refused { what } => json!({ "offset": 0, "verdict": what }),
        }
    }

    fn into_failure(self, path: &Path) -> Failure {
        let path = path.display();
        match self {
            Self::Damage { offset, what } => {
                Failure::Damage(Some(format!("{path}: damaged at offset {offset}: {what}")))
            }
            Self::Refused { what } => Failure::Refused(format!("{path}: {what}")),
        }
    }
}

pub(crate) fn run(args: &InspectArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let path = &args.file;
    open_source(path)?;
    let fail = |error| Failure::io(path, "read", &error);
    let file = StdFs.open(path, Access::Read).map_err(fail)?;
    let start = start_of(file.as_ref()).map_err(fail)?;
    if start.is_empty() {
        return empty(path, args.block, out);
    }
    let kind = if has_mirror(file.as_ref()) { Some(Kind::Log) } else { kind_of(&start, path) };
    let explain = match kind {
        Some(Kind::Log) => log::explain,
        Some(Kind::Manifest) => manifest::explain,
        Some(Kind::Identity) => identity::explain,
        None if archive::is_plain(&end_of(file.as_ref()).map_err(fail)?) => archive::explain_plain,
        Some(Kind::Table) | None => match table::try_run(args, common, out)? {
            table::Outcome::Explained => return Ok(()),
            table::Outcome::OtherArchive => archive::explain,
            table::Outcome::Damaged => frames::explain,
        },
    };
    let bytes = read_to_vec(file.as_ref(), FILE_LEN_MAX).map_err(fail)?;
    let explained = explain(&bytes, path);
    match args.block {
        Some(number) => dump_block(path, &bytes, &explained, number, out),
        None => report(path, bytes.len(), explained, out),
    }
}

/// The last bytes of a file, as many as a plain archive's trailer has if there are so many.
fn end_of(file: &dyn File) -> std::io::Result<Vec<u8>> {
    let file_len = file.len()?;
    let len = usize::try_from(file_len).unwrap_or(usize::MAX).min(sfa::Trailer::LEN);
    let mut end = vec![0; len];
    file.read_exact_at(&mut end, file_len - len as u64)?;
    Ok(end)
}

/// The first bytes of a file, as many as a magic has if there are so many.
fn start_of(file: &dyn File) -> std::io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).unwrap_or(usize::MAX).min(MAGIC_LEN);
    let mut start = vec![0; len];
    file.read_exact_at(&mut start, 0)?;
    Ok(start)
}

/// What a file is that begins with `start`, if a little of that may be damaged or cut off. Where the
/// bytes leave a choice, the name decides.
fn kind_of(start: &[u8], path: &Path) -> Option<Kind> {
    let named = file_name(path);
    let right = |kind: Kind| start.iter().zip(kind.magic()).filter(|(a, b)| **a == *b).count();
    let kind = Kind::ALL.into_iter().max_by_key(|kind| (right(*kind), kind.is_named(named)))?;
    let is_cut = start.len() > 1 && kind.magic().starts_with(start);
    (is_cut || right(kind) >= MAGIC_SIMILAR_MIN).then_some(kind)
}

/// Whether the second copy of a log segment's header can be read.
fn has_mirror(file: &dyn File) -> bool {
    let mut copy = [0; SegmentHeader::LEN];
    let read = file.read_exact_at(&mut copy, SegmentHeader::MIRROR_OFFSET as u64);
    read.is_ok() && SegmentHeader::decode(&copy).is_ok()
}

/// Explains a file without bytes by its name, if it is one that has to be empty.
fn empty(path: &Path, block: Option<u64>, out: &mut Output) -> Result<(), Failure> {
    let (name, title, generation) = match file_name(path) {
        Some(FileName::Lock) => ("lock", "the lock file", None),
        Some(FileName::Marker(generation)) => ("marker", "a manifest's marker", Some(generation)),
        _ => {
            let message = format!("{}: damaged at offset 0: it is empty", path.display());
            return Err(Failure::Damage(Some(message)));
        }
    };
    if let Some(number) = block {
        return Err(no_block(path, number, 0));
    }
    let file = path.display().to_string();
    if out.json {
        let mut object = json!({ "file": file, "type": name, "bytes": 0, "damage": null });
        if let (Some(generation), Some(object)) = (generation, object.as_object_mut()) {
            object.insert("generation".into(), generation.into());
        }
        return out.json(&object);
    }
    out.line(format!("{file}: {title} of a Stratal database, empty as it should be"))?;
    match generation {
        Some(generation) => out.line(format!(
            "\nManifest {} is complete and synced; the one with the highest marker is current.",
            FileName::Manifest(generation)
        )),
        None => out.line("\nIt is locked while a process has the database open."),
    }
}

/// What a database calls a file of that name.
fn file_name(path: &Path) -> Option<FileName> {
    path.file_name().and_then(|name| FileName::parse(name.to_str()?))
}

fn report(path: &Path, len: usize, explained: Explained, out: &mut Output) -> Result<(), Failure> {
    let Explained { name, title, facts, blocks, trouble, .. } = explained;
    let file = path.display().to_string();
    if out.json {
        let mut object: serde_json::Map<String, Value> =
            facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        object.insert("file".into(), file.into());
        object.insert("type".into(), name.into());
        object.insert("bytes".into(), len.into());
        object.insert("blocks".into(), blocks.len().into());
        let damage = trouble.as_ref().map_or(Value::Null, Trouble::as_json);
        object.insert("damage".into(), damage);
        out.json(&object.into())?;
    } else {
        out.line(format!("{file}: {title}, {len} bytes\n"))?;
        for (name, value) in facts {
            fact(name, &value, out)?;
        }
        out.line("\nBlocks, as --block N numbers them:")?;
        for line in block_ranges(&blocks) {
            out.line(format!("  {line}"))?;
        }
    }
    trouble.map_or(Ok(()), |trouble| Err(trouble.into_failure(path)))
}

/// One line for a fact; for a list, one more for each of its objects.
fn fact(name: &str, value: &Value, out: &mut Output) -> Result<(), Failure> {
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        other => other.to_string(),
    };
    let Value::Array(objects) = value else {
        return out.line(format!("  {name:<18} {}", plain(value)));
    };
    out.line(format!("  {name:<18} {}", objects.len()))?;
    for object in objects.iter().filter_map(Value::as_object) {
        let fields: Vec<_> =
            object.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect();
        out.line(format!("    {}", fields.join(", ")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use stratal_testkit::mutate::for_each_mutant;
    use stratal_types::dump::bytes_of;

    type Explain = fn(&[u8], &Path) -> Explained;

    /// Files, and of how many ways to damage them one is taken.
    const GOLDEN: [(&str, Explain, u64); 6] = [
        (include_str!("../../wal/tests/golden/v1/carried.dump"), log::explain, 3),
        (include_str!("../../manifest/tests/golden/v1/new.dump"), manifest::explain, 1),
        (include_str!("../../manifest/tests/golden/v1/every_field.dump"), manifest::explain, 5),
        (include_str!("../../archive/tests/golden/sfa1/odd_names.dump"), archive::explain_plain, 1),
        (include_str!("../../sst/tests/golden/v1/three_entries.dump"), archive::explain, 31),
        (include_str!("../../sst/tests/golden/v1/three_entries.dump"), frames::explain, 31),
    ];

    /// Blocks stand in order, and what is dumped of each are its bytes.
    fn check(bytes: &[u8], explain: Explain, what: &dyn std::fmt::Display) {
        let explained = explain(bytes, Path::new("file"));
        let mut end = 0;
        for (number, block) in explained.blocks.iter().enumerate() {
            assert!(block.range.start >= end, "{what}: {block:?}");
            end = block.range.end;
            let dump = (explained.dump)(bytes, &explained, number);
            let stored = dump.split("# the payload").next().and_then(bytes_of);
            assert_eq!(stored.as_deref(), bytes.get(block.range.clone()), "{what}: {dump}");
            let len: u64 =
                block::fields_of(&dump).iter().filter_map(|it| it["bytes"].as_u64()).sum();
            assert!(len >= block.range.len() as u64, "{what}: {dump}");
        }
    }

    #[test]
    fn every_block_of_every_damaged_file_is_dumped_whole() {
        let identity = [&identity::MAGIC[..], &[7; 32]].concat();
        let files = GOLDEN.map(|(golden, explain, one_in)| (bytes_of(golden), explain, one_in));
        let (mut checked, mut number) = (0, 0);
        for (whole, explain, one_in) in
            files.into_iter().chain([(Some(identity), identity::explain as Explain, 1)])
        {
            let whole = whole.unwrap();
            check(&whole, explain, &"whole");
            for_each_mutant(&whole, |mutation, bytes| {
                number += 1;
                if number % one_in == 0 {
                    check(bytes, explain, &mutation);
                    checked += 1;
                }
            });
        }
        println!("{checked} damaged files of {number}");
        assert!(checked > 10_000, "{checked}");
    }
}
