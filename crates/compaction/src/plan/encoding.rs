//! Strategies as they are stored. The bytes are normative in the engine's `FORMAT.md`.

use stratal_types::varint;

use super::{
    FifoOptions, LazyLeveledOptions, LeveledOptions, Sizing, StrategyOptions, TieredOptions,
};

/// Kinds on disk. Never renumbered.
mod kind {
    pub(super) const LEVELED: u64 = 1;
    pub(super) const TIERED: u64 = 2;
    pub(super) const LAZY: u64 = 3;
    pub(super) const FIFO: u64 = 4;
}

impl StrategyOptions {
    /// Appends the strategy as it is stored: its kind, and its options, all varints.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut all = |numbers: &[u64]| numbers.iter().for_each(|&it| varint::put(out, it));
        match *self {
            Self::Leveled(it) => all(&[
                kind::LEVELED,
                it.levels as u64,
                it.level0_runs as u64,
                it.level_base_len,
                it.ratio,
                u64::from(it.sizing == Sizing::Dynamic),
                it.job_len_max,
                it.deletes_percent,
            ]),
            Self::Tiered(it) => all(&[
                kind::TIERED,
                it.levels as u64,
                it.runs as u64,
                it.promote_len,
                it.job_len_max,
                it.deletes_percent,
            ]),
            Self::LazyLeveled(it) => all(&[
                kind::LAZY,
                it.levels as u64,
                it.runs as u64,
                it.ratio,
                it.promote_len,
                it.job_len_max,
                it.deletes_percent,
            ]),
            Self::Fifo(it) => all(&[kind::FIFO, it.len_max, it.ttl_ms, it.held_len_max]),
        }
    }

    /// Reads a stored strategy, which ends with `bytes`. Options that are missing at the end have their
    /// defaults, and numbers behind the last one known are passed over: a newer version put them there.
    ///
    /// `None` if a number makes no sense. A kind that is not known is `Some(None)`.
    ///
    /// ```
    /// use stratal_compaction::plan::{FifoOptions, StrategyOptions};
    /// let fifo = StrategyOptions::Fifo(FifoOptions { len_max: 9, ..FifoOptions::default() });
    /// let mut bytes = Vec::new();
    /// fifo.encode(&mut bytes);
    /// assert_eq!(StrategyOptions::decode(&bytes), Some(Some(fifo)));
    /// assert_eq!(StrategyOptions::decode(&[99]), Some(None));
    /// assert_eq!(StrategyOptions::decode(&[]), None);
    /// ```
    #[allow(clippy::option_option, reason = "nonsense and news are different answers")]
    pub fn decode(bytes: &[u8]) -> Option<Option<Self>> {
        let mut rest = bytes;
        let kind = varint::take(&mut rest)?;
        let mut numbers = Numbers { rest };
        let strategy = match kind {
            kind::LEVELED => {
                let mut it = LeveledOptions::default();
                numbers.usize(&mut it.levels)?;
                numbers.usize(&mut it.level0_runs)?;
                numbers.u64(&mut it.level_base_len)?;
                numbers.u64(&mut it.ratio)?;
                let mut sizing = 0;
                numbers.u64(&mut sizing)?;
                it.sizing = match sizing {
                    0 => Sizing::Static,
                    1 => Sizing::Dynamic,
                    _ => return None,
                };
                numbers.u64(&mut it.job_len_max)?;
                numbers.u64(&mut it.deletes_percent)?;
                Self::Leveled(it)
            }
            kind::TIERED => {
                let mut it = TieredOptions::default();
                numbers.usize(&mut it.levels)?;
                numbers.usize(&mut it.runs)?;
                numbers.u64(&mut it.promote_len)?;
                numbers.u64(&mut it.job_len_max)?;
                numbers.u64(&mut it.deletes_percent)?;
                Self::Tiered(it)
            }
            kind::LAZY => {
                let mut it = LazyLeveledOptions::default();
                numbers.usize(&mut it.levels)?;
                numbers.usize(&mut it.runs)?;
                numbers.u64(&mut it.ratio)?;
                numbers.u64(&mut it.promote_len)?;
                numbers.u64(&mut it.job_len_max)?;
                numbers.u64(&mut it.deletes_percent)?;
                Self::LazyLeveled(it)
            }
            kind::FIFO => {
                let mut it = FifoOptions::default();
                numbers.u64(&mut it.len_max)?;
                numbers.u64(&mut it.ttl_ms)?;
                numbers.u64(&mut it.held_len_max)?;
                Self::Fifo(it)
            }
            _ => return Some(None),
        };
        Some(Some(strategy))
    }
}

/// Numbers one after the other, of which some may be missing at the end.
struct Numbers<'a> {
    rest: &'a [u8],
}

impl Numbers<'_> {
    /// Sets `slot` to the next number if there is one; `None` if there is something else.
    fn u64(&mut self, slot: &mut u64) -> Option<()> {
        if !self.rest.is_empty() {
            *slot = varint::take(&mut self.rest)?;
        }
        Some(())
    }

    fn usize(&mut self, slot: &mut usize) -> Option<()> {
        let mut number = *slot as u64;
        self.u64(&mut number)?;
        *slot = usize::try_from(number).ok()?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every option other than its default, so that one that is left out is noticed.
    fn strategies() -> [StrategyOptions; 4] {
        [
            StrategyOptions::Leveled(LeveledOptions {
                levels: 5,
                level0_runs: 3,
                level_base_len: 1 << 20,
                ratio: 8,
                sizing: Sizing::Dynamic,
                job_len_max: 1 << 21,
                deletes_percent: 20,
            }),
            StrategyOptions::Tiered(TieredOptions {
                levels: 5,
                runs: 3,
                promote_len: 1 << 20,
                job_len_max: 1 << 21,
                deletes_percent: 20,
            }),
            StrategyOptions::LazyLeveled(LazyLeveledOptions {
                levels: 5,
                runs: 3,
                ratio: 8,
                promote_len: 1 << 20,
                job_len_max: 1 << 21,
                deletes_percent: 20,
            }),
            StrategyOptions::Fifo(FifoOptions { len_max: u64::MAX, ttl_ms: 7, held_len_max: 9 }),
        ]
    }

    fn encoded(strategy: &StrategyOptions) -> Vec<u8> {
        let mut bytes = Vec::new();
        strategy.encode(&mut bytes);
        bytes
    }

    #[test]
    fn strategies_read_back_and_so_do_their_defaults() {
        let defaults = StrategyOptions::NAMES.map(|name| StrategyOptions::named(name).unwrap());
        for strategy in strategies().into_iter().chain(defaults) {
            let bytes = encoded(&strategy);
            assert_eq!(StrategyOptions::decode(&bytes), Some(Some(strategy)));
            let newer = [&bytes[..], &[1, 2]].concat();
            assert_eq!(StrategyOptions::decode(&newer), Some(Some(strategy)));
            let of_kind = StrategyOptions::named(strategy.name());
            assert_eq!(StrategyOptions::decode(&bytes[..1]), Some(of_kind), "the kind alone");
        }
    }

    #[test]
    fn every_shorter_form_is_another_strategy_or_none() {
        for strategy in strategies() {
            let bytes = encoded(&strategy);
            for len in 0..bytes.len() {
                assert_ne!(StrategyOptions::decode(&bytes[..len]), Some(Some(strategy)));
            }
        }
    }
}
