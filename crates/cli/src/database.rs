//! The verbs that work with a database.

use std::{path::Path, sync::Arc, time::Instant};

use serde_json::{Value, json};
use stratal::{
    Batch, Builder, Database, Durability, Keyspace, KeyspaceInfo, KeyspaceOptions, Ticket,
    TreeOptions, operator_named,
};
use stratal_fs::{FileKind, Fs, StdFs};
use stratal_types::{Comparator, comparator_named};

use crate::{
    args::{
        Common, DbGetArgs, DbScanArgs, DurabilityArg, KeyspacesArgs, LoadArgs, MergeArgs,
        OperatorArg, RangeArgs,
    },
    failure::Failure,
    ingest,
    input::Records,
    output::Output,
    rows::{self, DamageRow, Selection, parse_bytes, parse_key, rate},
};

/// What a verb needs of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading; others may read at the same time.
    Read,
    /// Writing; it must be there.
    Write,
    /// Writing; it is made if it is not there.
    Create,
}

impl From<DurabilityArg> for Durability {
    fn from(argument: DurabilityArg) -> Self {
        match argument {
            DurabilityArg::Memory => Self::Memory,
            DurabilityArg::Os => Self::Os,
            DurabilityArg::Sync => Self::Sync,
        }
    }
}

pub(crate) fn open(path: &Path, access: Access, common: &Common) -> Result<Database, Failure> {
    check_place(path, access)?;
    if common.key_file.is_some() {
        return Err(Failure::Usage("--key-file is for tables; databases are in the clear".into()));
    }
    builder(path, common)
        .create(access == Access::Create)
        .read_only(access == Access::Read)
        .open()
        .map_err(|error| Failure::database(&error))
}

/// With what every verb may be told.
fn builder(path: &Path, common: &Common) -> Builder {
    let builder = Database::builder(path).memory_budget(common.memory);
    match common.open_files {
        Some(files) => builder.max_open_files(files),
        None => builder,
    }
}

/// Refuses a path at which there is something else than a database, or nothing where there must be one.
fn check_place(path: &Path, access: Access) -> Result<(), Failure> {
    let kind = match StdFs.metadata(path) {
        Ok(metadata) => metadata.kind,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return match access {
                Access::Create => Ok(()),
                _ => {
                    Err(Failure::Absent(Some(format!("{}: there is no database", path.display()))))
                }
            };
        }
        Err(error) => return Err(Failure::io(path, "open", &error)),
    };
    if kind != FileKind::Dir {
        return Err(Failure::BadInput(format!("{} is not a database's directory", path.display())));
    }
    let entries = StdFs.list(path).map_err(|error| Failure::io(path, "list", &error))?;
    let is_ours = entries.iter().any(|entry| entry.name == "IDENTITY" || entry.name == "LOCK");
    if is_ours || (entries.is_empty() && access == Access::Create) {
        return Ok(());
    }
    Err(Failure::Usage(format!("{} is a directory, but not a database's", path.display())))
}

/// Runs `work` on the keyspace that the command line names, and closes the database.
pub(crate) fn with_keyspace<T>(
    path: &Path,
    access: Access,
    common: &Common,
    work: impl FnOnce(&Database, &Keyspace) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let db = open(path, access, common)?;
    let keyspace = db.open_keyspace(&common.keyspace).map_err(|error| Failure::database(&error));
    let done = keyspace.and_then(|keyspace| work(&db, &keyspace));
    let closed = db.close().map_err(|error| Failure::database(&error));
    done.and_then(|done| closed.map(|()| done))
}

/// The order of a keyspace's keys.
pub(crate) fn comparator_of(keyspace: &Keyspace) -> Result<Arc<dyn Comparator>, Failure> {
    let name = keyspace.info().comparator;
    comparator_named(&name)
        .ok_or_else(|| Failure::Refused(format!("comparator {name:?} is not known here")))
}

