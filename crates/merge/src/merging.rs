use std::{cmp::Ordering, hint::select_unpredictable, sync::Arc};

use stratal_types::{
    BlockCursor, BlockFacts, Comparator, Cursor, Direction, EntryDigest, EntryRef, SEEK_STEPS,
    SeqNo,
};

use crate::order::{Order, head};

/// The entries of several sources as one sequence in internal order.
///
/// Sources are given in age order, the newest first. Entries of one key and number are one entry:
/// that of the newest source that has it. Steps, turns and seeks neither allocate nor rebuild
/// anything but the order among the sources: a step compares `log₂ k` times, a turn or a seek moves
/// every source once and compares `k` times. With one source, nothing is compared.
///
/// # Errors
///
/// Those of the sources. The cursor fails as long as the source that failed does, as [`Cursor`]
/// demands of it.
#[derive(Debug)]
pub struct MergingCursor<C> {
    sources: Vec<C>,
    order: Order,
    tree: LoserTree,
    place: Place,
    /// Entries in a row, behind the one at hand, that came from its source too.
    streak: usize,
    /// The entry being left, where it has to be told from those that follow.
    left: Left,
}

/// So many entries in a row from one source make it likely that more follow.
const STREAK_MIN: usize = 2;

/// While the place is `On`, every source stands on its first entry at or behind the merged one
/// (forward), or on its last at or before it (backward). A source without such an entry stands
/// outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first entry, sources wherever they were.
    Start,
    On(Direction),
    /// This source failed.
    Failed(usize),
}

#[derive(Debug, Default)]
struct Left {
    key: Vec<u8>,
    seqno: SeqNo,
}

impl Left {
    fn set(&mut self, entry: EntryRef<'_>) {
        self.key.clear();
        self.key.extend_from_slice(entry.key);
        self.seqno = entry.seqno();
    }

    fn is(&self, entry: EntryRef<'_>) -> bool {
        self.seqno == entry.seqno() && self.key == entry.key
    }

    fn compare(&self, entry: EntryRef<'_>, order: &Order) -> Ordering {
        order.keys(&self.key, entry.key).then_with(|| entry.seqno().cmp(&self.seqno))
    }
}

impl<C: Cursor> MergingCursor<C> {
    /// Merges `sources`, newest first, all in the order of `comparator`. The cursor stands before the
    /// first entry, wherever the sources stand.
    pub fn new(sources: Vec<C>, comparator: Arc<dyn Comparator>) -> Self {
        let tree = LoserTree::new(sources.len());
        let order = Order::new(comparator);
        Self { sources, order, tree, place: Place::Start, streak: 0, left: Left::default() }
    }

    /// The order of keys.
    pub fn comparator(&self) -> &Arc<dyn Comparator> {
        self.order.comparator()
    }

    /// The sources, newest first.
    pub fn sources(&self) -> &[C] {
        &self.sources
    }

    /// Index of the source that the entry comes from.
    pub fn source(&self) -> Option<usize> {
        self.entry().map(|_| self.tree.winner())
    }

    pub(crate) fn order(&self) -> &Order {
        &self.order
    }

    /// Whether a [stretch](Self::simple_stretch) from the entry at hand on is likely to be long: there is
    /// one source, or several entries came from one. Where sources take turns, looking costs more than a
    /// step.
    pub(crate) fn has_streak(&self) -> bool {
        self.sources.len() == 1 || self.streak >= STREAK_MIN
    }

    /// How many entries, from the one at hand on, are [simple](Cursor::simple_entries) and stand before
    /// `limit` and before every other source's: [`go_on_simply`](Self::go_on_simply) leads from one of
    /// them to the next.
    pub(crate) fn simple_stretch(
        &self,
        direction: Direction,
        bound: SeqNo,
        limit: Option<&[u8]>,
    ) -> usize {
        if self.place != Place::On(direction) {
            return 0;
        }
        let Some(source) = self.sources.get(self.tree.winner()) else { return 0 };
        let match_up = MatchUp { sources: &self.sources, order: &self.order, direction };
        let runner_up = self.tree.runner_up(&match_up);
        let next = runner_up.and_then(|number| self.sources[number].entry()).map(|next| next.key);
        let nearer = match (limit, next) {
            (Some(limit), Some(next)) => {
                let next_is_first = match direction {
                    Direction::Forward => self.order.keys(next, limit).is_lt(),
                    Direction::Backward => self.order.keys(next, limit).is_gt(),
                };
                if next_is_first { Some(next) } else { Some(limit) }
            }
            (limit, next) => limit.or(next),
        };
        source.simple_entries(direction, bound, nearer)
    }

