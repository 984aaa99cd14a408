use stratal_manifest::{TimeMark, Timeline};
use stratal_types::SeqNo;

/// What is known about when numbers were given out.
///
/// The newest observation is replaced by the next one until they are far enough apart. It becomes a mark
/// then, or when marks are put down.
#[derive(Debug)]
pub(crate) struct Times {
    line: Timeline,
    newest: Option<TimeMark>,
    /// Marks up to this number are in the manifest.
    put_down: SeqNo,
}

impl Times {
    /// Goes on from what the manifest has.
    pub(crate) fn new(line: Timeline) -> Self {
        let put_down = line.last().map_or(SeqNo::ZERO, |mark| mark.seqno);
        Self { line, newest: None, put_down }
    }

    /// Notes that every number below `mark.seqno` had been given out at `mark.time_ms`. Marks are to be
    /// `apart_ms` from one another, or more.
    pub(crate) fn observe(&mut self, mark: TimeMark, apart_ms: u64) {
        let last_ms = self.line.last().map_or(0, |last| last.time_ms);
        if mark.time_ms >= last_ms.saturating_add(apart_ms)
            && let Some(newest) = self.newest
        {
            self.line.note(newest);
        }
        let is_newer =
            |newest: TimeMark| newest.seqno < mark.seqno && newest.time_ms <= mark.time_ms;
        if self.newest.or(self.line.last()).is_none_or(is_newer) {
            self.newest = Some(mark);
        }
    }

    /// The marks that are not in the manifest.
    pub(crate) fn unwritten(&mut self) -> Vec<TimeMark> {
        if let Some(newest) = self.newest {
            self.line.note(newest);
        }
        let marks = self.line.marks();
        let first = marks.partition_point(|mark| mark.seqno <= self.put_down);
        marks.get(first..).unwrap_or_default().to_vec()
    }

    /// Notes that the manifest has these marks.
    pub(crate) fn note_put_down(&mut self, line: &Timeline) {
        self.put_down = line.last().map_or(self.put_down, |mark| mark.seqno.max(self.put_down));
    }

    /// The bound below which every number was given out `age_ms` before `now_ms`, or earlier.
    pub(crate) fn older_than(&self, age_ms: u64, now_ms: u64) -> SeqNo {
        let is_old = |mark: &TimeMark| mark.time_ms.saturating_add(age_ms) <= now_ms;
        let newest = self.newest.filter(is_old).map_or(SeqNo::ZERO, |mark| mark.seqno);
        self.line.older_than(age_ms, now_ms).max(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(seqno: u32, time_ms: u64) -> TimeMark {
        TimeMark { seqno: seqno.into(), time_ms }
    }

    #[test]
    fn a_number_is_as_old_as_the_observation_that_followed_it() {
        let mut times = Times::new(Timeline::default());
        for (seqno, time_ms) in [(10, 1000), (11, 1001), (12, 1002), (20, 1100), (30, 1101)] {
            times.observe(mark(seqno, time_ms), 50);
        }
        assert_eq!(times.older_than(100, 1099), SeqNo::ZERO);
        assert_eq!(times.older_than(100, 1100), 10u32.into());
        // Marks less than 50 apart were passed over, so 11 counts as as old as the next.
        assert_eq!(times.older_than(100, 1199), 12u32.into());
        assert_eq!(times.older_than(100, 1200), 20u32.into());
        // The newest counts whatever is between.
        assert_eq!(times.older_than(100, 1201), 30u32.into());
        let marks = times.unwritten();
        assert_eq!(marks.last(), Some(&mark(30, 1101)));
        let mut line = Timeline::default();
        line.extend(&marks);
        times.note_put_down(&line);
        assert!(times.unwritten().is_empty());
        // A clock that goes back changes nothing.
        times.observe(mark(40, 900), 50);
        assert!(times.unwritten().is_empty());
        assert_eq!(times.older_than(100, 1201), 30u32.into());
        // The next open knows the same.
        assert_eq!(Times::new(line).older_than(100, 1201), 30u32.into());
    }
}
