//! Histories: what happens, step by step, drawn from a seed before anything happens. Any part of one
//! is a history too, so that a failing one can be made short.

use std::fmt;

use stratal_testkit::Rng;

use crate::world::World;

/// One change. What is not legal when it comes to it is applied as something that is.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put { key: usize, value: Vec<u8> },
    Merge { key: usize, operand: Vec<u8> },
    Delete { key: usize },
    WeakDelete { key: usize },
    DeleteRange { from: Vec<u8>, to: Vec<u8> },
    DeletePrefix { prefix: Vec<u8> },
}

/// One step of a history. Numbers are seeds, from which every tree draws its own part.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A batch is written; with a seed, while a job of the tree is in the midst of its work.
    Write { changes: Vec<Change>, inside: Option<u64> },
    /// Rows and excises are ingested: they become visible in one piece, excises first. Rows ascend, each
    /// key once; with a seed, in the midst of a merge.
    Ingest {
        excised: Vec<(Vec<u8>, Vec<u8>)>,
        prefix: Option<Vec<u8>>,
        rows: Vec<Change>,
        inside: Option<u64>,
        seed: u64,
    },
    /// A range is deleted, and the space of it given back at once.
    DropRange { from: Vec<u8>, to: Vec<u8> },
    /// Milliseconds pass.
    Pass(u64),
    /// Trees that forget for age keep values for so many milliseconds from now on, or for ever.
    Keep(Option<u64>),
    /// A snapshot is taken, perhaps in the midst of a job as well.
    Snapshot { inside: Option<u64> },
    /// A snapshot is let go.
    Release(u64),
    /// A flush, a merge, other options, another open: each tree does something of its own.
    Work(u64),
    /// Iterators begin, go on, or end, whatever has become of their tables.
    Iterate(u64),
    /// Everything that reads can say is compared, now and at a moment of the past.
    Check(u64),
}

/// Which history, and how much of it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    /// Steps that are drawn.
    pub(crate) steps: usize,
    /// Those of them that happen, ascending; all, if there are none.
    pub(crate) kept: Option<Vec<usize>>,
}

impl Case {
    pub(crate) fn whole(seed: u64, steps: usize) -> Self {
        Self { seed, steps, kept: None }
    }

    /// The world, and the steps with their numbers.
    pub(crate) fn draw(&self) -> (World, Vec<(usize, Step)>) {
        let mut rng = Rng::new(self.seed);
        let world = World::draw(&mut rng);
        let steps = (0..self.steps).map(|_| step(&world, &mut rng)).enumerate();
        let steps = match &self.kept {
            None => steps.collect(),
            Some(kept) => steps.filter(|(at, _)| kept.binary_search(at).is_ok()).collect(),
        };
        (world, steps)
    }
}

/// `seed:steps`, and behind another colon the steps that happen: `7:400:0-31,40`.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seed, self.steps)?;
        let Some(kept) = &self.kept else { return Ok(()) };
        let mut separator = ':';
        for stretch in kept.chunk_by(|a, b| a + 1 == *b) {
            write!(f, "{separator}{}", stretch[0])?;
            if let [_, .., last] = stretch {
                write!(f, "-{last}")?;
            }
            separator = ',';
        }
        Ok(())
    }
}

impl std::str::FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number"));
        let mut parts = text.split(':');
        let seed = parts.next().unwrap_or_default();
        let seed = seed.parse().map_err(|_| format!("{seed:?} is no seed"))?;
        let steps = number(parts.next().ok_or("no number of steps")?)?;
        let mut kept = None;
        if let Some(stretches) = parts.next() {
            let mut all = Vec::new();
            for stretch in stretches.split(',') {
                let (first, last) = stretch.split_once('-').unwrap_or((stretch, stretch));
                all.extend(number(first)?..=number(last)?);
            }
            kept = Some(all);
        }
        Ok(Self { seed, steps, kept })
    }
}

/// Perhaps a seed for what happens in the midst of a job.
fn inside(rng: &mut Rng) -> Option<u64> {
    rng.chance(1, 8).then(|| rng.next_u64())
}

