//! Records as a table.

use std::{convert::Infallible, path::Path, sync::Arc, time::Instant};

use serde_json::json;
use stratal_sst::{
    BlockPool, Error, RayonPool, TableContext, TableInfo, TableOutput, TableSpec, TableWriter,
};
use stratal_types::{EntryRef, FileUid, Fragments, comparator_named};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    args::{Common, WriteArgs},
    failure::Failure,
    file,
    input::Records,
    output::Output,
    progress::Bar,
    rows::rate,
    secret,
    sort::{Place, Sorted},
};

pub(super) fn run(args: &WriteArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let comparator = comparator_named(&args.comparator).ok_or_else(|| {
        Failure::Usage(format!(
            "there is no comparator {:?}; use bytewise, reverse or shortlex",
            args.comparator
        ))
    })?;
    let started = Instant::now();
    let mut records = Records::open(&args.input, &args.text, out.notation)?;
    let bar = Bar::bytes("reading", records.progress().total, out);
    let options = args.table.options(&[]);
    let fail = |error| Failure::table(&args.file, &error);
    let seal = options.seal;
    let spec = Arc::new(options.validate().map_err(fail)?);
    let keys = secret::keys_for_new(common)?;
    let pool = (args.threads > 1).then(|| pool(args.threads)).transpose()?;
    let ctx = TableContext { comparator, keys, pool, ..TableContext::default() };
    let place = Place { memory: common.memory, beside: &args.file, seal };
    let sorted = Sorted::read(&mut records, &ctx.comparator, &place, &bar)?;
    drop(bar);
    let written = write_sorted(&args.file, &sorted, &ctx, spec, out)?;
    let lines = records.lines();
    let seconds = started.elapsed().as_secs_f64();
    let (entries, bytes) =
        written.as_ref().map_or((0, 0), |info| (info.properties.entries, info.file_len));
    if out.json {
        let digest = written.and_then(|info| info.digest).map(|digest| digest.to_string());
        return out.json(&json!({
            "lines": lines, "records": entries, "bytes": bytes, "seconds": seconds,
            "records_per_second": rate(lines, seconds), "digest": digest,
        }));
    }
    if entries == 0 {
        out.remark("no records, so no file was written");
    }
    out.line(format!(
        "{entries} records from {lines} lines, {bytes} bytes, {seconds:.3} s, {:.0} records/s",
        rate(lines, seconds),
    ))
}

/// Threads on which blocks are made ready.
fn pool(threads: u16) -> Result<Arc<dyn BlockPool>, Failure> {
    let threads = rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build();
    let threads = threads.map_err(|error| Failure::Io(format!("cannot start threads: {error}")))?;
    Ok(Arc::new(RayonPool::new(Arc::new(threads))))
}

/// Writes a table to `path`, replacing what was there once the new file is whole.
fn write_sorted(
    path: &Path,
    sorted: &Sorted,
    ctx: &TableContext,
    spec: Arc<TableSpec>,
    out: &Output,
) -> Result<Option<TableInfo>, Failure> {
    let fail = |error| Failure::table(path, &error);
    let id = secret::identity(content_uid(sorted)?, spec.options().seal)?;
    let bar = Bar::records("writing", sorted.len_max(), out);
    file::replace(path, |sink| {
        let writer = TableWriter::new(ctx, sink, id, spec).map_err(fail)?;
        let mut shown = Shown { writer, bar: &bar };
        sorted.write(&mut shown, fail)?;
        Ok(shown.writer.finish().map_err(fail)?.info)
    })
}

/// A writer whose progress is shown.
struct Shown<'a, W> {
    writer: TableWriter<W>,
    bar: &'a Bar,
}

impl<W: std::io::Write> TableOutput for Shown<'_, W> {
    type Error = Error;

    fn add(&mut self, entry: EntryRef<'_>) -> Result<(), Error> {
        if self.writer.entries().trailing_zeros() >= 10 {
            self.bar.set(self.writer.entries());
        }
        self.writer.add(entry)
    }

    fn add_tombstones(&mut self, fragments: &Fragments) -> Result<(), Error> {
        self.writer.add_tombstones(fragments)
    }
}

/// An identity drawn from the records themselves, so that the same input gives the same file.
fn content_uid(sorted: &Sorted) -> Result<FileUid, Failure> {
    let mut content = Content(Xxh3::new());
    sorted.write(&mut content, |never| match never {})?;
    Ok(FileUid(content.0.digest128().to_le_bytes()))
}

/// Takes records for their hash.
struct Content(Xxh3);

impl TableOutput for Content {
    type Error = Infallible;

    fn add(&mut self, entry: EntryRef<'_>) -> Result<(), Infallible> {
        for part in [entry.key, entry.value] {
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        Ok(())
    }

    fn add_tombstones(&mut self, _: &Fragments) -> Result<(), Infallible> {
        Ok(())
    }
}
