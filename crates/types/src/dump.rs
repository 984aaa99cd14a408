//! Bytes printed beside their meaning.
//!
//! The same print is what `stratal inspect` shows, what golden files hold and what each
//! `FORMAT.md` contains, so that specification, test and tool cannot drift apart.
//!
//! ```
//! use stratal_types::dump::{Dump, bytes_of};
//! let mut dump = Dump::new(b"\x2a\x00hello");
//! dump.field(2, "answer 42").field(5, "greeting");
//! let text = dump.finish();
//! assert_eq!(text, "0000..0002  2a00                              answer 42\n\
//!                   0002..0007  68656c6c6f                        greeting\n");
//! assert_eq!(bytes_of(&text).unwrap(), b"\x2a\x00hello");
//! ```

use alloc::{format, string::String, vec::Vec};
use core::fmt::{Display, Write};

/// Bytes shown on one line.
const ROW_LEN: usize = 16;

/// Longest run of zeros that [`bytes_of`] expands, in bytes.
const ZEROS_MAX: usize = 1 << 20;

/// Builds a dump of a run of bytes, field by field.
///
/// Each line is `from..to  hex  meaning`, offsets in hexadecimal, sixteen bytes a line; further
/// lines of one field carry `…` for a meaning, and an empty field `-` for its bytes.
#[derive(Debug)]
pub struct Dump<'a> {
    rest: &'a [u8],
    offset: usize,
    rows_max: usize,
    text: String,
}

impl<'a> Dump<'a> {
    /// Starts a dump of `bytes`, offsets from 0, nothing left out.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::at(0, bytes)
    }

    /// Starts a dump whose first byte stands at `offset` of something larger.
    pub fn at(offset: usize, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset, rows_max: usize::MAX, text: String::new() }
    }

    /// Shows at most `rows` lines of each field. Such a dump is for reading: [`bytes_of`] cannot
    /// give back what is left out.
    #[must_use]
    pub fn with_rows_max(mut self, rows: usize) -> Self {
        self.rows_max = rows.max(1);
        self
    }

    /// Describes the next `len` bytes. Fewer are described if fewer are left.
    pub fn field(&mut self, len: usize, meaning: impl Display) -> &mut Self {
        let (bytes, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        if bytes.is_empty() {
            self.row(0, "-", &meaning);
        }
        let rows = bytes.len().div_ceil(ROW_LEN);
        for (i, row) in bytes.chunks(ROW_LEN).take(self.rows_max).enumerate() {
            let hex = hex(row);
            match i {
                0 => self.row(row.len(), &hex, &meaning),
                _ => self.row(row.len(), &hex, &"…"),
            }
        }
        if rows > self.rows_max {
            let left_out = bytes.len() - self.rows_max * ROW_LEN;
            self.row(left_out, "…", &format_args!("{left_out} bytes more"));
        }
        self
    }

    /// Describes the next `len` bytes, which should all be zero, on one line: `0*len`. If they are
    /// not, as a [`field`](Self::field).
    pub fn zeros(&mut self, len: usize) -> &mut Self {
        let len = len.min(self.rest.len());
        let (bytes, rest) = self.rest.split_at(len);
        if len == 0 || bytes.iter().any(|&byte| byte != 0) {
            return self.field(len, "not zero");
        }
        self.rest = rest;
        self.row(len, &format!("0*{len}"), &"zeros");
        self
    }

    /// Puts a line of prose between the fields.
    pub fn note(&mut self, text: impl Display) -> &mut Self {
        self.line(format_args!("# {text}"));
        self
    }

    /// Bytes not yet described.
    pub fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// Ends the dump. Bytes that nobody described are shown as such.
    pub fn finish(mut self) -> String {
        if !self.rest.is_empty() {
            self.field(self.rest.len(), "(not described)");
        }
        self.text
    }

    fn row(&mut self, len: usize, hex: &str, meaning: &dyn Display) {
        let (start, end) = (self.offset, self.offset.saturating_add(len));
        self.line(format_args!("{start:04x}..{end:04x}  {hex:<32}  {meaning}"));
        self.offset = end;
    }

    fn line(&mut self, line: core::fmt::Arguments<'_>) {
        // Writing to a `String` cannot fail.
        if writeln!(self.text, "{line}").is_err() {}
    }
}

/// Two lower-case digits per byte.
///
/// ```
/// assert_eq!(stratal_types::dump::hex(&[0x0a, 0xff]), "0aff");
/// ```
pub fn hex(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    nibbles.filter_map(|nibble| char::from_digit(nibble.into(), 16)).collect()
}

/// Reads the bytes back out of a dump; `None` if `text` is not a whole dump.
pub fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let hex = line.split_whitespace().nth(1)?;
        if hex == "-" {
            continue;
        }
        if let Some(len) = hex.strip_prefix("0*") {
            let len: usize = len.parse().ok().filter(|&len| len <= ZEROS_MAX)?;
            bytes.resize(bytes.len().checked_add(len)?, 0);
            continue;
        }
        for pair in hex.as_bytes().chunks(2) {
            let pair = core::str::from_utf8(pair).ok()?;
            bytes.push(u8::from_str_radix(pair, 16).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::ToString, vec};

    #[test]
    fn long_fields_run_over_several_lines_and_read_back() {
        let bytes: Vec<u8> = (0..40).collect();
        let mut dump = Dump::new(&bytes);
        dump.field(0, "nothing").note("a word").field(33, "numbers");
        let text = dump.finish();
        assert_eq!(text.lines().count(), 6, "{text}");
        assert!(text.ends_with("(not described)\n"));
        assert_eq!(bytes_of(&text), Some(bytes));
    }

    #[test]
    fn runs_of_zeros_take_one_line_and_read_back() {
        let mut bytes = vec![0; 5000];
        bytes.extend([1, 0]);
        let mut dump = Dump::new(&bytes);
        dump.zeros(5000).zeros(2);
        let text = dump.finish();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert_eq!(bytes_of(&text), Some(bytes));
        assert_eq!(bytes_of("0000..0000  0*99999999999  zeros"), None);
    }

    #[test]
    fn a_shortened_dump_says_what_it_leaves_out() {
        let bytes = [7u8; 100];
        let mut dump = Dump::at(0x1000, &bytes).with_rows_max(2);
        dump.field(100, "sevens");
        let text = dump.finish();
        assert!(text.contains("1020..1064  …"), "{text}");
        assert!(text.contains("68 bytes more"), "{text}");
        assert_eq!(bytes_of(&text), None);
    }

    #[test]
    fn fields_end_where_the_bytes_end() {
        let mut dump = Dump::new(&[1, 2]);
        dump.field(usize::MAX, "both");
        assert_eq!(
            dump.finish().lines().next().map(ToString::to_string).map(|l| l.len() > 10),
            Some(true)
        );
    }
}
