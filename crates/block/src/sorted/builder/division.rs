//! How the rows of a block are laid out: in groups or not, in columns of which widths.

use alloc::vec::Vec;

use super::{Shape, SortedBlockBuilder, SortedBlockOptions};
use crate::sorted::{
    groups::{self, GroupStart, Thresholds},
    header::{Groups, Header, REST_BY_VALUE, Sections, start_width},
    words::head_of,
};

/// What is left of the keys once they are divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Division {
    pub(super) groups: Option<Groups>,
    rest_len_min: u16,
    rest_len_max: u16,
    /// Bytes of all rests and values.
    payload_len: usize,
    /// Bytes that heads of two and of four take more than the rests have; at most.
    padding: [usize; 2],
}

impl SortedBlockBuilder {
    /// The rows as one group, which has no middle.
    pub(super) fn undivided(&self) -> Division {
        let shape = &self.shape;
        let rest_len_min = shape.key_len_min - shape.prefix_len;
        let padding = |width: usize| self.rows.len() * width.saturating_sub(rest_len_min.into());
        Division {
            groups: None,
            rest_len_min,
            rest_len_max: shape.key_len_max - shape.prefix_len,
            payload_len: self.bytes.len() - self.rows.len() * usize::from(shape.prefix_len),
            padding: [padding(2), padding(4)],
        }
    }

    /// The rows divided into groups with middles of one length, or else of lengths that differ.
    fn divided(&self, starts: &[GroupStart], is_even: bool) -> Option<Division> {
        let prefix_len = self.shape.prefix_len;
        let count = u32::try_from(starts.len()).ok()?;
        let groups = if is_even {
            let middle_len = starts.first()?.shared_len - prefix_len;
            Groups { count, middle_len, middles_len: 0 }
        } else {
            let middle_lens = starts.iter().map(|group| usize::from(group.shared_len - prefix_len));
            let middles_len = u16::try_from(middle_lens.sum::<usize>()).ok()?;
            Groups { count, middle_len: 0, middles_len }
        };
        let mut division = Division {
            groups: Some(groups),
            rest_len_min: u16::MAX,
            rest_len_max: 0,
            payload_len: self.bytes.len(),
            padding: [0; 2],
        };
        for (row, shared_len) in self.rows.iter().zip(self.shared_lens(starts)) {
            let rest_len = row.key_len - shared_len;
            division.rest_len_min = division.rest_len_min.min(rest_len);
            division.rest_len_max = division.rest_len_max.max(rest_len);
            division.payload_len -= usize::from(shared_len);
            let [two, four] = &mut division.padding;
            *two += 2usize.saturating_sub(rest_len.into());
            *four += 4usize.saturating_sub(rest_len.into());
        }
        Some(division)
    }

    /// Divides the rows where that saves a twenty-fourth of the block: less is not worth the time that
    /// searches take for it, about ten nanoseconds each.
    pub(super) fn divide(&self, starts: &mut Vec<GroupStart>) -> Division {
        starts.clear();
        let mut best = self.undivided();
        let len = self.len_of(&best);
        let saving_min = len / 24;
        let Shape { prefix_len, key_len_min, key_len_max, .. } = self.shape;
        let start_width = start_width(u32::try_from(self.rows.len()).unwrap_or(u32::MAX));
        let rows = self.neighbours();
        // Where keys share too little, no threshold saves enough.
        let shared = self.shape.shared_beyond_prefix(self.rows.len(), groups::DEPTHS);
        if shared <= saving_min as u64 / 2 {
            return best;
        }
        let mut thresholds =
            Thresholds::weigh(rows.clone(), prefix_len, key_len_min, start_width, saving_min);
        if key_len_min == key_len_max {
            // Keys of one length would lose that by middles of several.
            thresholds.uneven = None;
        }
        let mut len_max = len - saving_min;
        let mut candidate = Vec::new();
        for (threshold, is_even) in [(thresholds.even, true), (thresholds.uneven, false)] {
            let Some(threshold) = threshold else { continue };
            if is_even {
                groups::even(rows.clone(), threshold, key_len_min, &mut candidate);
            } else {
                groups::uneven(rows.clone(), threshold, prefix_len, &mut candidate);
            }
            let Some(division) = self.divided(&candidate, is_even) else { continue };
            let len = self.len_of(&division);
            if len < len_max {
                (best, len_max) = (division, len);
                core::mem::swap(starts, &mut candidate);
            }
        }
        best
    }

