//! What is wrong with a table, and what can still be read of it.

use std::{path::Path, sync::Arc};

use serde_json::{Value, json};
use stratal_sst::{
    Damage, FileDigest, Healed, SalvageReport, ScrubReport, TableContext, TableWriter,
};
use stratal_types::{FileUid, comparator_named};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    args::{Common, NewTableArgs},
    failure::Failure,
    file::{self, open_to_salvage},
    output::Output,
    rows::DamageRow,
    secret,
};

pub(super) fn verify(
    path: &Path,
    digest: Option<FileDigest>,
    common: &Common,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut differs = None;
    let (blocks, entries, damage, healed) = match file::try_open_table(path, common)? {
        Ok(table) => {
            let fail = |error| Failure::table(path, &error);
            let report = table.verify().map_err(fail)?;
            if let Some(expected) = digest {
                let found = table.digest().map_err(fail)?;
                differs = (found != expected).then_some((found, expected));
            }
            (report.blocks, report.entries, report.damage, report.healed)
        }
        Err(error) if matches!(Failure::table(path, &error), Failure::Damage(_)) => {
            let damage = Damage { offset: 0, kind: "contents", error, keys: None };
            (0, 0, vec![damage], Vec::new())
        }
        Err(error) => return Err(Failure::table(path, &error)),
    };
    let file = path.display();
    let mut found: Vec<DamageRow<'_>> = damage.iter().map(|damage| row_of(&file, damage)).collect();
    found.extend(healed.iter().map(|healed| row_of_healed(&file, healed, &REPAIRABLE)));
    let differs =
        differs.map(|(found, expected)| format!("the digest is {found}, expected {expected}"));
    if let Some(verdict) = &differs {
        found.push(DamageRow { file: &file, offset: 0, kind: "file", verdict, keys: None });
    }
    let ok = found.is_empty();
    if out.json {
        let damage: Vec<Value> = found.iter().map(|row| row.json(out)).collect();
        out.json(&json!({ "ok": ok, "files": 1, "blocks": blocks, "damage": damage }))?;
    } else {
        found.iter().try_for_each(|row| out.line(row.line(out.notation)))?;
        if ok {
            out.line(format!("{file}: ok, {blocks} blocks, {entries} entries"))?;
        }
    }
    if ok { Ok(()) } else { Err(Failure::Damage(None)) }
}

pub(super) fn salvage(
    path: &Path,
    saved: &Path,
    args: &NewTableArgs,
    common: &Common,
    out: &mut Output,
) -> Result<(), Failure> {
    let table = open_to_salvage(path, common)?;
    refuse_same(path, saved)?;
    let fail = |error| Failure::table(path, &error);
    let name = table.comparator().name();
    let comparator = comparator_named(name)
        .ok_or_else(|| Failure::Usage(format!("there is no comparator {name:?}")))?;
    let keys = secret::keys_for_new(common)?;
    let ctx = TableContext { comparator, keys, ..TableContext::default() };
    let options = args.options(std::slice::from_ref(&table));
    let seal = options.seal;
    let spec = Arc::new(options.validate().map_err(fail)?);
    // Drawn from the old identity: the same damage gives the same file.
    let mut uid = Xxh3::new();
    uid.update(b"salvaged");
    uid.update(&table.info().uid.0);
    let id = secret::identity(FileUid(uid.digest128().to_le_bytes()), seal)?;
    let mut report = SalvageReport::default();
    let written = file::replace(saved, |sink| {
        let mut writer = TableWriter::new(&ctx, sink, id, spec).map_err(fail)?;
        report = table.salvage(&mut writer).map_err(fail)?;
        Ok(writer.finish().map_err(fail)?.info)
    })?;
    let (ok, file) = (report.lost.is_empty(), path.display());
    let lost: Vec<DamageRow<'_>> = report.lost.iter().map(|lost| row_of(&file, lost)).collect();
    if out.json {
        let damage: Vec<Value> = lost.iter().map(|row| row.json(out)).collect();
        out.json(&json!({ "ok": ok, "entries": report.entries, "damage": damage }))?;
    } else {
        lost.iter().try_for_each(|row| out.line(row.line(out.notation)))?;
        let saved = if written.is_some() { saved.display().to_string() } else { "no table".into() };
        out.line(format!("{saved}: {} entries saved", report.entries))?;
    }
    if ok { Ok(()) } else { Err(Failure::Damage(None)) }
}

/// Writes a table as it was before it was damaged.
pub(super) fn scrub(
    path: &Path,
    repaired: &Path,
    common: &Common,
    out: &mut Output,
) -> Result<(), Failure> {
    let table = file::open_table(path, common)?;
    refuse_same(path, repaired)?;
    let mut report = ScrubReport::default();
    file::replace(repaired, |sink| {
        report = table.scrub(sink).map_err(|error| Failure::table(path, &error))?;
        Ok(Some(()))
    })?;
    let (ok, file) = (report.is_whole(), path.display());
    let mut rows: Vec<DamageRow<'_>> = report.lost.iter().map(|lost| row_of(&file, lost)).collect();
    if out.json {
        let damage: Vec<Value> = rows.iter().map(|row| row.json(out)).collect();
        let healed = report.healed.iter().map(|healed| row_of_healed(&file, healed, &REPAIRED));
        let healed: Vec<Value> = healed.map(|row| row.json(out)).collect();
        let blocks = report.blocks;
        out.json(&json!({ "ok": ok, "blocks": blocks, "healed": healed, "damage": damage }))?;
    } else {
        rows.extend(report.healed.iter().map(|healed| row_of_healed(&file, healed, &REPAIRED)));
        rows.iter().try_for_each(|row| out.line(row.line(out.notation)))?;
        let (healed, repaired) = (report.healed.len(), repaired.display());
        out.line(format!("{repaired}: {} blocks, {healed} parts repaired", report.blocks))?;
    }
    if ok { Ok(()) } else { Err(Failure::Damage(None)) }
}

fn refuse_same(read: &Path, written: &Path) -> Result<(), Failure> {
    if std::fs::canonicalize(written).ok() == std::fs::canonicalize(read).ok() {
        return Err(Failure::Usage("the table to write is the one to read".into()));
    }
    Ok(())
}

const REPAIRABLE: &str = "damaged, and repaired whenever it is read";
const REPAIRED: &str = "repaired";

fn row_of_healed<'a>(
    file: &'a dyn std::fmt::Display,
    healed: &Healed,
    verdict: &'a &'static str,
) -> DamageRow<'a> {
    DamageRow { file, offset: healed.offset, kind: healed.kind, verdict, keys: None }
}

fn row_of<'a>(file: &'a dyn std::fmt::Display, damage: &'a Damage) -> DamageRow<'a> {
    let keys = damage.keys.as_ref().map(|(behind, to)| (behind.as_deref(), to.as_deref()));
    let Damage { offset, kind, error, .. } = damage;
    DamageRow { file, offset: *offset, kind, verdict: error, keys }
}
