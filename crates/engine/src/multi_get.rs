//! Many keys at once: sources are asked one after the other, each for all keys that are still wanted.

use std::sync::Arc;

use bytes::Bytes;
use stratal_merge::{PointSource, Verdict, decide};
use stratal_types::{EntryKind, SeqNo, Trailer, key_hash};

use crate::{
    Error,
    folding::Folding,
    read_state::{ReadState, plain_value},
    source::Lookup,
};

/// A key that is wanted, and where it stands in the answer.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    key: &'a [u8],
    hash: u64,
    at: usize,
}

/// A version that a source has of a key.
pub(crate) type Found = Option<(Trailer, Bytes)>;

/// What one source says about a key.
enum Answer {
    /// Older sources must be asked.
    Open,
    Absent,
    Value(EntryKind, Bytes),
    /// Operands: what they come to, sources say together.
    Operands,
}

impl ReadState {
    /// The values of `keys` for a read at `bound`, in the order in which the keys were given.
    pub(crate) fn multi_get(
        &self,
        keys: &[&[u8]],
        bound: SeqNo,
        folding: &Arc<Folding>,
    ) -> Result<Vec<Option<Bytes>>, Error> {
        let comparator = &self.view.version.comparator;
        let want = |(at, &key)| Wanted { key, hash: key_hash(key), at };
        let mut sorted: Vec<Wanted<'_>> = keys.iter().enumerate().map(want).collect();
        sorted.sort_by(|a, b| comparator.compare(a.key, b.key));
        // The first of equal ones is asked for; the others get what it got.
        let mut wanted = sorted.clone();
        wanted.dedup_by(|later, first| later.key == first.key);

        let mut values: Vec<Option<Bytes>> = vec![None; keys.len()];
        let mut set = |at: usize, value| {
            if let Some(slot) = values.get_mut(at) {
                *slot = value;
            }
        };
        let memory = self.memtables().map(Lookup::Memory);
        let tables = self.view.runs().map(|(_, run)| Lookup::Run(run, bound));
        for source in memory.chain(tables) {
            if wanted.is_empty() {
                break;
            }
            let mut left = Vec::with_capacity(wanted.len());
            let asked: Vec<_> = wanted.iter().map(|want| (want.key, want.hash)).collect();
            let found = source.multi_newest(&asked, bound)?;
            for (want, newest) in wanted.into_iter().zip(found) {
                match answer(newest, source.covering(want.key, bound)?, bound) {
                    Answer::Open => left.push(want),
                    Answer::Absent => {}
                    Answer::Value(kind, value) => set(want.at, Some(plain_value(kind, value)?)),
                    Answer::Operands => set(want.at, self.get(want.key, bound, folding)?),
                }
            }
            wanted = left;
        }
        for pair in sorted.windows(2) {
            if let [first, later] = pair
                && first.key == later.key
            {
                let value = values.get(first.at).cloned().flatten();
                if let Some(slot) = values.get_mut(later.at) {
                    *slot = value;
                }
            }
        }
        Ok(values)
    }
}

impl Lookup<'_> {
    /// For each key and its hash, ascending, what [`newest`](PointSource::newest) says.
    fn multi_newest(&self, keys: &[(&[u8], u64)], bound: SeqNo) -> Result<Vec<Found>, Error> {
        match self {
            Self::Memory(memtable) => {
                Ok(keys.iter().map(|(key, _)| memtable.get(key, bound)).collect())
            }
            Self::Run(run, _) => run.multi_newest(keys, bound),
        }
    }
}

/// What a source says that has this version, and this tombstone over the key.
fn answer(newest: Found, covered: Option<SeqNo>, bound: SeqNo) -> Answer {
    match newest {
        Some((trailer, value)) => match (decide(trailer, covered, bound), trailer.kind()) {
            (Verdict::Shown, EntryKind::Merge) => Answer::Operands,
            (Verdict::Shown, kind) => Answer::Value(kind, value),
            (Verdict::Hidden | Verdict::Unseen, _) => Answer::Absent,
        },
        None if covered.is_some() => Answer::Absent,
        None => Answer::Open,
    }
}
