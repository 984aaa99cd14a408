//! What the tests share: manifests on a simulated disk, tables that are synced somewhere, and edits
//! that fit a version.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test may panic"
)]

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use stratal_fs::{Fs, MemFs, NewFile, SimFs, Synced};
use stratal_manifest::{
    Comparators, Error, FileName, Manifest, ManifestContext, ManifestOptions, NewTree, Place,
    RecoveryMode, RecoveryReport, TableMeta, TimeMark, TreeId, Version, VersionEdit,
};
use stratal_testkit::Rng;
use stratal_types::{DbId, FileUid, KeyRange, SeqNo, comparator_named};

pub const DB: DbId = DbId([0xdb; 16]);
/// Files of a few edits, so that short histories rotate.
pub const SMALL: ManifestOptions = ManifestOptions { rotate_len_min: 400 };

static SALT: AtomicU32 = AtomicU32::new(1);

pub fn comparators() -> Comparators {
    Arc::new(comparator_named)
}

pub fn context(fs: &SimFs) -> ManifestContext {
    ManifestContext {
        fs: Arc::new(fs.clone()),
        dir: PathBuf::from("/"),
        db_id: DB,
        // Never the same twice, as the contract wants.
        salts: Arc::new(|| SALT.fetch_add(0x9e37_79b1, Ordering::Relaxed)),
        comparators: comparators(),
    }
}

pub fn open(fs: &SimFs) -> Result<(Manifest, RecoveryReport), Error> {
    Manifest::open(context(fs), SMALL, RecoveryMode::Tail)
}

/// What a version holds, in a form that can be compared.
pub fn contents(version: &Version) -> VersionEdit {
    version.to_edit()
}

/// A table that was written and synced, on another disk.
pub fn synced(meta: TableMeta) -> Synced<TableMeta> {
    let fs = MemFs::new();
    fs.create_dir(Path::new("/tables")).unwrap();
    let path = Path::new("/").join(FileName::Table(meta.number).to_string());
    let mut file = NewFile::create(&fs, path).unwrap();
    file.write_all(&vec![0; usize::try_from(meta.file_len).unwrap()]).unwrap();
    file.finish().unwrap().map(|()| meta).sync_dir(&fs).unwrap()
}

/// A table of the keys from `first` to `last`.
pub fn table(number: u64, first: u8, last: u8) -> TableMeta {
    TableMeta {
        number,
        uid: FileUid([u8::try_from(number % 251).unwrap(); 16]),
        file_len: 10 + number % 7,
        span: KeyRange::closed([first], [last]),
        seqno_min: SeqNo::new(number).unwrap(),
        seqno_max: SeqNo::new(number + 3).unwrap(),
        entries: 4,
        deletes: 1,
        key_bytes: 40,
        value_bytes: 400,
        birth_level: 1,
        created_at_ms: 1_700_000_000_000,
        digest: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        lineage: (0..number % 3).map(|i| FileUid([u8::try_from(i).unwrap(); 16])).collect(),
        seqno_overlay: number.is_multiple_of(5).then(|| SeqNo::new(number + 9).unwrap()),
        entry_seqno_max: number.is_multiple_of(7).then(|| SeqNo::new(number + 2).unwrap()),
        ..TableMeta::default()
    }
}

/// A holder of history comes, goes on or goes.
fn random_hold(rng: &mut Rng, version: &Version, edit: &mut VersionEdit) {
    let name = *rng.choose(&["feed", "audit"]);
    match version.held.get(name) {
        Some(_) if rng.chance(1, 3) => {
            edit.release_history(name);
        }
        held => {
            let least = held.copied().unwrap_or(version.retention_floor).get();
            edit.hold_history(name, SeqNo::new(least + rng.below(4)).unwrap());
        }
    }
}

/// An edit that fits `version`, of any sort.
pub fn random_edit(rng: &mut Rng, version: &Version) -> VersionEdit {
    let mut edit = VersionEdit::new();
    let trees: Vec<_> = version.trees.values().collect();
    if trees.is_empty() || rng.chance(1, 8) {
        let id = version.next_tree;
        let comparator = *rng.choose(&["bytewise", "reverse"]);
        edit.create_tree(NewTree {
            options: rng.bytes(5).into(),
            ..NewTree::new(id, format!("tree {id}"), comparator)
        });
        return edit;
    }
    let tree = *rng.choose(&trees);
    let tables: Vec<_> = tree.tables().collect();
    match rng.below(9) {
        0 if trees.len() > 1 => {
            edit.drop_tree(tree.id);
        }
        1 => {
            edit.set_options(tree.id, rng.bytes(20));
        }
        2 => {
            edit.set_clock(SeqNo::new(version.clock.get() + 5).unwrap());
            edit.set_wal_floor(version.wal_floor + 1).set_next_file(version.next_file + 2);
            edit.set_retention_floor(version.retention_floor);
            random_hold(rng, version, &mut edit);
        }
        3 if !tables.is_empty() => {
            // Everything in one level becomes one table two levels down, as a compaction does.
            let number = version.next_file;
            let level = rng.choose(&tables).0.level;
            for (_, table) in tables.iter().filter(|(place, _)| place.level == level) {
                edit.remove_table(tree.id, table.number);
            }
            let place = Place { level: level + 2, age: number };
            edit.add_table(tree.id, place, synced(table(number, 0, 255))).unwrap();
            fix_order(&mut edit, tree.id, tree.comparator.name(), number, place);
        }
        4 if !tables.is_empty() => {
            let (_, table) = rng.choose(&tables);
            let place = Place { level: 9, age: version.next_file };
            edit.move_table(tree.id, table.number, place);
            edit.set_next_file(version.next_file + 1);
        }
        5 if !tables.is_empty() => {
            let (_, table) = rng.choose(&tables);
            edit.expire_table(tree.id, table.number, version.clock);
            let time_ms = version.clock.get() * 7;
            edit.mark_time(TimeMark { seqno: version.clock, time_ms });
        }
        _ => {
            let number = version.next_file;
            let place = Place { level: 0, age: number };
            for i in 0..=rng.below(3) {
                let first = u8::try_from(i * 50).unwrap();
                let (low, high) = match tree.comparator.name() {
                    "reverse" => (first + 20, first),
                    _ => (first, first + 20),
                };
                edit.add_table(tree.id, place, synced(table(number + i, low, high))).unwrap();
            }
            let bound = tree.flushed.get().max(number + 4);
            edit.set_flushed(tree.id, SeqNo::new(bound).unwrap());
        }
    }
    edit
}

