/// What a level holds that reads ask filters about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelKeys {
    /// Runs, each of which has a filter to be asked.
    pub runs: u64,
    /// Keys in all of them.
    pub keys: u64,
}

/// Spreads `budget` bits over the filters of a tree so that a read of an absent key expects the
/// fewest false answers. Returns bits per key by level, 0 to `bits_max`.
///
/// A filter's rate falls by the same factor with every bit per key, so a bit is worth most where it
/// is bought for few keys: at the least sum of rates each rate is proportional to the keys of a run.
/// Short levels get long filters, and the last level, which holds nearly all keys, does not get what
/// would be taken from all others for little. With levels that grow by a constant ratio the expected
/// number of false answers then no longer depends on how many levels there are.
///
/// O(levels), times 64 halvings.
///
/// ```
/// use stratal_compaction::plan::{LevelKeys, filter_bits};
///
/// let level = |keys| LevelKeys { runs: 1, keys };
/// let levels = [level(1_000), level(10_000), level(100_000)];
/// let bits = filter_bits(&levels, 10.0 * 111_000.0, 32.0);
/// assert!(bits[0] > 18.0 && bits[2] < 9.8, "{bits:?}");
/// let spent: f64 = bits.iter().zip(levels).map(|(bits, level)| bits * level.keys as f64).sum();
/// assert!((spent / 1_110_000.0 - 1.0).abs() < 1e-6, "all of the budget, and no more");
/// ```
pub fn filter_bits(levels: &[LevelKeys], budget: f64, bits_max: f64) -> Vec<f64> {
    let bits = |scale: f64| -> Vec<f64> {
        levels.iter().map(|level| bits_for(level.keys_per_run() * scale, bits_max)).collect()
    };
    let cost = |bits: &[f64]| -> f64 {
        bits.iter().zip(levels).map(|(bits, level)| bits * as_float(level.keys)).sum()
    };
    // The rate is `scale` times the keys of a run. By its logarithm, from so low that every level
    // has all the bits it may to so high that none has any.
    let (mut generous, mut mean) = (-120.0_f64, 1.0_f64);
    for _ in 0..64 {
        let middle = f64::midpoint(generous, mean);
        if cost(&bits(middle.exp())) > budget {
            generous = middle;
        } else {
            mean = middle;
        }
    }
    bits(mean.exp())
}

/// The bits per key at which a Bloom filter is wrong this often.
fn bits_for(rate: f64, bits_max: f64) -> f64 {
    if rate <= 0.0 {
        return bits_max;
    }
    (-rate.ln() / std::f64::consts::LN_2.powi(2)).clamp(0.0, bits_max)
}

impl LevelKeys {
    fn keys_per_run(self) -> f64 {
        as_float(self.keys) / as_float(self.runs.max(1))
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of keys, for shares of a budget")]
fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected false answers of a read of an absent key.
    fn false_answers(levels: &[LevelKeys], bits: &[f64]) -> f64 {
        let rate = |bits: f64| (-bits * std::f64::consts::LN_2.powi(2)).exp();
        bits.iter().zip(levels).map(|(bits, level)| as_float(level.runs) * rate(*bits)).sum()
    }

    fn levels(keys: &[(u64, u64)]) -> Vec<LevelKeys> {
        keys.iter().map(|(runs, keys)| LevelKeys { runs: *runs, keys: *keys }).collect()
    }

    fn spent(levels: &[LevelKeys], bits: &[f64]) -> f64 {
        bits.iter().zip(levels).map(|(bits, level)| bits * as_float(level.keys)).sum()
    }

    #[test]
    fn moving_bits_from_one_level_to_another_gains_nothing() {
        let trees = [
            levels(&[(1, 1000), (1, 10_000), (1, 100_000)]),
            levels(&[(4, 4000), (4, 16_000), (3, 48_000), (1, 500_000)]),
            levels(&[(1, 1), (1, 1_000_000_000)]),
            levels(&[(3, 999), (0, 0), (1, 20_000)]),
        ];
        for levels in trees {
            let keys: f64 = levels.iter().map(|level| as_float(level.keys)).sum();
            for bits_per_key in [0.5, 2.0, 5.0, 10.0, 14.0] {
                let budget = bits_per_key * keys;
                let bits = filter_bits(&levels, budget, 32.0);
                assert!(spent(&levels, &bits) <= budget * 1.000_001, "{levels:?}: {bits:?}");
                let best = false_answers(&levels, &bits);
                let uniform = false_answers(&levels, &vec![bits_per_key; levels.len()]);
                assert!(best <= uniform * 1.000_001, "{levels:?}: {best} and {uniform}");
                for from in 0..levels.len() {
                    for to in 0..levels.len() {
                        if from == to || levels[from].keys == 0 || levels[to].keys == 0 {
                            continue;
                        }
                        let moved = (0.001 * budget).min(bits[from] * as_float(levels[from].keys));
                        let mut other = bits.clone();
                        other[from] -= moved / as_float(levels[from].keys);
                        other[to] += moved / as_float(levels[to].keys);
                        if other[to] <= 32.0 {
                            assert!(false_answers(&levels, &other) >= best * 0.999_999);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_budget_of_nothing_and_one_without_end_are_kept() {
        let levels = levels(&[(1, 10), (4, 1000), (0, 0)]);
        assert_eq!(filter_bits(&levels, 0.0, 32.0)[..2], [0.0, 0.0]);
        assert_eq!(filter_bits(&levels, 1e18, 32.0), [32.0, 32.0, 32.0]);
        assert_eq!(filter_bits(&[], 10.0, 32.0), [0.0; 0]);
    }
}