fn step(world: &World, rng: &mut Rng) -> Step {
    match rng.below(100) {
        0..40 => {
            let count = if rng.chance(1, 20) { 40 } else { 1 + rng.index(8) };
            let changes = (0..count).map(|_| change(world, rng)).collect();
            Step::Write { changes, inside: inside(rng) }
        }
        40..44 => ingest(world, rng),
        44 => match world.stretch(rng) {
            Some((from, to)) => Step::DropRange { from, to },
            None => Step::Work(rng.next_u64()),
        },
        45..51 => Step::Snapshot { inside: inside(rng) },
        51..57 => Step::Release(rng.next_u64()),
        57..63 if world.is_aging || world.is_expiring => time(world, rng),
        57..80 => Step::Work(rng.next_u64()),
        80..84 => Step::Iterate(rng.next_u64()),
        _ => Step::Check(rng.next_u64()),
    }
}

/// Times of writes are a multiple of some time apart, or one millisecond more or less.
fn time(world: &World, rng: &mut Rng) -> Step {
    if world.is_aging && rng.chance(1, 4) {
        return Step::Keep(rng.chance(5, 6).then(|| *rng.choose(&TTLS)));
    }
    Step::Pass(*rng.choose(&[1, 3_999, 4_000, 4_000, 8_000, 20_000]))
}

/// For how many milliseconds values and tables are kept.
pub(crate) const TTLS: [u64; 3] = [8_000, 16_000, 64_000];

/// Rows anywhere, or in place of what stands in some stretch.
fn ingest(world: &World, rng: &mut Rng) -> Step {
    let mut keys = 0..world.keys.len();
    let mut excised: Vec<_> = (0..rng.index(3)).filter_map(|_| world.stretch(rng)).collect();
    if rng.chance(1, 2)
        && let Some((from, to)) = world.stretch(rng)
    {
        keys = world.lower(&from)..world.upper(&to);
        if rng.chance(2, 3) {
            excised.push((from, to));
        }
    }
    let often = 1 + rng.below(4);
    let few = keys.filter(|_| rng.chance(often, 8)).take(60);
    let few: Vec<usize> = few.collect();
    let rows = few.into_iter().map(|key| row(world, key, rng)).collect();
    let prefix = rng.chance(1, 20).then(|| {
        let name = &world.keys[world.key_number(rng)];
        name[..rng.index(name.len() + 1)].to_vec()
    });
    let prefix = prefix.filter(|prefix| !is_last(prefix) || rng.chance(1, 12));
    Step::Ingest { excised, prefix, rows, inside: inside(rng), seed: rng.next_u64() }
}

/// Behind the last prefix there is no key but one of 64 KiB, which takes its time.
fn is_last(prefix: &[u8]) -> bool {
    prefix.iter().all(|byte| *byte == 0xff)
}

fn change(world: &World, rng: &mut Rng) -> Change {
    let key = world.key_number(rng);
    match draw_habit(&world.habit, rng) {
        4 if rng.chance(1, 12) => {
            let name = &world.keys[key];
            let prefix = &name[..rng.index(name.len() + 1)];
            if is_last(prefix) && !rng.chance(1, 12) {
                return Change::Delete { key };
            }
            Change::DeletePrefix { prefix: prefix.to_vec() }
        }
        4 => match world.stretch(rng) {
            Some((from, to)) => Change::DeleteRange { from, to },
            None => Change::Delete { key },
        },
        kind => one(world, key, kind, rng),
    }
}

/// What is done to one key.
fn row(world: &World, key: usize, rng: &mut Rng) -> Change {
    let kind = draw_habit(&world.habit[..4], rng);
    one(world, key, kind, rng)
}

fn one(world: &World, key: usize, kind: usize, rng: &mut Rng) -> Change {
    match kind {
        1 => Change::Merge { key, operand: world.operand(rng) },
        2 => Change::WeakDelete { key },
        3 => Change::Delete { key },
        _ => Change::Put { key, value: world.value(rng) },
    }
}

/// The number of one of the kinds that are done so often.
fn draw_habit(habit: &[u64], rng: &mut Rng) -> usize {
    let mut drawn = rng.below(habit.iter().sum());
    let kind = habit.iter().position(|&often| {
        let is_it = drawn < often;
        drawn = drawn.saturating_sub(often);
        is_it
    });
    kind.unwrap_or_default()
}

#[test]
fn a_case_is_written_and_read() {
    for text in ["7:400", "7:400:0-31,40", "0:3:2", "1:9:0,2-3,5"] {
        let case: Case = text.parse().unwrap();
        assert_eq!(case.to_string(), text);
    }
    for text in ["", "7", "x:1", "1:x", "1:9:a-b"] {
        assert!(text.parse::<Case>().is_err(), "{text}");
    }
}
