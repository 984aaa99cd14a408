use stratal_types::{EntryKind, SeqNo, Trailer};

use crate::Chain;

/// What a read makes of one version of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The read does not see the version; an older one may be what it finds.
    Unseen,
    /// The key is absent: deleted by this version, or by a range tombstone over it. Older versions do
    /// not matter.
    Hidden,
    /// The read finds this version. If it is an operand, it is applied to what the older versions
    /// come to, which are asked one by one until one is hidden or no operand.
    Shown,
}

/// What a read at `bound` makes of a version with this `trailer`, where `covered` is the highest
/// number *below `bound`* of a range tombstone over its key, in any source.
///
/// Versions of a key are asked newest first, down to the first that is neither [`Verdict::Unseen`] nor
/// an operand that is shown. Every read, of one key or many, asks this function.
pub fn decide(trailer: Trailer, covered: Option<SeqNo>, bound: SeqNo) -> Verdict {
    let seqno = trailer.seqno();
    if !seqno.is_visible_at(bound) {
        Verdict::Unseen
    } else if trailer.kind().is_delete() || covered.is_some_and(|covered| covered > seqno) {
        Verdict::Hidden
    } else {
        Verdict::Shown
    }
}

/// A place to look one key up in: a memtable, a table, a run of tables.
pub trait PointSource {
    /// How it hands out a value.
    type Value;
    /// Why it can fail.
    type Error;

    /// The highest number below `bound` of its range tombstones over `key`.
    fn covering(&self, key: &[u8], bound: SeqNo) -> Result<Option<SeqNo>, Self::Error>;

    /// Its newest version of `key` with a number below `bound`, whatever tombstones say.
    fn newest(
        &self,
        key: &[u8],
        bound: SeqNo,
    ) -> Result<Option<(Trailer, Self::Value)>, Self::Error>;
}

impl<S: PointSource + ?Sized> PointSource for &S {
    type Value = S::Value;
    type Error = S::Error;

    fn covering(&self, key: &[u8], bound: SeqNo) -> Result<Option<SeqNo>, S::Error> {
        (**self).covering(key, bound)
    }

    fn newest(&self, key: &[u8], bound: SeqNo) -> Result<Option<(Trailer, S::Value)>, S::Error> {
        (**self).newest(key, bound)
    }
}

/// What a lookup of a key came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved<V> {
    /// The key is absent.
    Absent,
    /// The newest version that the read sees is a value, or a pointer to one.
    Value(Trailer, V),
    /// The newest versions are operands, which are in the chain now, newest first. They are applied
    /// to `base`, a value or pointer, or to nothing.
    Operands {
        /// What lies under them.
        base: Option<(Trailer, V)>,
    },
    /// The newest versions are operands, and more than the chain may hold. A
    /// [`VisibleCursor`](crate::VisibleCursor) on the key folds them piece by piece.
    TooMany,
}

/// What a read at `bound` finds of `key` in `sources`, which are in age order, the newest first, as
/// [`VisibleCursor`](crate::VisibleCursor) demands. Operands are put into `chain`, which is empty, at
/// most `len_max` and one.
///
/// Asks no source behind the one that settles it.
///
/// # Errors
///
/// The first error of a source; what older sources hold is not returned in its place.
pub fn resolve<S: PointSource<Value: AsRef<[u8]>>>(
    key: &[u8],
    bound: SeqNo,
    sources: impl IntoIterator<Item = S>,
    chain: &mut Chain,
    len_max: usize,
) -> Result<Resolved<S::Value>, S::Error> {
    let mut below = bound;
    for source in sources {
        let covered = source.covering(key, bound)?;
        while let Some((trailer, value)) = source.newest(key, below)? {
            let shown = decide(trailer, covered, bound) == Verdict::Shown;
            if shown && trailer.kind() == EntryKind::Merge {
                chain.push(trailer, value.as_ref());
                if chain.len() > len_max {
                    return Ok(Resolved::TooMany);
                }
                below = trailer.seqno();
                continue;
            }
            let base = shown.then_some((trailer, value));
            return Ok(match (chain.is_empty(), base) {
                (false, base) => Resolved::Operands { base },
                (true, Some((trailer, value))) => Resolved::Value(trailer, value),
                (true, None) => Resolved::Absent,
            });
        }
        if covered.is_some() {
            break;
        }
    }
    Ok(if chain.is_empty() { Resolved::Absent } else { Resolved::Operands { base: None } })
}
