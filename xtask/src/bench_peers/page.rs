//! A page with tables and plots, whole in itself.

use super::{
    plots::{Plot, escaped},
    results::Results,
    tables::{Mark, Table},
};

const STYLE: &str = "\
body{font:14px/1.45 sans-serif;margin:2em auto;max-width:1200px;padding:0 1em;color:#222}\
table{border-collapse:collapse;font-size:12px;margin:1em 0}\
th,td{padding:3px 8px;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}\
th:first-child,td:first-child{text-align:left}.best{font-weight:bold}.met{background:#dcfce7}\
.missed{background:#fee2e2}.wide{overflow-x:auto}dt{font-weight:bold}";

/// The page.
pub(super) fn html(results: &Results, tables: &[Table]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>Stratal beside its peers</title><style>{STYLE}</style></head><body>\n\
         <h1>Stratal beside its peers</h1>\n<dl>\n"
    );
    for (name, value) in &results.facts {
        page.push_str(&format!("<dt>{}</dt><dd>{}</dd>\n", escaped(name), escaped(value)));
    }
    page.push_str("</dl>\n");
    for table in tables {
        page.push_str(&format!(
            "<h2>{}</h2>\n<p>{}</p>\n",
            escaped(&table.title),
            escaped(&table.note)
        ));
        for plot in &table.plots {
            page.push_str(&plot.svg());
        }
        if table.plots.iter().any(|plot| matches!(plot, Plot::Ratios { .. })) {
            page.push_str(
                "<p>Bars: median ratio, red below its floor; black: least and most of single \
                 rounds; brown: floor; green: goal. The scale ends at 1/4 and 16.</p>\n",
            );
        }
        page.push_str(&rows(table));
    }
    for failure in &results.failures {
        page.push_str(&format!("<p class=\"missed\">Failed: {}</p>\n", escaped(failure)));
    }
    page + "</body></html>\n"
}

fn rows(table: &Table) -> String {
    let mut text = String::from("<div class=\"wide\"><table>\n<tr>");
    for name in &table.head {
        text.push_str(&format!("<th>{}</th>", escaped(name)));
    }
    text.push_str("</tr>\n");
    for row in &table.rows {
        text.push_str("<tr>");
        for cell in row {
            let class = match cell.mark {
                Mark::Plain => "",
                Mark::Best => " class=\"best\"",
                Mark::Met => " class=\"met\"",
                Mark::Missed => " class=\"missed\"",
            };
            text.push_str(&format!("<td{class}>{}</td>", escaped(&cell.text)));
        }
        text.push_str("</tr>\n");
    }
    text + "</table></div>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench_peers::tables;

    #[test]
    fn a_page_holds_facts_rows_and_plots_and_nothing_from_elsewhere() {
        let line = |engine: &str, round: u32, ns: u32| {
            format!(
                "{{\"engine\":\"{engine}\",\"suite\":\"rand\",\"work\":\"readhot\",\
                 \"comp\":\"None\",\"n\":20000,\"round\":{round},\"ns_op\":{ns}}}\n"
            )
        };
        let facts = "{\"facts\":{\"command\":\"a <b>\"}}\n".to_owned();
        let text = [facts, line("stratal", 0, 900), line("fjall3", 0, 1000)].concat();
        let results = Results::parse(&text).unwrap();
        let page = html(&results, &tables::all(&results, &[]));
        for part in ["a &lt;b&gt;", "<svg", "1.11×", "class=\"missed\">below floor"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("<script") && !page.contains("href") && !page.contains("src="));
        for tag in ["table", "tr", "td", "svg", "div", "p"] {
            let (opened, closed) = (format!("<{tag}"), format!("</{tag}>"));
            let opened = page.match_indices(&opened).filter(|(at, _)| {
                let behind = page.get(at + opened.len()..).unwrap_or_default();
                behind.starts_with([' ', '>'])
            });
            assert_eq!(opened.count(), page.matches(&closed).count(), "{tag}");
        }
    }
}
