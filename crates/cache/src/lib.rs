//! One memory budget for everything that is read from files.
//!
//! The cache holds values of any type that knows what it weighs ([`Resident`]), under keys that say
//! where they came from ([`CacheKey`]): blocks, indexes, filters, and whatever else a file was made
//! into. It knows nothing about formats; it neither reads nor decodes, but runs the caller's
//! function when a value is missing ([`Cache::get_or_load`]).
//!
//! What holds:
//!
//! * **The budget is exact.** [`Cache::used`] is the sum of the weights of what can be got, plus
//!   [`Cache::ENTRY_OVERHEAD`] for each, and does not exceed the capacity, which can be changed at
//!   any time. What was evicted but is still in use is counted by nobody.
//! * **One load at a time for each key**, shared by those who wait; a failed one is neither kept nor
//!   shared.
//! * **Ids are never reused** ([`FileId`]): a file that comes back under an old name or number does
//!   not find what was cached of its predecessor.
//! * **Types are checked.** A value that is asked for as another type than it was put in as is
//!   missing. Whoever chooses [`CacheKey::role`] by type never meets this.
//!
//! # What stays
//!
//! The cache is divided into shards, each with its own lock and its part of the capacity. While
//! there is room a value simply stays. Later ones enter on probation, in a thirty-third of the room;
//! one that is asked for again while there, or again not long after, joins the values that have
//! proved their use, and replaces one that is not used any more. Hence reading many blocks once, as
//! scans and compactions do, does not displace what others use.
//!
//! Values of [`Priority::High`] need not prove themselves, and outlast several rounds in which
//! nobody asks for them. That protection covers at most half of a shard; beyond it they are treated
//! like the rest.
//!
//! Values that are [pinned](Priority::Pinned) are not evicted at all before their [`Lease`] ends. They
//! too take at most half of a shard, and what is pinned is taken from what high priority protects.
//!
//! A value of **up to half of the capacity can stay**, however many shards there are: what is
//! heavier than a quarter of a shard goes to an area for large values, which takes its room from all
//! shards alike, half of it at most. Where such a value is heavier than all the room for probation
//! it is kept from the second load on. One heavier than half of the capacity is returned, shared
//! with those who wait for it at that moment, and never kept: it is loaded each time it is asked
//! for. At capacity zero that is every value.
//!
//! # Without a lookup
//!
//! A lookup by key takes a hash, a lock, and two counts of references. Whoever knows where its values
//! are can keep [`Slots`] for them, which show them while the cache holds them: finding one there takes
//! two loads and, once for all values that are looked at meanwhile, a [`Pin`]. The cache learns of such
//! uses, up to two each time it passes a value by, so that what is used stays. What it lets go of is
//! dropped when the pins of that moment are gone, and some values later than that: until then a few
//! hundred of them, at most, are in memory that nobody counts.
//!
//! ```
//! use stratal_cache::{Cache, CacheKey, FileId, Priority};
//!
//! let cache = Cache::new(64 << 20);
//! let key = CacheKey { file: FileId::next(), offset: 0, role: 1 };
//! let load = || Ok::<_, std::io::Error>(b"a block".to_vec());
//!
//! let block = cache.get_or_load(&key, Priority::Normal, load)?;
//! assert_eq!(*block, b"a block");
//! assert_eq!(cache.get::<Vec<u8>>(&key), Some(block));
//! assert_eq!(cache.used(), 24 + 7 + Cache::ENTRY_OVERHEAD);
//! # Ok::<(), std::io::Error>(())
//! ```
#![deny(unsafe_code)]

mod key;
mod ripe;
mod slots;
mod held;
mod lease;
mod hits;
mod shard;
mod cache;
#[cfg(all(test, loom))]
mod interleavings;

pub use cache::{Cache, CacheStats};
pub use held::{Priority, Resident};
pub use key::{CacheKey, FileId};
pub use lease::Lease;
pub use slots::{Pin, Slots};
