//! Where the instructions of a part are spent.

use std::{collections::BTreeMap, path::Path, process::Command};

use super::callgrind;

/// Functions that are shown.
const SHOWN: usize = 14;

/// Prints the functions that a part of `program` spends most in, with their shares.
pub(super) fn print(program: &Path, name: &str) -> Result<(), String> {
    let file = program.with_extension("callgrind");
    callgrind(program, name, &file)?;
    let annotated = Command::new("callgrind_annotate").arg("--auto=no").arg(&file).output();
    let annotated = annotated.map_err(|error| format!("callgrind_annotate: {error}"))?;
    let shares = shares(&String::from_utf8_lossy(&annotated.stdout));
    println!("{name}");
    for (function, share) in shares.iter().take(SHOWN) {
        println!("  {share:4.1} %  {function}");
    }
    Ok(())
}

/// Functions and their shares in per cent, the greatest first. What of a function comes from several
/// files, because others were inlined into it, is added up.
fn shares(annotated: &str) -> Vec<(String, f64)> {
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    let mut total = 0.0;
    for line in annotated.lines() {
        let Some((count, name)) = line.split_once("%)") else { continue };
        let Some((count, _)) = count.split_once('(') else { continue };
        let Ok(count) = count.trim().replace(',', "").parse::<f64>() else { continue };
        if name.trim() == "PROGRAM TOTALS" {
            total = count;
        } else if let Some((_, function)) = name.trim().split_once(':') {
            let function = function.split(" [").next().unwrap_or(function);
            *counts.entry(function.trim_end_matches("'2").to_owned()).or_default() += count;
        }
    }
    let mut shares: Vec<(String, f64)> =
        counts.into_iter().map(|(function, count)| (function, count / total * 100.0)).collect();
    shares.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_function_are_added_up() {
        let annotated = "\
Ir
1,000 (100.0%)  PROGRAM TOTALS

 200 (20.00%)  a/b.rs:one::find [/bin/x]
 350 (35.00%)  a/c.rs:two::get [/bin/x]
 300 (30.00%)  /core/slice.rs:one::find [/bin/x]
";
        assert_eq!(shares(annotated), [("one::find".into(), 50.0), ("two::get".into(), 35.0)]);
    }
}
