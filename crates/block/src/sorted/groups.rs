//! How a builder divides its rows into groups whose keys share more than all keys do.

use alloc::vec::Vec;

/// Shared bytes beyond the prefix that are told apart when thresholds are weighed.
pub(super) const DEPTHS: usize = 128;

/// Rows from `start` to the next group, whose keys have their first `shared_len` bytes in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupStart {
    pub(super) start: u32,
    pub(super) shared_len: u16,
}

/// What there is to know of a row: the length of its key, and how many bytes it shares with the row
/// before, [`u16::MAX`] if it is the same key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbour {
    pub(super) key_len: u16,
    pub(super) shared_len: u16,
}

/// Rows stay together with the row before if they share so many bytes with it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Thresholds {
    /// Where middles are of one length.
    pub(super) even: Option<u16>,
    /// Where every group has what its keys share.
    pub(super) uneven: Option<u16>,
}

impl Thresholds {
    /// The thresholds that save most, where that is `saving_min` bytes, for groups whose columns take
    /// `start_width` bytes a group, and two more where middles differ. Takes one pass over the rows.
    pub(super) fn weigh(
        rows: impl Iterator<Item = Neighbour>,
        prefix_len: u16,
        key_len_min: u16,
        start_width: u8,
        saving_min: usize,
    ) -> Self {
        let mut counts = [0u32; DEPTHS];
        let mut row_count = 0i64;
        let mut deepest = 0;
        for row in rows {
            let depth = usize::from(row.shared_len.saturating_sub(prefix_len)).min(DEPTHS - 1);
            if let Some(count) = counts.get_mut(depth) {
                *count += 1;
            }
            row_count += 1;
            deepest = deepest.max(depth);
        }
        let saving_min = i64::try_from(saving_min).unwrap_or(i64::MAX);
        // Groups whose middles differ share more than the threshold, which is all that is known here.
        let (mut best, mut best_even, mut best_uneven) =
            (Self::default(), saving_min, saving_min / 2);
        let mut joined = 0i64;
        for (depth, &count) in counts.iter().enumerate().take(deepest + 1).skip(1).rev() {
            joined += i64::from(count);
            let Ok(depth) = u16::try_from(depth) else { continue };
            let threshold = prefix_len.saturating_add(depth);
            let groups = row_count - joined;
            let even = joined * i64::from(depth) - groups * i64::from(start_width);
            if threshold <= key_len_min && even > best_even {
                (best.even, best_even) = (Some(threshold), even);
            }
            let uneven = even - 2 * groups;
            if uneven > best_uneven {
                (best.uneven, best_uneven) = (Some(threshold), uneven);
            }
        }
        best
    }
}

/// Groups with middles of one length: `threshold`, or more where all groups share more. No key is
/// shorter than `key_len_min`, nor that than `threshold`.
pub(super) fn even(
    rows: impl Iterator<Item = Neighbour> + Clone,
    threshold: u16,
    key_len_min: u16,
    out: &mut Vec<GroupStart>,
) {
    out.clear();
    let shared = rows.clone().skip(1).map(|row| row.shared_len).filter(|&len| len >= threshold);
    let shared_len = shared.min().unwrap_or(threshold).min(key_len_min);
    for (start, row) in (0..).zip(rows) {
        if start == 0 || row.shared_len < threshold {
            out.push(GroupStart { start, shared_len });
        }
    }
}

/// Groups with whatever their keys share.
///
/// A group shares more with its first row than the row before does, so that groups are in the order
/// of what they share. One of a single row takes no more than that.
pub(super) fn uneven(
    rows: impl Iterator<Item = Neighbour>,
    threshold: u16,
    prefix_len: u16,
    out: &mut Vec<GroupStart>,
) {
    out.clear();
    let mut is_alone = false;
    for (start, row) in (0..).zip(rows) {
        match out.last_mut() {
            Some(group) if row.shared_len >= threshold => {
                let shared_len = row.shared_len.min(row.key_len);
                group.shared_len =
                    if is_alone { shared_len } else { group.shared_len.min(shared_len) };
                is_alone = false;
            }
            before => {
                let floor = before.map_or(prefix_len, |_| row.shared_len.saturating_add(1));
                out.push(GroupStart { start, shared_len: floor.min(row.key_len) });
                is_alone = true;
            }
        }
    }
}