    /// The header of a block of these rows with heads of `head_width` bytes.
    pub(super) fn header(&self, division: &Division, head_width: u8) -> Header {
        let shape = &self.shape;
        let Division { rest_len_min, rest_len_max, .. } = *division;
        let one_rest_len = rest_len_min == rest_len_max;
        let one_value_len = shape.value_len_min == shape.value_len_max;
        let value_len = u16::try_from(shape.value_len_max).ok().filter(|_| one_value_len);
        let (rest_width, rest_len) = match (value_len, rest_len_max) {
            _ if one_rest_len => (0u8, rest_len_max),
            (Some(value_len), _) if rest_len_min >= head_width.into() => (REST_BY_VALUE, value_len),
            (_, 0..=0xff) => (1, 0),
            _ => (2, 0),
        };
        let suffix_len = u32::from(rest_len_max.saturating_sub(head_width.into()));
        let SortedBlockOptions { tags, digests, .. } = self.options;
        let in_columns = tags || digests || head_width > 0;
        let has_bytes = in_columns || suffix_len > 0 || shape.value_len_max > 0;
        let mut header = Header {
            has_tags: self.options.tags,
            has_digests: self.options.digests,
            head_width,
            offset_width: 0,
            rest_width,
            seqno_width: shape.seqno_width(),
            kind: shape.kind(),
            count: u32::try_from(self.rows.len()).unwrap_or(u32::MAX),
            prefix_len: shape.prefix_len,
            rest_len,
            seqno_base: shape.seqno_min(),
            groups: division.groups,
        };
        let in_row = usize::from(header.rest_width_in_row());
        let row_len_max = u64::from(shape.value_len_max) + u64::from(suffix_len) + in_row as u64;
        header.offset_width = match division.payload_len + self.rows.len() * in_row {
            _ if self.rows.is_empty() || one_rest_len && one_value_len && has_bytes => 0,
            0..=0xffff if row_len_max <= 0xff => 1,
            0..=0xffff => 2,
            _ => 4,
        };
        header
    }

    /// Length of the block with the narrowest heads that make sense: never too low.
    pub(super) fn len_of(&self, division: &Division) -> usize {
        let header = self.header(division, self.head_width_min(division));
        let [two, four] = division.padding;
        let padding = match header.head_width {
            0 => 0,
            2 => two,
            _ => four,
        };
        let lens = Sections { heads: 0, ..header.section_lens() };
        let in_rows = self.rows.len() * usize::from(header.rest_width_in_row());
        // Heads are part of the keys.
        let columns = lens.rows_at() + header.digests_len();
        usize::try_from(columns).unwrap_or(0) + in_rows + division.payload_len + padding
    }

    /// The narrowest heads that make sense for these keys.
    fn head_width_min(&self, division: &Division) -> u8 {
        let one_value_len = self.shape.value_len_min == self.shape.value_len_max;
        match (division.rest_len_min, division.rest_len_max) {
            _ if !self.options.heads => 0,
            (_, 0) => 0,
            (_, 1..=2) => 2,
            // In the few rows of a group two bytes decide as well as four, which would need padding;
            // and values of one length tell how long rests are that fill their heads.
            (_, 3) if division.groups.is_some() => 2,
            (2..=3, _) if one_value_len && division.groups.is_some() => 2,
            _ => 4,
        }
    }

    /// How wide the heads are: eight bytes where four leave many keys undecided that eight tell
    /// apart, if every key has them. Of keys that have eight, `heads` then has those.
    pub(super) fn head_width(
        &self,
        division: &Division,
        groups: &[GroupStart],
        heads: &mut Vec<u64>,
    ) -> u8 {
        heads.clear();
        let narrow = self.head_width_min(division);
        if narrow < 4 || division.rest_len_min < 8 {
            return narrow;
        }
        heads.resize(self.rows.len(), 0);
        for (head, rest) in heads.iter_mut().zip(self.rests(groups)) {
            *head = head_of(rest, 8);
        }
        let (mut ties, mut wide_ties) = (0usize, 0usize);
        for (before, head) in heads.iter().zip(heads.iter().skip(1)) {
            ties += usize::from(head >> 32 == before >> 32);
            wide_ties += usize::from(head == before);
        }
        if ties > wide_ties + self.rows.len() / 8 { 8 } else { 4 }
    }
}
