//! Tables into tables, and beside one another.

use std::{
    mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use stratal_block::Seal;
use stratal_fs::NewFile;
use stratal_sst::{
    Error, Finished, Keep, MergeError, Table, TableContext, TableFiles, TableIdentity, TableInfo,
    TableSetWriter, TableSpec, TableWriter, merge_tables,
};
use stratal_types::{CutOptions, FileUid, OutputCutter, Piece, comparator_named};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    args::{Common, DiffArgs, KeepArg, SplitArgs, TableMergeArgs},
    failure::Failure,
    file::{self, Unfinished, open_table},
    output::Output,
    rows::parse_key,
    secret,
};

impl From<KeepArg> for Keep {
    fn from(keep: KeepArg) -> Self {
        match keep {
            KeepArg::Newest => Self::Newest,
            KeepArg::Live => Self::Live,
            KeepArg::Versions => Self::Versions,
        }
    }
}

/// A context for new tables in the order of `table`.
fn context_of(path: &Path, table: &Table, common: &Common) -> Result<TableContext, Failure> {
    let name = table.comparator().name();
    let comparator = comparator_named(name).ok_or_else(|| {
        Failure::Refused(format!("{}: there is no comparator {name:?} here", path.display()))
    })?;
    let keys = secret::keys_for_new(common)?;
    Ok(TableContext { comparator, keys, ..TableContext::default() })
}

/// An identity drawn from what a table is made of: the same inputs give the same file.
fn derived_uid(how: &str, tables: &[Table], number: u64) -> FileUid {
    let mut uid = Xxh3::new();
    uid.update(how.as_bytes());
    uid.update(&number.to_le_bytes());
    for table in tables {
        uid.update(&table.info().uid.0);
    }
    FileUid(uid.digest128().to_le_bytes())
}

pub(super) fn merge(
    args: &TableMergeArgs,
    common: &Common,
    out: &mut Output,
) -> Result<(), Failure> {
    // The last one named is the newest.
    let newest_first: Vec<&PathBuf> = args.inputs.iter().rev().collect();
    let tables: Vec<Table> =
        newest_first.iter().map(|path| open_table(path, common)).collect::<Result<_, Failure>>()?;
    let (Some(newest), Some(path)) = (tables.first(), newest_first.first()) else { return Ok(()) };
    let ctx = context_of(path, newest, common)?;
    let fail = |error| Failure::table(&args.out, &error);
    let options = args.table.options(&tables);
    let uid = derived_uid(&format!("merged, {:?}", args.keep), &tables, 0);
    let id = secret::identity(uid, options.seal)?;
    let spec = Arc::new(options.validate().map_err(fail)?);
    let mut read = 0;
    let written = file::replace(&args.out, |sink| {
        let mut writer = TableWriter::new(&ctx, sink, id, spec).map_err(fail)?;
        let summary = merge_tables(&tables, args.keep.into(), &mut writer);
        let summary = summary.map_err(|error| match error {
            MergeError::Output(error) => fail(error),
            MergeError::Input { number, source } => {
                let path = newest_first.get(number).map_or(args.out.as_path(), |path| path);
                Failure::table(path, &source)
            }
        })?;
        read = summary.read;
        Ok(writer.finish().map_err(fail)?.info)
    })?;
    let (entries, bytes) =
        written.as_ref().map_or((0, 0), |info| (info.properties.entries, info.file_len));
    if out.json {
        return out.json(&json!({
            "inputs": tables.len(), "read": read, "entries": entries, "bytes": bytes,
            "digest": digest_of(written.as_ref()),
        }));
    }
    if written.is_none() {
        out.remark("nothing is left, so no file was written");
    }
    out.line(format!("{entries} entries of {read} from {} tables, {bytes} bytes", tables.len()))
}

fn digest_of(info: Option<&TableInfo>) -> Option<String> {
    info.and_then(|info| info.digest).map(|digest| digest.to_string())
}

pub(super) fn split(args: &SplitArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let table = open_table(&args.file, common)?;
    let ctx = context_of(&args.file, &table, common)?;
    let fail = |error| Failure::table(&args.file, &error);
    let options = args.table.options(std::slice::from_ref(&table));
    let seal = options.seal;
    let spec = Arc::new(options.validate().map_err(fail)?);
    let mut pieces =
        Pieces { table: &table, out: &args.out, begun: 0, open: None, done: Vec::new(), seal };
    if let Some(size) = args.size {
        let options = CutOptions { table_len: size, ..CutOptions::default() };
        let cutter = OutputCutter::new(options, &[], Piece::default(), ctx.comparator.as_ref());
        let mut set = TableSetWriter::new(&ctx, spec, cutter, &mut pieces);
        merge_tables(std::slice::from_ref(&table), Keep::Versions, &mut set).map_err(|error| {
            match error {
                MergeError::Output(error) => error,
                MergeError::Input { source, .. } => fail(source),
            }
        })?;
        set.finish()?;
    } else {
        let at = args.at.iter().map(|key| parse_key(key, out.notation));
        let at = at.collect::<Result<Vec<_>, Failure>>()?;
        cut_at(&args.file, &at, &ctx, &spec, &mut pieces)?;
    }
    report_pieces(&pieces.publish()?, out)
}

