use stratal_compaction::plan::{LevelKeys, Shape, filter_bits};
use stratal_filter::{FilterKind, FilterSize, FilterSpec};

use crate::{Error, TreeOptions};

/// How the bits of filters are spread over the levels of a tree.
///
/// With a budget, the levels are given theirs such that a read of an absent key expects the fewest
/// false answers: short upper levels get many bits per key, the last level fewer than the average, or
/// none. What a table has it keeps; the next flush or merge goes by what the tree then holds. The
/// budget decides only about the length of the filters of
/// [`TreeOptions::table`]; if that has none, there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum FilterPolicy {
    /// Every table as [`TreeOptions::table`] says.
    #[default]
    Uniform,
    /// This many bits per key on the average over the tree: over 0, up to 32.
    BitsPerKey(f64),
    /// This many bytes for all filters of the tree.
    Len(u64),
}

impl FilterPolicy {
    pub(crate) fn check(self) -> Result<(), Error> {
        match self {
            Self::BitsPerKey(bits) if !(bits > 0.0 && bits <= 32.0) => Err(Error::InvalidArgument(
                format!("filters: {bits} bits per key, over 0 and up to 32 are possible"),
            )),
            _ => Ok(()),
        }
    }

    /// Bits per key for tables of `level` in a tree of this shape; `None` if there is no budget.
    pub(crate) fn bits_per_key(
        self,
        options: &TreeOptions,
        level: usize,
        shape: &Shape,
    ) -> Option<f64> {
        let kind = options.table.filter?.kind;
        let levels: Vec<LevelKeys> = shape.levels.iter().map(|runs| level_keys(runs)).collect();
        let all: u64 = levels.iter().map(|level| level.keys).fold(0, u64::saturating_add);
        #[allow(clippy::cast_precision_loss, reason = "a share of a budget")]
        let budget = match self {
            Self::Uniform => return None,
            Self::BitsPerKey(bits) => bits * all as f64,
            Self::Len(len) => len as f64 * 8.0,
        };
        let bits = filter_bits(&levels, budget, FilterSpec::bits_per_key_max(kind));
        bits.get(level).copied()
    }
}

fn level_keys(runs: &[stratal_compaction::plan::Run]) -> LevelKeys {
    let tables = runs.iter().flat_map(|run| &run.tables);
    let keys = tables.map(|table| table.entries).fold(0, u64::saturating_add);
    LevelKeys { runs: runs.len() as u64, keys }
}

/// A filter of this many bits per key, in quarters; none for less than the least that a filter has.
pub(crate) fn filter_of(kind: FilterKind, bits: f64) -> Option<FilterSpec> {
    let quarters = (bits * 4.0).round() / 4.0;
    // A BuRR filter has a little over one bit at least.
    let least = FilterSpec::BITS_PER_KEY_MIN + 0.25;
    if quarters < least {
        return None;
    }
    let bits = quarters.min(FilterSpec::bits_per_key_max(kind));
    Some(FilterSpec { kind, size: FilterSize::BitsPerKey(bits) })
}
