//! The sections of a block, from its rows.

use alloc::vec::Vec;

use super::SortedBlockBuilder;
use crate::sorted::{
    groups::GroupStart,
    header::{Groups, Header, RUN_LEN, start_width},
    words::head_of,
};

impl SortedBlockBuilder {
    pub(super) fn append_columns(&self, header: &Header, groups: &[GroupStart], out: &mut Vec<u8>) {
        let prefix_len = usize::from(header.prefix_len);
        out.extend_from_slice(
            self.first_key().and_then(|key| key.get(..prefix_len)).unwrap_or(&[]),
        );
        if header.has_tags {
            out.extend(self.rows.iter().map(|row| row.tag));
        }
        self.append_groups(header, groups, out);
        self.append_heads(header, groups, out);
        self.append_offsets(header, groups, out);
        match usize::from(header.seqno_width) {
            0 => {}
            width => {
                for row in &self.rows {
                    let delta = row.trailer.seqno().get() - header.seqno_base;
                    out.extend_from_slice(delta.to_le_bytes().get(..width).unwrap_or_default());
                }
            }
        }
        if header.kind.is_none() {
            out.extend(self.rows.iter().map(|row| row.trailer.kind().tag()));
        }
    }

    fn append_groups(&self, header: &Header, groups: &[GroupStart], out: &mut Vec<u8>) {
        let Some(Groups { middle_len, .. }) = header.groups else { return };
        let width = usize::from(start_width(header.count));
        for group in groups {
            out.extend_from_slice(group.start.to_le_bytes().get(..width).unwrap_or_default());
        }
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

    fn append_heads(&self, header: &Header, groups: &[GroupStart], out: &mut Vec<u8>) {
        let width = usize::from(header.head_width);
        if width == 0 {
            return;
        }
        for ((_, key, _), shared_len) in self.rows().zip(self.shared_lens(groups)) {
            let rest = key.get(shared_len.into()..).unwrap_or_default();
            let head = head_of(rest, header.head_width).to_le_bytes();
            out.extend_from_slice(head.get(..width).unwrap_or_default());
        }
    }

    fn append_offsets(&self, header: &Header, groups: &[GroupStart], out: &mut Vec<u8>) {
        if header.offset_width == 0 {
            return;
        }
        let rest_width = u32::from(header.rest_width_in_row());
        let rows = self.rows.iter().zip(self.shared_lens(groups));
        let row_lens = rows.map(|(row, shared_len)| {
            let suffix_len = (row.key_len - shared_len).saturating_sub(header.head_width.into());
            rest_width + u32::from(suffix_len) + row.value_len
        });
        let width = usize::from(header.offset_width);
        let mut offset = 0u32;
        if width > 1 {
            out.extend_from_slice(offset.to_le_bytes().get(..width).unwrap_or_default());
            for row_len in row_lens {
                offset = offset.saturating_add(row_len);
                out.extend_from_slice(offset.to_le_bytes().get(..width).unwrap_or_default());
            }
            return;
        }
        for (i, row_len) in row_lens.clone().enumerate() {
            if i % RUN_LEN == 0 {
                out.extend_from_slice(offset.to_le_bytes().get(..2).unwrap_or_default());
            }
            offset = offset.saturating_add(row_len);
        }
        // Lengths of one byte are below 256.
        out.extend(row_lens.map(|row_len| u8::try_from(row_len).unwrap_or(u8::MAX)));
    }

    pub(super) fn append_rows(&self, header: &Header, groups: &[GroupStart], out: &mut Vec<u8>) {
        let width = usize::from(header.rest_width_in_row());
        for ((row, key, value), shared_len) in self.rows().zip(self.shared_lens(groups)) {
            let rest_len = (row.key_len - shared_len).to_le_bytes();
            out.extend_from_slice(rest_len.get(..width).unwrap_or_default());
            let suffix_at = usize::from(shared_len) + usize::from(header.head_width);
            out.extend_from_slice(key.get(suffix_at..).unwrap_or_default());
            out.extend_from_slice(value);
        }
    }
}
