//! What a merge of tables may forget: the garbage-collecting stream.
//!
//! ```text
//! inputs ─▶ merging cursor ─▶ GcStream ─▶ entries, newest first per key ─▶ table writer
//!                               │  ▲
//!           value pointers ◀────┘  └── watermark, tombstones of the inputs, what lies behind
//! ```
//!
//! # The rules
//!
//! `W` is the watermark: no read has a bound below it. *Older* is whatever stands behind the place
//! of the output in search order. Per key, versions newest first:
//!
//! 0. Versions below `W` under a fragment that is itself below `W` leave first. The fragment then
//!    stands under what remains, as a delete.
//! 1. Every version at or above `W` stays, and the newest below; the rest below leaves unless a
//!    merge chain needs it.
//! 2. A delete that is the newest below `W` leaves, with all under it, iff nothing older has the key.
//! 3. A put under which the stream drops a delete, a weak delete or a marked put is *marked*, unless
//!    nothing older has the key. A weak delete below `W` vanishes together with an unmarked put
//!    directly under it, and the rest of the key is judged anew; over anything else it becomes a
//!    plain delete; over nothing it stays as it is. It leaves iff nothing older has the key.
//! 4. Operands below `W` fold onto a value or a delete; onto nothing only if nothing older has the
//!    key or a fragment stands beneath. Otherwise they stay, or are composed into one operand if the
//!    operator can.
//! 5. A value pointer that leaves is reported once.
//! 6. The filter sees a key's newest version in the inputs, if that is a value below `W`.
//! 7. A value below `W` gets number zero iff nothing older has the key and no fragment anywhere
//!    covers it.
//!
//! The test `one_key` holds the histories that break the simpler forms of these rules.

mod context;
mod filter;
mod tombstones;
mod summary;
mod stream;
mod plain;
mod carry;

pub use context::{GcContext, ValueSource};
pub use filter::{CompactionFilter, Verdict};
pub use plain::BlockStarts;
pub use stratal_merge::{MergeOperator, OperatorError};
pub use stream::GcStream;
pub use summary::GcSummary;
pub use tombstones::JobTombstones;
