use core::num::NonZeroU64;

use stratal_types::dump::Dump;

use crate::{
    Membership,
    header::{Body, Header, Lines, MAGIC, VERSION},
    ribbon::Shape,
};

/// Describes `bytes`, a filter or a retrieval, in `dump`, whose next bytes they are.
///
/// Takes any bytes: what is neither is shown as such, with the reason.
pub fn annotate(bytes: &[u8], dump: &mut Dump<'_>) {
    let header = match Header::decode(bytes) {
        Ok(header) => header,
        Err(error) => {
            dump.note(error).field(bytes.len(), "not a filter");
            return;
        }
    };
    dump.field(4, format_args!("magic \"{}\"", MAGIC.escape_ascii()))
        .field(1, format_args!("version {VERSION}"))
        .field(1, format_args!("kind {}", header.body.name()));
    match &header.body {
        Body::BlockedBloom(Lines { probes, count }) => {
            dump.field(1, format_args!("probes {probes}"));
            membership(header.membership, dump);
            dump.field(4, format_args!("lines {count}"))
                .field(4, "reserved")
                .field(8, format_args!("keys {}", header.keys));
            extractor(header.membership, 32, dump);
            dump.field(bytes.len().saturating_sub(Header::LEN), "lines");
        }
        Body::Ribbon(_, shape) => {
            dump.field(1, format_args!("columns {}", shape.columns.whole));
            membership(header.membership, dump);
            dump.field(1, format_args!("extra {}/256", shape.columns.extra))
                .field(1, format_args!("layers {}", shape.layers().count()))
                .field(6, "reserved")
                .field(8, format_args!("keys {}", header.keys))
                .field(8, format_args!("seed {:#018x}", shape.seed));
            for layer in shape.layers {
                dump.field(4, format_args!("starts {}", layer.starts));
            }
            extractor(header.membership, 8, dump);
            layers(shape, dump);
        }
    }
}

/// Zero means whole keys, and is shown as what it was before there were prefixes.
fn membership(membership: Membership, dump: &mut Dump<'_>) {
    match membership {
        Membership::WholeKeys => dump.field(1, "reserved"),
        prefixes => dump.field(1, format_args!("membership {}", prefixes.name())),
    };
}

/// With the `reserved` bytes before it, from which its absence cannot be told.
fn extractor(membership: Membership, reserved: usize, dump: &mut Dump<'_>) {
    match membership.extractor().map(NonZeroU64::get) {
        Some(id) => dump.field(reserved, "reserved").field(8, format_args!("extractor {id:#018x}")),
        None => dump.field(reserved + 8, "reserved"),
    };
}

fn layers(shape: &Shape, dump: &mut Dump<'_>) {
    let len = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
    for (number, layer) in (1..).zip(shape.layers()) {
        dump.field(len(layer.rows_at, layer.extra_at()), format_args!("rows of layer {number}"));
        if layer.wide > 0 {
            let extra_len = len(layer.extra_at(), layer.thresholds_at);
            dump.field(extra_len, format_args!("extra column of layer {number}"));
        }
        let thresholds_len = len(layer.thresholds_at, layer.end());
        dump.field(thresholds_len, format_args!("thresholds of layer {number}"));
    }
    dump.field(Shape::PADDING_LEN, "reserved");
}
