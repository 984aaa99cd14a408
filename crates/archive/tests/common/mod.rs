//! What the tests share: archives in memory, and opening them from anything that reads at an offset.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::{io::Write, num::NonZeroU8, ops::Range};

use stratal_archive::{
    ArchiveHeader, ArchiveWriter, Error, HeaderSeal, Opener, Progress, SectionTag, Toc,
};
use stratal_types::{DbId, FileUid};

pub const DATA: SectionTag = SectionTag(*b"DATA");
pub const INDEX: SectionTag = SectionTag(*b"INDX");
pub const PROPERTIES: SectionTag = SectionTag(*b"PROP");

pub const HEADER: ArchiveHeader = ArchiveHeader {
    file_type: *b"TST1",
    db_id: DbId([0xdb; 16]),
    uid: FileUid([0x1d; 16]),
    seal: None,
};

/// The header of the same file, were it encrypted.
pub const SEALED_HEADER: ArchiveHeader = ArchiveHeader {
    seal: Some(HeaderSeal {
        cipher: NonZeroU8::MIN,
        epoch: 7,
        salt: [0x5a; 32],
        key_check: [0xcc; 16],
    }),
    ..HEADER
};

/// The archive of these sections.
pub fn file_of(
    header: ArchiveHeader,
    sections: &[(SectionTag, &[u8])],
    mirrored: &[(SectionTag, &[u8])],
) -> (Vec<u8>, Toc) {
    let mut writer = ArchiveWriter::new(Vec::new(), header).unwrap();
    for (tag, bytes) in sections {
        writer.section(*tag).unwrap();
        writer.write_all(bytes).unwrap();
    }
    for (tag, bytes) in mirrored {
        writer.mirror(*tag, bytes.to_vec()).unwrap();
    }
    let expected_len = writer.position() + writer.closing_len();
    let (file, toc) = writer.finish().unwrap();
    assert_eq!(file.len() as u64, expected_len);
    assert_eq!(toc.file_len, expected_len);
    (file, toc)
}

pub fn open(file: &[u8]) -> Result<Toc, Error> {
    drive(Opener::new(file.len() as u64), |range| file[usizes(range)].to_vec()).map(|it| it.toc)
}

pub fn salvage(file: &[u8]) -> Result<Toc, Error> {
    let opener = Opener::new(file.len() as u64).salvage();
    drive(opener, |range| file[usizes(range)].to_vec()).map(|it| it.toc)
}

/// An archive that was opened.
#[derive(Debug)]
pub struct Opened {
    pub toc: Toc,
    pub opener: Opener,
    /// Reads it took.
    pub reads: u64,
    /// Bytes it took.
    pub bytes_read: u64,
}

/// Opens what `read` gives; fails the test if that takes more than the promised amount of reading.
pub fn drive(
    mut opener: Opener,
    mut read: impl FnMut(Range<u64>) -> Vec<u8>,
) -> Result<Opened, Error> {
    let (mut reads, mut bytes_read) = (0, 0);
    let mut bytes = Vec::new();
    loop {
        match opener.advance(&bytes)? {
            Progress::Need(range) => {
                assert!(!range.is_empty());
                reads += 1;
                bytes_read += range.end - range.start;
                assert!(
                    reads <= 300 && bytes_read <= 72 << 20,
                    "{reads} reads, {bytes_read} bytes"
                );
                bytes = read(range);
            }
            Progress::Done(toc) => return Ok(Opened { toc, opener, reads, bytes_read }),
        }
    }
}

pub fn usizes(range: Range<u64>) -> Range<usize> {
    usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()
}
