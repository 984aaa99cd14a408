use crate::{Error, line::LINE_BITS, rate};

/// How large a filter is, or how often it may be wrong.
///
/// Ten bits per key, the default, are wrong about one absent key in a hundred.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FilterSpec {
    /// This many bits for each key, [`BITS_PER_KEY_MIN`](Self::BITS_PER_KEY_MIN) to
    /// [`BITS_PER_KEY_MAX`](Self::BITS_PER_KEY_MAX); fractions count.
    BitsPerKey(f64),
    /// As many bits as it takes to be wrong about no more than this share of absent keys,
    /// [`RATE_MIN`](Self::RATE_MIN) to [`RATE_MAX`](Self::RATE_MAX).
    FalsePositiveRate(f64),
}

impl FilterSpec {
    /// Bits per key unless chosen otherwise.
    pub const BITS_PER_KEY_DEFAULT: f64 = 10.0;
    /// Fewest bits per key.
    pub const BITS_PER_KEY_MIN: f64 = 1.0;
    /// Most bits per key. More would buy little: probes differ in 32 bits of the hash.
    pub const BITS_PER_KEY_MAX: f64 = 32.0;
    /// Lowest rate that can be asked for; what [`BITS_PER_KEY_MAX`](Self::BITS_PER_KEY_MAX) gives.
    pub const RATE_MIN: f64 = 5.5e-6;
    /// Highest rate that can be asked for.
    pub const RATE_MAX: f64 = 0.5;

    /// Checks the range.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSpec`], with the value and what would be accepted.
    pub fn validate(self) -> Result<(), Error> {
        let (field, value, min, max) = match self {
            Self::BitsPerKey(bits) => {
                ("bits per key", bits, Self::BITS_PER_KEY_MIN, Self::BITS_PER_KEY_MAX)
            }
            Self::FalsePositiveRate(rate) => {
                ("false positive rate", rate, Self::RATE_MIN, Self::RATE_MAX)
            }
        };
        if (min..=max).contains(&value) {
            Ok(())
        } else {
            Err(Error::InvalidSpec { field, value, min, max })
        }
    }

    /// The bits per key that this stands for: given, or found as the fewest, in quarters of a bit,
    /// that reach the rate.
    pub fn bits_per_key(self) -> f64 {
        match self {
            Self::BitsPerKey(bits) => within(bits, Self::BITS_PER_KEY_MIN, Self::BITS_PER_KEY_MAX),
            Self::FalsePositiveRate(rate) => {
                bits_for_rate(within(rate, Self::RATE_MIN, Self::RATE_MAX))
            }
        }
    }

    /// The share of absent keys a filter of many keys is expected to be wrong about.
    pub fn expected_fpr(self) -> f64 {
        let bits_per_key = self.bits_per_key();
        rate_at(bits_per_key, rate::probes_for(bits_per_key))
    }
}

impl Default for FilterSpec {
    fn default() -> Self {
        Self::BitsPerKey(Self::BITS_PER_KEY_DEFAULT)
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
        let refused = [
            (FilterSpec::BitsPerKey(0.5), "bits per key is 0.5, allowed are 1 to 32"),
            (FilterSpec::BitsPerKey(f64::NAN), "bits per key is NaN, allowed are 1 to 32"),
            (FilterSpec::BitsPerKey(33.0), "bits per key is 33, allowed are 1 to 32"),
            (
                FilterSpec::FalsePositiveRate(0.0),
                "false positive rate is 0, allowed are 0.0000055 to 0.5",
            ),
            (
                FilterSpec::FalsePositiveRate(1.0),
                "false positive rate is 1, allowed are 0.0000055 to 0.5",
            ),
        ];
        for (spec, message) in refused {
            let error = spec.validate().unwrap_err();
            assert!(!error.is_corruption());
            assert_eq!(alloc::string::ToString::to_string(&error), message);
        }
        assert_eq!(FilterSpec::default().validate(), Ok(()));
    }

    #[test]
    fn the_rate_asked_for_is_reached_with_the_fewest_bits() {
        for rate in
            [FilterSpec::RATE_MIN, 1e-4, 0.001, 0.004, 0.01, 0.03, 0.1, FilterSpec::RATE_MAX]
        {
            let spec = FilterSpec::FalsePositiveRate(rate);
            let bits = spec.bits_per_key();
            assert_eq!(spec.validate(), Ok(()));
            assert!(spec.expected_fpr() <= rate, "{rate}: {bits}");
            let fewer = FilterSpec::BitsPerKey(bits - 0.25);
            assert!(fewer.expected_fpr() > rate, "{rate}: {bits} bits are more than needed");
        }
    }

    #[test]
    fn what_was_not_validated_is_moved_into_range() {
        assert!((FilterSpec::BitsPerKey(f64::NAN).bits_per_key() - 1.0).abs() < 1e-9);
        assert!((FilterSpec::BitsPerKey(f64::INFINITY).bits_per_key() - 32.0).abs() < 1e-9);
        assert!(FilterSpec::FalsePositiveRate(-1.0).bits_per_key() <= 32.0);
    }
}
