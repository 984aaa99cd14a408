//! The bundled places in a database, and what can be done with them: the first thing a new user sees.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use stratal::{Database, Durability, Keyspace};
use stratal_fs::{FileKind, Fs, StdFs};

use crate::{
    failure::Failure,
    input::{Layout, Packing, Records, unpack},
    output::Output,
    rows::rate,
    text::Notation,
};

/// 34,006 places; see `data/README.md` for where they come from.
const PLACES: &[u8] = include_bytes!("../data/cities15000.tsv.zst");

/// Marks a directory that this verb made, and so may replace.
const MARKER: &str = "QUICKSTART";

/// Records in a batch.
const BATCH_LEN: usize = 1000;

pub(crate) fn run(dir: &Path, out: &mut Output) -> Result<(), Failure> {
    prepare(dir)?;
    out.line(format!("Stratal quickstart, in {}", dir.display()))?;
    out.line("Places: GeoNames (https://www.geonames.org), CC BY 4.0.\n")?;
    let db = open(dir)?;
    let places = db.open_keyspace("default")?;
    load(&db, &places, out)?;
    gets(&places, out)?;
    scans(&places, out)?;
    snapshot(&db, &places, out)?;
    range_delete(&places, out)?;
    drop(places);
    db.close()?;

    kill(dir, out)?;
    let db = open(dir)?;
    let places = db.open_keyspace("default")?;
    reopened(&places, out)?;
    check(&db, out)?;
    drop(places);
    db.close()?;

    out.line("\nThe database is yours to play with:")?;
    for command in ["scan DB --prefix IS/ --reverse", "put DB my/key 'my value'", "stats DB"] {
        out.line(format!("  stratal {}", command.replace("DB", &dir.display().to_string())))?;
    }
    Ok(())
}

fn open(dir: &Path) -> Result<Database, Failure> {
    Database::builder(dir).open().map_err(Failure::from)
}

/// Makes `dir`, or empties it if this verb made it before.
fn prepare(dir: &Path) -> Result<(), Failure> {
    let fail = |error: std::io::Error| Failure::io(dir, "prepare the directory", &error);
    let names: Vec<_> = match StdFs.list(dir) {
        Ok(entries) => entries.into_iter().map(|entry| entry.name).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(fail(error)),
    };
    if !names.is_empty() && !names.iter().any(|name| name == MARKER) {
        let dir = dir.display();
        return Err(Failure::Usage(format!(
            "{dir} is not empty and was not made by quickstart; choose another with --dir"
        )));
    }
    // The marker goes last: an interrupted run leaves a directory that the next may still replace.
    if !names.is_empty() {
        empty(dir, true).map_err(fail)?;
        StdFs.remove_file(&dir.join(MARKER)).map_err(fail)?;
    }
    StdFs.create_dir(dir).map_err(fail)?;
    StdFs.create(&dir.join(MARKER)).map_err(fail)?;
    Ok(())
}

/// Removes what is in `dir`, but for the marker if it is the top.
fn empty(dir: &Path, is_top: bool) -> std::io::Result<()> {
    for entry in StdFs.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.kind == FileKind::Dir {
            empty(&path, false)?;
            StdFs.remove_dir(&path)?;
        } else if !(is_top && entry.name == MARKER) {
            StdFs.remove_file(&path)?;
        }
    }
    Ok(())
}

fn load(db: &Database, places: &Keyspace, out: &mut Output) -> Result<(), Failure> {
    let unreadable = |error| Failure::io(Path::new("places"), "unpack", &error);
    let lines = unpack(PLACES, Packing::Zstd).map_err(unreadable)?;
    let mut records = Records::new(lines, "places".into(), Layout::Tsv, Notation::Escaped, 0);
    let started = Instant::now();
    let (mut count, mut bytes) = (0u64, 0u64);
    let mut batch = db.batch();
    while let Some((key, value)) = records.next()? {
        count += 1;
        bytes += (key.len() + value.len()) as u64;
        batch.put(places, key, value);
        if batch.len() == BATCH_LEN {
            batch.commit()?;
        }
    }
    batch.durability(Durability::Sync).commit()?;
    let seconds = started.elapsed().as_secs_f64();
    let megabytes = rate(bytes, 1e6);
    out.line(format!(
        "1. Loaded {count} places, {megabytes:.1} MB, in {:.0} ms: {:.0} records a second, all on disk.",
        seconds * 1e3,
        rate(count, seconds),
    ))
}

fn gets(places: &Keyspace, out: &mut Output) -> Result<(), Failure> {
    out.line("\n2. Looked up single keys:")?;
    for key in ["IS/39/Reykjavík/3413829", "NZ/G2/Wellington/2179537", "AQ/00/Atlantis/1"] {
        let started = Instant::now();
        let value = places.get(key)?;
        let micros = started.elapsed().as_secs_f64() * 1e6;
        let shown =
            value.map_or_else(|| "not found".to_owned(), |value| Notation::Escaped.show(&value));
        out.line(format!("   {key} → {shown} ({micros:.1} µs)"))?;
    }
    Ok(())
}

