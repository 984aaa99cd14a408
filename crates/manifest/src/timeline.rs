#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::expect_used
)]

use stratal_types::SeqNo;

/// What time it was when a sequence number was the next to be given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeMark {
    /// The number: those below it had been given out.
    pub seqno: SeqNo,
    /// The time, in milliseconds since 1970.
    pub time_ms: u64,
}

/// When sequence numbers were given out: marks, ascending in number and time.
///
/// A number was given out no later than the first mark above it says. Where marks stand more closely
/// than a share of `1 / SHARE` of their age they are thinned out, so that their number grows with the
/// logarithm of the time they cover: some `SHARE · ln(n)` remain of `n`.
///
/// ```
/// use stratal_manifest::{TimeMark, Timeline};
///
/// let mut times = Timeline::default();
/// times.note(TimeMark { seqno: 10u32.into(), time_ms: 1_000 });
/// times.note(TimeMark { seqno: 20u32.into(), time_ms: 2_000 });
/// assert_eq!(times.latest(9u32.into()), Some(1_000));
/// assert_eq!(times.latest(10u32.into()), Some(2_000), "it may have been given out just now");
/// assert_eq!(times.latest(20u32.into()), None);
/// // Everything below 10 is older than half a second at 1,500.
/// assert_eq!(times.older_than(500, 1_500), 10u32.into());
/// assert_eq!(times.older_than(501, 1_500), 0u32.into());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    marks: Vec<TimeMark>,
}

impl Timeline {
    /// Marks are not kept closer than this share of their age.
    pub const SHARE: u64 = 64;

    /// The marks, ascending.
    pub fn marks(&self) -> &[TimeMark] {
        &self.marks
    }

    /// The newest mark.
    pub fn last(&self) -> Option<TimeMark> {
        self.marks.last().copied()
    }

    /// Adds a mark behind all others; does nothing if its number is not above theirs or its time is below.
    /// O(marks).
    pub fn note(&mut self, mark: TimeMark) {
        self.extend(&[mark]);
    }

    /// Adds marks one behind the other, and thins out once. O(marks).
    pub fn extend(&mut self, marks: &[TimeMark]) {
        for mark in marks {
            match self.marks.last_mut() {
                Some(last) if mark.seqno <= last.seqno || mark.time_ms < last.time_ms => {}
                // More was given out by then.
                Some(last) if mark.time_ms == last.time_ms => *last = *mark,
                _ => self.marks.push(*mark),
            }
        }
        self.thin();
    }

    /// The time by which the number had been given out; `None` if no mark is above it.
    pub fn latest(&self, seqno: SeqNo) -> Option<u64> {
        let at = self.marks.partition_point(|mark| mark.seqno <= seqno);
        self.marks.get(at).map(|mark| mark.time_ms)
    }

    /// The bound below which every number was given out `age_ms` before `now_ms`, or earlier. What is
    /// not below it may be as old, and is no older than marks are apart.
    pub fn older_than(&self, age_ms: u64, now_ms: u64) -> SeqNo {
        let Some(time_ms) = now_ms.checked_sub(age_ms) else { return SeqNo::ZERO };
        let count = self.marks.partition_point(|mark| mark.time_ms <= time_ms);
        let newest = count.checked_sub(1).and_then(|at| self.marks.get(at));
        newest.map_or(SeqNo::ZERO, |mark| mark.seqno)
    }

    /// Takes out every mark without which the gap is no longer than a share of its age.
    fn thin(&mut self) {
        let Some(now) = self.last() else { return };
        let mut kept: Vec<TimeMark> = Vec::with_capacity(self.marks.len());
        for (at, mark) in self.marks.iter().enumerate() {
            let is_between = kept.last().zip(self.marks.get(at + 1)).is_some_and(|(a, b)| {
                let age = now.time_ms.saturating_sub(b.time_ms);
                b.time_ms.saturating_sub(a.time_ms) <= age / Self::SHARE
            });
            if !is_between {
                kept.push(*mark);
            }
        }
        self.marks = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(seqno: u64, time_ms: u64) -> TimeMark {
        TimeMark { seqno: SeqNo::new(seqno).unwrap_or(SeqNo::MAX), time_ms }
    }

    #[test]
    fn marks_only_ascend() {
        let mut times = Timeline::default();
        times.note(mark(5, 100));
        for late in [mark(5, 200), mark(4, 100), mark(4, 90), mark(9, 99)] {
            times.note(late);
        }
        assert_eq!(times.marks(), [mark(5, 100)]);
        times.note(mark(6, 100));
        assert_eq!(times.marks(), [mark(6, 100)], "more was given out by then");
    }

    #[test]
    fn many_marks_become_few_and_say_the_age_to_a_share_of_it() {
        let mut times = Timeline::default();
        let end = 100_000;
        for at in 1..=end {
            times.note(mark(at * 3, at * 10));
        }
        let count = times.marks().len();
        assert!((100..3_000).contains(&count), "{count} marks");
        for age in [10, 1_000, 54_321, 900_000] {
            let now = end * 10;
            let bound = times.older_than(age, now).get();
            let oldest_kept = now - bound / 3 * 10;
            let slack = oldest_kept - age;
            assert!(oldest_kept >= age, "nothing younger is below");
            assert!(slack <= age / Timeline::SHARE + 20, "{slack} late at an age of {age}");
        }
        assert_eq!(times.latest(SeqNo::ZERO), Some(10), "the first mark stays");
    }

    #[test]
    fn nothing_is_old_where_no_mark_is() {
        let times = Timeline::default();
        assert_eq!(times.older_than(0, u64::MAX), SeqNo::ZERO);
        assert_eq!(times.older_than(5, 4), SeqNo::ZERO);
        assert_eq!(times.latest(SeqNo::ZERO), None);
    }
}
