//! Building all layers.

use alloc::vec::Vec;

use super::{
    Columns, Mixed, Shape, WINDOW_ROWS,
    elimination::{Equation, Fate, System},
    layer::{BUCKET_STARTS, Layer, step_of},
    shape::rows_of,
};
use crate::{header::Header, input::len_u64};

/// Something to be answered for.
pub(crate) trait Entry: Copy + Ord {
    /// Its hash as the present layer sees it. Entries are ordered by it first.
    fn mixed(self) -> Mixed;

    /// The same under the hash as another layer sees it.
    fn with_mixed(self, mixed: Mixed) -> Self;

    /// The answer, one bit a column, eight columns a word.
    fn result(self, coefficients: u64) -> [u64; 2];
}

/// Entries that go to the last layer if nothing was bumped to it: a layer ends in half-filled rows.
const ONLY_LAYER_ENTRIES: usize = 512;

/// Bumped entries that go to the last layer: the room it has to have is little for them all.
const LAST_LAYER_ENTRIES: usize = 8192;

/// Slots of a layer that is not the last, per hundred entries. With fewer, more is bumped, and
/// elimination takes longer.
const SLOTS_PERCENT: usize = 101;

/// Rows that are solved together, of a layer that is not the last: 2 MiB of equations, or up to twice
/// that. A few dozen slots stay empty where two parts meet, one in two thousand.
const PART_ROWS: usize = 16_384;

/// What is tried for the last layer, in slots per hundred entries.
const LAST_SLOTS_PERCENT: [usize; 6] = [100, 105, 110, 120, 150, 200];

/// Seeds that are tried. One failure is hardly ever seen.
const SEEDS: u64 = 8;

/// Bytes that a small filter may be longer than expected: a layer has seven rows behind its last start.
const LEN_UNEXPECTED: usize = 512;

/// Appends header and layers to `out`, for the `entries` that there are under a seed, sorted and
/// different. `false`, and nothing appended, if no seed gives layers that satisfy them.
pub(crate) fn write<E: Entry>(
    columns: Columns,
    entries: impl Fn(u64) -> Vec<E>,
    header: impl Fn(u64, Shape) -> Header,
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    for attempt in 0..SEEDS {
        let seed = attempt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let entries = entries(seed);
        let keys = len_u64(entries.len());
        out.reserve(Header::LEN + columns.expected_len(entries.len()) + LEN_UNEXPECTED);
        out.extend_from_slice(&[0; Header::LEN]);
        if let Some(shape) = layers(entries, columns, seed, out)
            && let Some(target) = out.get_mut(start..start + Header::LEN)
        {
            target.copy_from_slice(&header(keys, shape).encode());
            return true;
        }
        out.truncate(start);
    }
    false
}

/// Appends the layers for `entries` to `out`, and says where they are; `None` if the last layer
/// cannot satisfy them, however much room it gets.
fn layers<E: Entry>(
    entries: Vec<E>,
    columns: Columns,
    seed: u64,
    out: &mut Vec<u8>,
) -> Option<Shape> {
    if columns.count() <= 8 {
        layers_in::<E, 1>(entries, columns, seed, out)
    } else {
        layers_in::<E, 2>(entries, columns, seed, out)
    }
}

fn layers_in<E: Entry, const WORDS: usize>(
    mut entries: Vec<E>,
    columns: Columns,
    seed: u64,
    out: &mut Vec<u8>,
) -> Option<Shape> {
    let origin = len_u64(Header::LEN);
    let mut offset = origin;
    let mut all_starts = [0; Shape::LAYERS_MAX];
    let mut builder = LayerBuilder::<E, WORDS>::new(columns);
    for (index, starts) in all_starts.iter_mut().enumerate() {
        let entries_max = if index == 0 { ONLY_LAYER_ENTRIES } else { LAST_LAYER_ENTRIES };
        let is_last = entries.len() <= entries_max || index + 1 == Shape::LAYERS_MAX;
        let (attempts, part_rows) = if is_last {
            (&LAST_SLOTS_PERCENT[..], usize::MAX)
        } else {
            (&[SLOTS_PERCENT][..], PART_ROWS)
        };
        let start = out.len();
        for &percent in attempts {
            *starts = starts_for(entries.len(), percent)?;
            out.truncate(start);
            builder.write(Layer::at(offset, *starts, columns), &entries, part_rows, out)?;
            if builder.bumped.is_empty() {
                break;
            }
        }
        if builder.bumped.is_empty() {
            break;
        }
        if is_last {
            return None;
        }
        offset = Layer::at(offset, *starts, columns).end();
        entries.clear();
        let bumped = builder.bumped.drain(..);
        entries.extend(bumped.map(|entry| entry.with_mixed(entry.mixed().next())));
        entries.sort_unstable();
    }
    out.extend_from_slice(&[0; Shape::PADDING_LEN]);
    Some(Shape::new(columns, seed, all_starts, origin))
}

