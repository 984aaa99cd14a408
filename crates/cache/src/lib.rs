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
//!   [`Cache::ENTRY_OVERHEAD`] or [`Cache::SHOWN_OVERHEAD`] for each, and does not exceed the capacity,
//!   which can be changed at any time. What was evicted but is still in use is counted by nobody.
//! * **One load at a time for each key**, or slot, shared by those who wait; a failed one is neither kept
//!   nor shared.
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
//! two loads and, once for all values that are looked at meanwhile, a [`Pin`]. What the cache lets go of is
//! dropped when the pins of that moment are gone, and some values later than that: until then a few
//! hundred of them, at most, are in memory that nobody counts.
//!
//! **Values of normal priority that have a slot have no key.** They are found there alone, and whoever uses
//! slots for some values uses them for each lookup of these. Nothing about them needs the hash table:
//!
//! * Up to three uses of a value are counted in its slot's word, beside the address, until the cache looks.
//! * The cache has them in two queues for each shard, of newcomers, with a thirty-third of the room, and
//!   of those that were used since (S3-FIFO). Whoever comes to the end of one and was used meanwhile begins
//!   anew with the proved ones, and who was not goes. Nothing moves when a value is used.
//! * An empty slot remembers when its last value went. Who comes back before as many others have gone as
//!   are proved is taken for proved at once. What a hash table of ghosts is for costs no memory so.
//! * An empty slot says that somebody loads for it, and that others wait. Nobody else writes to it then but
//!   those who wait. A load that fails or panics leaves it as it was, and one of them goes on.
//! * Slots that go empty themselves: what they showed is the next to be evicted when its turn comes.
//!
//! Such values and those with keys share the room of a shard. What one kind does not use the other gets;
//! where both want more than there is, half is for those with keys, or a quarter of the shard more than is
//! protected of them.
//!
//! Values of high priority, pinned ones, and those that are too heavy for a shard have a key and a slot. The
//! cache is told of their uses by a lookup, up to two each time it passes a value by.
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
mod pin;
mod word;
mod slots;
mod turn;
mod area;
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
pub use pin::Pin;
pub use slots::Slots;
