use super::{
    COLUMN, Columns, Mixed,
    layer::{self, Layer},
};
use crate::{
    Error,
    input::{in_range, len_u64, take},
};

/// What a ribbon's own fields of the header say, and where in the bytes its layers are.
///
/// # Layout (v1)
///
/// ```text
/// offset  size  field        unit / encoding
///      0     4  magic        b"SFLT"
///      4     1  version      1
///      5     1  kind         2 BuRR filter, 4 retrieval
///      6     1  columns      bits of every answer, 1 to 16
///      7     1  membership   of what the hashes are; zero in a retrieval
///      8     1  extra        starts with one more column, in 1/256; zero if columns is 16
///      9     1  layers       1 to 4
///     10     6  reserved     zero
///     16     8  keys         u64 LE, different hashes, at least 1
///     24     8  seed         u64 LE
///     32    16  starts       4 × u32 LE, 1 to 2^26 for each layer, zero for others
///     48     8  reserved     zero
///     56     8  extractor    u64 LE; zero without prefixes
///     64        layers       one behind the other
///            8  reserved     zero, so that words may be read across the end
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) columns: Columns,
    pub(crate) seed: u64,
    /// In use up to the first without starts.
    pub(crate) layers: [Layer; Self::LAYERS_MAX],
}

impl Shape {
    /// Most layers.
    pub(crate) const LAYERS_MAX: usize = 4;

    /// Bytes behind the last layer.
    pub(crate) const PADDING_LEN: usize = 8;

    /// Lays out layers of so many starts, up to the first of none, from `offset` on.
    pub(crate) fn new(
        columns: Columns,
        seed: u64,
        starts: [u32; Self::LAYERS_MAX],
        offset: u64,
    ) -> Self {
        let mut layers = [Layer::default(); Self::LAYERS_MAX];
        let mut end = offset;
        for (layer, starts) in layers.iter_mut().zip(starts).take_while(|(_, starts)| *starts > 0) {
            *layer = Layer::at(end, starts, columns);
            end = layer.end();
        }
        Self { columns, seed, layers }
    }

    /// Offset behind everything.
    pub(crate) fn end(&self) -> u64 {
        self.layers().last().map_or(0, Layer::end) + len_u64(Self::PADDING_LEN)
    }

    /// The layers there are.
    pub(crate) fn layers(&self) -> impl Iterator<Item = Layer> {
        self.layers.into_iter().take_while(|layer| layer.starts > 0)
    }

    /// The fields at 8 to 16 and at 24 to 56.
    pub(crate) fn encode(&self) -> ([u8; 8], [u8; 32]) {
        let mut front = [0; 8];
        let layers = u8::try_from(self.layers().count()).unwrap_or(u8::MAX);
        for (byte, field) in front.iter_mut().zip([self.columns.extra, layers]) {
            *byte = field;
        }
        let starts = self.layers.into_iter().flat_map(|layer| layer.starts.to_le_bytes());
        let mut back = [0; 32];
        for (byte, field) in back.iter_mut().zip(self.seed.to_le_bytes().into_iter().chain(starts))
        {
            *byte = field;
        }
        (front, back)
    }

    /// Reads and checks every field. `columns` is the field at 6.
    pub(crate) fn decode(
        columns: u8,
        front: [u8; 8],
        back: [u8; 32],
        offset: u64,
    ) -> Result<Self, Error> {
        in_range("columns", columns.into(), 1, Columns::MAX.into())?;
        let [extra, layers, reserved @ ..] = front;
        let extra_max = if columns == Columns::MAX { 0 } else { u8::MAX };
        in_range("extra", extra.into(), 0, extra_max.into())?;
        in_range("layers", layers.into(), 1, 4)?;
        let mut input = &back[..];
        let seed = u64::from_le_bytes(take(&mut input, offset)?);
        let mut starts = [0; Self::LAYERS_MAX];
        for (starts, layer) in starts.iter_mut().zip(0..) {
            *starts = u32::from_le_bytes(take(&mut input, offset)?);
            let (min, max) = if layer < layers { (1, Layer::STARTS_MAX) } else { (0u32, 0) };
            in_range("starts", (*starts).into(), min.into(), max.into())?;
        }
        let reserved = reserved.iter().chain(input).copied().max().unwrap_or(0);
        in_range("reserved", reserved.into(), 0, 0)?;
        Ok(Self::new(Columns { whole: columns, extra }, seed, starts, offset))
    }

    /// The layer that answers for `hash`, the hash as it sees it, and its start there; `None` if
    /// even the last layer has bumped it, which no writer lets happen.
    #[inline]
    fn find(&self, bytes: &[u8], hash: u64) -> Option<(&Layer, usize, Mixed)> {
        let mixed = Mixed::first(hash, self.seed);
        let [first, ..] = &self.layers;
        let start = mixed.start(first.starts);
        if first.is_bumped(bytes, start) {
            self.find_behind(bytes, mixed)
        } else {
            Some((first, start, mixed))
        }
    }

    /// The same behind the first layer, for the few hashes that it bumps.
    #[cold]
    fn find_behind(&self, bytes: &[u8], mut mixed: Mixed) -> Option<(&Layer, usize, Mixed)> {
        for layer in self.layers.iter().skip(1).take_while(|layer| layer.starts > 0) {
            mixed = mixed.next();
            let start = mixed.start(layer.starts);
            if !layer.is_bumped(bytes, start) {
                return Some((layer, start, mixed));
            }
        }
        None
    }

