use std::{fmt, sync::Arc};

use stratal_compaction::gc::{CompactionFilter, Verdict};
use stratal_types::EntryRef;

/// Makes the filter of a flush or merge of tables, anew for each: what judges the values that it is
/// about to write.
///
/// A filter sees a key's newest version among what the job reads, if that is a value which every reader
/// sees. It is no promise that a value goes: only values that are merged are judged.
///
/// ```
/// use stratal_engine::{CompactionFilters, EntryRef, TreeOptions, Verdict};
///
/// let no_drafts = CompactionFilters::of(|entry: EntryRef<'_>| {
///     if entry.value.starts_with(b"draft") { Verdict::Remove } else { Verdict::Keep }
/// });
/// let options = TreeOptions { compaction_filters: Some(no_drafts), ..TreeOptions::default() };
/// assert!(options.validate().is_ok());
/// ```
#[derive(Clone)]
pub struct CompactionFilters(Arc<dyn Fn() -> Box<dyn CompactionFilter> + Send + Sync>);

impl CompactionFilters {
    /// `make` makes a filter for each job, on the thread that does the job.
    pub fn new(make: impl Fn() -> Box<dyn CompactionFilter> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// Every value is judged by `judge`, which remembers nothing.
    pub fn of(judge: impl Fn(EntryRef<'_>) -> Verdict + Clone + Send + Sync + 'static) -> Self {
        Self::new(move || Box::new(Judge(judge.clone())))
    }

    pub(crate) fn make(&self) -> Box<dyn CompactionFilter> {
        (self.0)()
    }
}

impl fmt::Debug for CompactionFilters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompactionFilters").finish_non_exhaustive()
    }
}

/// A function as a filter.
struct Judge<F>(F);

impl<F: Fn(EntryRef<'_>) -> Verdict> CompactionFilter for Judge<F> {
    fn judge(&mut self, entry: EntryRef<'_>) -> Verdict {
        (self.0)(entry)
    }
}
