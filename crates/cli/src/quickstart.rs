//! The bundled places, loaded and looked at: the first thing a new user sees.

use std::{path::Path, sync::Arc, time::Instant};

use stratal_fs::{Fs, StdFs};
use stratal_sst::{FileSource, Table, TableContext, TableOptions};
use stratal_types::Bytewise;

use crate::{
    args::InputFormat,
    failure::Failure,
    input::{Packing, Records, unpack},
    output::Output,
    table::{sorted_records, write_sorted},
    text::Notation,
};

/// 34,006 places; see `data/README.md` for where they come from.
const PLACES: &[u8] = include_bytes!("../data/cities15000.tsv.zst");

/// Marks a directory that this verb made, and so may replace.
const MARKER: &str = "QUICKSTART";

const TABLE: &str = "places.sst";

pub(crate) fn run(dir: &Path, out: &mut Output) -> Result<(), Failure> {
    prepare(dir)?;
    out.line(format!("Stratal quickstart, in {}", dir.display()))?;
    out.line("Places: GeoNames (https://www.geonames.org), CC BY 4.0.\n")?;
    let path = dir.join(TABLE);
    load(&path, out)?;
    let table = open(&path)?;
    gets(&table, &path, out)?;
    scans(&table, &path, out)?;
    check(&table, &path, out)?;
    out.line("\nThe table is yours to play with:")?;
    for command in ["table info FILE", "table scan FILE --prefix IS/ --reverse", "inspect FILE"] {
        out.line(format!("  stratal {}", command.replace("FILE", &path.display().to_string())))?;
    }
    Ok(())
}

/// Makes `dir`, or empties it if this verb made it before.
fn prepare(dir: &Path) -> Result<(), Failure> {
    let fs = StdFs;
    let fail = |error: std::io::Error| Failure::io(dir, "prepare the directory", &error);
    let entries = match fs.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(fail(error)),
    };
    let ours = entries.iter().any(|entry| entry.name == MARKER);
    if !entries.is_empty() && !ours {
        let dir = dir.display();
        return Err(Failure::Usage(format!(
            "{dir} is not empty and was not made by quickstart; choose another with --dir"
        )));
    }
    // The marker goes last: an interrupted run leaves a directory that the next may still replace.
    for name in [TABLE, MARKER] {
        if entries.iter().any(|entry| entry.name == name) {
            fs.remove_file(&dir.join(name)).map_err(fail)?;
        }
    }
    fs.create_dir(dir).map_err(fail)?;
    fs.create(&dir.join(MARKER)).map_err(fail)?;
    Ok(())
}

fn load(path: &Path, out: &mut Output) -> Result<(), Failure> {
    let started = Instant::now();
    let lines = unpack(PLACES, Packing::Zstd)
        .map_err(|error| Failure::io(path, "unpack the places", &error))?;
    let mut records = Records::new(lines, "places".into(), InputFormat::Tsv, Notation::Escaped, 0);
    let sorted = sorted_records(&mut records, &Bytewise)?;
    let info = write_sorted(path, &sorted, TableOptions::default(), Arc::new(Bytewise))?;
    let Some(info) = info else {
        return Err(Failure::BadInput("the bundled places are empty".into()));
    };
    let properties = &info.properties;
    out.line(format!(
        "1. Sorted and wrote {} places in {:.0} ms: {:.1} MB of keys and values, {:.1} MB on disk.",
        properties.entries,
        started.elapsed().as_secs_f64() * 1e3,
        megabytes(properties.key_bytes + properties.value_bytes),
        megabytes(info.file_len),
    ))
}

#[expect(clippy::cast_precision_loss, reason = "a size for people to read")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn open(path: &Path) -> Result<Table, Failure> {
    let file = StdFs.open(path, stratal_fs::Access::Read);
    let source =
        file.and_then(FileSource::new).map_err(|error| Failure::io(path, "open", &error))?;
    Table::open(&TableContext::default(), Arc::new(source))
        .map_err(|error| Failure::table(path, &error))
}

fn gets(table: &Table, path: &Path, out: &mut Output) -> Result<(), Failure> {
    let fail = |error| Failure::table(path, &error);
    out.line("\n2. Looked up single keys:")?;
    for key in ["IS/39/Reykjavík/3413829", "NZ/G2/Wellington/2179537", "AQ/00/Atlantis/1"] {
        let started = Instant::now();
        let value = table.get(key.as_bytes()).map_err(fail)?;
        let micros = started.elapsed().as_secs_f64() * 1e6;
        let shown =
            value.map_or_else(|| "not found".to_owned(), |value| Notation::Escaped.show(&value));
        out.line(format!("   {key} → {shown} ({micros:.1} µs)"))?;
    }
    Ok(())
}

fn scans(table: &Table, path: &Path, out: &mut Output) -> Result<(), Failure> {
    let fail = |error| Failure::table(path, &error);
    out.line("\n3. Scanned the prefix CH/ZH/, from the front and from the back:")?;
    let mut rows = table.prefix(b"CH/ZH/");
    for row in rows.by_ref().take(3) {
        out.line(format!("   {}", Notation::Escaped.show(&row.map_err(fail)?.0)))?;
    }
    if let Some(last) = rows.next_back() {
        out.line(format!("   … {}", Notation::Escaped.show(&last.map_err(fail)?.0)))?;
    }
    let started = Instant::now();
    let mut count = 0u64;
    for row in table.range::<&[u8]>(..) {
        row.map_err(fail)?;
        count += 1;
    }
    let millis = started.elapsed().as_secs_f64() * 1e3;
    out.line(format!("   Scanned all {count} places in {millis:.1} ms."))
}

fn check(table: &Table, path: &Path, out: &mut Output) -> Result<(), Failure> {
    let report = table.verify().map_err(|error| Failure::table(path, &error))?;
    if let Some(damage) = report.damage.first() {
        return Err(Failure::Damage(Some(format!("{}: {}", path.display(), damage.error))));
    }
    out.line(format!(
        "\n4. Verified all {} blocks: every checksum, key order, fence and filter holds.",
        report.blocks
    ))
}
