//! Which rows a verb is about, and how they are printed: the same for tables and databases.

use std::{borrow::Cow, fmt::Display, ops::Bound};

use bytes::Bytes;
use serde_json::{Value, json};
use stratal_types::{Comparator, KeyRange};

use crate::{
    args::{OutputFormat, RangeArgs, RowArgs},
    failure::Failure,
    output::Output,
    text::Notation,
};

/// Which keys a verb wants.
pub(crate) struct Selection {
    pub(crate) prefix: Option<Vec<u8>>,
    pub(crate) range: KeyRange,
}

impl Selection {
    pub(crate) fn parse(args: &RangeArgs, notation: Notation) -> Result<Self, Failure> {
        let parse = |text: &Option<String>| {
            text.as_deref().map(|text| parse_bytes(text, notation)).transpose()
        };
        let start = parse(&args.from)?.map_or(Bound::Unbounded, Bound::Included);
        let end = parse(&args.to)?.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(Self { prefix: parse(&args.prefix)?, range: KeyRange { start, end } })
    }

    /// The bounds of the range, where there is no prefix.
    pub(crate) fn bounds(&self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        (self.range.start.clone(), self.range.end.clone())
    }

    /// With a prefix the bounds are looked at row by row.
    pub(crate) fn wants(&self, key: &[u8], comparator: &dyn Comparator) -> bool {
        self.prefix.is_none() || self.range.contains(key, comparator)
    }
}

/// Prints the rows that are wanted, from one end or the other.
pub(crate) fn print<E>(
    mut rows: impl DoubleEndedIterator<Item = Result<(Bytes, Bytes), E>>,
    args: &RowArgs,
    wants: impl Fn(&[u8]) -> bool,
    fail: impl Fn(E) -> Failure,
    out: &mut Output,
) -> Result<(), Failure> {
    let limit = args.limit.unwrap_or(u64::MAX);
    if args.format == OutputFormat::Csv && !out.json {
        let headers: &[u8] = if args.keys_only { b"key\n" } else { b"key,value\n" };
        out.bytes(headers)?;
    }
    let mut printed = 0;
    while printed < limit {
        let row = if args.reverse { rows.next_back() } else { rows.next() };
        let Some(row) = row else { break };
        let (key, value) = row.map_err(&fail)?;
        if !wants(&key) {
            continue;
        }
        let value = (!args.keys_only).then_some(value);
        print_row(&key, value.as_deref(), args.format, out)?;
        printed += 1;
    }
    Ok(())
}

fn print_row(
    key: &[u8],
    value: Option<&[u8]>,
    format: OutputFormat,
    out: &mut Output,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Tsv if !out.json => return out.row(key, value),
        OutputFormat::Csv if !out.json => return print_csv(key, value, out),
        _ => {}
    }
    let mut row = serde_json::Map::new();
    row.insert("key".into(), out.json_text(key));
    if let Some(value) = value {
        row.insert("value".into(), out.json_text(value));
    }
    out.json(&Value::Object(row))
}

/// A row of csv, quoted where it has to be, of key and value as text.
fn print_csv(key: &[u8], value: Option<&[u8]>, out: &mut Output) -> Result<(), Failure> {
    let fields = [Some(key), value].into_iter().flatten().map(|bytes| out.notation.show(bytes));
    let mut row = csv::Writer::from_writer(Vec::new());
    let written = row.write_record(fields).map_err(|error| error.to_string());
    let bytes = written.and_then(|()| row.into_inner().map_err(|error| error.to_string()));
    out.bytes(&bytes.map_err(Failure::Io)?)
}

/// Prints the values of `keys`, and says which are missing.
pub(crate) fn print_values<E>(
    keys: &[String],
    raw: bool,
    get: impl Fn(&[u8]) -> Result<Option<Bytes>, E>,
    fail: impl Fn(E) -> Failure,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut missing = false;
    for text in keys {
        let key = parse_key(text, out.notation)?;
        let value = get(&key).map_err(&fail)?;
        missing |= value.is_none();
        print_value(&key, value, raw, out)?;
    }
    if missing { Err(Failure::Absent(None)) } else { Ok(()) }
}

fn print_value(
    key: &[u8],
    value: Option<Bytes>,
    raw: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    if out.json {
        let shown = value.as_ref().map_or(Value::Null, |value| out.json_text(value));
        let found = value.is_some();
        return out.json(&json!({ "key": out.json_text(key), "found": found, "value": shown }));
    }
    match value {
        Some(value) if raw => out.bytes(&value),
        Some(value) => out.text(&value),
        None => {
            eprintln!("not found: {}", out.notation.show(key));
            Ok(())
        }
    }
}

/// A key as it stands on the command line.
pub(crate) fn parse_key(text: &str, notation: Notation) -> Result<Vec<u8>, Failure> {
    let key = parse_bytes(text, notation)?;
    if key.is_empty() {
        return Err(Failure::Usage("a key must not be empty".into()));
    }
    Ok(key)
}

/// A key, value or prefix as it stands on the command line.
pub(crate) fn parse_bytes(text: &str, notation: Notation) -> Result<Vec<u8>, Failure> {
    let bytes = notation.parse(text.as_bytes());
    bytes.map(Cow::into_owned).map_err(|why| Failure::Usage(format!("{text}: {why}")))
}

/// Behind the first, if there is one, up to the second, if anybody knows where they end.
type LostKeys<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// One thing that is wrong with stored data.
pub(crate) struct DamageRow<'a> {
    pub(crate) file: &'a dyn Display,
    pub(crate) offset: u64,
    pub(crate) kind: &'a str,
    pub(crate) verdict: &'a dyn Display,
    /// Keys that cannot be read for it: behind the first, unless there is none, up to the second.
    pub(crate) keys: Option<LostKeys<'a>>,
}

impl DamageRow<'_> {
    pub(crate) fn line(&self, notation: Notation) -> String {
        let Self { file, offset, kind, verdict, keys } = self;
        let line = format!("{file}: offset {offset}: {kind}: {verdict}");
        let Some((behind, to)) = keys else { return line };
        let from = match behind {
            Some(key) => format!("behind {}", notation.show(key)),
            None => "from the first".to_owned(),
        };
        let to = to.map_or("the last".to_owned(), |key| notation.show(key));
        format!("{line}; keys {from} to {to} are lost")
    }

    pub(crate) fn json(&self, out: &Output) -> Value {
        let (from, to) = self.keys.unwrap_or_default();
        let key = |key: Option<&[u8]>| key.map_or(Value::Null, |key| out.json_text(key));
        json!({
            "file": self.file.to_string(), "offset": self.offset, "kind": self.kind,
            "verdict": self.verdict.to_string(), "from_key": key(from), "to_key": key(to),
        })
    }
}

/// How many of something a second.
#[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
pub(crate) fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds.max(1e-9)
}
