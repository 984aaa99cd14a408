use crate::{Error, FilterKind, line::LINE_BITS, rate, ribbon::Columns};

/// What filter to build: how it works, and how large it is or how often it may be wrong.
///
/// Ten bits per key in a blocked Bloom filter, the default, are wrong about one absent key in a
/// hundred.
///
/// ```
/// use stratal_filter::{FilterKind, FilterSize, FilterSpec};
///
/// let upper = FilterSpec::from(FilterSize::BitsPerKey(12.0));
/// let last = FilterSpec { kind: FilterKind::Burr, size: FilterSize::FalsePositiveRate(0.004) };
/// assert!(last.bits_per_key() < 8.2);
/// assert!((upper.expected_fpr() - 0.004).abs() < 0.0002);
/// # upper.validate()?;
/// # last.validate()?;
/// # Ok::<(), stratal_filter::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FilterSpec {
    /// How the filter works. Default blocked Bloom.
    pub kind: FilterKind,
    /// How large it is. Default 10 bits per key.
    pub size: FilterSize,
}

/// How large a filter is, or how often it may be wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FilterSize {
    /// This many bits for each key, [`BITS_PER_KEY_MIN`](FilterSpec::BITS_PER_KEY_MIN) to
    /// [`bits_per_key_max`](FilterSpec::bits_per_key_max); fractions count.
    BitsPerKey(f64),
    /// As many bits as it takes to be wrong about no more than this share of absent keys,
    /// [`rate_min`](FilterSpec::rate_min) to [`RATE_MAX`](FilterSpec::RATE_MAX).
    FalsePositiveRate(f64),
}

impl Default for FilterSize {
    fn default() -> Self {
        Self::BitsPerKey(FilterSpec::BITS_PER_KEY_DEFAULT)
    }
}

impl From<FilterSize> for FilterSpec {
    /// A blocked Bloom filter of this size.
    fn from(size: FilterSize) -> Self {
        Self { kind: FilterKind::default(), size }
    }
}

impl Default for FilterSpec {
    fn default() -> Self {
        FilterSize::default().into()
    }
}

impl FilterSpec {
    /// Bits per key unless chosen otherwise.
    pub const BITS_PER_KEY_DEFAULT: f64 = 10.0;
    /// Fewest bits per key. A BuRR filter takes a little more, 1.02, for the one bit it has at least.
    pub const BITS_PER_KEY_MIN: f64 = 1.0;
    /// Highest rate that can be asked for.
    pub const RATE_MAX: f64 = 0.5;

    /// Most bits per key: 32 for a blocked Bloom filter, whose probes differ in 32 bits of the hash;
    /// 17 for a BuRR filter, whose answers have at most 16 bits.
    pub const fn bits_per_key_max(kind: FilterKind) -> f64 {
        match kind {
            FilterKind::BlockedBloom => 32.0,
            FilterKind::Burr => 17.0,
        }
    }

    /// Lowest rate that can be asked for: what the most bits give.
    pub const fn rate_min(kind: FilterKind) -> f64 {
        match kind {
            FilterKind::BlockedBloom => 5.5e-6,
            FilterKind::Burr => 1.6e-5,
        }
    }

    /// Checks the range.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSpec`], with the value and what would be accepted.
    pub fn validate(self) -> Result<(), Error> {
        let (field, value, min, max) = match self.size {
            FilterSize::BitsPerKey(bits) => {
                let max = Self::bits_per_key_max(self.kind);
                ("bits per key", bits, Self::BITS_PER_KEY_MIN, max)
            }
            FilterSize::FalsePositiveRate(rate) => {
                ("false positive rate", rate, Self::rate_min(self.kind), Self::RATE_MAX)
            }
        };
        if (min..=max).contains(&value) {
            Ok(())
        } else {
            Err(Error::InvalidSpec { field, value, min, max })
        }
    }

    /// The bits per key that this stands for in a large filter: given, or found as the fewest that
    /// reach the rate, in quarters of a bit for a blocked Bloom filter and in 1/256 for a BuRR filter.
    pub fn bits_per_key(self) -> f64 {
        match (self.kind, self.size) {
            (FilterKind::Burr, _) => self.columns().bits_per_key(),
            (kind, FilterSize::BitsPerKey(bits)) => {
                within(bits, Self::BITS_PER_KEY_MIN, Self::bits_per_key_max(kind))
            }
            (kind, FilterSize::FalsePositiveRate(rate)) => {
                bits_for_rate(within(rate, Self::rate_min(kind), Self::RATE_MAX))
            }
        }
    }

