//! The sections of a block, from its rows.

use alloc::vec::Vec;

use super::SortedBlockBuilder;
use crate::sorted::{
    groups::GroupStart,
    header::{Groups, Header, RUN_LEN, start_width},
    words::head_of,
};

impl SortedBlockBuilder {
    pub(super) fn append_columns(
        &self,
        header: &Header,
        groups: &[GroupStart],
        heads: &[u64],
        out: &mut Vec<u8>,
    ) {
        let prefix_len = usize::from(header.prefix_len);
        out.extend_from_slice(
            self.first_key().and_then(|key| key.get(..prefix_len)).unwrap_or(&[]),
        );
        if header.has_tags {
            out.extend(self.rows.iter().map(|row| row.tag));
        }
        self.append_groups(header, groups, out);
        self.append_heads(header, groups, heads, out);
        self.append_offsets(header, groups, out);
        let base = header.seqno_base;
        let seqnos = self.rows.iter().map(|row| row.trailer.seqno().get() - base);
        append_numbers(seqnos, self.rows.len(), header.seqno_width, out);
        if header.kind.is_none() {
            out.extend(self.rows.iter().map(|row| row.trailer.kind().tag()));
        }
    }

    fn append_groups(&self, header: &Header, groups: &[GroupStart], out: &mut Vec<u8>) {
        let Some(Groups { middle_len, .. }) = header.groups else { return };
        let starts = groups.iter().map(|group| group.start.into());
        append_numbers(starts, groups.len(), start_width(header.count), out);
        if middle_len == 0 {
            let mut end = 0u16;
            for group in groups {
                end = end.saturating_add(group.shared_len - header.prefix_len);
                out.extend_from_slice(&end.to_le_bytes());
            }
        }
        let mut starts = groups.iter().peekable();
        for (i, (_, key, _)) in (0..).zip(self.rows()) {
            if let Some(group) = starts.next_if(|group| group.start == i) {
                let middle = header.prefix_len.into()..group.shared_len.into();
                out.extend_from_slice(key.get(middle).unwrap_or_default());
            }
        }
    }

    /// Of each key the head: the upper part of its eight bytes in `heads`, if those are there.
    fn append_heads(
        &self,
        header: &Header,
        groups: &[GroupStart],
        heads: &[u64],
        out: &mut Vec<u8>,
    ) {
        let width = header.head_width;
        if width == 0 {
            return;
        }
        if heads.is_empty() {
            let heads = self.rests(groups).map(|rest| head_of(rest, width));
            append_numbers(heads, self.rows.len(), width, out);
        } else {
            let shift = 64 - 8 * u32::from(width);
            append_numbers(heads.iter().map(|head| head >> shift), heads.len(), width, out);
        }
    }

    fn append_offsets(&self, header: &Header, groups: &[GroupStart], out: &mut Vec<u8>) {
        if header.offset_width == 0 {
            return;
        }
        let rest_width = u64::from(header.rest_width_in_row());
        let rows = self.rows.iter().zip(self.shared_lens(groups));
        let mut row_lens = rows.map(|(row, shared_len)| {
            let suffix_len = (row.key_len - shared_len).saturating_sub(header.head_width.into());
            rest_width + u64::from(suffix_len) + u64::from(row.value_len)
        });
        let mut offset = 0;
        if header.offset_width > 1 {
            let offsets = (0..=self.rows.len()).map(|_| {
                let here = offset;
                offset += row_lens.next().unwrap_or(0);
                here
            });
            append_numbers(offsets, self.rows.len() + 1, header.offset_width, out);
            return;
        }
        for (i, row_len) in row_lens.clone().enumerate() {
            if i % RUN_LEN == 0 {
                append_numbers([offset].into_iter(), 1, 2, out);
            }
            offset += row_len;
        }
        // Lengths of one byte are below 256.
        out.extend(row_lens.map(|row_len| u8::try_from(row_len).unwrap_or(u8::MAX)));
    }

    pub(super) fn append_rows(&self, header: &Header, groups: &[GroupStart], out: &mut Vec<u8>) {
        let (width, head_width) = (header.rest_width_in_row(), usize::from(header.head_width));
        let mut rest = self.bytes.as_slice();
        for (row, shared_len) in self.rows.iter().zip(self.shared_lens(groups)) {
            let Some((row_bytes, behind)) = rest.split_at_checked(row.len()) else { return };
            rest = behind;
            let rest_len = row.key_len - shared_len;
            match (width, rest_len.to_le_bytes()) {
                (0, _) => {}
                (1, [low, _]) => out.push(low),
                (_, both) => out.extend_from_slice(&both),
            }
            // Value and key lie side by side, also without what stands elsewhere of the key.
            let suffix_at = (usize::from(shared_len) + head_width).min(row.key_len.into());
            out.extend_from_slice(row_bytes.get(suffix_at..).unwrap_or_default());
        }
    }

    /// What groups and prefix leave of each key.
    pub(super) fn rests(&self, groups: &[GroupStart]) -> impl Iterator<Item = &[u8]> {
        let rows = self.rows().zip(self.shared_lens(groups));
        rows.map(|((_, key, _), shared_len)| key.get(shared_len.into()..).unwrap_or_default())
    }
}

/// Appends the lower `width` bytes of each of `count` numbers.
fn append_numbers(numbers: impl Iterator<Item = u64>, count: usize, width: u8, out: &mut Vec<u8>) {
    match width {
        0 => {}
        1 => append_wide::<1>(numbers, count, out),
        2 => append_wide::<2>(numbers, count, out),
        3 => append_wide::<3>(numbers, count, out),
        4 => append_wide::<4>(numbers, count, out),
        5 => append_wide::<5>(numbers, count, out),
        6 => append_wide::<6>(numbers, count, out),
        7 => append_wide::<7>(numbers, count, out),
        _ => append_wide::<8>(numbers, count, out),
    }
}

fn append_wide<const WIDTH: usize>(
    numbers: impl Iterator<Item = u64>,
    count: usize,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.resize(start + count * WIDTH, 0);
    let places = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<WIDTH>().0;
    for (place, number) in places.iter_mut().zip(numbers) {
        if let Some(low) = number.to_le_bytes().first_chunk() {
            *place = *low;
        }
    }
}
