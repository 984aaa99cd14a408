//! The rows every implementation is filled with, and the keys it is asked for.
//!
//! They are made once, by `pb-tables-data`, and read from a file, so that no two programs can differ
//! about them. All integers are little-endian.
//!
//! ```text
//! offset  size  field
//!      0     8  magic     "PBROWS01"
//!      8     8  hash      over everything behind it
//!     16     8  rows      n
//!     24     8  probes    p
//!     32        n times:  u32 key_len, u32 value_len, key, value      keys ascend
//!               p times:  u32 row, u32 absent_len, absent             absent is no row's key
//! ```
use std::{fs, path::Path};

use pb_core::Res;

const MAGIC: &[u8; 8] = b"PBROWS01";
const HEADER_LEN: usize = 32;

/// Rows and probes, in memory.
pub struct Rows {
    bytes: Vec<u8>,
    rows: Vec<Span>,
    probes: Vec<Probe>,
    /// The probes' keys, one behind the other, so that reading them costs no cache misses.
    keys: Vec<u8>,
    pub hash: u64,
    /// Bytes of all keys and values.
    pub plain_len: u64,
}

#[derive(Clone, Copy)]
struct Span {
    at: usize,
    key_len: u32,
    value_len: u32,
}

/// A row to ask for, and a key that is not there.
#[derive(Clone, Copy)]
pub struct Probe {
    at: usize,
    key_len: u32,
    absent_len: u32,
    /// The row's number.
    pub row: usize,
    /// [`check_word`] of its value.
    pub check: u64,
}

impl Rows {
    pub fn load(path: &Path) -> Res<Self> {
        let bytes = fs::read(path)?;
        if bytes.len() < HEADER_LEN || &bytes[..8] != MAGIC {
            return Err(format!("{}: not a file of rows", path.display()).into());
        }
        let hash = word(&bytes[8..]);
        if hash_of(&bytes[16..]) != hash {
            return Err(format!("{}: damaged", path.display()).into());
        }
        let (row_count, probe_count) = (word(&bytes[16..]), word(&bytes[24..]));
        let mut at = HEADER_LEN;
        let mut lens = |bytes: &[u8]| {
            let both = word(&bytes[at..]);
            at += 8;
            let span = (at, both as u32, (both >> 32) as u32);
            at += span.1 as usize + span.2 as usize;
            span
        };
        let mut rows = Vec::new();
        let mut plain_len = 0;
        for _ in 0..row_count {
            let (at, key_len, value_len) = lens(&bytes);
            plain_len += u64::from(key_len) + u64::from(value_len);
            rows.push(Span { at, key_len, value_len });
        }
        let mut this = Self { bytes, rows, probes: Vec::new(), keys: Vec::new(), hash, plain_len };
        for _ in 0..probe_count {
            let both = word(&this.bytes[at..]);
            let (row, absent_len) = (both as u32 as usize, (both >> 32) as u32);
            at += 8 + absent_len as usize;
            let (key, value) = this.row(row);
            let probe = Probe {
                at: this.keys.len(),
                key_len: u32::try_from(key.len())?,
                absent_len,
                row,
                check: check_word(value),
            };
            let (key, absent) = (key.to_vec(), this.bytes[at - absent_len as usize..at].to_vec());
            this.keys.extend_from_slice(&key);
            this.keys.extend_from_slice(&absent);
            this.probes.push(probe);
        }
        Ok(this)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Key and value of row `i`.
    pub fn row(&self, i: usize) -> (&[u8], &[u8]) {
        let Span { at, key_len, value_len } = self.rows[i];
        let value_at = at + key_len as usize;
        (&self.bytes[at..value_at], &self.bytes[value_at..value_at + value_len as usize])
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..self.len()).map(|i| self.row(i))
    }

    pub fn probes(&self) -> &[Probe] {
        &self.probes
    }

    /// The key that is there.
    pub fn present(&self, probe: Probe) -> &[u8] {
        &self.keys[probe.at..][..probe.key_len as usize]
    }

