use stratal_types::Direction;

/// Rows that need no decision, from the row at hand on, and when it pays to look for such.
///
/// Sources whose rows stand by turns have none to speak of, and looking costs about as much as a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Simple {
    /// Rows behind the one at hand, in this direction.
    left: usize,
    direction: Direction,
    /// Rows before it is looked again, and after the next failure.
    wait: u8,
    patience: u8,
}

/// Fewer rows than this were not worth looking for.
const WORTH: usize = 4;

/// Most rows after which it is looked again.
const PATIENCE_MAX: u8 = 64;

impl Simple {
    pub(crate) const NONE: Self =
        Self { left: 0, direction: Direction::Forward, wait: 0, patience: 1 };

    /// Whether it is to be looked now; to be asked once a row.
    pub(crate) fn is_worth_looking(&mut self) -> bool {
        match self.wait.checked_sub(1) {
            Some(left) => {
                self.wait = left;
                false
            }
            None => true,
        }
    }

    /// Notes that there are `count`, the row at hand among them.
    pub(crate) fn found(&mut self, direction: Direction, count: usize) {
        self.left = count.saturating_sub(1);
        self.direction = direction;
        if count < WORTH {
            self.wait = self.patience;
            self.patience = self.patience.saturating_mul(2).min(PATIENCE_MAX);
        } else {
            self.patience = 1;
        }
    }

    /// Takes one, if there is one that way.
    #[inline]
    pub(crate) fn take(&mut self, direction: Direction) -> bool {
        let is_there = self.left > 0 && self.direction == direction;
        self.left -= usize::from(is_there);
        is_there
    }

    /// The row at hand is left in another way.
    pub(crate) fn forget(&mut self) {
        self.left = 0;
    }
}
