/// How a filter works.
///
/// | | blocked Bloom | BuRR |
/// |---|---|---|
/// | bits per key at a rate `p` | 1.45 to 1.8 × log₂(1/p) | 1.02 to 1.05 × log₂(1/p) |
/// | to build | one line touched per key | sorting and elimination: some ten times as long |
/// | a probe | one cache line | two neighbouring ones, and one of a small table: twice as long |
/// | good for | what lives briefly, as tables of upper levels | what lives long, as those of the last |
///
/// Binary fuse filters (Graf and Lemire, 2022) are no kind of their own: at the rate they come with,
/// 0.39 %, they were measured to be 11 to 16 % larger than BuRR, to build in two thirds of the time,
/// and to be probed in 3 ns instead of 8 where no probe waits for memory (November 2026,
/// `benches/kinds.rs`). What lives long is chosen for its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FilterKind {
    /// A Bloom filter whose probes for one key all fall into one line of 64 bytes.
    #[default]
    BlockedBloom,
    /// Bumped ribbon retrieval of a fingerprint: linear equations over bits, solved when the filter
    /// is built, of which a probe computes one.
    ///
    /// After Dillinger, Hübschle-Schneider, Sanders and Walzer, "Fast Succinct Retrieval and
    /// Approximate Membership using Ribbon", 2022.
    Burr,
}

impl FilterKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::BlockedBloom, Self::Burr];

    /// The byte on disk. Never renumbered; retired tags stay retired.
    pub const fn tag(self) -> u8 {
        match self {
            Self::BlockedBloom => 1,
            Self::Burr => 2,
        }
    }

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BlockedBloom => "blocked bloom",
            Self::Burr => "burr",
        }
    }

    /// The kind with this byte on disk.
    pub fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.tag() == tag)
    }

    /// The kind with this name.
    ///
    /// ```
    /// use stratal_filter::FilterKind;
    /// assert_eq!(FilterKind::from_name("burr"), Some(FilterKind::Burr));
    /// assert_eq!(FilterKind::from_name("sieve"), None);
    /// ```
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