    /// The share of absent keys a filter of many keys is expected to be wrong about.
    pub fn expected_fpr(self) -> f64 {
        match self.kind {
            FilterKind::Burr => self.columns().rate(),
            FilterKind::BlockedBloom => {
                let bits_per_key = self.bits_per_key();
                rate_at(bits_per_key, rate::probes_for(bits_per_key))
            }
        }
    }

    /// The columns of a BuRR filter.
    pub(crate) fn columns(self) -> Columns {
        match self.size {
            FilterSize::BitsPerKey(bits) => Columns::for_bits(bits),
            FilterSize::FalsePositiveRate(rate) => {
                Columns::for_rate(within(rate, Self::rate_min(FilterKind::Burr), Self::RATE_MAX))
            }
        }
    }
}

/// `value`, or the nearest bound; the lower one for what is no number.
fn within(value: f64, min: f64, max: f64) -> f64 {
    if value >= min { value.min(max) } else { min }
}

fn rate_at(bits_per_key: f64, probes: u8) -> f64 {
    rate::false_positive_rate(f64::from(LINE_BITS) / bits_per_key, probes)
}

fn bits_for_rate(rate: f64) -> f64 {
    let bits = |quarters: u8| f64::from(quarters) / 4.0;
    let (mut too_few, mut enough) = (3, 128);
    while enough - too_few > 1 {
        let middle = u8::midpoint(too_few, enough);
        let bits_per_key = bits(middle);
        if rate_at(bits_per_key, rate::probes_for(bits_per_key)) <= rate {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    bits(enough)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_refused_with_the_range() {
        use FilterKind::{BlockedBloom, Burr};
        use FilterSize::{BitsPerKey, FalsePositiveRate};
        let refused = [
            (BlockedBloom, BitsPerKey(0.5), "bits per key is 0.5, allowed are 1 to 32"),
            (BlockedBloom, BitsPerKey(f64::NAN), "bits per key is NaN, allowed are 1 to 32"),
            (BlockedBloom, BitsPerKey(33.0), "bits per key is 33, allowed are 1 to 32"),
            (Burr, BitsPerKey(17.5), "bits per key is 17.5, allowed are 1 to 17"),
            (
                BlockedBloom,
                FalsePositiveRate(0.0),
                "false positive rate is 0, allowed are 0.0000055 to 0.5",
            ),
            (
                Burr,
                FalsePositiveRate(1e-5),
                "false positive rate is 0.00001, allowed are 0.000016 to 0.5",
            ),
            (
                BlockedBloom,
                FalsePositiveRate(1.0),
                "false positive rate is 1, allowed are 0.0000055 to 0.5",
            ),
        ];
        for (kind, size, message) in refused {
            let error = FilterSpec { kind, size }.validate().unwrap_err();
            assert!(!error.is_corruption());
            assert_eq!(alloc::string::ToString::to_string(&error), message);
        }
        assert_eq!(FilterSpec::default().validate(), Ok(()));
    }

    #[test]
    fn the_rate_asked_for_is_reached_with_the_fewest_bits() {
        for (kind, step) in [(FilterKind::BlockedBloom, 0.25), (FilterKind::Burr, 0.005)] {
            let rate_min = FilterSpec::rate_min(kind);
            for rate in [rate_min, 1e-4, 0.001, 0.004, 0.01, 0.03, 0.1, FilterSpec::RATE_MAX] {
                let spec = FilterSpec { kind, size: FilterSize::FalsePositiveRate(rate) };
                let bits = spec.bits_per_key();
                assert_eq!(spec.validate(), Ok(()));
                assert!(spec.expected_fpr() <= rate, "{rate}: {bits}");
                let fewer = FilterSpec { kind, size: FilterSize::BitsPerKey(bits - step) };
                let too_many = fewer.expected_fpr() <= rate && bits > 1.1;
                assert!(!too_many, "{rate}: {bits} bits are more than needed");
            }
        }
    }

    #[test]
    fn what_was_not_validated_is_moved_into_range() {
        for kind in FilterKind::ALL {
            let bits = |size| FilterSpec { kind, size }.bits_per_key();
            assert!((bits(FilterSize::BitsPerKey(f64::NAN)) - 1.0).abs() < 0.03);
            let most = bits(FilterSize::BitsPerKey(f64::INFINITY));
            assert!((most - FilterSpec::bits_per_key_max(kind)).abs() < 1.0);
            assert!(bits(FilterSize::FalsePositiveRate(-1.0)) <= most);
        }
    }
}
