//! Records read from text.

mod csv;

use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::Value;
use stratal_types::{KEY_LEN_MAX, VALUE_LEN_MAX};

use crate::{
    args::{InputArgs, InputFormat},
    failure::Failure,
    text::Notation,
};
use csv::CsvRows;

/// Records read from text, one after the other.
pub(crate) struct Records<'a> {
    text: Text<'a>,
    name: String,
    notation: Notation,
    /// How many bad lines may still be passed over.
    skips_left: u64,
    line_no: u64,
    progress: Progress,
}

/// Text, and how keys and values stand in it.
enum Text<'a> {
    Lines { lines: Box<dyn BufRead + 'a>, line: Vec<u8>, layout: Layout },
    Csv(CsvRows<'a>),
}

/// How a line holds a key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Key, TAB, value.
    Tsv,
    /// The line is the key.
    Key,
    /// An object with the fields `key` and `value`, as `scan` prints it.
    Pair,
    /// JSON that has the key at this pointer; the line is the value.
    Pointed(String),
}

/// A key and its value.
pub(crate) type Record = (Vec<u8>, Vec<u8>);

/// How much of the input has been read, as it is stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    read: Arc<AtomicU64>,
    /// Bytes there are to read; `None` if nobody knows.
    pub(crate) total: Option<u64>,
}

impl Progress {
    /// Bytes read so far.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl<'a> Records<'a> {
    /// Opens `path`, or standard input if it is `-`.
    pub(crate) fn open(path: &Path, args: &InputArgs, notation: Notation) -> Result<Self, Failure> {
        let (packing, inner) = packing_of(path);
        let format = args.format.unwrap_or_else(|| format_of(inner));
        let key = match (format, &args.key) {
            (InputFormat::Csv, None) => {
                return Err(Failure::Usage(
                    "csv needs --key HEADER: which column is the key".into(),
                ));
            }
            (InputFormat::Tsv | InputFormat::Lines, Some(_)) => {
                return Err(Failure::Usage("--key is for csv and ndjson".into()));
            }
            (InputFormat::Ndjson, Some(pointer)) if !pointer.starts_with('/') => {
                let hint = format!("--key {pointer}: a JSON pointer begins with /, as in /id");
                return Err(Failure::Usage(hint));
            }
            (_, key) => key.clone(),
        };
        let (lines, progress) = open_lines(path, packing)?;
        let name = path.display().to_string();
        let layout = match (format, key) {
            (InputFormat::Csv, key) => {
                let rows = CsvRows::new(lines, key.as_deref().unwrap_or_default(), &name)?;
                let records = Self::with_text(Text::Csv(rows), name, notation, args.skip_bad);
                return Ok(Self { progress, ..records });
            }
            (InputFormat::Tsv, _) => Layout::Tsv,
            (InputFormat::Lines, _) => Layout::Key,
            (InputFormat::Ndjson, None) => Layout::Pair,
            (InputFormat::Ndjson, Some(pointer)) => Layout::Pointed(pointer),
        };
        Ok(Self { progress, ..Self::new(lines, name, layout, notation, args.skip_bad) })
    }

    /// Opens `path`, of which each line is a key.
    pub(crate) fn open_keys(
        path: &Path,
        notation: Notation,
        skip_bad: u64,
    ) -> Result<Self, Failure> {
        let (lines, progress) = open_lines(path, packing_of(path).0)?;
        let name = path.display().to_string();
        Ok(Self { progress, ..Self::new(lines, name, Layout::Key, notation, skip_bad) })
    }

    /// Reads from something that is open already; `name` is for messages.
    pub(crate) fn new(
        lines: Box<dyn BufRead + 'a>,
        name: String,
        layout: Layout,
        notation: Notation,
        skip_bad: u64,
    ) -> Self {
        Self::with_text(Text::Lines { lines, line: Vec::new(), layout }, name, notation, skip_bad)
    }

    fn with_text(text: Text<'a>, name: String, notation: Notation, skips_left: u64) -> Self {
        Self { text, name, notation, skips_left, line_no: 0, progress: Progress::default() }
    }

