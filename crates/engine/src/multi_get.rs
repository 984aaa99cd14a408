//! Many keys at once: sources are asked one after the other, each for all keys that are still wanted.

use std::sync::Arc;

use bytes::Bytes;
use stratal_merge::{PointSource, Verdict, decide};
use stratal_sst::Version;
use stratal_types::{EntryKind, SeqNo, key_hash};

use crate::{
    Error,
    folding::Folding,
    read_state::{ReadState, plain_value},
    source::Lookup,
    span_heads::head_of,
};

/// A key that is wanted, and where it stands in the answer.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    /// The first bytes of the key, as a number that orders as they do.
    head: u64,
    key: &'a [u8],
    hash: u64,
    at: usize,
}

/// A version that a source has of a key.
pub(crate) type Found = Option<Version>;

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
        let (mut wanted, again) = self.wanted(keys);
        let mut values: Vec<Option<Bytes>> = vec![None; keys.len()];
        let mut set = |at: usize, value| {
            if let Some(slot) = values.get_mut(at) {
                *slot = value;
            }
        };
        // What a memtable that is empty now gains later, the read does not see.
        let memory = self.memtables().filter(|memtable| !memtable.is_empty());
        let tables = self.view.in_order().iter().map(|run| Lookup::Run(run, bound));
        let (mut asked, mut left) = (Vec::with_capacity(wanted.len()), Vec::new());
        for source in memory.map(Lookup::Memory).chain(tables) {
            if wanted.is_empty() {
                break;
            }
            asked.clear();
            asked.extend(wanted.iter().map(|want| (want.key, want.hash)));
            let found = source.multi_newest(&asked, bound)?;
            let covers = source.has_tombstones();
            for (want, newest) in wanted.drain(..).zip(found) {
                let covered = if covers { source.covering(want.key, bound)? } else { None };
                match answer(newest, covered, bound) {
                    Answer::Open => left.push(want),
                    Answer::Absent => {}
                    Answer::Value(kind, value) => set(want.at, Some(plain_value(kind, value)?)),
                    Answer::Operands => set(want.at, self.get(want.key, bound, folding)?),
                }
            }
            std::mem::swap(&mut wanted, &mut left);
        }
        for (at, first) in again {
            let value = values.get(first).cloned().flatten();
            if let Some(slot) = values.get_mut(at) {
                *slot = value;
            }
        }
        Ok(values)
    }

    /// The keys in the tree's order, each once; and of those that are given again, where they stand
    /// among them and where they stand first.
    fn wanted<'k>(&self, keys: &[&'k [u8]]) -> (Vec<Wanted<'k>>, Vec<(usize, usize)>) {
        let comparator = self.view.version.comparator.as_ref();
        let is_bytewise = comparator.is_bytewise();
        let want = |(at, &key)| {
            let head = if is_bytewise { head_of(key) } else { 0 };
            Wanted { head, key, hash: key_hash(key), at }
        };
        let mut wanted: Vec<Wanted<'_>> = keys.iter().enumerate().map(want).collect();
        wanted.sort_unstable_by(|a, b| {
            let by_key = || comparator.compare(a.key, b.key);
            a.head.cmp(&b.head).then_with(by_key).then(a.at.cmp(&b.at))
        });
        let mut again = Vec::new();
        wanted.dedup_by(|later, first| {
            let is_again = later.hash == first.hash && later.key == first.key;
            if is_again {
                again.push((later.at, first.at));
            }
            is_again
        });
        (wanted, again)
    }
}

impl Lookup<'_> {
    /// For each key and its hash, ascending, what [`newest`](PointSource::newest) says.
    fn multi_newest(&self, keys: &[(&[u8], u64)], bound: SeqNo) -> Result<Vec<Found>, Error> {
        match self {
            Self::Memory(memtable) => {
                let version = |(trailer, value)| Version { trailer, value };
                Ok(keys.iter().map(|(key, _)| memtable.get(key, bound).map(version)).collect())
            }
            Self::Run(run, _) => run.multi_newest(keys, bound),
        }
    }

    /// Whether any key may be covered by a range tombstone here.
    fn has_tombstones(&self) -> bool {
        match self {
            Self::Memory(memtable) => memtable.has_tombstones(),
            Self::Run(run, _) => run.has_tombstones(),
        }
    }
}

/// What a source says that has this version, and this tombstone over the key.
fn answer(newest: Found, covered: Option<SeqNo>, bound: SeqNo) -> Answer {
    match newest {
        Some(Version { trailer, value }) => match (decide(trailer, covered, bound), trailer.kind())
        {
            (Verdict::Shown, EntryKind::Merge) => Answer::Operands,
            (Verdict::Shown, kind) => Answer::Value(kind, value),
            (Verdict::Hidden | Verdict::Unseen, _) => Answer::Absent,
        },
        None if covered.is_some() => Answer::Absent,
        None => Answer::Open,
    }
}
