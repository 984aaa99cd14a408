//! Rows of comma-separated values.

use std::{
    cell::Cell,
    io::{self, BufRead, Read},
    rc::Rc,
};

use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::Value;

use super::{Record, unreadable};
use crate::failure::Failure;

/// The rows of a csv file, whose first line has the names of its columns. The key is one column, taken
/// as it is; the value is the row as a JSON object, in the order of the columns.
pub(super) struct CsvRows<'a> {
    reader: Reader<LineByLine<'a>>,
    lines_read: Rc<Cell<u64>>,
    /// The names of the columns, as JSON strings.
    names: Vec<String>,
    key_column: usize,
    row: ByteRecord,
}

/// A row, and the lines it stands on.
pub(super) struct CsvRow {
    pub(super) first_line: u64,
    pub(super) last_line: u64,
    pub(super) record: Result<Record, String>,
}

impl<'a> CsvRows<'a> {
    /// Reads the first line, in which `key` must be named; `name` is for messages.
    pub(super) fn new(
        lines: Box<dyn BufRead + 'a>,
        key: &str,
        name: &str,
    ) -> Result<Self, Failure> {
        let lines_read = Rc::default();
        let lines = LineByLine { lines, count: Rc::clone(&lines_read), is_within: false };
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(lines);
        let headers = reader.byte_headers().cloned().map_err(io::Error::from);
        let headers = headers.map_err(|error| unreadable(name, 0, &error))?;
        let bad = |what: String| Failure::BadInput(format!("{name}: line 1: {what}"));
        let mut names = Vec::with_capacity(headers.len());
        for header in &headers {
            let header =
                std::str::from_utf8(header).map_err(|_| bad("a header is not UTF-8".into()))?;
            if names.iter().any(|other: &String| other == header) {
                return Err(bad(format!("two columns are called {header:?}")));
            }
            names.push(header.to_owned());
        }
        let Some(key_column) = names.iter().position(|name| name == key) else {
            return Err(bad(format!(
                "no column is called {key:?}; there are {}",
                names.join(", ")
            )));
        };
        let names = names.into_iter().map(|name| Value::String(name).to_string()).collect();
        Ok(Self { reader, lines_read, names, key_column, row: ByteRecord::new() })
    }

    pub(super) fn next(&mut self) -> io::Result<Option<CsvRow>> {
        if !self.reader.read_byte_record(&mut self.row)? {
            return Ok(None);
        }
        let last_line = self.lines_read.get();
        let newlines = |field: &[u8]| field.split(|&byte| byte == b'\n').skip(1).count() as u64;
        let first_line = last_line.saturating_sub(self.row.iter().map(newlines).sum());
        Ok(Some(CsvRow { first_line, last_line, record: self.record() }))
    }

    fn record(&self) -> Result<Record, String> {
        let (found, expected) = (self.row.len(), self.names.len());
        if found != expected {
            return Err(format!("the row has {found} fields, the headers are {expected}"));
        }
        let mut object = String::from("{");
        for (name, field) in self.names.iter().zip(&self.row) {
            let field = std::str::from_utf8(field).map_err(|_| "a field is not UTF-8")?;
            if object.len() > 1 {
                object.push(',');
            }
            object.push_str(name);
            object.push(':');
            object.push_str(&Value::String(field.to_owned()).to_string());
        }
        object.push('}');
        let key = self.row.get(self.key_column).unwrap_or_default();
        Ok((key.to_vec(), object.into_bytes()))
    }
}

/// Hands out at most one line per read, so that the parser never holds more lines than it has to, and
/// how many it has is the number of the line it is in.
struct LineByLine<'a> {
    lines: Box<dyn BufRead + 'a>,
    count: Rc<Cell<u64>>,
    is_within: bool,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let ready = self.lines.fill_buf()?;
        let line_len = ready.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        let len = line_len.unwrap_or(ready.len()).min(into.len());
        let (Some(from), Some(to)) = (ready.get(..len), into.get_mut(..len)) else { return Ok(0) };
        to.copy_from_slice(from);
        if len > 0 && !self.is_within {
            self.count.set(self.count.get() + 1);
        }
        self.is_within = len > 0 && !to.ends_with(b"\n");
        self.lines.consume(len);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &'static str, key: &str) -> Result<CsvRows<'static>, Failure> {
        CsvRows::new(Box::new(text.as_bytes()), key, "t")
    }

    #[test]
    fn rows_become_objects_under_their_headers() {
        let text = "\u{feff}id,\"na\"\"me\",note\r\n1,Bern,\"a,b\nc\"\n\n2,\"Z\u{fc}rich\",";
        let mut rows = rows(text, "id").unwrap();
        let mut found = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let (key, value) = row.record.unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            found.push((row.first_line, row.last_line, text(key), text(value)));
        }
        let expected = [
            (2, 3, "1", r#"{"id":"1","na\"me":"Bern","note":"a,b\nc"}"#),
            (5, 5, "2", "{\"id\":\"2\",\"na\\\"me\":\"Z\u{fc}rich\",\"note\":\"\"}"),
        ];
        let expected =
            expected.map(|(from, to, key, value)| (from, to, key.to_owned(), value.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn rows_of_another_length_are_bad_and_others_follow() {
        let mut rows = rows("a,b\n1\n2,3\n4,5,6\n", "b").unwrap();
        let mut found = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            found.push((row.first_line, row.record.map(|(key, _)| key)));
        }
        let bad = |count: usize| Err(format!("the row has {count} fields, the headers are 2"));
        assert_eq!(found, [(2, bad(1)), (3, Ok(b"3".to_vec())), (4, bad(3))]);
    }

    #[test]
    fn headers_must_name_the_key_once() {
        for (text, key, why) in [
            ("a,b\n", "c", "no column is called \"c\"; there are a, b"),
            ("a,a\n", "a", "two columns are called \"a\""),
            ("", "a", "no column"),
        ] {
            let error = rows(text, key).map(drop).unwrap_err();
            assert_eq!(error.exit_code(), 3);
            assert!(error.message().unwrap().contains(why), "{error:?}");
        }
    }
}
