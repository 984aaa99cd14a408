use super::model::{Change, Model};
use crate::content::Content;

/// Bytes that a disk writes whole or not at all.
pub const SECTOR_LEN: usize = 512;

/// Which of the unsynced changes a crash leaves on the disk.
///
/// A policy is plain data: the same policy at the same moment gives the same image. *Changes* are
/// counted over all files and directories in the order in which they were made, from 0; only those
/// that no sync has covered are counted.
///
/// Whatever the policy says, the rules of the disk hold:
///
/// * What was synced is there.
/// * The states of one name reach the disk in order: it stands for something it has stood for since
///   its directory was synced, and nothing in between is left out.
/// * A rename happens whole: the file has its old name or the new one, never both, and never neither
///   unless the old name was not durable either.
/// * A directory is gone only if everything in it is.
/// * What only a lost directory leads to is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrashPolicy {
    /// None of them.
    LoseAll,
    /// All of them.
    KeepAll,
    /// The first `count`, and no other.
    Prefix {
        /// How many.
        count: usize,
    },
    /// The first `count`, and of the next, a write, what stands in its first `sectors` sectors.
    Torn {
        /// How many are whole.
        count: usize,
        /// How many sectors of the next one are there. Sectors are those of the file, so a write
        /// that begins within one has a short first part.
        sectors: usize,
        /// What the file is behind them.
        tail: Tail,
    },
    /// All but one.
    LoseOne {
        /// Which is lost.
        change: usize,
    },
    /// All of them, but no bytes: names and lengths are there, bytes are what they were, and zero
    /// where the file is longer than it was.
    ZeroData,
    /// Like [`ZeroData`](Self::ZeroData), but where the file is longer than it was it shows what
    /// its blocks had held before: bytes of the file that was last removed or cut, at the same
    /// offsets, and behind those any bytes.
    StaleData,
    /// The changes of names whose bits are set, counted apart from others.
    Names {
        /// Lowest bit first.
        mask: u64,
        /// What happens to every change of bytes.
        data: DataFate,
    },
    /// Each sector of each write, each length and each name by chance; chances differ by seed.
    Random {
        /// Where chance comes from.
        seed: u64,
    },
}

/// What follows the part of a torn write that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing: the file is no longer than that, or than it was.
    Missing,
    /// Old bytes where there were any, zeros behind them; the length is there.
    Zeros,
    /// Old bytes where there were any, whatever the blocks held behind them; the length is there.
    Stale,
}

/// What happens to every unsynced change of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataFate {
    /// Lost.
    Lost,
    /// Kept.
    Kept,
    /// The length is there, the bytes are not.
    Zero,
}

impl CrashPolicy {
    /// Every policy that makes sense for `model`, at most `cap` of them, and as many more random
    /// ones.
    pub(super) fn all(model: &Model, cap: usize, random: usize, seed: u64) -> Vec<Self> {
        let unsynced = model.unsynced();
        if unsynced.is_empty() {
            return vec![Self::LoseAll];
        }
        let mut policies = vec![Self::LoseAll, Self::KeepAll];
        let write = unsynced.iter().rposition(|change| bytes_of(change.change).is_some());
        if write.is_some() {
            policies.extend([Self::ZeroData, Self::StaleData]);
        }
        let certain = policies.len();
        if model.unsynced_names() > 0 && model.unsynced_names() <= NAMES_ENUMERATED {
            policies.extend(model.name_masks().flat_map(|mask| {
                [DataFate::Lost, DataFate::Kept, DataFate::Zero]
                    .map(|data| Self::Names { mask, data })
            }));
        }
        if let Some(count) = write {
            let whole = bytes_of(unsynced[count].change).map_or(0, |(at, b)| parts(at, b).count());
            policies.extend((0..whole).flat_map(|sectors| {
                [Tail::Missing, Tail::Zeros, Tail::Stale].map(|tail| Self::Torn {
                    count,
                    sectors,
                    tail,
                })
            }));
        }
        policies.extend((0..unsynced.len() - 1).map(|change| Self::LoseOne { change }));
        policies.extend((1..unsynced.len()).map(|count| Self::Prefix { count }));

        if policies.len() > cap {
            // Thin out evenly what comes after the certain ones.
            let rest = policies.split_off(certain);
            let room = cap.saturating_sub(certain);
            policies.extend((0..room).map(|i| rest[i * rest.len() / room]));
        }
        let mut dice = Dice(seed);
        policies.extend((0..random).map(|_| Self::Random { seed: dice.next() }));
        policies
    }

