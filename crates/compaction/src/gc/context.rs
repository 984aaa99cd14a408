use std::fmt;

use stratal_types::{Comparator, SeqNo};

use super::{JobTombstones, MergeOperator};
use crate::SpanSet;

/// What one job knows about the world while it merges. Settled when the job starts.
#[derive(Clone, Copy)]
pub struct GcContext<'a> {
    /// The order of keys.
    pub comparator: &'a dyn Comparator,
    /// No read has a bound below this, now or later. [`SeqNo::ZERO`] collects nothing.
    pub watermark: SeqNo,
    /// The range tombstones of the inputs.
    pub tombstones: &'a JobTombstones,
    /// The keys that something behind the place of the output may hold. [`SpanSet::all`] for a
    /// flush.
    pub older: &'a SpanSet,
    /// The keys that range tombstones outside the inputs may cover, those of memtables included.
    /// Numbers are zeroed elsewhere; with `None` nowhere.
    pub covered_elsewhere: Option<&'a SpanSet>,
    /// How operands fold. Without one they stay as they are.
    pub operator: Option<&'a dyn MergeOperator>,
    /// Where values lie that operands fold onto. Without one, operands over a pointer stay.
    pub values: Option<&'a dyn ValueSource>,
    /// Where the stream ends: the first user key that is not its business. For a job that is done
    /// in pieces.
    pub end: Option<&'a [u8]>,
    /// Operands of one key that may be held at once, in bytes. A longer chain is composed piece by
    /// piece if the operator can, and stays unfolded if not.
    pub chain_len_max: usize,
}

impl<'a> GcContext<'a> {
    /// Default of [`chain_len_max`](Self::chain_len_max), in bytes.
    pub const CHAIN_LEN_MAX: usize = 64 << 20;

    /// A job that may drop what is replaced below `watermark` and otherwise knows nothing: `older`
    /// and `tombstones` as given, no operator, no values, no zeroing.
    pub const fn new(
        comparator: &'a dyn Comparator,
        watermark: SeqNo,
        tombstones: &'a JobTombstones,
        older: &'a SpanSet,
    ) -> Self {
        Self {
            comparator,
            watermark,
            tombstones,
            older,
            covered_elsewhere: None,
            operator: None,
            values: None,
            end: None,
            chain_len_max: Self::CHAIN_LEN_MAX,
        }
    }
}

impl fmt::Debug for GcContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcContext")
            .field("comparator", &self.comparator.name())
            .field("watermark", &self.watermark)
            .field("older", &self.older)
            .finish_non_exhaustive()
    }
}

/// Fetches separated values for operands that fold onto them.
pub trait ValueSource {
    /// The value that `pointer` stands for, or `None` if it cannot be read now; the chain over it
    /// then stays as it is.
    fn value(&self, pointer: &[u8]) -> Option<Vec<u8>>;
}