fn cut_at(
    path: &Path,
    at: &[Vec<u8>],
    ctx: &TableContext,
    spec: &Arc<TableSpec>,
    pieces: &mut Pieces<'_>,
) -> Result<(), Failure> {
    let comparator = ctx.comparator.as_ref();
    if at.array_windows().any(|[a, b]| comparator.compare(a, b).is_ge()) {
        return Err(Failure::Usage("the keys of --at do not ascend in the table's order".into()));
    }
    let (mut files, table) = (Vec::new(), pieces.table);
    let split = table.split(at, || {
        let (sink, uid) = pieces.begin().map_err(Stopped::Failure)?;
        files.extend(pieces.open.take());
        TableWriter::new(ctx, sink, uid, Arc::clone(spec)).map_err(Stopped::Table)
    });
    let finished = split.map_err(|stopped| match stopped {
        Stopped::Failure(failure) => failure,
        Stopped::Table(error @ Error::Write(_)) => pieces.failure(&error),
        Stopped::Table(error) => Failure::table(path, &error),
    })?;
    for (file, finished) in files.into_iter().zip(finished) {
        pieces.open = Some(file);
        pieces.end(finished)?;
    }
    Ok(())
}

/// Why a split stops.
enum Stopped {
    Failure(Failure),
    Table(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Table(error)
    }
}

fn report_pieces(pieces: &[(PathBuf, TableInfo)], out: &mut Output) -> Result<(), Failure> {
    for (path, info) in pieces {
        let TableInfo { file_len, properties, .. } = info;
        let key = |key: &[u8]| out.notation.show(key);
        let (first, last) = (key(&properties.first_key), key(&properties.last_key));
        if out.json {
            out.json(&json!({
                "file": path.display().to_string(), "entries": properties.entries,
                "range_tombstones": properties.range_tombstones, "bytes": file_len,
                "first_key": first, "last_key": last, "digest": digest_of(Some(info)),
            }))?;
        } else {
            let (entries, path) = (properties.entries, path.display());
            out.line(format!("{path}: {entries} entries, {file_len} bytes, {first} to {last}"))?;
        }
    }
    Ok(())
}

/// The files of a table's pieces: under their names once all of them are whole.
struct Pieces<'a> {
    table: &'a Table,
    /// What the pieces are named after.
    out: &'a Path,
    begun: u64,
    open: Option<Unfinished>,
    done: Vec<(Unfinished, TableInfo)>,
    seal: Seal,
}

impl Pieces<'_> {
    /// `name-N.sst` of `name.sst`.
    fn path(&self, number: u64) -> PathBuf {
        let mut name = self.out.file_stem().unwrap_or_default().to_owned();
        name.push(format!("-{number}"));
        if let Some(extension) = self.out.extension() {
            name.push(".");
            name.push(extension);
        }
        self.out.with_file_name(name)
    }

    fn publish(&mut self) -> Result<Vec<(PathBuf, TableInfo)>, Failure> {
        let done = mem::take(&mut self.done).into_iter();
        done.map(|(file, info)| Ok((file.publish()?, info))).collect()
    }
}

impl TableFiles for &mut Pieces<'_> {
    type Sink = NewFile;
    type Error = Failure;

    fn begin(&mut self) -> Result<(NewFile, TableIdentity), Failure> {
        Pieces::begin(self)
    }

    fn end(&mut self, finished: Finished<NewFile>) -> Result<(), Failure> {
        Pieces::end(self, finished)
    }

    fn fail(&mut self, error: Error) -> Failure {
        self.failure(&error)
    }
}

impl Pieces<'_> {
    fn begin(&mut self) -> Result<(NewFile, TableIdentity), Failure> {
        self.begun += 1;
        let (file, sink) = Unfinished::create(&self.path(self.begun))?;
        self.open = Some(file);
        let uid = derived_uid("split", std::slice::from_ref(self.table), self.begun);
        Ok((sink, secret::identity(uid, self.seal)?))
    }

    fn end(&mut self, finished: Finished<NewFile>) -> Result<(), Failure> {
        if let (Some(mut file), Some(info)) = (self.open.take(), finished.info) {
            file.finish(finished.sink)?;
            self.done.push((file, info));
        }
        Ok(())
    }

    fn failure(&self, error: &Error) -> Failure {
        Failure::table(&self.path(self.begun), error)
    }
}

pub(super) fn diff(args: &DiffArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let (left, right) = (open_table(&args.left, common)?, open_table(&args.right, common)?);
    let differences = left.diff(&right).map_err(|error| Failure::table(&args.right, &error))?;
    let (mut found, names) = (0u64, format!("{}, {}", args.left.display(), args.right.display()));
    for difference in differences {
        let difference = difference.map_err(|error| Failure::table(Path::new(&names), &error))?;
        found += 1;
        let sides = [('-', &difference.left), ('+', &difference.right)];
        if out.json {
            let [left, right] = sides
                .map(|(_, value)| value.as_ref().map_or(Value::Null, |value| out.json_text(value)));
            let key = out.json_text(&difference.key);
            out.json(&json!({ "key": key, "left": left, "right": right }))?;
            continue;
        }
        for (sign, value) in sides {
            if let Some(value) = value {
                out.bytes(&[sign as u8])?;
                out.row(&difference.key, Some(value))?;
            }
        }
    }
    if found > 0 && args.exit_code { Err(Failure::Absent(None)) } else { Ok(()) }
}