    /// The next record, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, Failure> {
        loop {
            let (line_no, record) = match &mut self.text {
                Text::Lines { lines, line, layout } => {
                    line.clear();
                    let len = lines.read_until(b'\n', line);
                    let len = len.map_err(|error| unreadable(&self.name, self.line_no, &error))?;
                    if len == 0 {
                        return Ok(None);
                    }
                    self.line_no += 1;
                    let line = line.strip_suffix(b"\n").unwrap_or(line);
                    (self.line_no, parse(line, layout, self.notation))
                }
                Text::Csv(rows) => {
                    let row = rows.next();
                    let row = row.map_err(|error| unreadable(&self.name, self.line_no, &error))?;
                    let Some(row) = row else { return Ok(None) };
                    self.line_no = row.last_line;
                    (row.first_line, row.record)
                }
            };
            match record.and_then(check_lengths) {
                Ok(record) => return Ok(Some(record)),
                Err(_) if self.skips_left > 0 => self.skips_left -= 1,
                Err(why) => {
                    return Err(Failure::BadInput(format!("{}: line {line_no}: {why}", self.name)));
                }
            }
        }
    }

    /// Lines read so far.
    pub(crate) fn lines(&self) -> u64 {
        self.line_no
    }

    /// How far reading has come, to be looked at meanwhile.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }
}

fn unreadable(name: &str, line_no: u64, error: &io::Error) -> Failure {
    let message = format!("{name}: after line {line_no}: {error}");
    match error.kind() {
        // What decompressors say about bytes that are not theirs.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            Failure::BadInput(message)
        }
        _ if error.raw_os_error().is_none() => Failure::BadInput(message),
        _ => Failure::Io(message),
    }
}

fn parse(line: &[u8], layout: &Layout, notation: Notation) -> Result<Record, String> {
    if line.is_empty() {
        return Err("the line is empty".into());
    }
    let own = |text| Ok(notation.parse(text)?.into_owned());
    let json = || serde_json::from_slice::<Value>(line).map_err(|error| error.to_string());
    match layout {
        Layout::Key => Ok((own(line)?, Vec::new())),
        Layout::Tsv => {
            let mut fields = line.split(|&byte| byte == b'\t');
            match (fields.next(), fields.next(), fields.next()) {
                (Some(key), Some(value), None) => Ok((own(key)?, own(value)?)),
                (_, None, _) => Err("there is no TAB".into()),
                _ => Err("there is a second TAB".into()),
            }
        }
        Layout::Pair => {
            let json = json()?;
            let field = |name: &str| match json.get(name) {
                Some(Value::String(text)) => own(text.as_bytes()),
                _ => Err(format!("there is no string {name:?}")),
            };
            Ok((field("key")?, field("value")?))
        }
        Layout::Pointed(pointer) => match json()?.pointer(pointer) {
            Some(Value::String(text)) => Ok((text.clone().into_bytes(), line.to_vec())),
            Some(Value::Number(number)) => Ok((number.to_string().into_bytes(), line.to_vec())),
            _ => Err(format!("there is no string or number at {pointer}")),
        },
    }
}

fn check_lengths((key, value): Record) -> Result<Record, String> {
    match (key.len(), value.len()) {
        (0, _) => Err("the key is empty".into()),
        (len, _) if len > KEY_LEN_MAX => {
            Err(format!("the key is {len} bytes, at most {KEY_LEN_MAX} are allowed"))
        }
        (_, len) if len > VALUE_LEN_MAX => {
            Err(format!("the value is {len} bytes, at most {VALUE_LEN_MAX} are allowed"))
        }
        _ => Ok((key, value)),
    }
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Zstd,
    Gzip,
    Lz4,
}

/// How the file is packed, and its name without what says so.
fn packing_of(path: &Path) -> (Packing, &Path) {
    let packing = match path.extension().and_then(OsStr::to_str) {
        Some("zst") => Packing::Zstd,
        Some("gz") => Packing::Gzip,
        Some("lz4") => Packing::Lz4,
        _ => return (Packing::Plain, path),
    };
    (packing, path.file_stem().map_or(path, Path::new))
}

fn format_of(path: &Path) -> InputFormat {
    match path.extension().and_then(OsStr::to_str) {
        Some("csv") => InputFormat::Csv,
        Some("lines") => InputFormat::Lines,
        Some("ndjson") => InputFormat::Ndjson,
        _ => InputFormat::Tsv,
    }
}

fn open_lines(path: &Path, packing: Packing) -> Result<(Box<dyn BufRead>, Progress), Failure> {
    let (read, progress) = open(path).map_err(|error| Failure::io(path, "open", &error))?;
    let read = Counting { read, count: Arc::clone(&progress.read) };
    let lines = unpack(read, packing).map_err(|error| Failure::io(path, "decompress", &error))?;
    Ok((lines, progress))
}

#[expect(
    clippy::disallowed_methods,
    reason = "input may be a pipe, which has no offsets to read at"
)]
fn open(path: &Path) -> io::Result<(Box<dyn Read>, Progress)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), Progress::default()));
    }
    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    let total = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), Progress { total, ..Progress::default() }))
}