pub(crate) fn load(args: &LoadArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let started = Instant::now();
    // Before anything is made: input that is not there is no reason to make a database.
    let mut records = if args.delete {
        Records::open_keys(&args.input, out.notation, args.text.skip_bad)?
    } else {
        Records::open(&args.input, &args.text, out.notation)?
    };
    if let Some(options) = args.tree.over(&TreeOptions::default())? {
        options.validate().map_err(|error| Failure::Usage(error.to_string()))?;
    }
    let (count, bytes) = with_keyspace(&args.db, Access::Create, common, |db, keyspace| {
        if let Some(options) = args.tree.over(&keyspace.options())? {
            keyspace.set_options(options)?;
        }
        if args.ingest {
            return ingest::load(keyspace, args, &mut records, common, out);
        }
        load_into(db, keyspace, args, &mut records, out)
    })?;
    let seconds = started.elapsed().as_secs_f64();
    if out.json {
        return out.json(&json!({
            "records": count, "bytes": bytes, "seconds": seconds,
            "records_per_second": rate(count, seconds),
        }));
    }
    out.line(format!(
        "{count} records, {bytes} bytes, {seconds:.3} s, {:.0} records/s",
        rate(count, seconds)
    ))
}

/// Writes batch after batch; what came before a bad line is written too.
fn load_into(
    db: &Database,
    keyspace: &Keyspace,
    args: &LoadArgs,
    records: &mut Records<'_>,
    out: &mut Output,
) -> Result<(u64, u64), Failure> {
    let (mut count, mut bytes) = (0u64, 0u64);
    loop {
        let mut batch = db.batch();
        let mut batch_len = 0u32;
        let ended = loop {
            if batch_len == args.batch {
                break Ok(false);
            }
            match records.next() {
                Ok(None) => break Ok(true),
                Err(failure) => break Err(failure),
                Ok(Some((key, value))) => {
                    bytes += (key.len() + value.len()) as u64;
                    batch_len += 1;
                    if args.delete {
                        batch.delete(keyspace, key);
                    } else {
                        batch.put(keyspace, key, value);
                    }
                }
            }
        };
        if batch_len > 0 {
            commit(&mut batch, args.durability.into())?;
            count += u64::from(batch_len);
            if args.acks {
                // A bad line is the last one read, and is not covered.
                let covered = records.lines() - u64::from(ended.is_err());
                out.line(format!("acked {covered}"))?;
                out.flush()?;
            }
        }
        if ended? {
            return Ok((count, bytes));
        }
    }
}

fn commit(batch: &mut Batch, durability: Durability) -> Result<Ticket, Failure> {
    batch.durability(durability);
    batch.commit().map_err(Failure::from)
}

pub(crate) fn get(args: &DbGetArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    with_keyspace(&args.db, Access::Read, common, |_, keyspace| {
        rows::print_values(&args.keys, args.raw, |key| keyspace.get(key), Failure::from, out)
    })
}

pub(crate) fn put(
    (db, key, value): (&Path, &str, &str),
    common: &Common,
    out: &Output,
) -> Result<(), Failure> {
    let (key, value) = (parse_key(key, out.notation)?, parse_bytes(value, out.notation)?);
    with_keyspace(db, Access::Create, common, |db, keyspace| {
        let mut batch = db.batch();
        batch.put(keyspace, key, value);
        commit(&mut batch, Durability::Sync).map(drop)
    })
}

pub(crate) fn merge(args: &MergeArgs, common: &Common, out: &Output) -> Result<(), Failure> {
    let (key, operand) =
        (parse_key(&args.key, out.notation)?, parse_bytes(&args.operand, out.notation)?);
    let asked_for = args.operator.map(OperatorArg::name);
    if let Some(operator) = asked_for {
        // Before anything is made.
        check_operand(operator, &key, &operand)?;
    }
    let access = if asked_for.is_some() { Access::Create } else { Access::Write };
    with_keyspace(&args.db, access, common, |db, keyspace| {
        let KeyspaceInfo { name, comparator, merge_operator, .. } = keyspace.info();
        let Some(operator) = asked_for.map(str::to_owned).or(merge_operator) else {
            return Err(Failure::Usage(format!(
                "keyspace {name:?} has no merge operator yet: give it one with --operator"
            )));
        };
        let merge_operator = Some(operator.clone());
        let options = KeyspaceOptions { comparator, merge_operator, ..KeyspaceOptions::default() };
        db.keyspace(&name, options)?;
        check_operand(&operator, &key, &operand)?;
        let mut batch = db.batch();
        batch.merge(keyspace, key, operand);
        commit(&mut batch, Durability::Sync).map(drop)
    })
}