/// A table from 0 to 255 has an empty span in reverse order.
fn fix_order(edit: &mut VersionEdit, tree: TreeId, comparator: &str, number: u64, place: Place) {
    if comparator == "reverse" {
        let removed = edit.removed().to_vec();
        *edit = VersionEdit::new();
        for (tree, number) in removed {
            edit.remove_table(tree, number);
        }
        edit.add_table(tree, place, synced(table(number, 255, 0))).unwrap();
    }
}

/// What was done to a manifest. Time is operations of the disk.
#[derive(Debug, Default)]
pub struct History {
    /// What was current, in order: first the empty version.
    pub states: Vec<VersionEdit>,
    /// From when on which of them was promised to be durable.
    pub promised: Vec<(u64, usize)>,
    /// States that a failed edit may have left behind: which state was current, what may be, and from
    /// when on that is excluded.
    pub unknown: Vec<(usize, VersionEdit, Option<u64>)>,
    pub errors: Vec<String>,
}

impl History {
    pub fn promised_at(&self, op_count: u64) -> Option<usize> {
        let before = self.promised.iter().take_while(|(at, _)| *at <= op_count);
        before.last().map(|(_, state)| *state)
    }

    /// Whether a crash when `op_count` operations were done may leave `found`.
    pub fn allows(&self, found: &VersionEdit, op_count: u64) -> bool {
        let promised = self.promised_at(op_count).unwrap_or(0);
        self.states.iter().skip(promised).any(|state| state == found)
            || self.unknown.iter().any(|(base, state, excluded_at)| {
                *base >= promised && excluded_at.is_none_or(|at| at > op_count) && state == found
            })
    }
}

/// Begins a manifest on `fs` and installs `edits` random edits, errors or not.
pub fn run(fs: &SimFs, seed: u64, edits: usize, closes: bool) -> History {
    let mut history = History::default();
    let mut rng = Rng::new(seed);
    let empty = contents(&Version::empty(DB));
    let mut manifest = loop {
        match Manifest::create(context(fs), SMALL) {
            Ok(manifest) => break manifest,
            Err(err) => {
                history.errors.push(err.to_string());
                // The marker may be there all the same.
                if let Ok((manifest, _)) = open(fs) {
                    break manifest;
                }
                if history.errors.len() > 20 {
                    return history;
                }
            }
        }
    };
    history.states.push(empty);
    if !manifest.is_settled()
        && let Err(err) = manifest.settle()
    {
        history.errors.push(err.to_string());
    }
    if manifest.is_settled() {
        history.promised.push((fs.op_count(), 0));
    }
    for _ in 0..edits {
        let edit = random_edit(&mut rng, manifest.version());
        let before = Arc::clone(manifest.version());
        match manifest.append(&edit) {
            Ok(version) => {
                assert!(manifest.is_settled());
                history.states.push(contents(&version));
            }
            Err(err) => {
                assert!(Arc::ptr_eq(&before, manifest.version()), "nothing has changed in memory");
                history.errors.push(err.to_string());
                if matches!(err, Error::UnknownOutcome { .. }) {
                    assert!(!manifest.is_settled());
                    let attempted = manifest.version_set().prepare(&edit).unwrap();
                    history.unknown.push((history.states.len() - 1, contents(&attempted), None));
                    if rng.chance(1, 2)
                        && let Err(err) = manifest.settle()
                    {
                        history.errors.push(err.to_string());
                    }
                } else {
                    assert!(matches!(err, Error::Io { .. }), "{err}");
                }
            }
        }
        if manifest.is_settled() {
            history.promised.push((fs.op_count(), history.states.len() - 1));
            for (_, _, excluded_at) in &mut history.unknown {
                excluded_at.get_or_insert(fs.op_count());
            }
        }
    }
    if closes && let Err(err) = manifest.close() {
        history.errors.push(err.to_string());
    }
    history
}

/// The bytes of the current manifest on `fs`, and its generation.
pub fn current_file(fs: &SimFs) -> (u64, Vec<u8>) {
    let entries = fs.list(Path::new("/")).unwrap();
    let markers = entries.iter().filter_map(|entry| match FileName::parse(entry.name.to_str()?) {
        Some(FileName::Marker(generation)) => Some(generation),
        _ => None,
    });
    let generation = markers.max().unwrap();
    let path = Path::new("/").join(FileName::Manifest(generation).to_string());
    let file = fs.open(&path, stratal_fs::Access::Read).unwrap();
    (generation, stratal_fs::read_to_vec(&*file, 1 << 30).unwrap())
}
