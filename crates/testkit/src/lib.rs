//! What Stratal's crates share in their tests: deterministic generators, the oracle that says what
//! the right answer is, damage in every form, golden files, and `Fs` doubles.
//!
//! Everything here is repeatable from a seed: no clock, no thread, no hash-map order. This crate
//! knows nothing about formats, tables or databases; it depends on `types` and `fs` alone and is
//! used from `tests/` folders.
//!
//! ```
//! use stratal_testkit::{KeyShape, Model, Rng, mutate, sorted_keys};
//! use stratal_types::{KeyRange, SeqNo};
//!
//! let mut rng = Rng::new(1);
//! let mut model = Model::bytewise();
//! for (seqno, key) in (1u32..).zip(sorted_keys(KeyShape::Place, 100, &mut rng)) {
//!     model.put(seqno.into(), &key, b"v");
//! }
//! assert_eq!(model.count(&KeyRange::ALL, SeqNo::MAX), 100);
//!
//! // Every way to damage three bytes: 24 flips, 00 and FF, all zero, cut at 0, 1 and 2 …
//! let counts = mutate::for_each_mutant(b"abc", |what, mutant| {
//!     assert_ne!(mutant, b"abc", "{what}");
//! });
//! assert_eq!(counts.bits_flipped, 24);
//! ```
#![forbid(unsafe_code)]

mod rng;
mod keys;
mod values;
mod op;
mod model;
mod golden;
mod one_byte_fs;
mod hook_fs;
mod memory;
pub mod mutate;
#[cfg(shuttle)]
pub mod schedules;
pub mod strategies;

pub use golden::{golden, read_golden};
pub use hook_fs::{FileEvent, HookFs};
pub use keys::{KeyShape, keys, sorted_keys};
pub use memory::flip_in_memory;
pub use model::{MergeFn, Model, concatenate};
pub use one_byte_fs::OneByteFs;
pub use op::Op;
pub use rng::Rng;
pub use values::value;