/// Refuses an operand that not even a key without a value takes: reads of the key would fail.
fn check_operand(operator: &str, key: &[u8], operand: &[u8]) -> Result<(), Failure> {
    let Some(operator) = operator_named(operator) else { return Ok(()) };
    let applied = operator.full(key, None, &[operand]);
    applied.map(drop).map_err(|error| Failure::BadInput(error.reason))
}

pub(crate) fn delete(
    db: &Path,
    keys: &[String],
    common: &Common,
    out: &Output,
) -> Result<(), Failure> {
    let keys: Result<Vec<_>, _> = keys.iter().map(|key| parse_key(key, out.notation)).collect();
    let keys = keys?;
    with_keyspace(db, Access::Write, common, |db, keyspace| {
        let mut batch = db.batch();
        for key in keys {
            batch.delete(keyspace, key);
        }
        commit(&mut batch, Durability::Sync).map(drop)
    })
}

pub(crate) fn delete_range(
    (db, from, to): (&Path, &str, &str),
    common: &Common,
    out: &Output,
) -> Result<(), Failure> {
    let (from, to) = (parse_key(from, out.notation)?, parse_key(to, out.notation)?);
    with_keyspace(db, Access::Write, common, |db, keyspace| {
        if comparator_of(keyspace)?.compare(&from, &to).is_gt() {
            return Err(Failure::Usage("FROM stands behind TO".into()));
        }
        let mut batch = db.batch();
        batch.delete_range(keyspace, from, to);
        commit(&mut batch, Durability::Sync).map(drop)
    })
}

pub(crate) fn scan(args: &DbScanArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let selection = Selection::parse(&args.range, out.notation)?;
    with_keyspace(&args.db, Access::Read, common, |_, keyspace| {
        let found = match &selection.prefix {
            Some(prefix) => keyspace.prefix(prefix),
            None => keyspace.range(selection.bounds()),
        };
        let comparator = comparator_of(keyspace)?;
        let wants = |key: &[u8]| selection.wants(key, comparator.as_ref());
        rows::print(found?, &args.rows, wants, Failure::from, out)
    })
}

pub(crate) fn count(
    db: &Path,
    range: &RangeArgs,
    common: &Common,
    out: &mut Output,
) -> Result<(), Failure> {
    let selection = Selection::parse(range, out.notation)?;
    let count = with_keyspace(db, Access::Read, common, |_, keyspace| {
        let found = match &selection.prefix {
            Some(prefix) => keyspace.prefix(prefix),
            None => keyspace.range(selection.bounds()),
        };
        let comparator = comparator_of(keyspace)?;
        let mut count = 0u64;
        for row in found? {
            let (key, _) = row?;
            count += u64::from(selection.wants(&key, comparator.as_ref()));
        }
        Ok(count)
    })?;
    if out.json { out.json(&json!({ "count": count })) } else { out.line(count.to_string()) }
}

pub(crate) fn flush(db: &Path, common: &Common) -> Result<(), Failure> {
    with_keyspace(db, Access::Write, common, |db, _| db.flush().map_err(Failure::from))
}

pub(crate) fn compact(db: &Path, common: &Common) -> Result<(), Failure> {
    with_keyspace(db, Access::Write, common, |db, _| db.compact().map_err(Failure::from))
}

