//! Strategies beside one another under loads of different shape.

use super::{
    plots::Plot,
    results::{Results, Sample},
    tables::{Cell, Mark, Table, grouped, short},
};

/// A figure of a load, and which of its phases has it.
struct Measure {
    name: &'static str,
    /// What is behind the name of the load.
    phase: &'static str,
    value: fn(&Sample) -> Option<f64>,
    is_more_better: bool,
}

const MEASURES: &[Measure] = &[
    less("bytes written to tables per byte that came in", "+idle", |s| s.get("write_amp")),
    less("sources that a get asks at most, mean under load", "", |s| s.get("read_amp")),
    less("sources that a get asks at most, at rest", "+idle", |s| s.get("idle_read_amp")),
    less("bytes of tables per byte of the oldest run, at rest", "+idle", |s| s.get("space_amp")),
    less("bytes on disk, log and all, per live byte, at rest", "+idle", |s| {
        Some(s.get("disk_apparent")? / s.get("live")?)
    }),
    Measure {
        name: "changes [k/s]",
        phase: "",
        value: |s| Some(s.get("ops")? / s.get("secs")? / 1e3),
        is_more_better: true,
    },
    less("processor per change, to rest [ns]", "+idle", |s| s.get("cpu_ns_op")),
    less("get alone, p50 [µs]", "_idle", |s| Some(s.get("p50")? / 1e3)),
    less("get alone, p99 [µs]", "_idle", |s| Some(s.get("p99")? / 1e3)),
    less("get under load, p50 [µs]", "", |s| Some(s.get("r_p50")? / 1e3)),
    less("get under load, p99 [µs]", "", |s| Some(s.get("r_p99")? / 1e3)),
    less("change, p99.99 [µs]", "", |s| Some(s.get("p9999")? / 1e3)),
    less("full scan, per row [ns]", "_scan", |s| s.get("ns_op")),
];

const fn less(
    name: &'static str,
    phase: &'static str,
    value: fn(&Sample) -> Option<f64>,
) -> Measure {
    Measure { name, phase, value, is_more_better: false }
}

const LOADS: [(&str, &str); 4] = [
    ("uniform", "overwrites anywhere"),
    ("zipf", "overwrites, most of a few keys (Zipf, θ = 0.99)"),
    ("time", "keys in ascending order, nearly"),
    ("queue", "a new key and the delete of the oldest, in turn"),
];

/// One table for each load, compression and size that was measured.
pub(super) fn tables(results: &Results) -> Vec<Table> {
    let mut groups: Vec<(&str, u64)> = Vec::new();
    for sample in results.samples.iter().filter(|sample| sample.suite == "shape") {
        let group = (sample.comp.as_str(), sample.n);
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    let of_group = |group| LOADS.iter().filter_map(move |load| table(results, group, *load));
    groups.into_iter().flat_map(of_group).collect()
}

fn table(results: &Results, (comp, n): (&str, u64), (load, about): (&str, &str)) -> Option<Table> {
    let begins = format!("shape_{load}");
    let is_meant = |sample: &&Sample| {
        sample.suite == "shape"
            && sample.comp == comp
            && sample.n == n
            && sample.work.starts_with(&begins)
    };
    let names = Results::engines(results.samples.iter().filter(is_meant));
    if names.is_empty() {
        return None;
    }
    let mut head = vec!["figure".to_owned()];
    head.extend(names.iter().cloned());
    let rows = MEASURES.iter().map(|measure| {
        let work = format!("{begins}{}", measure.phase);
        let of = |name: &String| {
            results.medians_of(
                |sample| is_meant(&sample) && sample.work == work && sample.engine == *name,
                measure.value,
            )
        };
        let figures: Vec<Option<f64>> = names.iter().map(of).collect();
        let pick = if measure.is_more_better { f64::max } else { f64::min };
        let best = figures.iter().copied().flatten().reduce(pick);
        let mut row = vec![Cell::plain(measure.name)];
        row.extend(figures.iter().map(|figure| match figure {
            None => Cell::plain("–"),
            Some(figure) if Some(*figure) == best => Cell::marked(short(*figure), Mark::Best),
            Some(figure) => Cell::plain(short(*figure)),
        }));
        row
    });
    Some(Table {
        title: format!("shape, {about}; {} keys, compression {comp}", grouped(n)),
        note:
            "Write buffers of 1 MiB and all else as much smaller, so that the tree is as deep as \
               one 64 times larger. `stratal` is leveled with aligned cuts, `stratal-lazy` is \
               lazy-leveled with partitioned cuts. One thread writes as fast as it can, one reads \
               16 keys each millisecond."
                .into(),
        head,
        rows: rows.collect(),
        plots: Vec::<Plot>::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_stand_side_by_side() {
        let line = |engine: &str, amplification: f64| {
            format!(
                "{{\"engine\":\"{engine}\",\"suite\":\"shape\",\"work\":\"shape_zipf+idle\",\
                 \"comp\":\"None\",\"n\":50000,\"round\":0,\"write_amp\":{amplification}}}\n"
            )
        };
        let text = [line("stratal", 6.5), line("stratal-lazy", 4.25)].concat();
        let tables = tables(&Results::parse(&text).unwrap());
        let [table] = tables.as_slice() else { panic!("one table") };
        assert_eq!(table.head, ["figure", "stratal", "stratal-lazy"]);
        let first: Vec<_> = table.rows.first().unwrap().iter().skip(1).collect();
        let expected = [Cell::plain("6.50"), Cell::marked("4.25", Mark::Best)];
        assert_eq!(first, expected.iter().collect::<Vec<_>>());
    }
}