fn scans(places: &Keyspace, out: &mut Output) -> Result<(), Failure> {
    out.line("\n3. Scanned the prefix CH/ZH/, from the front and from the back:")?;
    let mut rows = places.prefix("CH/ZH/")?;
    for row in rows.by_ref().take(3) {
        out.line(format!("   {}", Notation::Escaped.show(&row?.0)))?;
    }
    if let Some(last) = rows.next_back() {
        out.line(format!("   … {}", Notation::Escaped.show(&last?.0)))?;
    }
    let started = Instant::now();
    let count = count(places.range::<&[u8]>(..))?;
    let millis = started.elapsed().as_secs_f64() * 1e3;
    out.line(format!("   Scanned all {count} places in {millis:.1} ms."))
}

fn count(rows: Result<stratal::Range, stratal::Error>) -> Result<u64, Failure> {
    let mut count = 0;
    for row in rows? {
        row?;
        count += 1;
    }
    Ok(count)
}

fn snapshot(db: &Database, places: &Keyspace, out: &mut Output) -> Result<(), Failure> {
    out.line("\n4. Took a snapshot, and wrote beside it:")?;
    let key = "IS/39/Reykjavík/3413829";
    let before = db.snapshot();
    places.put(key, "changed")?;
    let show = |value: Option<bytes::Bytes>| {
        value.map_or_else(|| "nothing".to_owned(), |value| Notation::Escaped.show(&value))
    };
    let now = show(places.get(key)?);
    let then = places.get_at(key, &before)?;
    out.line(format!("   now:      {now}"))?;
    out.line(format!("   snapshot: {}", show(then.clone())))?;
    if let Some(then) = then {
        places.put(key, &then)?;
    }
    Ok(())
}

fn range_delete(places: &Keyspace, out: &mut Output) -> Result<(), Failure> {
    let before = count(places.prefix("US/"))?;
    let started = Instant::now();
    places.delete_range("US/", "US0")?;
    let micros = started.elapsed().as_secs_f64() * 1e6;
    let after = count(places.prefix("US/"))?;
    out.line(format!(
        "\n5. Deleted the range US/ with one write: {before} places before, {after} after ({micros:.0} µs)."
    ))
}

/// Lets another process write to the database, and kills it the moment its write is acknowledged.
fn kill(dir: &Path, out: &mut Output) -> Result<(), Failure> {
    let fail = |error: std::io::Error| Failure::Io(format!("cannot run a second process: {error}"));
    let mut child = Command::new(std::env::current_exe().map_err(fail)?)
        .arg("load")
        .arg(dir)
        .args(["-", "--acks", "--durability", "sync"])
        .args(["--batch", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(fail)?;
    let mut stdin = child.stdin.take();
    if let Some(stdin) = &mut stdin {
        stdin.write_all(b"quickstart/witness\tstill here\n").map_err(fail)?;
    }
    let mut acked = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut acked).map_err(fail)?;
    }
    child.kill().map_err(fail)?;
    child.wait().map_err(fail)?;
    let acked = acked.trim_end();
    out.line(format!("\n6. A second process wrote one record, said {acked:?}, and was killed."))
}

fn reopened(places: &Keyspace, out: &mut Output) -> Result<(), Failure> {
    let witness = places.get("quickstart/witness")?;
    let Some(witness) = witness else {
        let message = "the record that was acknowledged is gone".to_owned();
        return Err(Failure::Damage(Some(message)));
    };
    let shown = Notation::Escaped.show(&witness);
    let places_left = count(places.range::<&[u8]>(..))?.saturating_sub(1);
    out.line(format!("   Opened again: quickstart/witness → {shown}, and {places_left} places."))
}

fn check(db: &Database, out: &mut Output) -> Result<(), Failure> {
    db.flush()?;
    let report = db.verify()?;
    if let Some(damage) = report.damage.first() {
        let (file, verdict) = (damage.file.display(), &damage.verdict);
        return Err(Failure::Damage(Some(format!("{file}: {verdict}"))));
    }
    out.line(format!("\n7. Verified {} files, {} blocks: all well.", report.files, report.blocks))?;
    let stats = db.stats();
    for (name, tree) in &stats.keyspaces {
        let tables: usize = tree.levels.iter().map(|level| level.tables).sum();
        let bytes: u64 = tree.levels.iter().map(|level| level.len).sum();
        let megabytes = rate(bytes, 1e6);
        out.line(format!("   Keyspace {name}: {tables} tables, {megabytes:.1} MB."))?;
    }
    Ok(())
}
