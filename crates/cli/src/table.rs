//! The verbs that work with table files alone.

mod write;
mod check;
mod whole;

use std::path::Path;

use serde_json::{Value, json};
use stratal_block::Seal;
use stratal_sst::{Properties, TableInfo};

use crate::{
    args::{Common, GetArgs, ScanArgs, TableVerb, seal_of},
    failure::Failure,
    file::open_table,
    output::Output,
    rows::{self, Selection},
    text::Notation,
};

pub(crate) fn run(verb: &TableVerb, common: &Common, out: &mut Output) -> Result<(), Failure> {
    match verb {
        TableVerb::Write(args) => write::run(args, common, out),
        TableVerb::Get(args) => get(args, common, out),
        TableVerb::Scan(args) => scan(args, common, out),
        TableVerb::Info { file, digest } => info(file, *digest, common, out),
        TableVerb::Verify { file, digest } => check::verify(file, *digest, common, out),
        TableVerb::Dump { file } => {
            let dump = open_table(file, common)?.annotate();
            out.bytes(dump.map_err(|error| Failure::table(file, &error))?.as_bytes())
        }
        TableVerb::Salvage { file, out: saved, table } => {
            check::salvage(file, saved, table, common, out)
        }
        TableVerb::Scrub { file, out: repaired } => check::scrub(file, repaired, common, out),
        TableVerb::Merge(args) => whole::merge(args, common, out),
        TableVerb::Split(args) => whole::split(args, common, out),
        TableVerb::Diff(args) => whole::diff(args, common, out),
    }
}

fn get(args: &GetArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let table = open_table(&args.file, common)?;
    let fail = |error| Failure::table(&args.file, &error);
    rows::print_values(&args.keys, args.raw, |key| table.get(key), fail, out)
}

fn scan(args: &ScanArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let table = open_table(&args.file, common)?;
    let selection = Selection::parse(&args.range, out.notation)?;
    let found = match &selection.prefix {
        Some(prefix) => table.prefix(prefix),
        None => table.range(selection.bounds()),
    };
    let wants = |key: &[u8]| selection.wants(key, table.comparator());
    rows::print(found, &args.rows, wants, |error| Failure::table(&args.file, &error), out)
}

fn info(path: &Path, with_digest: bool, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let table = open_table(path, common)?;
    let mut info = table.info();
    if with_digest {
        info.digest = Some(table.digest().map_err(|error| Failure::table(path, &error))?);
    }
    let mut rows = describe(&info, out.notation);
    let seal = match seal_of(&table) {
        Seal::None => Value::Null,
        Seal::Aes256Gcm => json!("aes-256-gcm"),
        Seal::ChaCha20Poly1305 => json!("chacha20-poly1305"),
        other => json!(format!("{other:?}")),
    };
    rows.push(("encryption".into(), seal));
    rows.push(("key_epoch".into(), json!(table.contents().header.seal.map(|seal| seal.epoch))));
    if out.json {
        let object: serde_json::Map<String, Value> = rows.into_iter().collect();
        return out.json(&Value::Object(object));
    }
    rows.iter().try_for_each(|(name, value)| match value {
        Value::String(text) => out.line(format!("{name:<20} {text}")),
        other => out.line(format!("{name:<20} {other}")),
    })
}

/// What is known about a table, by name.
pub(crate) fn describe(info: &TableInfo, notation: Notation) -> Vec<(String, Value)> {
    let Properties { comparator, compression, filter, first_key, last_key, user, .. } =
        &info.properties;
    let key = |key: &[u8]| Value::String(notation.show(key));
    let mut rows = vec![
        ("file_bytes".to_owned(), json!(info.file_len)),
        ("uid".to_owned(), json!(info.uid.to_string())),
        ("comparator".to_owned(), json!(comparator)),
        ("compression".to_owned(), json!(compression)),
        ("filter".to_owned(), json!(filter)),
        ("first_key".to_owned(), key(first_key)),
        ("last_key".to_owned(), key(last_key)),
    ];
    rows.extend(info.digest.map(|digest| ("digest".to_owned(), json!(digest.to_string()))));
    rows.extend(info.properties.numbers().map(|(name, number)| (name.to_owned(), json!(number))));
    rows.extend(user.iter().map(|(name, value)| (format!("user.{name}"), key(value))));
    rows
}
