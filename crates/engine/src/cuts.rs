//! Where a merge is cut into parts.

use std::ops::Bound;

use stratal_types::{Comparator, Piece};

use crate::{Error, parts::Source};

/// Keys asked of the inputs, all together, for each part.
const FENCES_PER_PART: u64 = 16;

/// A key at which a part may begin.
#[derive(Debug)]
struct Cut {
    key: Vec<u8>,
    /// Bytes of its table between the place before and this one.
    len: u64,
    /// A table of the inputs begins here.
    is_edge: bool,
}

/// The pieces of the parts of a merge, in the order of keys: about equally long, `count` at most, and
/// none of less than `len_min` bytes of input.
///
/// They lie side by side, from the start of the job's span to its end, and part no two versions of a
/// key. One begins where a table of the inputs does if that is near enough.
pub(crate) fn pieces(
    sources: &[Source],
    count: usize,
    len_min: u64,
    comparator: &dyn Comparator,
) -> Result<Vec<Piece>, Error> {
    let runs = || {
        sources.iter().filter_map(|source| match source {
            Source::Run(run) => Some(run),
            Source::Memory(_) => None,
        })
    };
    let total: u64 =
        runs().flat_map(|run| run.tables.iter()).map(|table| table.meta.file_len).sum();
    let parts = (total / len_min.max(1)).min(count as u64);
    if parts < 2 || runs().count() < sources.len() {
        return Ok(vec![Piece::default()]);
    }
    let mut cuts = Vec::new();
    for handle in runs().flat_map(|run| run.tables.iter()) {
        let len = handle.meta.file_len;
        let share =
            u128::from(parts * FENCES_PER_PART) * u128::from(len) / u128::from(total.max(1));
        let table = handle.table()?;
        let fences = table.fences(usize::try_from(share).unwrap_or(usize::MAX));
        let fences = fences.map_err(|source| handle.error(source))?;
        let stretch = len / (fences.len() as u64 + 1);
        if let Bound::Included(start) | Bound::Excluded(start) = &handle.meta.span.start {
            cuts.push(Cut { key: start.clone(), len: 0, is_edge: true });
        }
        cuts.extend(fences.into_iter().map(|key| Cut { key, len: stretch, is_edge: false }));
    }
    cuts.sort_by(|a, b| comparator.compare(&a.key, &b.key));
    Ok(between(&choose(&cuts, total, parts, comparator)))
}

/// The best `parts − 1` of `cuts`, which ascend, for parts of equal length of `total` bytes.
fn choose(cuts: &[Cut], total: u64, parts: u64, comparator: &dyn Comparator) -> Vec<Vec<u8>> {
    // Whoever waits for all parts waits for the longest.
    let near = total / parts / 32;
    let mut chosen: Vec<Vec<u8>> = Vec::new();
    for part in 1..parts {
        let ideal = total / parts * part;
        let mut before: u64 = 0;
        let off = |cut: &Cut| {
            before = before.saturating_add(cut.len);
            let off = before.abs_diff(ideal);
            // An edge that is near enough is better than anything that is none.
            (off > near || !cut.is_edge, off)
        };
        let offs = cuts.iter().map(off).zip(cuts);
        let Some((_, best)) = offs.min_by_key(|(off, _)| *off) else { break };
        let last = chosen.last();
        if last.is_none_or(|last| comparator.compare(last, &best.key).is_lt()) {
            chosen.push(best.key.clone());
        }
    }
    chosen
}

/// The pieces before, between and behind `keys`, which ascend.
fn between(keys: &[Vec<u8>]) -> Vec<Piece> {
    let starts = [None].into_iter().chain(keys.iter().cloned().map(Some));
    let ends = keys.iter().cloned().map(Some).chain([None]);
    starts.zip(ends).map(|(start, end)| Piece { start, end }).collect()
}

#[cfg(test)]
mod tests {
    use stratal_types::Bytewise;

    use super::*;

    /// Where parts begin, out of cuts given as key, bytes before it, and whether a table begins there.
    fn check(cuts: &[(&str, u64, bool)], total: u64, parts: u64, expected: &[&str]) {
        let cut = |(key, len, is_edge): &(&str, u64, bool)| Cut {
            key: key.as_bytes().to_vec(),
            len: *len,
            is_edge: *is_edge,
        };
        let cuts: Vec<Cut> = cuts.iter().map(cut).collect();
        let chosen = choose(&cuts, total, parts, &Bytewise);
        let chosen: Vec<_> = chosen.iter().map(|key| str::from_utf8(key).unwrap()).collect();
        assert_eq!(chosen, expected);
    }

    #[test]
    fn parts_are_about_as_long_as_one_another() {
        let even = [("a", 0, true), ("b", 10, false), ("c", 10, false), ("d", 10, false)];
        check(&even, 40, 2, &["c"]);
        check(&even, 40, 4, &["b", "c", "d"]);
        check(&even, 40, 1, &[]);
        check(&[], 40, 4, &[]);
        // All of it is in one place.
        check(&[("a", 0, true), ("y", 1, false), ("z", 98, false)], 100, 3, &["y", "z"]);
    }

    #[test]
    fn a_part_begins_where_a_table_does_if_that_is_near() {
        let cuts = [("a", 0, true), ("b", 49, false), ("c", 0, true), ("d", 1, false)];
        check(&cuts, 100, 2, &["c"]);
        let cuts = [("a", 0, true), ("b", 30, true), ("d", 20, false), ("e", 30, false)];
        check(&cuts, 100, 2, &["d"]);
    }

    #[test]
    fn pieces_lie_side_by_side_from_edge_to_edge() {
        let piece = |start: Option<&str>, end: Option<&str>| Piece {
            start: start.map(Vec::from),
            end: end.map(Vec::from),
        };
        assert_eq!(between(&[]), [piece(None, None)]);
        assert_eq!(
            between(&[b"c".to_vec(), b"x".to_vec()]),
            [piece(None, Some("c")), piece(Some("c"), Some("x")), piece(Some("x"), None)]
        );
    }
}