/// Starts of a layer with so many slots per hundred entries; `None` if they are too many.
fn starts_for(entries: usize, percent: usize) -> Option<u32> {
    // Rows behind the last start belong to the layer too.
    let rows = entries.checked_mul(percent)?.div_ceil(800);
    let starts = u32::try_from(rows.saturating_sub(7).max(1)).ok()?;
    (starts <= Layer::STARTS_MAX).then_some(starts)
}

/// Builds one layer after the other.
struct LayerBuilder<E, const WORDS: usize> {
    columns: Columns,
    system: System<WORDS>,
    /// Slots of the equations that share the present step of a threshold.
    slots: Vec<usize>,
    /// What the layer gives up.
    bumped: Vec<E>,
}

impl<E: Entry, const WORDS: usize> LayerBuilder<E, WORDS> {
    fn new(columns: Columns) -> Self {
        Self { columns, system: System::new(), slots: Vec::new(), bumped: Vec::new() }
    }

    /// Appends a layer for `entries`, sorted, part by part from its end. `None` if there is not so
    /// much memory to address.
    ///
    /// Equations of one part are held in its own rows. So a part is solved as soon as those behind it
    /// are, and only one part of the equations need be in memory, and in the nearer caches.
    fn write(
        &mut self,
        layer: Layer,
        mut entries: &[E],
        part_rows: usize,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        self.bumped.clear();
        let start = out.len();
        let rows_len = usize::try_from(layer.extra_at() - layer.rows_at).ok()?;
        let thresholds_at = usize::try_from(layer.thresholds_at - layer.rows_at).ok()?;
        let len = usize::try_from(layer.end() - layer.rows_at).ok()?;
        out.resize(start + len, 0);
        let (bits, thresholds) = out.get_mut(start..)?.split_at_mut_checked(thresholds_at)?;
        let (rows, extra) = bits.split_at_mut_checked(rows_len)?;

        let mut target = Target { rows, extra, columns: self.columns.whole.into() };
        let mut window = [[0; WINDOW_ROWS]; WORDS];
        let mut end = rows_of(layer.starts);
        for part in (0..(layer.starts as usize / part_rows).max(1)).rev() {
            let base = part * part_rows;
            let first = entries.partition_point(|entry| entry.mixed().start(layer.starts) < base);
            let (before, of_part) = entries.split_at_checked(first)?;
            entries = before;
            self.system.clear(end - base);
            self.fill(of_part, base, layer.starts, thresholds);
            self.system.solve(&mut window, |row, words| target.put(base + row, words));
            end = base;
        }
        Some(())
    }

    /// Adds the equations of `entries`, sorted, which start from row `base` on, bucket by bucket from
    /// the first, and within a bucket from its end: what fails, and what stands before it, is bumped.
    fn fill(&mut self, entries: &[E], base: usize, starts: u32, thresholds: &mut [u8]) {
        let bucket_of = |entry: &E| entry.mixed().start(starts) / BUCKET_STARTS;
        for entries in entries.chunk_by(|a, b| bucket_of(a) == bucket_of(b)) {
            let threshold = self.fill_bucket(entries, base, starts);
            if threshold == 0 {
                continue;
            }
            let before = |entry: &&E| step_of(entry.mixed().start(starts)) < threshold.into();
            self.bumped.extend(entries.iter().take_while(before));
            let bucket = entries.first().map_or(0, bucket_of);
            if let Some(byte) = thresholds.get_mut(bucket / 2) {
                *byte |= threshold << (bucket % 2 * 4);
            }
        }
    }

