//! Tables for a terminal, and in Markdown.

use super::{
    results::Results,
    tables::{Cell, Mark, Table},
};

/// What was measured, for people in front of a terminal.
pub(super) fn terminal(results: &Results, tables: &[Table]) -> String {
    let mut text = String::new();
    for (name, value) in &results.facts {
        text.push_str(&format!("{name}: {value}\n"));
    }
    for table in tables {
        text.push_str(&format!("\n{}\n\n", table.title));
        let mut lines = vec![table.head.clone()];
        let shown = |cell: &Cell| match cell.mark {
            Mark::Best => format!("*{}", cell.text),
            _ => cell.text.clone(),
        };
        lines.extend(table.rows.iter().map(|row| row.iter().map(shown).collect()));
        let width = |i: usize| {
            let lens = lines.iter().filter_map(|line| Some(line.get(i)?.chars().count()));
            lens.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..table.head.len()).map(width).collect();
        for line in lines {
            let cells = line.iter().zip(&widths).enumerate().map(|(i, (cell, width))| match i {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            text.push_str(&format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end()));
        }
    }
    for failure in &results.failures {
        text.push_str(&format!("\nfailed: {failure}\n"));
    }
    text
}

/// The same for a document.
pub(super) fn markdown(results: &Results, tables: &[Table]) -> String {
    let mut text = String::new();
    for (name, value) in &results.facts {
        text.push_str(&format!("* {name}: {}\n", escaped(value)));
    }
    for table in tables {
        text.push_str(&format!("\n### {}\n\n{}\n\n", escaped(&table.title), table.note));
        let head: Vec<String> = table.head.iter().map(|name| escaped(name)).collect();
        text.push_str(&format!("| {} |\n", head.join(" | ")));
        let rule = std::iter::once("---").chain(std::iter::repeat("---:"));
        let rule: Vec<&str> = rule.take(head.len()).collect();
        text.push_str(&format!("|{}|\n", rule.join("|")));
        for row in &table.rows {
            let cells = row.iter().map(|cell| match cell.mark {
                Mark::Best | Mark::Missed => format!("**{}**", escaped(&cell.text)),
                Mark::Plain | Mark::Met => escaped(&cell.text),
            });
            text.push_str(&format!("| {} |\n", cells.collect::<Vec<_>>().join(" | ")));
        }
    }
    for failure in &results.failures {
        text.push_str(&format!("\nFailed: {}\n", escaped(failure)));
    }
    text
}

/// The lines between which a document has its tables.
const BEGIN: &str = "<!-- bench-peers -->";
const END: &str = "<!-- /bench-peers -->";

/// The document with these tables in place of those that it has; the tables alone if it has no place
/// for them.
pub(super) fn placed(document: &str, tables: &str) -> String {
    let parts = document.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    match parts {
        Some((before, after)) => format!("{before}{BEGIN}\n\n{tables}\n{END}{after}"),
        None => tables.to_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            title: "T".into(),
            note: "N.".into(),
            head: vec!["row".into(), "a|b".into()],
            rows: vec![vec![Cell::plain("get"), Cell::marked("5", Mark::Best)]],
            plots: Vec::new(),
        }
    }

    #[test]
    fn markdown_has_a_rule_and_escapes_bars() {
        let results = Results { facts: vec![("date".into(), "1".into())], ..Results::default() };
        assert_eq!(
            markdown(&results, &[table()]),
            "* date: 1\n\n### T\n\nN.\n\n| row | a\\|b |\n|---|---:|\n| get | **5** |\n"
        );
    }

    #[test]
    fn a_document_keeps_what_stands_around_its_tables() {
        let document = format!("# A\n\n{BEGIN}\nold\n{END}\n\nb\n");
        let expected = format!("# A\n\n{BEGIN}\n\nnew\n\n{END}\n\nb\n");
        assert_eq!(placed(&document, "new\n"), expected);
        assert_eq!(placed(&expected, "new\n"), expected);
        assert_eq!(placed("# A\n", "new\n"), "new\n");
    }

    #[test]
    fn columns_of_a_terminal_are_aligned() {
        let text = terminal(&Results::default(), &[table()]);
        assert_eq!(text, "\nT\n\nrow  a|b\nget   *5\n");
    }
}
