//! What the strategies cost by theory, for inserts of new keys: good to a third.

use stratal_compaction::plan::StrategyOptions;

use crate::simulation::Scale;

/// Bytes written per byte flushed.
///
/// * leveled: a flush, and level 0 merged with a first level as long as itself; in each further level
///   a row is rewritten while `ratio` others arrive, half of them on the average, since a level is
///   empty above where it was just merged down.
/// * tiered: a flush, and once for each time that the tree has grown by a factor of `runs`.
/// * lazy-leveled: as tiered up to `1 / ratio` of the tree, and then half of `ratio` in the last level.
pub(crate) fn write(options: &StrategyOptions, scale: &Scale) -> Option<f64> {
    let buffers = scale.inserts as f64 / scale.buffer_rows as f64;
    match options {
        StrategyOptions::Leveled(leveled) => {
            let base = leveled.level_base_len as f64 / scale.buffer_len() as f64;
            let further = (buffers / base).log(leveled.ratio as f64);
            Some(2.0 + 1.0 + further * leveled.ratio as f64 / 2.0)
        }
        StrategyOptions::Tiered(tiered) => Some(1.0 + buffers.log(tiered.runs as f64).floor()),
        StrategyOptions::LazyLeveled(lazy) => {
            let upper = buffers / lazy.ratio as f64;
            Some(1.0 + upper.log(lazy.runs as f64).max(0.0) + lazy.ratio as f64 / 2.0)
        }
        StrategyOptions::Fifo(_) => Some(1.0),
        _ => None,
    }
}

/// Stored rows per live row when rows are replaced evenly, at most.
pub(crate) fn space(options: &StrategyOptions) -> Option<f64> {
    match options {
        StrategyOptions::Leveled(leveled) => Some(1.0 + 1.0 / (leveled.ratio as f64 - 1.0)),
        StrategyOptions::Tiered(tiered) => Some(tiered.runs as f64),
        StrategyOptions::LazyLeveled(lazy) => Some(1.0 + 1.0 / lazy.ratio as f64),
        _ => None,
    }
}
