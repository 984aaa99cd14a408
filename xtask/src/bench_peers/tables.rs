//! What was measured as tables, before anybody decides what a table looks like.

use super::{
    engines::{self, Kind},
    growth,
    plots::Plot,
    results::{Results, Sample},
    rows::{self, ROWS, Target},
    shapes,
    verdict::{Compared, Verdict},
};

/// A table with a title, and a plot of it if there is one to make.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) title: String,
    /// What must be known to read it.
    pub(super) note: String,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<Cell>>,
    pub(super) plots: Vec<Plot>,
}

/// A cell, and what is to be seen in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) mark: Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Plain,
    /// The best of its row.
    Best,
    Met,
    Missed,
}

impl Cell {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), mark: Mark::Plain }
    }

    pub(super) fn marked(text: impl Into<String>, mark: Mark) -> Self {
        Self { text: text.into(), mark }
    }
}

/// All tables that the results fill, with the rows that are wanted.
pub(super) fn all(results: &Results, wanted: &[String]) -> Vec<Table> {
    let mut groups: Vec<(&str, u64)> = Vec::new();
    for sample in &results.samples {
        let group = (sample.comp.as_str(), sample.n);
        if !matches!(sample.suite.as_str(), "curve" | "shape") && !groups.contains(&group) {
            groups.push(group);
        }
    }
    let peers = groups.into_iter().filter_map(|(comp, n)| peers(results, (comp, n), wanted));
    peers.chain(growth::tables(results)).chain(shapes::tables(results)).collect()
}

/// The comparison of one compression and size.
fn peers(results: &Results, (comp, n): (&str, u64), wanted: &[String]) -> Option<Table> {
    let is_meant = |sample: &&Sample| sample.comp == comp && sample.n == n;
    let compared: Vec<Compared> = ROWS
        .iter()
        .filter(|row| rows::is_wanted(row.name, wanted))
        .filter_map(|row| Compared::new(row, results.samples.iter().filter(is_meant)))
        .collect();
    if compared.is_empty() {
        return None;
    }
    let in_peers =
        |sample: &&Sample| is_meant(sample) && !matches!(sample.suite.as_str(), "curve" | "shape");
    let names = Results::engines(results.samples.iter().filter(in_peers));
    let mut head = vec!["row".to_owned(), "unit".to_owned()];
    head.extend(names.iter().cloned());
    head.extend(["ratio", "floor", "goal", "verdict"].map(str::to_owned));
    let rows = compared.iter().map(|compared| cells(compared, &names)).collect();
    Some(Table {
        title: format!("compression {comp}, {} records", grouped(n)),
        note: "Medians of the rounds; bold is the best of those that keep data on disk. Ratio: how \
               many times better Stratal is than the best LSM peer that is comparable (named), with \
               its least and most in single rounds. Rows with a log compare `stratal`, those \
               without `stratal-tree`, others `stratal`."
            .into(),
        head,
        rows,
        plots: vec![Plot::ratios(&compared)],
    })
}

fn cells(compared: &Compared, names: &[String]) -> Vec<Cell> {
    let row = compared.row;
    let figures: Vec<Option<f64>> = names.iter().map(|name| compared.figure(name)).collect();
    let is_ranked = |name: &str| engines::named(name).is_ok_and(|e| e.kind != Kind::Memory);
    let ranked = names.iter().zip(&figures).filter(|(name, _)| is_ranked(name));
    let ranked = ranked.filter_map(|(_, figure)| *figure);
    let pick = if row.is_more_better { f64::max } else { f64::min };
    let best = ranked.reduce(pick);
    let mut cells = vec![Cell::plain(row.name), Cell::plain(row.unit)];
    cells.extend(names.iter().zip(&figures).map(|(name, figure)| match figure {
        None => Cell::plain("–"),
        Some(figure) if is_ranked(name) && Some(*figure) == best => {
            Cell::marked(short(*figure), Mark::Best)
        }
        Some(figure) => Cell::plain(short(*figure)),
    }));
    let ratio = compared.standing().map_or("–".to_owned(), |standing| {
        let (least, most) = standing.spread;
        let mut text = format!("{:.2}× {} ({least:.2}–{most:.2})", standing.times, standing.peer);
        if let Some((name, times)) = standing.beyond.filter(|(_, times)| *times < 1.0) {
            text = format!("{text}; {name} leads {:.2}×", 1.0 / times);
        }
        text
    });
    cells.push(Cell::plain(ratio));
    cells.push(Cell::plain(row.floor.map_or("–".into(), |floor| target(floor, row.unit))));
    cells.push(Cell::plain(row.goal.map_or("–".into(), |goal| target(goal, row.unit))));
    cells.push(match (compared.floor(), compared.goal()) {
        (Verdict::Missed, _) => Cell::marked("below floor", Mark::Missed),
        (_, Verdict::Met) => Cell::marked("goal", Mark::Met),
        (Verdict::Met, _) => Cell::marked("floor", Mark::Met),
        (Verdict::None, Verdict::Missed) => Cell::marked("below goal", Mark::Missed),
        (Verdict::None, Verdict::None) => Cell::plain("–"),
    });
    cells
}

fn target(target: Target, unit: &str) -> String {
    match target {
        Target::Times(times) => format!("{times}×"),
        Target::AtMost(most) => format!("≤ {} {unit}", short(most)),
    }
}

/// Three figures, or all before the point.
pub(super) fn short(figure: f64) -> String {
    match figure.abs() {
        0.0 => "0".into(),
        big if big >= 999.5 => grouped(rounded(figure)),
        big if big >= 99.95 => format!("{figure:.0}"),
        big if big >= 9.995 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a figure to look at")]
fn rounded(figure: f64) -> u64 {
    figure.abs().round() as u64
}

/// With commas between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let cases = [
            (0.0, "0"),
            (0.1234, "0.12"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1234.5, "1,235"),
            (1_234_567.0, "1,234,567"),
        ];
        for (figure, expected) in cases {
            assert_eq!(short(figure), expected);
        }
    }

    #[test]
    fn a_row_names_figures_ratio_and_verdict() {
        let line = |engine: &str, ns: u32| {
            format!(
                "{{\"engine\":\"{engine}\",\"suite\":\"rand\",\"work\":\"readhot\",\
                 \"comp\":\"None\",\"n\":20000,\"round\":0,\"ns_op\":{ns}}}\n"
            )
        };
        let text = [line("stratal", 500), line("fjall3", 2000), line("btreemap", 3)].concat();
        let tables = all(&Results::parse(&text).unwrap(), &[]);
        let [table] = tables.as_slice() else { panic!("one table") };
        assert_eq!(table.title, "compression none, 20,000 records");
        let [row] = table.rows.as_slice() else { panic!("one row") };
        let texts: Vec<&str> = row.iter().map(|cell| cell.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "get, hot tenth",
                "ns",
                "500",
                "2,000",
                "3.00",
                "4.00× fjall3 (4.00–4.00)",
                "1.5×",
                "3×",
                "goal"
            ]
        );
        assert_eq!(row.get(2).unwrap().mark, Mark::Best);
        assert_eq!(all(&Results::parse(&text).unwrap(), &["scan".into()]).len(), 0);
    }
}
