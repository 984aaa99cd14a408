use std::io::{self, BufWriter, StdoutLock, Write};

use serde_json::Value;

use crate::{args::Common, failure::Failure, text::Notation};

/// Standard output, gathered in large writes.
pub(crate) struct Output {
    stdout: BufWriter<StdoutLock<'static>>,
    pub(crate) notation: Notation,
    pub(crate) json: bool,
    quiet: bool,
    line: Vec<u8>,
}

/// Bytes gathered before they are written.
const BUFFER_LEN: usize = 64 << 10;

impl Output {
    pub(crate) fn new(common: &Common) -> Self {
        Self {
            stdout: BufWriter::with_capacity(BUFFER_LEN, io::stdout().lock()),
            notation: if common.hex { Notation::Hex } else { Notation::Escaped },
            json: common.json,
            quiet: common.quiet,
            line: Vec::new(),
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stdout.write_all(bytes).map_err(|error| failure(&error))
    }

    pub(crate) fn line(&mut self, line: impl AsRef<str>) -> Result<(), Failure> {
        self.bytes(line.as_ref().as_bytes())?;
        self.bytes(b"\n")
    }

    /// A key or value on a line of its own.
    pub(crate) fn text(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.row(bytes, None)
    }

    /// A key and, behind a TAB, its value.
    pub(crate) fn row(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Failure> {
        self.line.clear();
        self.notation.append(key, &mut self.line);
        if let Some(value) = value {
            self.line.push(b'\t');
            self.notation.append(value, &mut self.line);
        }
        self.line.push(b'\n');
        self.stdout.write_all(&self.line).map_err(|error| failure(&error))
    }

    pub(crate) fn json(&mut self, value: &Value) -> Result<(), Failure> {
        self.line(value.to_string())
    }

    /// A key or value for use in JSON.
    pub(crate) fn json_text(&self, bytes: &[u8]) -> Value {
        Value::String(self.notation.show(bytes))
    }

    /// A remark for the person at the terminal.
    pub(crate) fn remark(&self, remark: impl AsRef<str>) {
        if !self.quiet {
            eprintln!("{}", remark.as_ref());
        }
    }

    /// Whether nothing but the data is wanted.
    pub(crate) fn quiet(&self) -> bool {
        self.quiet
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.stdout.flush().map_err(|error| failure(&error))
    }
}

fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ClosedOutput,
        _ => Failure::Io(format!("cannot write to standard output: {error}")),
    }
}
