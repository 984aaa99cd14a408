use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use serde_json::Value;
use stratal_types::{KEY_LEN_MAX, VALUE_LEN_MAX};

use crate::{args::InputFormat, failure::Failure, text::Notation};

/// Records read from text, one line each.
pub(crate) struct Records<'a> {
    lines: Box<dyn BufRead + 'a>,
    name: String,
    format: InputFormat,
    notation: Notation,
    /// How many bad lines may still be passed over.
    skips_left: u64,
    line_no: u64,
    line: Vec<u8>,
}

/// A key and its value.
pub(crate) type Record = (Vec<u8>, Vec<u8>);

impl<'a> Records<'a> {
    /// Opens `path`, or standard input if it is `-`.
    pub(crate) fn open(
        path: &Path,
        format: Option<InputFormat>,
        notation: Notation,
        skip_bad: u64,
    ) -> Result<Self, Failure> {
        let read = open(path).map_err(|error| Failure::io(path, "open", &error))?;
        let (packing, inner) = packing_of(path);
        let lines =
            unpack(read, packing).map_err(|error| Failure::io(path, "decompress", &error))?;
        let format = format.unwrap_or_else(|| format_of(inner));
        Ok(Self::new(lines, path.display().to_string(), format, notation, skip_bad))
    }

    /// Opens `path`, of which each line is a key.
    pub(crate) fn open_keys(
        path: &Path,
        notation: Notation,
        skip_bad: u64,
    ) -> Result<Self, Failure> {
        Self::open(path, Some(InputFormat::Lines), notation, skip_bad)
    }

    /// Reads from something that is open already; `name` is for messages.
    pub(crate) fn new(
        lines: Box<dyn BufRead + 'a>,
        name: String,
        format: InputFormat,
        notation: Notation,
        skip_bad: u64,
    ) -> Self {
        let (line_no, line) = (0, Vec::new());
        Self { lines, name, format, notation, skips_left: skip_bad, line_no, line }
    }

    /// The next record, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, Failure> {
        loop {
            self.line.clear();
            let len = self.lines.read_until(b'\n', &mut self.line);
            let len = len.map_err(|error| self.unreadable(&error))?;
            if len == 0 {
                return Ok(None);
            }
            self.line_no += 1;
            let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            match parse(line, self.format, self.notation).and_then(check_lengths) {
                Ok(record) => return Ok(Some(record)),
                Err(_) if self.skips_left > 0 => self.skips_left -= 1,
                Err(why) => {
                    return Err(Failure::BadInput(format!(
                        "{}: line {}: {why}",
                        self.name, self.line_no
                    )));
                }
            }
        }
    }

    /// Lines read so far.
    pub(crate) fn lines(&self) -> u64 {
        self.line_no
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        let message = format!("{}: after line {}: {error}", self.name, self.line_no);
        match error.kind() {
            // What decompressors say about bytes that are not theirs.
            io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::UnexpectedEof => Failure::BadInput(message),
            _ if error.raw_os_error().is_none() => Failure::BadInput(message),
            _ => Failure::Io(message),
        }
    }
}

fn parse(line: &[u8], format: InputFormat, notation: Notation) -> Result<Record, String> {
    if line.is_empty() {
        return Err("the line is empty".into());
    }
    let own = |text| Ok(notation.parse(text)?.into_owned());
    match format {
        InputFormat::Lines => Ok((own(line)?, Vec::new())),
        InputFormat::Tsv => {
            let mut fields = line.split(|&byte| byte == b'\t');
            match (fields.next(), fields.next(), fields.next()) {
                (Some(key), Some(value), None) => Ok((own(key)?, own(value)?)),
                (_, None, _) => Err("there is no TAB".into()),
                _ => Err("there is a second TAB".into()),
            }
        }
        InputFormat::Ndjson => {
            let json: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
            let field = |name: &str| match json.get(name) {
                Some(Value::String(text)) => own(text.as_bytes()),
                _ => Err(format!("there is no string {name:?}")),
            };
            Ok((field("key")?, field("value")?))
        }
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
        Some("lines") => InputFormat::Lines,
        Some("ndjson") => InputFormat::Ndjson,
        _ => InputFormat::Tsv,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "input may be a pipe, which has no offsets to read at"
)]
fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    Ok(Box::new(std::fs::File::open(path)?))
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
        let good: [(InputFormat, &str, &[u8], &[u8]); 6] = [
            (InputFormat::Tsv, "k\tv", b"k", b"v"),
            (InputFormat::Tsv, "k\t", b"k", b""),
            (InputFormat::Tsv, "k\\t\t\\xff", b"k\t", b"\xff"),
            (InputFormat::Tsv, "k \t \r", b"k ", b" \r"),
            (InputFormat::Lines, "a word", b"a word", b""),
            (InputFormat::Ndjson, r#"{"key":"k\\t","value":"\\xff"}"#, b"k\t", b"\xff"),
        ];
        for (format, line, key, value) in good {
            let expected = Ok((key.to_vec(), value.to_vec()));
            assert_eq!(parse(line.as_bytes(), format, Notation::Escaped), expected, "{line}");
        }
        let bad = [
            (InputFormat::Tsv, "", "empty"),
            (InputFormat::Tsv, "k", "no TAB"),
            (InputFormat::Tsv, "k\tv\t", "second TAB"),
            (InputFormat::Tsv, "\tv", "key is empty"),
            (InputFormat::Tsv, "k\t\\q", "unknown escape"),
            (InputFormat::Lines, "", "empty"),
            (InputFormat::Ndjson, r#"{"key":"k"}"#, "value"),
            (InputFormat::Ndjson, "{", "EOF"),
        ];
        for (format, line, why) in bad {
            let error = parse(line.as_bytes(), format, Notation::Escaped).and_then(check_lengths);
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
                InputFormat::Tsv,
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
