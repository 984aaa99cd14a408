//! Plots as SVG: no script, nothing from elsewhere.

use super::{
    rows::Target,
    tables::short,
    verdict::{Compared, Verdict},
};

/// Something to look at.
#[derive(Debug)]
pub(super) enum Plot {
    /// How many times better than the best peer, row by row, from the left on a scale of powers.
    Ratios { bars: Vec<Bar> },
    /// Figures over the number of records, which is given as its logarithm.
    Lines { title: String, lines: Vec<Line> },
}

/// A row: the median ratio and its spread.
#[derive(Debug)]
pub(super) struct Bar {
    name: String,
    times: f64,
    spread: (f64, f64),
    floor: Option<f64>,
    goal: Option<f64>,
    is_missed: bool,
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

const COLOURS: [&str; 6] = ["#2563eb", "#dc2626", "#16a34a", "#9333ea", "#ea580c", "#0891b2"];

impl Plot {
    pub(super) fn ratios(rows: &[Compared]) -> Self {
        let times = |target: Option<Target>| match target {
            Some(Target::Times(times)) => Some(times),
            _ => None,
        };
        let bar = |compared: &Compared| {
            let standing = compared.standing()?;
            Some(Bar {
                name: compared.row.name.to_owned(),
                times: standing.times,
                spread: standing.spread,
                floor: times(compared.row.floor),
                goal: times(compared.row.goal),
                is_missed: compared.floor() == Verdict::Missed,
            })
        };
        Self::Ratios { bars: rows.iter().filter_map(bar).collect() }
    }

    /// The plot, or nothing if there is nothing in it.
    pub(super) fn svg(&self) -> String {
        match self {
            Self::Ratios { bars } if bars.is_empty() => String::new(),
            Self::Ratios { bars } => ratios(bars),
            Self::Lines { lines, .. } if lines.iter().all(|line| line.points.len() < 2) => {
                String::new()
            }
            Self::Lines { title, lines } => curves(title, lines),
        }
    }
}

const BAR_HEIGHT: f64 = 18.0;
const NAMES_WIDTH: f64 = 290.0;
const PLOT_WIDTH: f64 = 560.0;
/// The scale of ratios ends here, on both sides.
const RATIOS: (f64, f64) = (0.25, 16.0);

fn ratios(bars: &[Bar]) -> String {
    let x = |times: f64| {
        let (least, most) = RATIOS;
        let share = (times.clamp(least, most) / least).ln() / (most / least).ln();
        NAMES_WIDTH + share * PLOT_WIDTH
    };
    let y = |i: usize| 24.0 + f64::from(u32::try_from(i).unwrap_or(u32::MAX)) * BAR_HEIGHT;
    let bottom = y(bars.len()) + 4.0;
    let mut svg = opened(NAMES_WIDTH + PLOT_WIDTH + 70.0, bottom + 6.0, "ratio to the best peer");
    let grid = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0].map(|times| ("grid", times));
    for (class, times) in grid.into_iter().chain([("one", 1.0)]) {
        let at = x(times);
        svg.push_str(&format!(
            "<line class=\"{class}\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"18\" y2=\"{bottom:.1}\"/>\
             <text class=\"mid\" x=\"{at:.1}\" y=\"13\">{times}×</text>"
        ));
    }
    for (i, bar) in bars.iter().enumerate() {
        let (top, middle) = (y(i) + 3.0, y(i) + BAR_HEIGHT / 2.0);
        let (from, to) = (x(bar.times.min(1.0)), x(bar.times.max(1.0)));
        let class = if bar.is_missed { "missed" } else { "met" };
        svg.push_str(&format!(
            "<text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
             <rect class=\"{class}\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\
             <line class=\"spread\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{:.2}×</text>",
            NAMES_WIDTH - 8.0,
            middle + 4.0,
            escaped(&bar.name),
            (to - from).max(1.0),
            BAR_HEIGHT - 6.0,
            x(bar.spread.0),
            x(bar.spread.1),
            NAMES_WIDTH + PLOT_WIDTH + 8.0,
            middle + 4.0,
            bar.times,
        ));
        for (class, target) in [("floor", bar.floor), ("goal", bar.goal)] {
            if let Some(target) = target {
                let at = x(target);
                svg.push_str(&format!(
                    "<line class=\"{class}\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
                    top - 2.0,
                    top + BAR_HEIGHT - 4.0
                ));
            }
        }
    }
    svg + "</svg>\n"
}

const CURVE: (f64, f64) = (420.0, 230.0);
const MARGIN: (f64, f64) = (64.0, 28.0);

