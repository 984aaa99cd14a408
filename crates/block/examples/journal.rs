//! A private file format on `stratal-block`: a journal of readings, encrypted, and repaired where a
//! sector of it is lost.
//!
//! `cargo run -p stratal-block --example journal` writes one, damages it and reads it.
//!
//! ```text
//! offset  size  field      encoding
//!      0     8  magic      b"JOURNAL1"
//!      8    16  uid        random: who this file is
//!     24    32  salt       random: what makes its key its own
//!     56     4  epoch      u32, which root key
//!     60    16  key_check  by which a wrong key is found out
//!     76     .  pages      each: length, u32, of the block; the same again; the block
//! ```
//!
//! What the format decides is what `stratal-block` knows nothing about: that page `n` has the ordinal
//! `n`, what its kinds are, where a block ends. All that makes a page compressed, secret, checked,
//! bound to its place and repairable is one `BlockSpec`. The lengths stand outside of the blocks,
//! twice, so that a damaged page does not hide those behind it.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use stratal_block::{
    BlockCodec, BlockContext, BlockId, BlockKind, BlockSpec, Compression, FileKey, FileKeyInfo,
    KeyRing, Limits, Outcome, Parity, RootKey, Scrubbed, Seal, scrub,
};
use stratal_types::{DbId, FileUid};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const MAGIC: [u8; 8] = *b"JOURNAL1";
const HEADER_LEN: usize = 76;
const PAGE: BlockKind = BlockKind(1);
const PAGE_LEN_MAX: u32 = 64 << 10;
const SPEC: BlockSpec = BlockSpec {
    compression: Compression::Lz4,
    seal: Seal::ChaCha20Poly1305,
    parity: Parity::ReedSolomon { data: 4, parity: 2 },
    checksum: stratal_block::Checksum::Xxh3,
};

/// What a reader and a writer have in common.
struct Journal {
    uid: FileUid,
    codec: BlockCodec,
}

impl Journal {
    fn new(key: FileKey) -> Result<Self> {
        let limits = Limits { plain_len_max: PAGE_LEN_MAX, ..Limits::default() };
        let uid = key.info().uid;
        let context = BlockContext { limits, key: Some(key), ..BlockContext::default() };
        Ok(Self { uid, codec: SPEC.resolve(&context)? })
    }

    fn id(&self, page: u64) -> BlockId {
        BlockId { uid: self.uid, ordinal: page, kind: PAGE }
    }
}

fn info(uid: FileUid, salt: [u8; 32]) -> FileKeyInfo {
    FileKeyInfo { db_id: DbId::default(), kind: 1, uid, salt }
}

/// `uid` and `salt` are random, and new for every file.
fn write(ring: &KeyRing, uid: FileUid, salt: [u8; 32], pages: &[String]) -> Result<Vec<u8>> {
    let key = ring.file_key(ring.newest().ok_or("there is no key")?, &info(uid, salt))?;
    let mut file = MAGIC.to_vec();
    file.extend_from_slice(&uid.0);
    file.extend_from_slice(&salt);
    file.extend_from_slice(&key.epoch().to_le_bytes());
    file.extend_from_slice(&key.key_check());
    let journal = Journal::new(key)?;
    for (page, number) in pages.iter().zip(0..) {
        let stored = journal.codec.seal(journal.id(number), page.as_bytes())?;
        let len = u32::try_from(stored.len())?.to_le_bytes();
        file.extend_from_slice(&len);
        file.extend_from_slice(&len);
        file.extend_from_slice(&stored);
    }
    Ok(file)
}

/// Takes `N` bytes off the front of `bytes`.
fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk().ok_or("the file ends too early")?;
    *bytes = rest;
    Ok(*taken)
}

/// The journal, and its pages as they are stored.
fn open<'a>(ring: &KeyRing, mut file: &'a [u8]) -> Result<(Journal, Vec<&'a [u8]>)> {
    if take(&mut file)? != MAGIC {
        return Err("not a journal".into());
    }
    let (uid, salt) = (FileUid(take(&mut file)?), take(&mut file)?);
    let (epoch, key_check) = (u32::from_le_bytes(take(&mut file)?), take(&mut file)?);
    // A wrong key ends it here, before any page is looked at.
    let journal = Journal::new(ring.open_file(epoch, &info(uid, salt), key_check)?)?;
    let mut pages = Vec::new();
    while !file.is_empty() {
        let lens: [[u8; 4]; 2] = [take(&mut file)?, take(&mut file)?];
        let fitting = lens
            .into_iter()
            .find_map(|len| file.split_at_checked(usize::try_from(u32::from_le_bytes(len)).ok()?));
        let (page, rest) = fitting.ok_or("no length of a page fits the file")?;
        pages.push(page);
        file = rest;
    }
    Ok((journal, pages))
}

fn main() -> Result<()> {
    let ring: KeyRing =
        [RootKey::new(1, *b"in truth, this is from a keeper.")].into_iter().collect();
    let pages: Vec<String> = (0..3)
        .map(|page| {
            (0..600)
                .map(|i| {
                    format!("{:05} {:08x}\n", page * 600 + i, i * 2_654_435_761_u64 % (1 << 32))
                })
                .collect()
        })
        .collect();
    // In truth, both are random.
    let mut file = write(&ring, FileUid([7; 16]), [9; 32], &pages)?;
    println!("{} bytes in {} pages take {}", pages.concat().len(), pages.len(), file.len());

    // A sector is lost, in the middle of the first page.
    let lost = HEADER_LEN + 2000..HEADER_LEN + 2512;
    file.get_mut(lost).ok_or("the file is too short")?.fill(0);
    let (journal, stored) = open(&ring, &file)?;
    for ((stored, page), number) in stored.iter().zip(&pages).zip(0..) {
        let opened = journal.codec.open(journal.id(number), stored)?;
        println!("page {number}: {} bytes, {:?}", opened.len(), opened.outcome);
        assert_eq!(opened[..], *page.as_bytes());
        assert_eq!(opened.outcome == Outcome::Healed, number == 0);
        if let Scrubbed::Healed(written) = scrub(journal.id(number), stored)? {
            println!("page {number}: {} bytes to be written in its place", written.len());
        }
    }

    // Another page is not taken for the one asked for, nor is another key for the right one.
    let [first, second, ..] = stored[..] else { return Err("there are three pages".into()) };
    assert!(journal.codec.open(journal.id(1), first).is_err());
    assert!(journal.codec.open(journal.id(0), second).is_err());
    let wrong: KeyRing = [RootKey::new(1, [0; 32])].into_iter().collect();
    let refused = open(&wrong, &file).err().ok_or("a wrong key opens nothing")?;
    println!("with another key: {refused}");
    Ok(())
}

#[test]
fn the_example_runs() -> Result<()> {
    main()
}
