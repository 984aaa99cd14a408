//! What rate of false positives a blocked Bloom filter has, from first principles.
//!
//! A line that holds `i` keys of `k` probes each has every probe of another key set with
//! probability `(1 − (1 − 1/512)^(ik))^k`. Keys fall into lines at random, so that a line holds `i`
//! of them with the Poisson probability `e^−λ λ^i / i!`, where `λ` is the mean, keys ÷ lines. The
//! rate is the sum of the products. `core` has neither `exp` nor `powi`, hence the arithmetic.

use crate::line::LINE_BITS;

/// Most probes a filter makes per key.
pub(crate) const PROBES_MAX: u8 = 16;

/// Mean keys per line from which a filter is taken to be full: fewer than one bit a key.
const KEYS_PER_LINE_MAX: f64 = 512.0;

/// The expected rate of false positives at a mean of `keys_per_line` and `probes` probes a key.
///
/// 1 when there is less than one bit a key. O(`keys_per_line` × `probes`).
pub(crate) fn false_positive_rate(keys_per_line: f64, probes: u8) -> f64 {
    if !(0.0..=KEYS_PER_LINE_MAX).contains(&keys_per_line) {
        return 1.0;
    }
    // Set bits of a line are counted as if every probe fell anew: what one key leaves unset.
    let unset_by_key = powi(1.0 - 1.0 / f64::from(LINE_BITS), probes);
    let mut unset = 1.0;
    let mut keys_probability = exp_neg(keys_per_line);
    let mut left = 1.0;
    let mut rate = 0.0;
    let mut keys = 0.0;
    // The tail that is left out could add no more than itself.
    while left > 1e-15 && keys < 2.0 * KEYS_PER_LINE_MAX {
        rate += keys_probability * powi(1.0 - unset, probes);
        left -= keys_probability;
        unset *= unset_by_key;
        keys += 1.0;
        keys_probability *= keys_per_line / keys;
    }
    rate
}

/// The fewest probes within 5 % of the best rate that `bits_per_key` can give: each probe costs
/// time, and near the optimum the rate hardly depends on their number.
pub(crate) fn probes_for(bits_per_key: f64) -> u8 {
    let keys_per_line = f64::from(LINE_BITS) / bits_per_key;
    let rate = |probes| false_positive_rate(keys_per_line, probes);
    let best = (1..=PROBES_MAX).map(rate).fold(1.0, f64::min);
    (1..=PROBES_MAX).find(|&probes| rate(probes) <= best * 1.05).unwrap_or(1)
}

fn powi(base: f64, exponent: u8) -> f64 {
    (0..exponent).fold(1.0, |power, _| power * base)
}

/// `e^−x` for `x` in `0..=512`, by its series at `x / 1024` squared ten times.
fn exp_neg(x: f64) -> f64 {
    let small = -x / 1024.0;
    let (mut term, mut sum) = (1.0, 1.0);
    for i in 1..=16u8 {
        term *= small / f64::from(i);
        sum += term;
    }
    (0..10).fold(sum, |power, _| power * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_that_of_the_standard_library() {
        for x in [0.0, 1e-9, 0.5, 1.0, 7.25, 51.2, 170.7, 512.0] {
            let exact = f64::exp(-x);
            assert!((exp_neg(x) - exact).abs() <= 1e-11 * exact, "{x}");
        }
    }

    /// Computed independently, with the full sum and library functions.
    #[test]
    fn known_rates() {
        let known = [
            (1.0, 1, 0.632_120_558_828_557_6),
            (5.0, 3, 0.092_885_447_655_736_89),
            (10.0, 6, 0.009_575_669_482_801_316),
            (16.0, 9, 0.000_825_634_634_521_128_2),
            (32.0, 14, 5.092_590_198_364_168e-6),
        ];
        for (bits_per_key, probes, rate) in known {
            let found = false_positive_rate(512.0 / bits_per_key, probes);
            assert!((found / rate - 1.0).abs() < 1e-6, "{bits_per_key}: {found}");
        }
    }

    #[test]
    fn more_bits_never_make_the_rate_worse_nor_the_probes_fewer() {
        let (mut rate_before, mut probes_before) = (1.0, 0);
        for quarter_bits in 4..=128u8 {
            let bits_per_key = f64::from(quarter_bits) / 4.0;
            let probes = probes_for(bits_per_key);
            let rate = false_positive_rate(512.0 / bits_per_key, probes);
            assert!(probes >= probes_before, "{bits_per_key}");
            assert!(rate < rate_before * 1.05, "{bits_per_key}: {rate} after {rate_before}");
            (rate_before, probes_before) = (rate, probes);
        }
    }

    #[test]
    fn nonsense_is_a_full_filter() {
        for keys_per_line in [f64::NAN, -1.0, 513.0, f64::INFINITY] {
            assert!(false_positive_rate(keys_per_line, 6) >= 1.0);
        }
    }
}
