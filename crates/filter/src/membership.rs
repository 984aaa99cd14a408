use core::num::NonZeroU64;

/// Of what the hashes of a filter are.
///
/// A filter over prefixes only answers for prefixes that the same extractor cut: it is recorded by
/// the number that [`PrefixExtractor::id`](stratal_types::PrefixExtractor::id) makes of its name.
/// Prefixes and whole keys share one set of hashes, so that a key may be taken for present because a
/// prefix with the same bytes is, never the other way round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Membership {
    /// Whole keys.
    #[default]
    WholeKeys,
    /// Prefixes cut by this extractor, and no whole keys.
    Prefixes(NonZeroU64),
    /// Whole keys, and the prefixes that this extractor cuts from them.
    Both(NonZeroU64),
}

impl Membership {
    /// Whether whole keys can be asked for.
    pub const fn has_keys(self) -> bool {
        matches!(self, Self::WholeKeys | Self::Both(_))
    }

    /// The extractor whose prefixes can be asked for.
    pub const fn extractor(self) -> Option<NonZeroU64> {
        match self {
            Self::WholeKeys => None,
            Self::Prefixes(extractor) | Self::Both(extractor) => Some(extractor),
        }
    }

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WholeKeys => "whole keys",
            Self::Prefixes(_) => "prefixes",
            Self::Both(_) => "whole keys and prefixes",
        }
    }

    /// Largest tag.
    pub(crate) const TAG_MAX: u8 = 2;

    /// The byte on disk. Never renumbered; retired tags stay retired.
    pub(crate) const fn tag(self) -> u8 {
        match self {
            Self::WholeKeys => 0,
            Self::Prefixes(_) => 1,
            Self::Both(_) => 2,
        }
    }

    /// The membership with this byte on disk, under the extractor with this number, 0 for none.
    pub(crate) fn from_tag(tag: u8, extractor: u64) -> Option<Self> {
        match (tag, NonZeroU64::new(extractor)) {
            (0, None) => Some(Self::WholeKeys),
            (1, Some(extractor)) => Some(Self::Prefixes(extractor)),
            (2, Some(extractor)) => Some(Self::Both(extractor)),
            _ => None,
        }
    }
}