    /// Adds the equations of a bucket. The threshold, 0 if all of them hold.
    fn fill_bucket(&mut self, entries: &[E], base: usize, starts: u32) -> u8 {
        let masks = self.columns.masks();
        let mut step = usize::MAX;
        for entry in entries.iter().rev() {
            let start = entry.mixed().start(starts);
            if step_of(start) != step {
                step = step_of(start);
                self.slots.clear();
            }
            let coefficients = entry.mixed().coefficients();
            let mut result = [0; WORDS];
            for ((word, full), mask) in result.iter_mut().zip(entry.result(coefficients)).zip(masks)
            {
                *word = full & mask;
            }
            match self.system.add(start.saturating_sub(base), Equation { coefficients, result }) {
                Fate::Held(slot) => self.slots.push(slot),
                Fate::Redundant => {}
                Fate::Contradicts => {
                    // What shares the step is bumped with it.
                    for slot in self.slots.drain(..) {
                        self.system.take_back(slot);
                    }
                    return u8::try_from(step + 1).unwrap_or(u8::MAX);
                }
            }
        }
        0
    }
}

/// Where the bits of rows go.
struct Target<'a> {
    rows: &'a mut [u8],
    extra: &'a mut [u8],
    columns: usize,
}

impl Target<'_> {
    fn put<const WORDS: usize>(&mut self, row: usize, words: [u64; WORDS]) {
        let bytes = words.map(u64::to_le_bytes);
        let bytes = bytes.as_flattened();
        let range = row * self.columns..(row + 1) * self.columns;
        if let (Some(target), Some(source)) = (self.rows.get_mut(range), bytes.get(..self.columns))
        {
            target.copy_from_slice(source);
        }
        if let (Some(target), Some(&source)) = (self.extra.get_mut(row), bytes.get(self.columns)) {
            *target = source;
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{
        Membership,
        header::{Answers, Body},
    };

    /// A hash with an answer; two of one hash may be made to contradict each other.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    struct Answered(Mixed, u8);

    impl Entry for Answered {
        fn mixed(self) -> Mixed {
            self.0
        }

        fn with_mixed(self, mixed: Mixed) -> Self {
            Self(mixed, self.1)
        }

        fn result(self, _coefficients: u64) -> [u64; 2] {
            [self.1.into(), 0]
        }
    }

    const COLUMNS: Columns = Columns { whole: 1, extra: 0 };

    fn header(keys: u64, shape: Shape) -> Header {
        Header {
            membership: Membership::WholeKeys,
            keys,
            body: Body::Ribbon(Answers::Values, shape),
        }
    }

    fn seed_of(bytes: &[u8]) -> u64 {
        match Header::decode(bytes).unwrap().body {
            Body::Ribbon(_, shape) => shape.seed,
            other @ Body::BlockedBloom(_) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_no_seed_suits_is_not_written() {
        let contradiction = |seed| {
            let mixed = Mixed::first(7, seed);
            vec![Answered(mixed, 0), Answered(mixed, 1)]
        };
        let mut out = b"before".to_vec();
        assert!(!write(COLUMNS, contradiction, header, &mut out));
        assert_eq!(out, b"before");
    }

    #[test]
    fn what_one_seed_does_not_suit_another_may() {
        let contradiction_at_first = |seed| {
            let mixed = Mixed::first(7, seed);
            vec![Answered(mixed, 0), Answered(mixed, u8::from(seed == 0))]
        };
        let mut out = Vec::new();
        assert!(write(COLUMNS, contradiction_at_first, header, &mut out));
        assert_ne!(seed_of(&out), 0);
    }

    /// Hashes that all start within a fiftieth of the first layer, which has to bump nearly all.
    #[test]
    fn entries_that_crowd_are_answered_for_by_further_layers() {
        let starts_early = |hash: &u64| Mixed::first(*hash, 0).start(1000) < 20;
        let crowd: Vec<u64> = (0..400_000).filter(starts_early).collect();
        let entries = |seed| {
            let entry = |&hash: &u64| Answered(Mixed::first(hash, seed), u8::from(hash % 3 == 0));
            let mut entries: Vec<_> = crowd.iter().map(entry).collect();
            entries.sort_unstable();
            entries
        };
        let mut out = Vec::new();
        assert!(write(COLUMNS, entries, header, &mut out));
        assert_eq!(seed_of(&out), 0);
        let Body::Ribbon(_, shape) = Header::decode(&out).unwrap().body else {
            panic!("not a filter")
        };
        let starts: Vec<u32> = shape.layers().map(|layer| layer.starts).collect();
        assert!(starts.len() > 1 && starts[1] > starts[0] / 2, "{starts:?}");
        for &hash in &crowd {
            assert_eq!(shape.value(&out, hash), u16::from(hash % 3 == 0), "{hash}");
        }
    }
}
