//! The garbage-collection rules on one key, against a replay of its whole history.
//!
//! Random and exhaustive histories of writes, flushes, watermarks and merges of adjacent runs; after
//! every step each read at or above the watermark must give the truth. The rules are there twice:
//! written plainly over collected versions ([`rules`]), with the simpler forms that lose data, and
//! as the crate's stream ([`stream`]).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod model;
mod rules;
mod stream;
#[path = "../support/mod.rs"]
mod support;

use Write::{Delete, Excise, Ingest, Operand, Put, RangeDelete, Replace, Separated, WeakDelete};
use model::{Compactor, Row, Shape, Walk, Write, exhaustive, random_history};
use rules::{Rules, Simpler};
use stream::{AnyMeans, Filter, LikeTheRules, Means, With};

const EVERYTHING: &[Write] =
    &[Put, Put, Operand, Delete, RangeDelete, WeakDelete, WeakDelete, Separated];

/// Ingestions between writes of every sort.
const INGESTED: &[Write] = &[
    Put,
    Operand,
    Delete,
    RangeDelete,
    WeakDelete,
    WeakDelete,
    Separated,
    Ingest(Row::Put),
    Ingest(Row::Delete),
    Ingest(Row::Operand),
    Replace(Row::Put),
    Replace(Row::Delete),
    Replace(Row::Operand),
    Excise,
];

/// Every history must read true.
fn holds(shape: Shape<'_>, seeds: std::ops::Range<u64>, compactor: &mut impl Compactor) {
    for seed in seeds {
        if let Err(wrong) = random_history(seed, shape, compactor) {
            panic!("seed {seed}: {wrong:#?}");
        }
    }
}

/// Random histories out of `writes` must find what is wrong with a simpler rule.
fn is_caught(simpler: Simpler, writes: &[Write], mixed: bool) {
    let mut rules = Rules { simpler: Some(simpler) };
    let shape = Shape { writes, steps: 30, mixed };
    let shortest = (0..20_000)
        .filter_map(|seed| random_history(seed, shape, &mut rules).err())
        .min_by_key(|wrong| wrong.steps.len());
    let wrong = shortest.unwrap_or_else(|| panic!("{simpler:?} was not caught"));
    println!("{simpler:?} is caught by {} steps: {:?}", wrong.steps.len(), wrong.steps);
    // The same history must pass under the rules themselves: the fault is the rule's.
    let mut sound = Rules::default();
    holds(shape, 0..2_000, &mut sound);
}

fn finds_nothing(name: &str, walk: Walk) {
    println!("{name}: {} states, {} wrong", walk.states, walk.wrong);
    assert_eq!(walk.wrong, 0, "{name}");
}

#[test]
fn the_rules_hold_in_random_histories() {
    for (mixed, steps) in [(false, 20), (true, 20), (true, 45)] {
        holds(Shape { writes: EVERYTHING, steps, mixed }, 0..40_000, &mut Rules::default());
    }
}

#[test]
fn the_rules_hold_in_every_small_history() {
    let rules = &mut Rules::default();
    finds_nothing("puts and weak deletes", exhaustive(&[Put, WeakDelete], 7, 4, false, rules));
    finds_nothing("every write", exhaustive(&Write::PLAIN, 5, 3, false, rules));
    finds_nothing("every watermark", exhaustive(&Write::PLAIN, 4, 2, true, rules));
}

#[test]
fn the_stream_does_what_the_rules_say_in_random_histories() {
    for (mixed, steps) in [(false, 20), (true, 20), (true, 45)] {
        holds(Shape { writes: EVERYTHING, steps, mixed }, 40_000..60_000, &mut LikeTheRules);
    }
}

#[test]
fn the_stream_holds_whatever_a_job_brings_along() {
    for (mixed, steps) in [(false, 20), (true, 45)] {
        let any_means = &mut AnyMeans::new(1);
        holds(Shape { writes: EVERYTHING, steps, mixed }, 60_000..80_000, any_means);
        assert!(any_means.judgements > 1_000, "{} judgements", any_means.judgements);
    }
}

#[test]
fn filters_hold_in_every_small_history_whatever_they_say() {
    for filter in Filter::ALL.into_iter().filter(|filter| *filter != Filter::None) {
        let stream = &mut With::new(Means::filtering(filter));
        let name = |what| format!("{filter:?}, {what}");
        finds_nothing(&name("puts and weak"), exhaustive(&[Put, WeakDelete], 6, 4, false, stream));
        finds_nothing(&name("every write"), exhaustive(&Write::PLAIN, 4, 3, false, stream));
        finds_nothing(&name("every watermark"), exhaustive(&Write::PLAIN, 4, 2, true, stream));
        let separated = &[Separated, Put, WeakDelete, RangeDelete];
        finds_nothing(&name("separated"), exhaustive(separated, 4, 3, false, stream));
    }
}

#[test]
fn the_stream_holds_in_every_small_history() {
    let stream = &mut LikeTheRules;
    finds_nothing("stream, puts and weak", exhaustive(&[Put, WeakDelete], 7, 4, false, stream));
    finds_nothing("stream, every write", exhaustive(&Write::PLAIN, 5, 3, false, stream));
    finds_nothing("stream, every watermark", exhaustive(&Write::PLAIN, 4, 2, true, stream));
    let separated = &[Separated, Operand, Delete, WeakDelete];
    finds_nothing("stream, separated", exhaustive(separated, 4, 3, false, stream));
}

