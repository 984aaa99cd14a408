use bytes::Bytes;
use stratal_archive::{ArchiveHeader, Opener, Progress, Toc};
use stratal_types::SeqNo;

use crate::{Error, ReadAt, section, source::Tail, table::read};

/// How a table is opened. The default is for sound tables, and shows them as they were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// What to do about a table whose description of itself is damaged.
    pub mode: OpenMode,
    /// The sequence number at which all entries and range tombstones are seen, in place of their own,
    /// which are all 0: for a table that was made apart from the tree that takes it in. `None`
    /// shows them as they are.
    ///
    /// Lookups, cursors, ranges, range tombstones and [`seqnos`](crate::Table::seqnos) heed it;
    /// [`properties`](crate::Table::properties), [`verify`](crate::Table::verify) and
    /// [`salvage`](crate::Table::salvage) are about what is stored.
    pub overlay: Option<SeqNo>,
}

/// What to do about a table whose description of itself is damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenMode {
    /// Refuse it.
    #[default]
    Strict,
    /// Open it with what is there, so that [`salvage`](crate::Table::salvage) can save the rest. Both
    /// copies of the properties may be lost: then the comparator is taken to be the context's, and
    /// what else they say stays empty. The end of the file may be lost, or something may stand behind
    /// it. If the contents are lost too, what the header leaves is taken for data.
    ///
    /// Reads of such a table may fail, and miss keys and range tombstones.
    Salvage,
}

/// The contents of the table in `source`, and the bytes that were read first.
pub(crate) fn find_contents(
    source: &dyn ReadAt,
    mode: OpenMode,
) -> Result<(Toc, Option<Tail>), Error> {
    let opener = Opener::new(source.len());
    let mut opener = match mode {
        OpenMode::Strict => opener,
        OpenMode::Salvage => opener.salvage(),
    };
    let mut bytes = Bytes::new();
    let mut tail: Option<Tail> = None;
    let toc = loop {
        match opener.advance(&bytes) {
            Ok(Progress::Need(range)) => {
                bytes = read(source, range.start, range.end.saturating_sub(range.start))?;
                tail.get_or_insert_with(|| Tail::new(range.start, bytes.clone()));
            }
            Ok(Progress::Done(toc)) => break toc,
            Err(error) if mode == OpenMode::Strict => return Err(error.into()),
            Err(error) => {
                // The header alone says who the file is, without which no block can be opened.
                let len = source.len().min(ArchiveHeader::LEN as u64);
                let header = read(source, 0, len)?;
                let header =
                    header.first_chunk().and_then(|header| ArchiveHeader::decode(header).ok());
                break Toc::of_lost(header.ok_or(error)?, source.len(), section::DATA);
            }
        }
    };
    Ok((toc, tail))
}