    /// Goes from one entry of a [stretch](Self::simple_stretch) to the next, in its direction.
    #[inline]
    pub(crate) fn go_on_simply(&mut self, direction: Direction) -> Result<(), C::Error> {
        // Who wins stays the same, and what lost to it: the tree is right when the stretch ends.
        let number = self.tree.winner();
        let moved = match (self.sources.get_mut(number), direction) {
            (Some(source), Direction::Forward) => source.advance(),
            (Some(source), Direction::Backward) => source.retreat(),
            (None, _) => Ok(()),
        };
        if moved.is_err() {
            self.place = Place::Failed(number);
        }
        moved
    }

    /// Moves each source that stands on the near side of `limit` over entries numbered below `seqno`, to
    /// its first entry with a key at or behind `limit` (forward), or its last before (backward): at once
    /// if `is_older` holds for it, and else as far as it [knows](Cursor::pass_older). Tells whether any
    /// was moved. The caller answers for what is passed unseen.
    pub(crate) fn pass(
        &mut self,
        limit: &[u8],
        seqno: SeqNo,
        is_older: impl Fn(usize) -> bool,
    ) -> Result<bool, C::Error> {
        let Place::On(direction) = self.place else { return Ok(false) };
        let mut moved = false;
        for (number, source) in self.sources.iter_mut().enumerate() {
            let Some(entry) = source.entry() else { continue };
            let is_behind = self.order.keys(entry.key, limit).is_ge();
            if is_behind == (direction == Direction::Forward) {
                continue;
            }
            let passed = match direction {
                _ if !is_older(number) => source.pass_older(direction, seqno, limit),
                Direction::Forward => source.seek(limit, SeqNo::MAX).map(|()| true),
                Direction::Backward => {
                    source.seek(limit, SeqNo::MAX).and_then(|()| source.retreat()).map(|()| true)
                }
            };
            match passed {
                Ok(has_left) => moved |= has_left,
                Err(error) => {
                    self.place = Place::Failed(number);
                    return Err(error);
                }
            }
        }
        if moved {
            self.play_all(direction);
            self.settle(direction)?;
        }
        Ok(moved)
    }

    /// Goes to the first entry of another key than `key`, on an entry of which it stands. Going forward,
    /// only sources that stand on the key are moved: the others are past it.
    pub(crate) fn leave_key(&mut self, key: &[u8]) -> Result<(), C::Error> {
        if self.place != Place::On(Direction::Forward) {
            return self.seek(key, SeqNo::ZERO);
        }
        self.move_all(Direction::Forward, |source| match source.entry() {
            Some(entry) if entry.key == key => source.seek(key, SeqNo::ZERO),
            _ => Ok(()),
        })
    }

    /// Goes to the last entry before where [`seek`](Cursor::seek) goes.
    pub(crate) fn seek_before(&mut self, key: &[u8], bound: SeqNo) -> Result<(), C::Error> {
        self.prepare(key, bound);
        self.move_all(Direction::Backward, |source| {
            source.seek_prepared(key, bound)?;
            source.retreat()
        })
    }

    /// Lets the sources load at the same time what they look at for a seek, which follows.
    fn prepare(&mut self, key: &[u8], bound: SeqNo) {
        // One by itself has nobody to wait with.
        let steps = if self.sources.len() > 1 { SEEK_STEPS } else { 0 };
        for step in 0..steps {
            for source in &mut self.sources {
                source.prepare_seek(key, bound, step);
            }
        }
    }

