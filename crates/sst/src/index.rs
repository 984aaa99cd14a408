//! Fences: for each data block, a key that no key of the block is behind, and where the block is.
//!
//! A fence stands, in internal order, at or behind the last entry of its block and before the first
//! of the next. Between different user keys it may be any key that separates them, so the shortest is
//! taken, and it carries the lowest trailer: then it is behind every version of its key. Where one
//! key's versions run over the boundary, the fence is the last entry's own key and trailer.
//!
//! A small table has one block of them. In a large one they are divided into *partitions*, each of
//! which stands behind its data blocks, and an upper level has the last fence of each. Which it will
//! be is not known until the table is large or ends; so fences wait, as partitions, and are either
//! written as such or put together.

mod fence;
mod sought;
mod builder;
mod partitions;
mod cursor;
mod heads;
mod peaks;
mod rebuild;

pub(crate) use builder::{IndexBuilder, fence_between};
pub(crate) use cursor::IndexCursor;
pub(crate) use fence::{BlockFence, PartitionFence, Stats};
pub(crate) use heads::LazyHeads;
pub(crate) use partitions::{Partition, PartitionLimits, Partitions};
pub(crate) use peaks::LazyPeaks;
pub(crate) use rebuild::{Frames, rebuilt_partition};
pub(crate) use sought::Sought;