/// Counts what is read through it.
struct Counting<R> {
    read: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.read.read(into)?;
        self.count.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}

/// Undoes a packing.
pub(crate) fn unpack<'a>(
    read: impl Read + 'a,
    packing: Packing,
) -> io::Result<Box<dyn BufRead + 'a>> {
    Ok(match packing {
        Packing::Plain => Box::new(BufReader::new(read)),
        Packing::Zstd => Box::new(BufReader::new(zstd::Decoder::new(read)?)),
        Packing::Gzip => Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(read))),
        Packing::Lz4 => Box::new(BufReader::new(lz4_flex::frame::FrameDecoder::new(read))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_packing_and_format() {
        let cases = [
            ("a.tsv", Packing::Plain, InputFormat::Tsv),
            ("a.tsv.zst", Packing::Zstd, InputFormat::Tsv),
            ("dir.lines/a", Packing::Plain, InputFormat::Tsv),
            ("a.lines.gz", Packing::Gzip, InputFormat::Lines),
            ("a.csv.zst", Packing::Zstd, InputFormat::Csv),
            ("a.ndjson.lz4", Packing::Lz4, InputFormat::Ndjson),
            ("-", Packing::Plain, InputFormat::Tsv),
        ];
        for (name, packing, format) in cases {
            let (found, inner) = packing_of(Path::new(name));
            assert_eq!((found, format_of(inner)), (packing, format), "{name}");
        }
    }

    #[test]
    fn lines_are_taken_or_refused_with_a_reason() {
        let pointed = || Layout::Pointed("/city/id".into());
        let good: [(Layout, &str, &[u8], &[u8]); 8] = [
            (Layout::Tsv, "k\tv", b"k", b"v"),
            (Layout::Tsv, "k\t", b"k", b""),
            (Layout::Tsv, "k\\t\t\\xff", b"k\t", b"\xff"),
            (Layout::Tsv, "k \t \r", b"k ", b" \r"),
            (Layout::Key, "a word", b"a word", b""),
            (Layout::Pair, r#"{"key":"k\\t","value":"\\xff"}"#, b"k\t", b"\xff"),
            (pointed(), r#"{"city":{"id":"Z\u00fcrich"}}"#, "Zürich".as_bytes(), b""),
            (pointed(), r#"{"city":{"id":7.50}} "#, b"7.5", b""),
        ];
        for (layout, line, key, value) in good {
            let value = if layout == pointed() { line.as_bytes() } else { value };
            let expected = Ok((key.to_vec(), value.to_vec()));
            assert_eq!(parse(line.as_bytes(), &layout, Notation::Escaped), expected, "{line}");
        }
        let bad = [
            (Layout::Tsv, "", "empty"),
            (Layout::Tsv, "k", "no TAB"),
            (Layout::Tsv, "k\tv\t", "second TAB"),
            (Layout::Tsv, "\tv", "key is empty"),
            (Layout::Tsv, "k\t\\q", "unknown escape"),
            (Layout::Key, "", "empty"),
            (Layout::Pair, r#"{"key":"k"}"#, "value"),
            (Layout::Pair, "{", "EOF"),
            (pointed(), "{", "EOF"),
            (pointed(), r#"{"city":{"id":null}}"#, "no string or number at /city/id"),
            (pointed(), r#"{"city":{"id":""}}"#, "key is empty"),
        ];
        for (layout, line, why) in bad {
            let error = parse(line.as_bytes(), &layout, Notation::Escaped).and_then(check_lengths);
            assert!(error.clone().is_err_and(|error| error.contains(why)), "{line}: {error:?}");
        }
    }

    #[test]
    fn bad_lines_are_numbered_and_may_be_passed_over() {
        let text = "a\t1\nbad\nb\t2\nworse\nc\t3";
        let open = |skip| {
            Records::new(
                Box::new(text.as_bytes()),
                "t".into(),
                Layout::Tsv,
                Notation::Escaped,
                skip,
            )
        };
        let mut strict = open(0);
        assert!(matches!(strict.next(), Ok(Some(_))));
        let error = strict.next().unwrap_err();
        assert_eq!(error.message(), Some("t: line 2: there is no TAB"));

        let mut lenient = open(2);
        let mut keys = Vec::new();
        while let Some((key, _)) = lenient.next().unwrap() {
            keys.extend(key);
        }
        assert_eq!((keys.as_slice(), lenient.lines()), (&b"abc"[..], 5));
        let mut once = open(1);
        assert!(std::iter::from_fn(|| once.next().transpose()).any(|record| record.is_err()));
    }
}