    /// Runs `step` on every source and orders them for `direction`.
    fn move_all(
        &mut self,
        direction: Direction,
        mut step: impl FnMut(&mut C) -> Result<(), C::Error>,
    ) -> Result<(), C::Error> {
        for (number, source) in self.sources.iter_mut().enumerate() {
            if let Err(error) = step(source) {
                self.place = Place::Failed(number);
                return Err(error);
            }
        }
        self.place = Place::On(direction);
        self.play_all(direction);
        self.settle(direction)
    }

    /// Lets the source that comes first show its entry, if all it has shown is a bound.
    #[inline]
    fn settle(&mut self, direction: Direction) -> Result<(), C::Error> {
        while let Some(source) = self.sources.get_mut(self.tree.winner())
            && source.is_bound()
        {
            if let Err(error) = source.settle() {
                self.place = Place::Failed(self.tree.winner());
                return Err(error);
            }
            let match_up = MatchUp { sources: &self.sources, order: &self.order, direction };
            self.tree.replay(&match_up);
        }
        Ok(())
    }

    fn play_all(&mut self, direction: Direction) {
        self.streak = 0;
        let match_up = MatchUp { sources: &self.sources, order: &self.order, direction };
        self.tree.play_all(&match_up);
    }

    /// Leaves the entry for the next one in the direction in which the cursor goes.
    fn go_on(&mut self, direction: Direction) -> Result<(), C::Error> {
        let has_twins = self.tree.has_ties();
        if has_twins && let Some(entry) = self.sources[self.tree.winner()].entry() {
            self.left.set(entry);
        }
        loop {
            let number = self.tree.winner();
            let source = &mut self.sources[number];
            let moved = match direction {
                Direction::Forward => source.advance(),
                Direction::Backward => source.retreat(),
            };
            if let Err(error) = moved {
                self.place = Place::Failed(number);
                return Err(error);
            }
            let match_up = MatchUp { sources: &self.sources, order: &self.order, direction };
            self.tree.replay(&match_up);
            self.settle(direction)?;
            self.streak = if self.tree.winner() == number { self.streak + 1 } else { 0 };
            let is_twin = |entry| self.left.is(entry);
            if !has_twins || !self.sources[self.tree.winner()].entry().is_some_and(is_twin) {
                return Ok(());
            }
        }
    }

    /// Goes to the nearest entry on the other side of this one, or from outside to the end.
    fn turn(&mut self, to: Direction) -> Result<(), C::Error> {
        let mut left = std::mem::take(&mut self.left);
        let turned = if let Some(entry) = self.entry() {
            left.set(entry);
            let order = self.order.clone();
            self.move_all(to, |source| step_over(source, &left, &order, to))
        } else {
            self.move_all(to, |source| one_step(source, to))
        };
        self.left = left;
        turned
    }

    fn step(&mut self, to: Direction) -> Result<(), C::Error> {
        match self.place {
            Place::Start if to == Direction::Forward => self.seek_to_first(),
            Place::Start => Ok(()),
            Place::On(direction) if direction != to => self.turn(to),
            Place::On(_) if self.sources.is_empty() => Ok(()),
            // Behind the last entry the winner is a source that is there, too, and stays.
            Place::On(_) => self.go_on(to),
            Place::Failed(number) => one_step(&mut self.sources[number], to),
        }
    }
}

fn one_step<C: Cursor>(source: &mut C, to: Direction) -> Result<(), C::Error> {
    match to {
        Direction::Forward => source.advance(),
        Direction::Backward => source.retreat(),
    }
}

/// Goes from one side of `left`, or from it, to the nearest entry on the other.
fn step_over<C: Cursor>(
    source: &mut C,
    left: &Left,
    order: &Order,
    to: Direction,
) -> Result<(), C::Error> {
    let not_over = |source: &C| match (source.entry(), to) {
        (None, _) => false,
        (Some(entry), Direction::Forward) => left.compare(entry, order).is_ge(),
        (Some(entry), Direction::Backward) => left.compare(entry, order).is_le(),
    };
    one_step(source, to)?;
    if not_over(source) {
        // It had gone far ahead, or entries appeared in between.
        match to {
            Direction::Forward => source.seek(&left.key, left.seqno)?,
            Direction::Backward => {
                source.seek(&left.key, left.seqno.next().unwrap_or(SeqNo::MAX))?;
                source.retreat()?;
            }
        }
    }
    while not_over(source) {
        one_step(source, to)?;
    }
    Ok(())
}

