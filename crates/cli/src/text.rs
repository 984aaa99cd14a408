//! Keys and values as text.
//!
//! Bytes 0x00 to 0x1f and 0x7f, the backslash and every byte outside well-formed UTF-8 are escaped,
//! as `\t`, `\n`, `\r`, `\\` or `\xNN`; all else stands as it is.

use std::borrow::Cow;

/// How bytes are written and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    /// Text with escapes.
    Escaped,
    /// Two digits a byte.
    Hex,
}

impl Notation {
    pub(crate) fn append(self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Escaped => escape(bytes, out),
            Self::Hex => bytes.iter().for_each(|&byte| push_hex(byte, out)),
        }
    }

    pub(crate) fn show(self, bytes: &[u8]) -> String {
        let mut out = Vec::with_capacity(bytes.len());
        self.append(bytes, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// The bytes that `text` stands for, or what is wrong with it.
    pub(crate) fn parse(self, text: &[u8]) -> Result<Cow<'_, [u8]>, &'static str> {
        match self {
            Self::Escaped => unescape(text),
            Self::Hex => parse_hex(text).map(Cow::Owned).ok_or("not hexadecimal"),
        }
    }
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            match byte {
                b'\t' => out.extend_from_slice(b"\\t"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\\' => out.extend_from_slice(b"\\\\"),
                0..=0x1f | 0x7f => escape_byte(byte, out),
                _ => out.push(byte),
            }
        }
        chunk.invalid().iter().for_each(|&byte| escape_byte(byte, out));
    }
}

fn escape_byte(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\x");
    push_hex(byte, out);
}

fn push_hex(byte: u8, out: &mut Vec<u8>) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    out.extend([digit(byte >> 4), digit(byte & 0xf)]);
}

fn unescape(text: &[u8]) -> Result<Cow<'_, [u8]>, &'static str> {
    if !text.contains(&b'\\') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let (byte, len) = match escape {
            [_, b't', ..] => (b'\t', 2),
            [_, b'n', ..] => (b'\n', 2),
            [_, b'r', ..] => (b'\r', 2),
            [_, b'\\', ..] => (b'\\', 2),
            [_, b'x', high, low, ..] => {
                let byte = hex_digit(*high).zip(hex_digit(*low));
                (byte.map(|(high, low)| high << 4 | low).ok_or("an unknown escape")?, 4)
            }
            _ => return Err("an unknown escape"),
        };
        out.push(byte);
        rest = escape.get(len..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Ok(Cow::Owned(out))
}

/// Bytes of an even number of hexadecimal digits.
fn parse_hex(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_chunks::<2>();
    let byte = |&[high, low]: &[u8; 2]| Some(hex_digit(high)? << 4 | hex_digit(low)?);
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_shows_what_it_must_escape_and_nothing_else() {
        let cases: [(&[u8], &str); 8] = [
            (b"AD/Vila", "AD/Vila"),
            ("Warīsān ☃".as_bytes(), "Warīsān ☃"),
            (b"a\tb\nc\rd\\", "a\\tb\\nc\\rd\\\\"),
            (b"\x00\x1f\x7f \"'", "\\x00\\x1f\\x7f \"'"),
            (b"\xff\xfe", "\\xff\\xfe"),
            (b"\xe2\x98", "\\xe2\\x98"),
            (b"ok\xc3", "ok\\xc3"),
            ("\u{80}\u{a0}".as_bytes(), "\u{80}\u{a0}"),
        ];
        for (bytes, text) in cases {
            assert_eq!(Notation::Escaped.show(bytes), text);
            assert_eq!(Notation::Escaped.parse(text.as_bytes()).as_deref(), Ok(bytes));
        }
    }

    #[test]
    fn every_pair_of_bytes_reads_back_in_both_notations() {
        for pair in 0..=u16::MAX {
            let bytes = pair.to_le_bytes();
            for notation in [Notation::Escaped, Notation::Hex] {
                let text = notation.show(&bytes);
                assert_eq!(notation.parse(text.as_bytes()).as_deref(), Ok(&bytes[..]), "{text}");
            }
        }
    }

    #[test]
    fn unknown_escapes_and_half_bytes_are_refused() {
        for text in ["\\", "a\\", "\\q", "\\x", "\\x1", "\\x1g", "\\0", "\\u0041"] {
            assert!(Notation::Escaped.parse(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(Notation::Escaped.parse(b"\\xFf").as_deref(), Ok(&[0xff][..]));
        for text in ["0", "0g", "abc"] {
            assert!(Notation::Hex.parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
