use stratal_types::{SeqNo, Trailer};

/// What a read makes of one version of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The read does not see the version; an older one may be what it finds.
    Unseen,
    /// The key is absent: deleted by this version, or by a range tombstone over it. Older versions do
    /// not matter.
    Hidden,
    /// The read finds this version. If it is an operand, what it is applied to is among the older
    /// ones that are not hidden.
    Shown,
}

/// What a read at `bound` makes of a version with this `trailer`, where `covered` is the highest
/// number *below `bound`* of a range tombstone over its key, in any source.
///
/// Versions of a key are asked newest first, down to the first that is not [`Verdict::Unseen`]. Every
/// read, of one key or many, asks this function.
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

/// The version of `key` that a read at `bound` finds in `sources`, which are in age order, the newest
/// first, as [`VisibleCursor`](crate::VisibleCursor) demands.
///
/// Asks no source behind the one that settles it. An operand is returned as it is.
///
/// # Errors
///
/// The first error of a source; what older sources hold is not returned in its place.
pub fn resolve_get<S: PointSource>(
    key: &[u8],
    bound: SeqNo,
    sources: impl IntoIterator<Item = S>,
) -> Result<Option<(Trailer, S::Value)>, S::Error> {
    for source in sources {
        let covered = source.covering(key, bound)?;
        if let Some((trailer, value)) = source.newest(key, bound)? {
            let shown = decide(trailer, covered, bound) == Verdict::Shown;
            return Ok(shown.then_some((trailer, value)));
        }
        if covered.is_some() {
            return Ok(None);
        }
    }
    Ok(None)
}
