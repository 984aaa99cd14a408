//! What a row costs as databases grow.

use super::{
    plots::{Line, Plot},
    results::{Results, Sample},
    tables::{Cell, Mark, Table, grouped, short},
};

/// A figure that may or may not grow.
struct Measure {
    name: &'static str,
    unit: &'static str,
    work: &'static str,
    value: fn(&Sample) -> Option<f64>,
    limit: Limit,
}

/// How much more a tenfold database may cost.
enum Limit {
    /// So much more, in the measure's unit.
    Added(f64),
    /// Nothing; a sixth of what it costs on the average is noise.
    Nothing,
    /// Whatever it is.
    None,
}

fn ns(sample: &Sample) -> Option<f64> {
    sample.get("ns_op")
}

const MEASURES: &[Measure] = &[
    Measure {
        name: "get, everything cached",
        unit: "ns",
        work: "get_cached",
        value: ns,
        limit: Limit::Added(200.0),
    },
    Measure {
        name: "seek + 10 next, everything cached, one run",
        unit: "ns",
        work: "seek_cached",
        value: ns,
        limit: Limit::None,
    },
    Measure {
        name: "scan, per row, everything cached",
        unit: "ns",
        work: "scan_cached",
        value: ns,
        limit: Limit::Nothing,
    },
    Measure {
        name: "insert, per row",
        unit: "ns",
        work: "fillrandom",
        value: ns,
        limit: Limit::Nothing,
    },
    Measure {
        name: "insert to idle, per row",
        unit: "ns",
        work: "fillrandom+idle",
        value: ns,
        limit: Limit::None,
    },
    Measure {
        name: "get, absent, everything cached",
        unit: "ns",
        work: "missing_cached",
        value: ns,
        limit: Limit::None,
    },
    Measure {
        name: "open and first get",
        unit: "ms",
        work: "reopen",
        value: |sample| Some(sample.get("secs")? * 1e3),
        limit: Limit::None,
    },
    Measure {
        name: "memory after it",
        unit: "MiB",
        work: "reopen",
        value: |sample| Some(sample.get("rss_kb")? / 1024.0),
        limit: Limit::None,
    },
];

/// One table for each compression, if growth was measured.
pub(super) fn tables(results: &Results) -> Vec<Table> {
    let curve = |sample: &&Sample| sample.suite == "curve";
    let mut comps: Vec<&str> =
        results.samples.iter().filter(curve).map(|sample| sample.comp.as_str()).collect();
    comps.sort_unstable();
    comps.dedup();
    comps.into_iter().map(|comp| table(results, comp)).collect()
}

fn table(results: &Results, comp: &str) -> Table {
    let is_meant = |sample: &&Sample| sample.suite == "curve" && sample.comp == comp;
    let mut sizes: Vec<u64> =
        results.samples.iter().filter(is_meant).map(|sample| sample.n).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let names = Results::engines(results.samples.iter().filter(is_meant));
    let mut head = vec!["figure".to_owned(), "engine".to_owned()];
    head.extend(sizes.iter().map(|size| grouped(*size)));
    head.extend(["per decade", "verdict"].map(str::to_owned));
    let (mut rows, mut plots) = (Vec::new(), Vec::new());
    for measure in MEASURES {
        let mut lines = Vec::new();
        for name in &names {
            let at = |size: u64| {
                let figure = results.medians_of(
                    |sample| {
                        is_meant(&sample)
                            && sample.n == size
                            && sample.engine == *name
                            && sample.work == measure.work
                    },
                    measure.value,
                )?;
                Some((decades(size), figure))
            };
            let points: Vec<Option<(f64, f64)>> = sizes.iter().map(|size| at(*size)).collect();
            let known: Vec<(f64, f64)> = points.iter().flatten().copied().collect();
            if known.is_empty() {
                continue;
            }
            let mut row = vec![
                Cell::plain(format!("{} [{}]", measure.name, measure.unit)),
                Cell::plain(name.as_str()),
            ];
            row.extend(points.iter().map(|point| {
                Cell::plain(point.map_or("–".to_owned(), |(_, figure)| short(figure)))
            }));
            let slope = slope(&known);
            row.push(Cell::plain(slope.map_or("–".to_owned(), |slope| format!("{slope:+.1}"))));
            row.push(verdict(&measure.limit, slope, &known));
            rows.push(row);
            lines.push(Line { name: name.clone(), points: known });
        }
        let title = format!("{} [{}], compression {comp}", measure.name, measure.unit);
        plots.push(Plot::Lines { title, lines });
    }
    Table {
        title: format!("growth, compression {comp}"),
        note: "Medians by number of records, and what a tenfold number adds by the line of least \
               squares over its logarithm. The cache holds everything; for opening and memory it \
               has 64 MiB."
            .into(),
        head,
        rows,
        plots,
    }
}

fn verdict(limit: &Limit, slope: Option<f64>, points: &[(f64, f64)]) -> Cell {
    let (Some(slope), false) = (slope, matches!(limit, Limit::None)) else {
        return Cell::plain("–");
    };
    let count = f64::from(u32::try_from(points.len()).unwrap_or(u32::MAX));
    let mean = points.iter().map(|(_, figure)| figure).sum::<f64>() / count;
    let most = match limit {
        Limit::Added(most) => *most,
        _ => mean / 6.0,
    };
    if slope <= most {
        Cell::marked(format!("≤ {}", short(most)), Mark::Met)
    } else {
        Cell::marked(format!("above {}", short(most)), Mark::Missed)
    }
}

#[allow(clippy::cast_precision_loss, reason = "sizes are far below what a float holds")]
fn decades(size: u64) -> f64 {
    (size as f64).log10()
}

/// Of the line of least squares; `None` with less than two different places.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = f64::from(u32::try_from(points.len()).ok()?);
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|(x, _)| *x), mean(|(_, y)| *y));
    let (mut over, mut under) = (0.0, 0.0);
    for (x, y) in points {
        over += (x - mean_x) * (y - mean_y);
        under += (x - mean_x) * (x - mean_x);
    }
    (under > 0.0).then(|| over / under)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_fitted() {
        assert_eq!(slope(&[(4.0, 100.0), (5.0, 150.0), (6.0, 200.0)]), Some(50.0));
        assert_eq!(slope(&[(4.0, 1.0), (5.0, 5.0), (6.0, 3.0)]), Some(1.0));
        assert_eq!(slope(&[(4.0, 1.0)]), None);
    }

    #[test]
    fn a_measure_that_grows_too_much_is_marked() {
        let line = |n: u64, work: &str, ns: u32| {
            format!(
                "{{\"engine\":\"stratal\",\"suite\":\"curve\",\"work\":\"{work}\",\
                 \"comp\":\"None\",\"n\":{n},\"round\":0,\"ns_op\":{ns}}}\n"
            )
        };
        let text = [
            line(10_000, "get_cached", 300),
            line(100_000, "get_cached", 450),
            line(10_000, "scan_cached", 30),
            line(100_000, "scan_cached", 60),
        ]
        .concat();
        let tables = tables(&Results::parse(&text).unwrap());
        let [table] = tables.as_slice() else { panic!("one table") };
        let ends: Vec<_> = table
            .rows
            .iter()
            .map(|row| row.iter().skip(4).map(|cell| cell.text.as_str()).collect::<Vec<_>>())
            .collect();
        assert_eq!(ends, [["+150.0", "≤ 200"], ["+30.0", "above 7.50"]]);
    }
}