    /// What each unsynced change of `model` meets.
    pub(super) fn fates(self, model: &Model) -> Vec<Fate> {
        let dice = &mut Dice(if let Self::Random { seed } = self { seed } else { 0 });
        // How many of eight survive in this image, of names and of bytes.
        let (names_kept, bytes_kept) = (*pick(dice, &[1, 4, 7]), *pick(dice, &[1, 4, 7]));
        let mut names = 0u32..;
        let unsynced = model.unsynced();
        let fates = unsynced.iter().enumerate().map(|(i, unsynced)| {
            let kept_if = |kept| if kept { Fate::Kept } else { Fate::Lost };
            let name = if unsynced.change.is_none() { names.next() } else { None };
            match (self, name) {
                (Self::LoseAll, _) => Fate::Lost,
                (Self::KeepAll, _) | (Self::ZeroData | Self::StaleData, Some(_)) => Fate::Kept,
                (Self::Torn { count, sectors, tail }, _) if i == count => {
                    Fate::Torn { sectors, tail }
                }
                (Self::Prefix { count } | Self::Torn { count, .. }, _) => kept_if(i < count),
                (Self::LoseOne { change }, _) => kept_if(i != change),
                (Self::ZeroData, None) => Fate::Torn { sectors: 0, tail: Tail::Zeros },
                (Self::StaleData, None) => Fate::Torn { sectors: 0, tail: Tail::Stale },
                (Self::Names { mask, .. }, Some(name)) => {
                    kept_if(mask.checked_shr(name).is_some_and(|bits| bits & 1 == 1))
                }
                (Self::Names { data, .. }, None) => match data {
                    DataFate::Lost => Fate::Lost,
                    DataFate::Kept => Fate::Kept,
                    DataFate::Zero => Fate::Torn { sectors: 0, tail: Tail::Zeros },
                },
                (Self::Random { .. }, Some(_)) => kept_if(dice.of_eight(names_kept)),
                (Self::Random { .. }, None) => Fate::Scattered {
                    seed: dice.next(),
                    kept: bytes_kept,
                    tail: *pick(dice, &[Tail::Missing, Tail::Zeros, Tail::Stale]),
                },
            }
        });
        fates.collect()
    }
}

/// Changes of names of which every set is tried. More are left to chance.
const NAMES_ENUMERATED: usize = 6;

/// What happens to one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    Kept,
    /// A write survives in its first sectors. Anything else is kept.
    Torn {
        sectors: usize,
        tail: Tail,
    },
    /// Each sector of a write survives with `kept` chances of eight. Anything else too.
    Scattered {
        seed: u64,
        kept: u64,
        tail: Tail,
    },
}

impl Fate {
    /// Does to `content` what is left of `change`.
    pub(super) fn befall(self, change: &Change, content: &mut Content, stale: &Stale<'_>) {
        let is_kept = match self {
            Self::Lost => false,
            Self::Kept | Self::Torn { .. } => true,
            Self::Scattered { seed, kept, .. } => Dice(seed).of_eight(kept),
        };
        let (offset, bytes, tail) = match (self, change) {
            (
                Self::Torn { tail, .. } | Self::Scattered { tail, .. },
                Change::Write { offset, bytes },
            ) => (*offset, bytes, tail),
            // It was done once to the visible content, so it can be done again.
            _ if is_kept => return change.apply(content).unwrap_or_default(),
            _ => return,
        };
        let mut dice = Dice(if let Self::Scattered { seed, .. } = self { seed } else { 0 });
        let len_before = content.len();
        let mut torn_at = offset;
        for (i, (at, part)) in parts(offset, bytes).enumerate() {
            let survives = match self {
                Self::Torn { sectors, .. } => i < sectors,
                Self::Scattered { kept, .. } => dice.of_eight(kept),
                Self::Lost | Self::Kept => false,
            };
            if survives {
                content.put(at, part);
                torn_at = at + part.len() as u64;
            } else if tail == Tail::Stale {
                // Only blocks that were not the file's before show what they held.
                let end = at + part.len() as u64;
                let fresh = at.max(len_before);
                if fresh < end {
                    let fresh_len = usize::try_from(end - fresh).unwrap_or(0);
                    content.put(fresh, &stale.bytes(fresh, fresh_len));
                }
            }
        }
        let end = offset + bytes.len() as u64;
        let len = match (tail, self) {
            (Tail::Missing, Self::Torn { .. }) if torn_at > offset => torn_at,
            (Tail::Missing, _) => return,
            _ => end,
        };
        // No longer than the visible content was.
        content.grow(len).unwrap_or_default();
    }
}

/// What blocks hold that nobody has written since they were somebody else's.
#[derive(Debug)]
pub(super) struct Stale<'a> {
    pub(super) recycled: Option<&'a Content>,
    pub(super) seed: u64,
}

impl Stale<'_> {
    fn bytes(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let known = self.recycled.map_or(0, |recycled| recycled.read(&mut bytes, offset));
        let mut dice = Dice(self.seed ^ offset);
        bytes[known..].iter_mut().for_each(|byte| *byte = dice.next().to_le_bytes()[0]);
        bytes
    }
}

fn bytes_of(change: Option<&Change>) -> Option<(u64, &[u8])> {
    match change {
        Some(Change::Write { offset, bytes }) => Some((*offset, bytes)),
        _ => None,
    }
}

/// A write cut at the sectors of the file.
fn parts(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let (mut at, mut rest) = (offset, bytes);
    std::iter::from_fn(move || {
        let within = usize::try_from(at % SECTOR_LEN as u64).unwrap_or(0);
        let (part, behind) = rest.split_at(rest.len().min(SECTOR_LEN - within));
        let found = (at, part);
        at += part.len() as u64;
        rest = behind;
        (!part.is_empty()).then_some(found)
    })
}

/// Chance that repeats itself (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// An event with this many chances of eight.
    fn of_eight(&mut self, chances: u64) -> bool {
        self.next() >> 61 < chances
    }
}

fn pick<'a, T>(dice: &mut Dice, choices: &'a [T]) -> &'a T {
    let i = dice.next() % choices.len() as u64;
    &choices[usize::try_from(i).unwrap_or(0)]
}