impl<C: Cursor> Cursor for MergingCursor<C> {
    type Error = C::Error;

    fn seek(&mut self, key: &[u8], bound: SeqNo) -> Result<(), C::Error> {
        self.prepare(key, bound);
        self.move_all(Direction::Forward, |source| source.seek_prepared(key, bound))
    }

    fn seek_to_first(&mut self) -> Result<(), C::Error> {
        self.move_all(Direction::Forward, C::seek_to_first)
    }

    fn seek_to_last(&mut self) -> Result<(), C::Error> {
        self.move_all(Direction::Backward, C::seek_to_last)
    }

    fn advance(&mut self) -> Result<(), C::Error> {
        self.step(Direction::Forward)
    }

    fn retreat(&mut self) -> Result<(), C::Error> {
        self.step(Direction::Backward)
    }

    #[inline]
    fn entry(&self) -> Option<EntryRef<'_>> {
        match self.place {
            Place::On(_) => self.sources.get(self.tree.winner())?.entry(),
            Place::Start | Place::Failed(_) => None,
        }
    }

    fn digest(&self) -> Option<EntryDigest> {
        match self.place {
            Place::On(_) => self.sources.get(self.tree.winner())?.digest(),
            Place::Start | Place::Failed(_) => None,
        }
    }
}

impl<C: BlockCursor> BlockCursor for MergingCursor<C> {
    #[inline]
    fn begins_block(&self) -> bool {
        self.sources.get(self.tree.winner()).is_some_and(C::begins_block)
    }

    /// The block of one source, before whose last key no other source has anything.
    fn block_end(&self, last: &mut Vec<u8>) -> bool {
        if self.place != Place::On(Direction::Forward) {
            return false;
        }
        let winner = self.tree.winner();
        let Some(source) = self.sources.get(winner) else { return false };
        if !source.block_end(last) {
            return false;
        }
        let is_behind = |source: &C| {
            source.entry().is_none_or(|entry| self.order.keys(entry.key, last).is_gt())
        };
        (self.sources.iter().enumerate())
            .all(|(number, other)| number == winner || is_behind(other))
    }

    fn block_facts(&self) -> Option<BlockFacts> {
        self.sources.get(self.tree.winner())?.block_facts()
    }

    fn pass_block(&mut self) -> Result<(), C::Error> {
        let number = self.tree.winner();
        let Some(source) = self.sources.get_mut(number) else { return Ok(()) };
        if let Err(error) = source.pass_block() {
            self.place = Place::Failed(number);
            return Err(error);
        }
        let direction = Direction::Forward;
        let match_up = MatchUp { sources: &self.sources, order: &self.order, direction };
        self.tree.replay(&match_up);
        self.settle(direction)
    }
}

/// A tournament of the sources, of which every node keeps the loser.
///
/// Node `n` plays the winners of nodes `2n` and `2n + 1`; the leaf of source `i` is node `k + i`.
/// When the overall winner has moved, only the matches on its way up are played again. On that way
/// stand, and were beaten by the winner's present entry, the best of all other sources: if another
/// source has the winner's entry too, one of those matches was a tie.
#[derive(Debug)]
struct LoserTree {
    winner: Player,
    /// Of nodes 1 to k − 1, and one that is not used. Empty if there is nothing to play.
    nodes: Vec<Player>,
    count: usize,
    /// How many of the nodes are ties.
    ties: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Player {
    /// Smaller wins; equal ranks say nothing.
    rank: u64,
    source: usize,
    /// Whether the match that it lost was a tie: both had an entry of one key and number.
    tied: bool,
}

/// What decides a match.
struct MatchUp<'a, C> {
    sources: &'a [C],
    order: &'a Order,
    direction: Direction,
}

