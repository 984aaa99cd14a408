//! The page that says which test shows which invariant: every test that it names exists, and every
//! invariant names one.

use crate::sources::Source;

/// Where the page is.
const PAGE: &str = "docs/INVARIANTS.md";

/// What is wrong with the page.
pub(crate) fn complaints(sources: &[Source]) -> Vec<String> {
    let Some(page) = sources.iter().find(|source| source.path == PAGE) else {
        return vec![format!("{PAGE} is gone")];
    };
    let lines = (1..).zip(page.text.lines());
    let rows = lines.filter_map(|(number, line)| Some((number, row(line)?)));
    rows.flat_map(|(number, tests)| {
        let what = if tests.is_empty() { vec!["names no test".into()] } else { Vec::new() };
        let unknown = tests.into_iter().filter(|test| !is_test(test, sources));
        let unknown = unknown.map(|test| format!("names `{test}`, which is no test that is run"));
        let all = what.into_iter().chain(unknown);
        all.map(move |what| format!("{PAGE}:{number} {what}")).collect::<Vec<_>>()
    })
    .collect()
}

/// The tests in the last column of a row; none if the line is no row of a table with invariants.
fn row(line: &str) -> Option<Vec<&str>> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').collect();
    let [first, .., last] = cells[..] else { return None };
    let is_head = first.trim() == "Invariant" || first.starts_with("--");
    (!is_head).then(|| last.split('`').skip(1).step_by(2).collect())
}

/// Whether `test` is `folder::function`, and the crate in that folder has such a test which is not
/// ignored.
fn is_test(test: &str, sources: &[Source]) -> bool {
    let Some((folder, name)) = test.split_once("::") else { return false };
    let (folder, head) = (format!("crates/{folder}/"), format!("fn {name}("));
    let is_rust = |path: &str| path.strip_suffix(".rs").is_some();
    sources
        .iter()
        .filter(|source| source.path.starts_with(&folder) && is_rust(&source.path))
        .any(|source| has_test(&source.text, &head))
}

fn has_test(text: &str, head: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let places = (0..lines.len()).filter(|&at| lines[at].starts_with(head));
    places.map(|at| &lines[..at]).any(|above| {
        let attributes = above.iter().rev().take_while(|line| line.starts_with("#["));
        let attributes: Vec<_> = attributes.collect();
        attributes.iter().any(|line| **line == "#[test]")
            && !attributes.iter().any(|line| line.starts_with("#[ignore"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(rows: &str, code: &str) -> Vec<String> {
        let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
        let head = "# Page\n\n| Invariant | Shown by |\n|--|--|\n";
        complaints(&[
            source(PAGE, &format!("{head}{rows}")),
            source("crates/tree/tests/grows.rs", code),
        ])
    }

    #[test]
    fn every_row_names_tests_that_there_are() {
        let code = "#[test]\nfn it_grows() {}\n\n    #[test]\n    #[cfg(loom)]\n    fn slowly(x in 0..9) {}\n";
        let good = "| It grows | `tree::it_grows`, `tree::slowly` |\n\nNo row: `tree::rain`.\n";
        assert_eq!(told(good, code), Vec::<String>::new());
        let cases = [
            ("| It grows | |", code, "docs/INVARIANTS.md:5 names no test"),
            ("| It grows | `tree::it_falls` |", code, "names `tree::it_falls`"),
            ("| It grows | `house::it_grows` |", code, "names `house::it_grows`"),
            ("| It grows | `it_grows` |", code, "names `it_grows`"),
            ("| It grows | `tree::it_grows` |", "fn it_grows() {}", "no test that is run"),
            (
                "| It grows | `tree::it_grows` |",
                "#[test]\n#[ignore = \"slow\"]\nfn it_grows() {}",
                "no test that is run",
            ),
        ];
        for (row, code, expected) in cases {
            let told = told(row, code);
            assert!(told.len() == 1 && told[0].contains(expected), "{row}: {told:?}");
        }
    }

    #[test]
    fn a_page_that_is_gone_is_told() {
        assert_eq!(complaints(&[]), ["docs/INVARIANTS.md is gone"]);
    }
}
