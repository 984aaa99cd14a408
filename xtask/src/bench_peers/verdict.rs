//! Medians, ratios, and whether a row is where it should be.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    engines::{self, Kind},
    results::Sample,
    rows::{AS_GOOD_AS, Row, Target, Versus},
};

/// The middle one, or the mean of the two in the middle; `None` of nothing.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// A row of one table: what every engine has, and how ours stands.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) row: &'static Row,
    /// The figures by engine and round.
    figures: BTreeMap<String, BTreeMap<u64, f64>>,
}

/// How ours stands to the best peer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Standing {
    pub(super) peer: String,
    /// How many times better ours is, by the medians.
    pub(super) times: f64,
    /// The same in single rounds: the least and the most.
    pub(super) spread: (f64, f64),
    /// How many times better ours is than the best that is no LSM engine, if one was there.
    pub(super) beyond: Option<(String, f64)>,
}

/// Whether a target is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is no such target, or nobody to compare with.
    None,
    Met,
    Missed,
}

impl Compared {
    /// What `samples`, of one compression and size, have of `row`; `None` if it is nothing.
    pub(super) fn new<'a>(
        row: &'static Row,
        samples: impl Iterator<Item = &'a Sample>,
    ) -> Option<Self> {
        let mut figures: BTreeMap<String, BTreeMap<u64, f64>> = BTreeMap::new();
        for sample in samples {
            if sample.suite != row.suite || row.work.is_some_and(|work| work != sample.work) {
                continue;
            }
            let Some(value) = (row.value)(sample).filter(|value| value.is_finite()) else {
                continue;
            };
            let rounds = figures.entry(sample.engine.clone()).or_default();
            // Of phases of the same name in one process the last, of all phases the greatest.
            let before = rounds.get(&sample.round).filter(|_| row.work.is_none());
            let value = before.map_or(value, |before| before.max(value));
            rounds.insert(sample.round, value);
        }
        (!figures.is_empty()).then_some(Self { row, figures })
    }

    /// The median of an engine.
    pub(super) fn figure(&self, engine: &str) -> Option<f64> {
        median(self.figures.get(engine)?.values().copied().collect())
    }

    /// Who is measured against the others.
    pub(super) fn ours(&self) -> &'static str {
        if self.row.versus == Versus::Bare { "stratal-tree" } else { "stratal" }
    }

    /// How many times better `ours` is than `theirs`.
    fn times(&self, ours: f64, theirs: f64) -> f64 {
        if self.row.is_more_better { ours / theirs } else { theirs / ours }
    }

    /// The best median among engines of these kinds.
    fn best(&self, is_meant: impl Fn(Kind) -> bool) -> Option<(&str, f64)> {
        let meant = self
            .figures
            .keys()
            .filter(|name| engines::named(name).is_ok_and(|engine| is_meant(engine.kind)));
        let medians = meant.filter_map(|name| Some((name.as_str(), self.figure(name)?)));
        medians.max_by(|(_, a), (_, b)| self.times(*a, *b).total_cmp(&1.0))
    }

    /// How ours stands; `None` if it or every peer is missing.
    pub(super) fn standing(&self) -> Option<Standing> {
        let ours = self.figures.get(self.ours())?;
        let median_of_ours = self.figure(self.ours())?;
        let (peer, best) = self.best(|kind| match self.row.versus {
            Versus::All => matches!(kind, Kind::Logged | Kind::Bare),
            Versus::Logged => kind == Kind::Logged,
            Versus::Bare => kind == Kind::Bare,
        })?;
        let theirs = self.figures.get(peer)?;
        let rounds: BTreeSet<_> = ours.keys().filter(|round| theirs.contains_key(round)).collect();
        let ratios = rounds
            .iter()
            .filter_map(|round| Some(self.times(*ours.get(round)?, *theirs.get(round)?)));
        let times = self.times(median_of_ours, best);
        let spread =
            ratios.fold((times, times), |(least, most), ratio| (ratio.min(least), ratio.max(most)));
        let other = self.best(|kind| kind == Kind::Other);
        let beyond = other.map(|(name, best)| (name.to_owned(), self.times(median_of_ours, best)));
        Some(Standing { peer: peer.into(), times, spread, beyond })
    }

    /// Whether it is where it must be.
    pub(super) fn floor(&self) -> Verdict {
        self.verdict(self.row.floor, false)
    }

    /// Whether it is where we want it. What is no LSM engine counts too.
    pub(super) fn goal(&self) -> Verdict {
        self.verdict(self.row.goal, true)
    }

    fn verdict(&self, target: Option<Target>, counts_others: bool) -> Verdict {
        let is_met = match target {
            None => None,
            Some(Target::AtMost(most)) => self.figure(self.ours()).map(|ours| ours <= most),
            Some(Target::Times(times)) => self.standing().map(|standing| {
                let least = if times <= 1.0 { AS_GOOD_AS } else { times };
                let others = standing.beyond.map_or(f64::INFINITY, |(_, times)| times);
                standing.times >= least && (!counts_others || others >= AS_GOOD_AS)
            }),
        };
        match is_met {
            None => Verdict::None,
            Some(true) => Verdict::Met,
            Some(false) => Verdict::Missed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench_peers::{results::Results, rows::ROWS};

    fn compared(name: &str, figures: &[(&str, u64, f64)]) -> Compared {
        let row = ROWS.iter().find(|row| row.name == name).unwrap();
        let lines: String = figures
            .iter()
            .map(|(engine, round, ns)| {
                let (suite, work) = (row.suite, row.work.unwrap());
                format!(
                    "{{\"engine\":\"{engine}\",\"suite\":\"{suite}\",\"work\":\"{work}\",\
                     \"comp\":\"None\",\"n\":1,\"round\":{round},\"ns_op\":{ns},\"mb_s\":{ns}}}\n"
                )
            })
            .collect();
        let results = Results::parse(&lines).unwrap();
        Compared::new(row, results.samples.iter()).unwrap()
    }

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn ours_is_compared_with_the_best_lsm_peer() {
        let row = compared(
            "get, hot tenth",
            &[
                ("stratal", 0, 1000.0),
                ("stratal", 1, 500.0),
                ("stratal", 2, 800.0),
                ("rocksdb7", 0, 2000.0),
                ("rocksdb7", 1, 2000.0),
                ("rocksdb7", 2, 1800.0),
                ("lsmtree3", 0, 2500.0),
                ("btreemap", 0, 10.0),
            ],
        );
        let standing = row.standing().unwrap();
        assert_eq!(standing.peer, "rocksdb7");
        assert_eq!((standing.times, standing.spread), (2.5, (2.0, 4.0)));
        assert_eq!((row.floor(), row.goal()), (Verdict::Met, Verdict::Missed));
    }

    #[test]
    fn a_goal_counts_only_if_no_other_engine_is_better() {
        let figures = [("stratal", 0, 100.0), ("fjall3", 0, 900.0), ("redb4", 0, 50.0)];
        let row = compared("get, hot tenth", &figures);
        assert_eq!((row.floor(), row.goal()), (Verdict::Met, Verdict::Missed));
        assert_eq!(row.standing().unwrap().beyond, Some(("redb4".into(), 0.5)));
        let row = compared("get, hot tenth", &figures[..2]);
        assert_eq!(row.goal(), Verdict::Met);
    }

    #[test]
    fn of_rates_more_is_better_and_logs_are_compared_with_logs() {
        let row = compared("full scan", &[("stratal", 0, 900.0), ("coord7", 0, 300.0)]);
        assert_eq!(row.standing().map(|standing| standing.times), Some(3.0));
        let figures = [
            ("stratal", 0, 9.0),
            ("stratal-tree", 0, 4.0),
            ("fjall3", 0, 18.0),
            ("coord7", 0, 2.0),
        ];
        assert_eq!(
            compared("fillseq, log", &figures).standing().map(|found| found.times),
            Some(2.0)
        );
        let bare = compared("fillseq, no log", &figures);
        assert_eq!((bare.ours(), bare.standing().unwrap().times), ("stratal-tree", 0.5));
        assert_eq!(bare.floor(), Verdict::Missed);
    }

    #[test]
    fn as_good_as_the_best_is_within_the_noise() {
        let at = |ours| compared("get, cold device", &[("stratal", 0, ours), ("fjall3", 0, 100.0)]);
        assert_eq!(at(114.0).floor(), Verdict::Met);
        assert_eq!(at(116.0).floor(), Verdict::Missed);
        assert!(compared("get, cold device", &[("stratal", 0, 1.0)]).standing().is_none());
    }
}