    /// Whether the ribbon answers for `hash` with its fingerprint. So it does if `bytes` are not
    /// those it was parsed from.
    #[inline]
    fn contains_in<const COLUMNS: usize, const WORDS: usize>(
        &self,
        bytes: &[u8],
        hash: u64,
    ) -> bool {
        let Some((layer, start, mixed)) = self.find(bytes, hash) else { return true };
        let coefficients = mixed.coefficients();
        let Some(answer) = layer.answer::<COLUMNS, WORDS>(bytes, start, coefficients) else {
            return true;
        };
        let fingerprint = Mixed::fingerprint(coefficients);
        let masks = Columns { whole: self.columns.whole, extra: 0 }.masks();
        let different = answer.iter().zip(fingerprint).zip(masks);
        let different =
            different.fold(0, |all, ((answer, expected), mask)| all | (answer ^ expected) & mask);
        if different != 0 {
            return false;
        }
        let extra = layer.extra_answer(bytes, start, coefficients);
        extra.is_none_or(|extra| {
            let word = if COLUMNS < 8 { fingerprint[0] } else { fingerprint[1] };
            extra == (word >> (COLUMNS % 8 * 8)) & 1
        })
    }

    /// What the ribbon answers for `hash`; 0 if `bytes` are not those it was parsed from.
    #[inline]
    fn value_in<const COLUMNS: usize, const WORDS: usize>(&self, bytes: &[u8], hash: u64) -> u16 {
        let found = self.find(bytes, hash).and_then(|(layer, start, mixed)| {
            layer.answer::<COLUMNS, WORDS>(bytes, start, mixed.coefficients())
        });
        let masks = self.columns.masks();
        let words = found.into_iter().flatten().zip(masks);
        let bytes = words.map(|(word, mask)| gather(word & mask)).zip([0, 8]);
        bytes.fold(0, |value, (byte, shift)| value | u16::from(byte) << shift)
    }
}

/// Hashes whose bytes are on their way at once.
const AT_ONCE: usize = 16;

/// Calls a method that is compiled for each number of columns.
macro_rules! for_columns {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self.columns.whole {
            1 => $self.$method::<1, 1>($($argument),*),
            2 => $self.$method::<2, 1>($($argument),*),
            3 => $self.$method::<3, 1>($($argument),*),
            4 => $self.$method::<4, 1>($($argument),*),
            5 => $self.$method::<5, 1>($($argument),*),
            6 => $self.$method::<6, 1>($($argument),*),
            7 => $self.$method::<7, 1>($($argument),*),
            8 => $self.$method::<8, 1>($($argument),*),
            9 => $self.$method::<9, 2>($($argument),*),
            10 => $self.$method::<10, 2>($($argument),*),
            11 => $self.$method::<11, 2>($($argument),*),
            12 => $self.$method::<12, 2>($($argument),*),
            13 => $self.$method::<13, 2>($($argument),*),
            14 => $self.$method::<14, 2>($($argument),*),
            15 => $self.$method::<15, 2>($($argument),*),
            _ => $self.$method::<16, 2>($($argument),*),
        }
    };
}

impl Shape {
    /// Whether `hash` may have been added.
    // Not in line, where the registers it needs would be saved for probes of other kinds too.
    #[inline(never)]
    pub(crate) fn contains(&self, bytes: &[u8], hash: u64) -> bool {
        for_columns!(self.contains_in(bytes, hash))
    }

    /// Answers for each hash.
    pub(crate) fn contains_each(&self, bytes: &[u8], hashes: &[u64], answers: &mut [bool]) {
        for_columns!(self.contains_each_in(bytes, hashes, answers));
    }

    fn contains_each_in<const COLUMNS: usize, const WORDS: usize>(
        &self,
        bytes: &[u8],
        hashes: &[u64],
        answers: &mut [bool],
    ) {
        for (hashes, answers) in hashes.chunks(AT_ONCE).zip(answers.chunks_mut(AT_ONCE)) {
            for &hash in hashes {
                self.prefetch(bytes, hash);
            }
            for (&hash, answer) in hashes.iter().zip(answers) {
                *answer = self.contains_in::<COLUMNS, WORDS>(bytes, hash);
            }
        }
    }

    /// Asks for what a probe for `hash` would most likely read, and waits for none of it.
    #[inline]
    pub(crate) fn prefetch(&self, bytes: &[u8], hash: u64) {
        let [first, ..] = &self.layers;
        let start = Mixed::first(hash, self.seed).start(first.starts);
        first.prefetch(bytes, start, self.columns.whole.into());
    }

    /// The value that was added with `hash`.
    #[inline]
    pub(crate) fn value(&self, bytes: &[u8], hash: u64) -> u16 {
        for_columns!(self.value_in(bytes, hash))
    }
}

/// The lowest bit of each byte, side by side.
#[inline]
fn gather(word: u64) -> u8 {
    let [.., gathered] = (word & COLUMN).wrapping_mul(0x0102_0408_1020_4080).to_le_bytes();
    gathered
}

/// The opposite of [`gather`].
#[inline]
pub(crate) fn scatter(byte: u8) -> u64 {
    let marked = u64::from(byte).wrapping_mul(COLUMN) & 0x8040_2010_0804_0201;
    (marked + 0x7f7f_7f7f_7f7f_7f7f) >> 7 & COLUMN
}

/// Rows that `starts` starts look at, as a number of things in memory.
pub(crate) fn rows_of(starts: u32) -> usize {
    usize::try_from(layer::rows(starts)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_scattered_are_gathered_again() {
        for byte in 0..=u8::MAX {
            assert_eq!(scatter(byte) & !COLUMN, 0);
            assert_eq!(gather(scatter(byte)), byte);
        }
    }
}