pub(crate) fn verify(path: &Path, common: &Common, out: &mut Output) -> Result<(), Failure> {
    check_place(path, Access::Read)?;
    let db = match builder(path, common).create(false).read_only(true).open() {
        Ok(db) => db,
        Err(error) => return unopened(&error, out),
    };
    let report = db.verify()?;
    db.close()?;
    let ok = report.damage.is_empty();
    let files: Vec<String> =
        report.damage.iter().map(|damage| damage.file.display().to_string()).collect();
    let found: Vec<DamageRow<'_>> = report
        .damage
        .iter()
        .zip(&files)
        .map(|(damage, file)| DamageRow {
            file,
            offset: damage.offset,
            kind: &damage.kind,
            verdict: &damage.verdict,
            keys: damage.to_key.as_deref().map(|to| (damage.from_key.as_deref(), Some(to))),
        })
        .collect();
    if out.json {
        let damage: Vec<Value> = found.iter().map(|row| row.json(out)).collect();
        let (files, blocks) = (report.files, report.blocks);
        out.json(&json!({ "ok": ok, "files": files, "blocks": blocks, "damage": damage }))?;
    } else {
        found.iter().try_for_each(|row| out.line(row.line(out.notation)))?;
        if ok {
            let (files, blocks) = (report.files, report.blocks);
            out.line(format!("{}: ok, {files} files, {blocks} blocks", path.display()))?;
        }
    }
    if ok { Ok(()) } else { Err(Failure::Damage(None)) }
}

/// A database that is too damaged to open is damage found, not a reason to say nothing.
fn unopened(error: &stratal::Error, out: &mut Output) -> Result<(), Failure> {
    let failure = Failure::database(error);
    if let (true, Failure::Damage(_)) = (out.json, &failure) {
        let verdict = error.to_string();
        out.json(&json!({ "ok": false, "files": 0, "blocks": 0, "damage": [
            { "file": Value::Null, "offset": 0, "kind": "database", "verdict": verdict,
              "from_key": Value::Null, "to_key": Value::Null }
        ] }))?;
    }
    Err(failure)
}

pub(crate) fn keyspaces(
    args: &KeyspacesArgs,
    common: &Common,
    out: &mut Output,
) -> Result<(), Failure> {
    let access = match (&args.create, &args.drop) {
        (Some(_), _) => Access::Create,
        (None, Some(_)) => Access::Write,
        (None, None) => Access::Read,
    };
    if comparator_named(&args.comparator).is_none() {
        let name = &args.comparator;
        return Err(Failure::Usage(format!(
            "there is no comparator {name:?}; use bytewise, reverse or shortlex"
        )));
    }
    let db = open(&args.db, access, common)?;
    if let Some(name) = &args.create {
        if db.keyspaces().iter().any(|known| known.name == *name) {
            return Err(Failure::Usage(format!("there is a keyspace {name:?} already")));
        }
        let options = KeyspaceOptions {
            comparator: args.comparator.clone(),
            merge_operator: args.operator.map(|operator| operator.name().to_owned()),
            ttl: args.ttl,
        };
        db.keyspace(name, options)?;
    }
    if let Some(name) = &args.drop {
        db.drop_keyspace(name)?;
    }
    let all = db.keyspaces();
    db.close()?;
    if out.json {
        let all: Vec<Value> = all
            .iter()
            .map(|info| {
                json!({
                    "name": info.name, "comparator": info.comparator,
                    "merge_operator": info.merge_operator,
                    "ttl_seconds": info.ttl.map(|ttl| ttl.as_secs_f64()),
                })
            })
            .collect();
        return out.json(&json!({ "keyspaces": all }));
    }
    all.iter().try_for_each(|info| {
        let operator = info.merge_operator.as_deref().map(|name| format!("\t{name}"));
        out.line(format!("{}\t{}{}", info.name, info.comparator, operator.unwrap_or_default()))
    })
}

/// Where a workload's database is, for [`crate::bench`].
pub(crate) fn in_directory(
    path: &Path,
    cache: u64,
    options: stratal::TreeOptions,
    common: &Common,
) -> Result<Database, Failure> {
    builder(path, common)
        .memory_budget(cache.saturating_add(2 * options.write_buffer_len as u64))
        .tree_options(options)
        .open()
        .map_err(Failure::from)
}
