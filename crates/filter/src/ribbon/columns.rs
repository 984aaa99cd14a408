use super::COLUMN;

/// How many bits a ribbon answers with.
///
/// A fraction of the starts, the first ones of each layer, may have one column more than the rest,
/// so that the size of a filter can be chosen more finely than by whole bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    /// Columns that all starts have, 1 to [`MAX`](Self::MAX).
    pub(crate) whole: u8,
    /// Starts with one more, in units of 1/256.
    pub(crate) extra: u8,
}

impl Columns {
    /// Most columns, an extra one included.
    pub(crate) const MAX: u8 = 16;

    /// Slots per hash, and what thresholds and the last layer add, of large filters.
    const OVERHEAD: f64 = 1.021;

    /// As many as take up `bits_per_key`, but at least one.
    pub(crate) fn for_bits(bits_per_key: f64) -> Self {
        Self::nearest(bits_per_key / Self::OVERHEAD)
    }

    /// As few as it takes for a filter to be wrong about no more than `rate` of absent keys.
    pub(crate) fn for_rate(rate: f64) -> Self {
        let (mut whole, mut rate_of_whole) = (1, 0.5);
        while whole < Self::MAX && rate_of_whole / 2.0 >= rate {
            whole += 1;
            rate_of_whole /= 2.0;
        }
        if rate_of_whole <= rate {
            return Self { whole, extra: 0 };
        }
        let extra = (0..=u8::MAX).find(|&extra| Self { whole, extra }.rate() <= rate);
        match extra {
            Some(extra) if whole < Self::MAX => Self { whole, extra },
            _ => Self { whole: (whole + 1).min(Self::MAX), extra: 0 },
        }
    }

    /// Of `columns`, rounded down to what there can be.
    fn nearest(columns: f64) -> Self {
        let max = f64::from(Self::MAX);
        let columns = if columns >= 1.0 { columns.min(max) } else { 1.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "columns are between 1 and 16, the fraction below 256"
        )]
        let (whole, extra) = (columns as u8, (columns % 1.0 * 256.0) as u8);
        Self { whole, extra }
    }

    /// The share of absent keys that a filter is wrong about: each bit more halves it.
    pub(crate) fn rate(self) -> f64 {
        let rate = (0..self.whole).fold(1.0, |rate, _| rate / 2.0);
        rate * (1.0 - f64::from(self.extra) / 512.0)
    }

    /// Bits per key of a large filter.
    pub(crate) fn bits_per_key(self) -> f64 {
        (f64::from(self.whole) + f64::from(self.extra) / 256.0) * Self::OVERHEAD
    }

    /// Bytes that layers for so many hashes are expected to take.
    pub(crate) fn expected_len(self, hashes: usize) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an estimate, of what fits in memory, and saturating"
        )]
        let len = (hashes as f64 * self.bits_per_key() / 8.0) as usize;
        len
    }

    /// All columns, the extra one included.
    pub(crate) fn count(self) -> u8 {
        self.whole + u8::from(self.extra > 0)
    }

    /// Starts, of `starts`, that have the extra column.
    pub(crate) fn wide_starts(self, starts: u32) -> u32 {
        let wide = (u64::from(starts) * u64::from(self.extra)).div_ceil(256);
        u32::try_from(wide).unwrap_or(u32::MAX)
    }

    /// The bits of the columns in the two words they come in.
    pub(crate) fn masks(self) -> [u64; 2] {
        let mask = |columns: u8| match columns {
            8.. => COLUMN,
            columns => COLUMN & ((1 << (8 * columns)) - 1),
        };
        [mask(self.count()), mask(self.count().saturating_sub(8))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_asked_for_is_reached_with_the_fewest_columns() {
        for rate in [0.5, 0.4, 0.26, 0.25, 0.01, 0.0039, 1e-3, 1.53e-5] {
            let columns = Columns::for_rate(rate);
            assert!(columns.rate() <= rate, "{rate}: {columns:?}");
            let fewer = match columns {
                Columns { whole, extra: 0 } => Columns { whole: whole - 1, extra: 255 },
                Columns { whole, extra } => Columns { whole, extra: extra - 1 },
            };
            assert!(fewer.rate() > rate, "{rate}: {columns:?} is more than needed");
        }
    }

    #[test]
    fn bits_are_used_up_and_not_exceeded() {
        for quarters in 5..=64u8 {
            let bits = f64::from(quarters) / 4.0;
            let columns = Columns::for_bits(bits);
            assert!(columns.count() <= Columns::MAX);
            assert!((bits - 0.01..=bits).contains(&columns.bits_per_key()), "{bits}: {columns:?}");
        }
        assert_eq!(Columns::for_bits(f64::NAN), Columns { whole: 1, extra: 0 });
        assert_eq!(Columns::for_bits(40.0), Columns { whole: 16, extra: 0 });
    }

    #[test]
    fn masks_have_a_bit_for_each_column() {
        for whole in 1..=Columns::MAX {
            let [low, high] = Columns { whole, extra: 0 }.masks();
            assert_eq!(low.count_ones() + high.count_ones(), whole.into());
            assert_eq!((low | high) & !COLUMN, 0);
        }
    }
}