fn curves(title: &str, lines: &[Line]) -> String {
    let (width, height) = CURVE;
    let (left, top) = MARGIN;
    let points = || lines.iter().flat_map(|line| &line.points);
    let ends = |of: fn(&(f64, f64)) -> f64| {
        points().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
            (least.min(value), most.max(value))
        })
    };
    let ((first, last), (_, most)) = (ends(|point| point.0), ends(|point| point.1));
    let x = |decades: f64| {
        left + (decades - first) / (last - first).max(f64::EPSILON) * (width - left - 12.0)
    };
    let y = |figure: f64| height - 24.0 - figure / most.max(f64::EPSILON) * (height - top - 24.0);
    let mut svg = opened(width, height + 16.0 * 1.0, title);
    svg.push_str(&format!("<text class=\"title\" x=\"4\" y=\"14\">{}</text>", escaped(title)));
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let at = y(most * share);
        svg.push_str(&format!(
            "<line class=\"grid\" x1=\"{left}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            width - 12.0,
            left - 6.0,
            at + 4.0,
            short(most * share)
        ));
    }
    let mut decades: Vec<f64> = points().map(|(decades, _)| *decades).collect();
    decades.sort_by(f64::total_cmp);
    decades.dedup();
    for place in decades {
        svg.push_str(&format!(
            "<text class=\"mid\" x=\"{:.1}\" y=\"{:.1}\">10^{place:.1}</text>",
            x(place),
            height - 8.0
        ));
    }
    for ((i, line), colour) in lines.iter().enumerate().zip(COLOURS.iter().cycle()) {
        let path: Vec<String> = line
            .points
            .iter()
            .map(|(n, figure)| format!("{:.1},{:.1}", x(*n), y(*figure)))
            .collect();
        let place = 4.0 + 130.0 * f64::from(u32::try_from(i).unwrap_or(u32::MAX));
        svg.push_str(&format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>\
             <text x=\"{place}\" y=\"{:.1}\" style=\"fill:{colour}\">{}</text>",
            path.join(" "),
            height + 8.0,
            escaped(&line.name)
        ));
    }
    svg + "</svg>\n"
}

fn opened(width: f64, height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"{}\">\
         <style>text{{font:12px sans-serif;fill:#333}}.end{{text-anchor:end}}.mid{{text-anchor:middle}}\
         .title{{font-weight:bold}}.grid{{stroke:#ddd}}.one{{stroke:#333}}.met{{fill:#86b6f6}}\
         .missed{{fill:#f2a3a3}}.spread{{stroke:#333;stroke-width:2}}.floor{{stroke:#b45309;stroke-width:2}}\
         .goal{{stroke:#15803d;stroke-width:2}}</style>\n",
        escaped(title)
    )
}

/// As text of XML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_where_their_ratios_are() {
        let bar = |name: &str, times| Bar {
            name: name.into(),
            times,
            spread: (times / 2.0, times * 2.0),
            floor: Some(2.0),
            goal: None,
            is_missed: times < 2.0,
        };
        let svg = Plot::Ratios { bars: vec![bar("a<b", 4.0), bar("c", 0.5)] }.svg();
        // A scale from 1/4 to 16 has six doublings; 1 lies after two of them.
        let at_one = NAMES_WIDTH + PLOT_WIDTH / 3.0;
        assert!(svg.contains(&format!("class=\"met\" x=\"{at_one:.1}\"")), "{svg}");
        let at_half = NAMES_WIDTH + PLOT_WIDTH / 6.0;
        assert!(svg.contains(&format!("class=\"missed\" x=\"{at_half:.1}\"")), "{svg}");
        assert!(svg.contains("a&lt;b"));
        assert_eq!(svg.matches("class=\"floor\"").count(), 2);
        assert!(svg.ends_with("</svg>\n"));
        assert_eq!(Plot::Ratios { bars: vec![] }.svg(), "");
    }

    #[test]
    fn a_line_needs_two_points() {
        let lines = |points: &[(f64, f64)]| {
            let line = Line { name: "stratal".into(), points: points.to_vec() };
            Plot::Lines { title: "get".into(), lines: vec![line] }.svg()
        };
        assert_eq!(lines(&[(4.0, 100.0)]), "");
        let svg = lines(&[(4.0, 100.0), (5.0, 200.0)]);
        let (left, top) = MARGIN;
        assert!(svg.contains(&format!("{left:.1},")), "{svg}");
        assert!(svg.contains(&format!(",{top:.1}\"")), "the most is at the top: {svg}");
    }
}
