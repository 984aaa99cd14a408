//! Figures as a table, and as a picture that needs nothing else.

use std::fmt::Write;

use crate::{
    Candidate,
    simulation::{Figures, Scale},
    theory,
    workload::Workload,
};

type Row = (Candidate, Workload, Figures);

/// A table in Markdown, a workload after the other.
pub(crate) fn table(all: &[Row], scale: &Scale) -> String {
    let mut text = format!(
        "{} inserts, {} write buffers; a figure by theory stands in parentheses\n\n",
        scale.inserts,
        scale.inserts / scale.buffer_rows
    );
    for workload in Workload::ALL {
        writeln!(
            text,
            "| {} | write | runs per get | runs per seek | space | false answers: 10 bits / spread | \
             longest job | jobs |\n|---|---|---|---|---|---|---|---|",
            workload.name()
        ).unwrap();
        for (candidate, _, figures) in all.iter().filter(|(_, of, _)| *of == workload) {
            let by_theory = |figure: Option<f64>, shown: bool| match figure {
                Some(figure) if shown => format!(" ({figure:.1})"),
                _ => String::new(),
            };
            let write =
                by_theory(theory::write(&candidate.options, scale), workload == Workload::Uniform);
            let space = by_theory(theory::space(&candidate.options), workload == Workload::Updates);
            writeln!(
                text,
                "| {} | {:.2}{write} | {:.2} | {:.2} | {:.3}{space} | {:.4} / {:.4} | {:.0} | {} |",
                candidate.name,
                figures.write,
                figures.get,
                figures.seek,
                figures.space,
                figures.uniform,
                figures.spread,
                figures.job_max,
                figures.jobs,
            )
            .unwrap();
        }
        text.push('\n');
    }
    text
}

const COLOURS: [&str; 7] =
    ["#1f5fa8", "#6ea4dc", "#c0392b", "#e59489", "#1e8449", "#82c99b", "#7f7f7f"];
const PANEL: (f64, f64) = (230.0, 150.0);
const LEFT: f64 = 90.0;

/// A figure, and what it is called.
type Column = (&'static str, fn(&Figures) -> f64);

/// A panel for each workload and figure: bars, a strategy each, as long as the figure.
pub(crate) fn svg(all: &[Row], scale: &Scale) -> String {
    let names: Vec<&str> = all
        .iter()
        .filter(|(_, workload, _)| *workload == Workload::Uniform)
        .map(|(candidate, ..)| candidate.name)
        .collect();
    let columns: [Column; 4] = [
        ("bytes written per byte flushed", |figures| figures.write),
        ("runs per get", |figures| figures.get),
        ("runs per seek", |figures| figures.seek),
        ("rows stored per live row", |figures| figures.space),
    ];
    let width = LEFT + PANEL.0 * columns.len() as f64 + 10.0;
    let height = 70.0 + PANEL.1 * Workload::ALL.len() as f64 + 10.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"10\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"18\" font-size=\"13\">Amplification by strategy and workload, \
         {} inserts, {} write buffers; a line is theory</text>\n",
        scale.inserts,
        scale.inserts / scale.buffer_rows
    );
    for (at, name) in names.iter().enumerate() {
        let (x, colour) = (LEFT + at as f64 * 125.0, COLOURS[at % COLOURS.len()]);
        writeln!(
            out,
            "<rect x=\"{x}\" y=\"28\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"37\">{name}</text>",
            x + 14.0
        )
        .unwrap();
    }
    for (row, workload) in Workload::ALL.iter().enumerate() {
        let top = 70.0 + row as f64 * PANEL.1;
        writeln!(out, "<text x=\"10\" y=\"{}\">{}</text>", top + 60.0, workload.name()).unwrap();
        let rows: Vec<&Row> = all.iter().filter(|(_, of, _)| of == workload).collect();
        for (column, (title, figure)) in columns.iter().enumerate() {
            let left = LEFT + column as f64 * PANEL.0;
            writeln!(out, "<text x=\"{left}\" y=\"{}\" fill=\"#555\">{title}</text>", top - 4.0)
                .unwrap();
            let most = rows.iter().map(|(.., figures)| figure(figures)).fold(1.0, f64::max);
            let bar = (PANEL.1 - 30.0) / rows.len() as f64;
            for (at, (candidate, _, figures)) in rows.iter().enumerate() {
                let (value, y) = (figure(figures), top + at as f64 * bar);
                let scaled = |value: f64| value / most * (PANEL.0 - 60.0);
                writeln!(
                    out,
                    "<rect x=\"{left}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>\
                     <text x=\"{:.1}\" y=\"{:.1}\">{value:.2}</text>",
                    scaled(value),
                    bar - 3.0,
                    COLOURS[at % COLOURS.len()],
                    left + scaled(value) + 3.0,
                    y + bar - 5.0,
                )
                .unwrap();
                let by_theory = match (column, workload) {
                    (0, Workload::Uniform) => theory::write(&candidate.options, scale),
                    (3, Workload::Updates) => theory::space(&candidate.options),
                    _ => None,
                };
                if let Some(by_theory) = by_theory.filter(|value| *value <= most) {
                    let x = left + scaled(by_theory);
                    writeln!(
                        out,
                        "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y:.1}\" y2=\"{:.1}\" \
                         stroke=\"black\" stroke-width=\"1.5\"/>",
                        y + bar - 3.0
                    )
                    .unwrap();
                }
            }
        }
    }
    out.push_str("</svg>\n");
    out
}