#[test]
fn operands_hold_in_every_small_history_whether_they_compose_or_not() {
    let means = [
        ("composing", Means::COMPOSING),
        ("in pieces", Means::IN_PIECES),
        ("without an operator", Means::WITHOUT_OPERATOR),
    ];
    for (name, means) in means {
        let stream = &mut With::new(means);
        let plain = exhaustive(&Write::PLAIN, 5, 3, false, stream);
        finds_nothing(&format!("{name}, every write"), plain);
        let operands = exhaustive(&[Operand, Put, RangeDelete], 6, 3, false, stream);
        finds_nothing(&format!("{name}, operands"), operands);
        let watermarks = exhaustive(&[Operand, Put, Delete], 5, 2, true, stream);
        finds_nothing(&format!("{name}, every watermark"), watermarks);
    }
}

#[test]
fn ingestions_hold_in_random_histories() {
    for (mixed, steps) in [(false, 20), (true, 20), (true, 45)] {
        let shape = Shape { writes: INGESTED, steps, mixed };
        holds(shape, 80_000..100_000, &mut LikeTheRules);
        holds(shape, 100_000..110_000, &mut AnyMeans::new(2));
    }
}

#[test]
fn ingestions_hold_in_every_small_history() {
    let stream = &mut LikeTheRules;
    finds_nothing("ingested", exhaustive(&Write::INGESTED, 4, 3, false, stream));
    finds_nothing("ingested, every watermark", exhaustive(&Write::INGESTED, 3, 2, true, stream));
    let over_weak = &[Put, WeakDelete, Ingest(Row::Put), Replace(Row::Put)];
    finds_nothing("ingested, puts and weak", exhaustive(over_weak, 6, 3, false, stream));
    let over_operands = &[Operand, Replace(Row::Operand), Ingest(Row::Operand), Delete];
    finds_nothing("ingested, operands", exhaustive(over_operands, 5, 3, false, stream));
    let pieces = &mut With::new(Means::IN_PIECES);
    finds_nothing("ingested, in pieces", exhaustive(&Write::INGESTED, 4, 2, true, pieces));
}

/// A row and the excise that came with it have one number: the fragment hides only what is older.
#[test]
fn an_excise_that_hides_its_own_row_is_caught() {
    is_caught(Simpler::FragmentsHideEquals, &[Put, Replace(Row::Put)], true);
}

#[test]
fn zeroing_under_an_excise_is_caught() {
    is_caught(Simpler::ZeroesUnderFragments, &[Put, Replace(Row::Put)], true);
}

/// Goes on for `STRATAL_SOAK_SECS` seconds (60 if unset) with new seeds, from `STRATAL_SOAK_SEED`.
#[test]
#[ignore = "runs for as long as it is told"]
fn soak() {
    let number = |name, default| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let time = std::time::Duration::from_secs(number("STRATAL_SOAK_SECS", 60));
    let start = std::time::Instant::now();
    let mut seed = number("STRATAL_SOAK_SEED", 1 << 40);
    while start.elapsed() < time {
        let seeds = seed..seed + 1_000;
        seed = seeds.end;
        let mixed = (seed / 1_000).is_multiple_of(2);
        let steps = if (seed / 2_000).is_multiple_of(2) { 20 } else { 60 };
        let shape = Shape { writes: EVERYTHING, steps, mixed };
        holds(shape, seeds.clone(), &mut LikeTheRules);
        holds(shape, seeds.clone(), &mut AnyMeans::new(seeds.start));
        let shape = Shape { writes: INGESTED, ..shape };
        holds(shape, seeds.clone(), &mut LikeTheRules);
        holds(shape, seeds.clone(), &mut AnyMeans::new(!seeds.start));
    }
    println!("histories up to seed {seed} hold");
}

#[test]
fn fragments_applied_last_are_caught() {
    is_caught(Simpler::FragmentsLast, &[Put, Operand, RangeDelete], true);
}

#[test]
fn losing_the_newest_version_below_the_watermark_is_caught() {
    is_caught(Simpler::NewestBelowIsLost, &[Put], true);
}

#[test]
fn cutting_a_merge_chain_is_caught() {
    is_caught(Simpler::ChainsAreCut, &[Put, Operand], true);
}

#[test]
fn dropping_deletes_without_proof_is_caught() {
    is_caught(Simpler::DeletesGoAnywhere, &[Put, Delete], true);
}

#[test]
fn puts_without_marks_are_caught() {
    is_caught(Simpler::NoMarks, &[Put, Put, Delete, WeakDelete], true);
}

#[test]
fn weak_deletes_that_take_everything_older_are_caught() {
    is_caught(Simpler::WeakDeletesTakeAll, &[Put, Put, WeakDelete], false);
}

#[test]
fn folding_onto_nothing_without_proof_is_caught() {
    is_caught(Simpler::FoldsOntoNothing, &[Put, Operand], true);
}

#[test]
fn zeroing_under_a_fragment_is_caught() {
    is_caught(Simpler::ZeroesUnderFragments, &[Put, RangeDelete], true);
}