    /// The key that is not.
    pub fn absent(&self, probe: Probe) -> &[u8] {
        &self.keys[probe.at + probe.key_len as usize..][..probe.absent_len as usize]
    }
}

/// Tells values apart by three words of theirs, which is cheap. Values have 21 bytes or more.
#[inline]
pub fn check_word(value: &[u8]) -> u64 {
    if value.len() < 21 {
        return 0;
    }
    word(&value[13..]) ^ word(&value[value.len() - 8..]).rotate_left(23) ^ value.len() as u64
}

/// Writes a file of rows.
#[derive(Default)]
pub struct RowsBuilder {
    body: Vec<u8>,
    rows: u64,
    probes: u64,
}

impl RowsBuilder {
    /// Rows ascend, and come before all probes.
    pub fn row(&mut self, key: &[u8], value: &[u8]) -> Res<()> {
        self.rows += 1;
        self.lens(key.len(), value.len())?;
        self.body.extend_from_slice(key);
        self.body.extend_from_slice(value);
        Ok(())
    }

    pub fn probe(&mut self, row: usize, absent: &[u8]) -> Res<()> {
        self.probes += 1;
        self.lens(row, absent.len())?;
        self.body.extend_from_slice(absent);
        Ok(())
    }

    fn lens(&mut self, a: usize, b: usize) -> Res<()> {
        self.body.extend_from_slice(&u32::try_from(a)?.to_le_bytes());
        self.body.extend_from_slice(&u32::try_from(b)?.to_le_bytes());
        Ok(())
    }

    pub fn save(self, path: &Path) -> Res<u64> {
        let mut counted = Vec::with_capacity(self.body.len() + 16);
        counted.extend_from_slice(&self.rows.to_le_bytes());
        counted.extend_from_slice(&self.probes.to_le_bytes());
        counted.extend_from_slice(&self.body);
        let hash = hash_of(&counted);
        fs::write(path, [&MAGIC[..], &hash.to_le_bytes(), &counted].concat())?;
        Ok(hash)
    }
}

#[inline]
fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes"))
}

/// A word at a time, the last one filled up with zeros.
fn hash_of(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    let mut mix = |word: u64| {
        hash = (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash ^= hash >> 32;
    };
    let mut chunks = bytes.chunks_exact(8);
    chunks.by_ref().for_each(|chunk| mix(word(chunk)));
    let mut last = [0; 8];
    last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    mix(u64::from_le_bytes(last));
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [(&[u8], &[u8]); 3] =
        [(b"a", b""), (b"bb", b"twenty-one bytes or so"), (b"ccc", b"another of those values")];

    fn saved(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("{name}-{}.rows", std::process::id()));
        let mut builder = RowsBuilder::default();
        for (key, value) in ROWS {
            builder.row(key, value).unwrap();
        }
        builder.probe(2, b"cc").unwrap();
        builder.probe(1, b"").unwrap();
        builder.save(&path).unwrap();
        path
    }

    #[test]
    fn rows_and_probes_are_read_as_they_were_written() {
        let path = saved("read");
        let rows = Rows::load(&path).unwrap();
        fs::remove_file(path).unwrap();
        assert!(rows.iter().eq(ROWS));
        assert_eq!(rows.plain_len, ROWS.iter().map(|(k, v)| (k.len() + v.len()) as u64).sum());
        let probes = rows.probes().iter().map(|&probe| {
            assert_eq!(probe.check, check_word(ROWS[probe.row].1));
            (rows.present(probe), rows.absent(probe))
        });
        assert!(probes.eq([(&b"ccc"[..], &b"cc"[..]), (b"bb", b"")]));
        assert_ne!(check_word(ROWS[1].1), check_word(ROWS[2].1));
    }

    #[test]
    fn a_file_with_any_byte_changed_is_refused() {
        let path = saved("changed");
        let bytes = fs::read(&path).unwrap();
        for i in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[i] ^= 0x10;
            fs::write(&path, changed).unwrap();
            assert!(Rows::load(&path).is_err(), "byte {i}");
        }
        fs::remove_file(path).unwrap();
    }
}