impl<C: Cursor> MatchUp<'_, C> {
    fn player(&self, source: usize) -> Player {
        let rank = if !self.order.is_bytewise() || self.sources.len() == 1 {
            0
        } else {
            let entry = self.sources[source].entry();
            let forward = self.direction == Direction::Forward;
            entry.map_or(u64::MAX, |entry| if forward { head(entry.key) } else { !head(entry.key) })
        };
        Player { rank, source, tied: false }
    }

    /// Which of two comes first, where ranks do not say. A source that has no entry comes last.
    #[inline(never)]
    fn compare(&self, a: usize, b: usize) -> Ordering {
        match (self.sources[a].entry(), self.sources[b].entry()) {
            (Some(x), Some(y)) => match self.direction {
                Direction::Forward => self.order.entries(x, y),
                Direction::Backward => self.order.entries(y, x),
            },
            // Two without an entry are no tie: neither will be the winner while there is one.
            (None, None) => a.cmp(&b),
            (x, y) => y.is_some().cmp(&x.is_some()),
        }
    }

    /// Winner and loser. Who wins is as good as random, so that choosing without a jump pays.
    #[inline]
    fn play(&self, a: Player, b: Player) -> (Player, Player) {
        let (a_wins, tied) = if a.rank == b.rank {
            let order = self.compare(a.source, b.source);
            // Of twins, the newer source's comes first in both directions.
            (order.then(a.source.cmp(&b.source)).is_lt(), order.is_eq())
        } else {
            (a.rank < b.rank, false)
        };
        let (winner_rank, loser_rank) = (a.rank.min(b.rank), a.rank.max(b.rank));
        let winner = select_unpredictable(a_wins, a.source, b.source);
        let loser = select_unpredictable(a_wins, b.source, a.source);
        (
            Player { rank: winner_rank, source: winner, tied: false },
            Player { rank: loser_rank, source: loser, tied },
        )
    }
}

impl LoserTree {
    fn new(count: usize) -> Self {
        let nodes = vec![Player::default(); if count > 1 { count } else { 0 }];
        Self { winner: Player::default(), nodes, count, ties: 0 }
    }

    #[inline]
    fn winner(&self) -> usize {
        self.winner.source
    }

    /// Whether another source may have the winner's entry too.
    fn has_ties(&self) -> bool {
        self.ties > 0
    }

    /// The best but for the winner: one of those that lost to it.
    fn runner_up<C: Cursor>(&self, match_up: &MatchUp<'_, C>) -> Option<usize> {
        let mut best: Option<Player> = None;
        let mut node = usize::midpoint(self.count, self.winner());
        while node > 0 {
            let loser = self.nodes[node];
            best = Some(best.map_or(loser, |best| match_up.play(best, loser).0));
            node /= 2;
        }
        best.map(|player| player.source)
    }

    fn play_all<C: Cursor>(&mut self, match_up: &MatchUp<'_, C>) {
        self.ties = 0;
        if self.count > 0 {
            self.winner = self.play_below(1, match_up);
        }
    }

    /// Plays all matches under `node` and its own; returns the winner.
    fn play_below<C: Cursor>(&mut self, node: usize, match_up: &MatchUp<'_, C>) -> Player {
        if node >= self.count {
            return match_up.player(node - self.count);
        }
        let (a, b) = (self.play_below(2 * node, match_up), self.play_below(2 * node + 1, match_up));
        let (winner, loser) = match_up.play(a, b);
        self.ties += usize::from(loser.tied);
        self.nodes[node] = loser;
        winner
    }

    /// Plays the matches of the overall winner again, whose entry is another now.
    fn replay<C: Cursor>(&mut self, match_up: &MatchUp<'_, C>) {
        let source = self.winner();
        let mut winner = match_up.player(source);
        let mut node = usize::midpoint(self.count, source);
        while node > 0 {
            let before = self.nodes[node];
            let loser;
            (winner, loser) = match_up.play(winner, before);
            self.nodes[node] = loser;
            self.ties = self.ties + usize::from(loser.tied) - usize::from(before.tied);
            node /= 2;
        }
        self.winner = winner;
    }
}
