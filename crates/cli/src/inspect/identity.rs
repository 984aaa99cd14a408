//! The file that says which database a directory is.

use std::path::Path;

use serde_json::json;
use stratal_types::{DbId, dump::Dump};
use xxhash_rust::xxh3::xxh3_64;

use super::{Explained, Trouble, block::Block};

/// The bytes that the file begins with.
pub(super) const MAGIC: [u8; 8] = *b"\x93STRDB\r\n";

/// The version that this build knows.
const VERSION: u32 = 1;

/// Bytes of the file, the last eight of which are the check of those before.
const LEN: usize = 40;
const CHECKED_LEN: usize = 32;

pub(super) fn explain(bytes: &[u8], _path: &Path) -> Explained {
    let version = bytes.get(8..12).and_then(|it| it.first_chunk()).copied().map(u32::from_le_bytes);
    let db_id = bytes.get(16..32).and_then(|it| it.first_chunk()).copied().map(DbId);
    Explained {
        name: "identity",
        title: "the identity of a Stratal database",
        facts: vec![("db_id", json!(db_id.map(|id| id.to_string()))), ("version", json!(version))],
        blocks: vec![Block::new("identity", 0..bytes.len())],
        trouble: trouble(bytes, version),
        dump,
    }
}

fn trouble(bytes: &[u8], version: Option<u32>) -> Option<Trouble> {
    let Some((checked, check)) = bytes.split_at_checked(CHECKED_LEN) else {
        return Some(Trouble::damage(bytes.len(), "the file ends too early"));
    };
    if bytes.len() < LEN {
        return Some(Trouble::damage(bytes.len(), "the file ends too early"));
    }
    if bytes.len() > LEN {
        return Some(Trouble::damage(LEN, "the file goes on behind its end"));
    }
    if checked.get(..MAGIC.len()) != Some(&MAGIC) {
        return Some(Trouble::damage(0, "the magic is damaged"));
    }
    if check != xxh3_64(checked).to_le_bytes() {
        return Some(Trouble::damage(0, "the check of bytes 0 to 32 does not hold"));
    }
    let version = version.filter(|version| *version != VERSION)?;
    Some(Trouble::Refused {
        what: format!("identity version {version}, this build knows {VERSION}"),
    })
}

fn dump(bytes: &[u8], explained: &Explained, _number: usize) -> String {
    let version = explained.facts.iter().find(|(name, _)| *name == "version");
    let version = version.and_then(|(_, value)| value.as_u64()).unwrap_or(0);
    let mut dump = Dump::new(bytes);
    dump.field(8, "magic").field(4, format_args!("version {version}")).field(4, "zero");
    dump.field(16, "db_id").field(8, "check");
    dump.finish()
}
