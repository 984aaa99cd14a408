//! What the caller asked for.

use super::{engines, suites};

pub(super) const USAGE: &str = "\
cargo xtask bench-peers [OPTIONS]

  --suites A,B     seq, rand, cached, durable (these by default), growth, shapes, blob
  --engines A,B    of stratal, stratal-tree, lsmtree3, fjall3, coord7, rocksdb7, rocksdb7-nolog,
                   redb4, btreemap (these by default), stratal-default, stratal-full; growth and
                   shapes are of stratal alone unless engines are named
  --rows A,B       show only rows whose names contain one of these, and run only their suites
  --comps A,B      none (default), lz4, zstd
  --n N            records (default 1000000)
  --sizes A,B      records of growth (default 10000,100000,1000000,10000000)
  --rounds N       rounds (default 3)
  --results FILE   where lines are added to (default bench/results/DATE.jsonl)
  --from FILE      measure nothing: show what FILE holds
  --html FILE      write a page with plots
  --markdown FILE  write the tables; into a document, between lines that say
                   <!-- bench-peers --> and <!-- /bench-peers -->
  --dir DIR        where databases are made (default bench/data)
  --no-build       take the binaries as they are
  --cpu            show processor time in place of time, for machines that do other things too;
                   it includes what background threads take
  --arg ARGUMENT   hand this to every process, as in --arg --memtable=8; may come again
";

/// What the caller asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) suites: Vec<&'static suites::Suite>,
    /// None for those that each suite is usually run with.
    pub(super) engines: Option<Vec<&'static engines::Engine>>,
    pub(super) rows: Vec<String>,
    pub(super) comps: Vec<String>,
    pub(super) n: u64,
    pub(super) sizes: Vec<u64>,
    pub(super) rounds: u64,
    pub(super) results: Option<String>,
    pub(super) from: Option<String>,
    pub(super) html: Option<String>,
    pub(super) markdown: Option<String>,
    pub(super) dir: Option<String>,
    pub(super) build: bool,
    pub(super) cpu: bool,
    pub(super) more: Vec<String>,
}

impl Options {
    pub(super) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            suites: Vec::new(),
            engines: None,
            rows: Vec::new(),
            comps: vec!["none".into()],
            n: 1_000_000,
            sizes: vec![10_000, 100_000, 1_000_000, 10_000_000],
            rounds: 3,
            results: None,
            from: None,
            html: None,
            markdown: None,
            dir: None,
            build: true,
            cpu: false,
            more: Vec::new(),
        };
        let mut rest = words;
        while let [name, behind @ ..] = rest {
            rest = match (*name, behind) {
                ("--no-build", behind) => {
                    options.build = false;
                    behind
                }
                ("--cpu", behind) => {
                    options.cpu = true;
                    behind
                }
                (name, [value, behind @ ..]) => {
                    options.set(name, value)?;
                    behind
                }
                (name, []) => return Err(format!("cannot read `{name}`\n\n{USAGE}")),
            };
        }
        if options.suites.is_empty() {
            options.suites = suites::for_rows(&options.rows);
        }
        if options.suites.is_empty() {
            return Err(format!("no row is called {}", options.rows.join(" or ")));
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let list = || value.split(',').map(str::to_owned).collect::<Vec<_>>();
        match name {
            "--suites" => self.suites = each(value, suites::named)?,
            "--engines" => self.engines = Some(each(value, engines::named)?),
            "--rows" => self.rows = list(),
            "--comps" => {
                self.comps = list();
                let known = ["none", "lz4", "zstd"];
                if let Some(comp) = self.comps.iter().find(|comp| !known.contains(&comp.as_str())) {
                    return Err(format!("no such compression: {comp}"));
                }
            }
            "--n" => self.n = records(name, value)?,
            "--sizes" => self.sizes = each(value, |size| records(name, size))?,
            "--rounds" => self.rounds = number(name, value)?,
            "--results" => self.results = Some(value.into()),
            "--from" => self.from = Some(value.into()),
            "--html" => self.html = Some(value.into()),
            "--markdown" => self.markdown = Some(value.into()),
            "--dir" => self.dir = Some(value.into()),
            "--arg" => self.more.push(value.into()),
            _ => return Err(format!("no such option: {name}\n\n{USAGE}")),
        }
        Ok(())
    }
}

fn each<T>(list: &str, one: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    list.split(',').map(one).collect()
}

fn number(name: &str, value: &str) -> Result<u64, String> {
    let number = value.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{name} takes a whole number above 0, not {value}"))
}

/// With fewer than these the suites have nothing to delete or to seek in.
fn records(name: &str, value: &str) -> Result<u64, String> {
    match number(name, value)? {
        enough @ 10_000.. => Ok(enough),
        few => Err(format!("{name} takes at least 10000, not {few}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<&'static str> {
        Options::parse(words).unwrap().suites.iter().map(|suite| suite.name).collect()
    }

    #[test]
    fn suites_are_those_named_or_those_of_the_rows() {
        assert_eq!(names(&[]), ["seq", "rand", "cached", "durable"]);
        assert_eq!(names(&["--suites", "growth,rand"]), ["growth", "rand"]);
        assert_eq!(names(&["--rows", "fillseq"]), ["seq"]);
        assert_eq!(names(&["--rows", "fill"]), ["seq", "rand"]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let cases = [
            (&["--n", "few"] as &[&str], "--n takes a whole number above 0, not few"),
            (&["--n", "10"], "--n takes at least 10000, not 10"),
            (&["--comps", "none,snappy"], "no such compression: snappy"),
            (&["--suites", "fill"], "no such suite: fill"),
            (&["--engines", "sled"], "no such engine: sled"),
            (&["--rows", "moon"], "no row is called moon"),
        ];
        for (words, expected) in cases {
            assert_eq!(Options::parse(words).unwrap_err(), expected);
        }
        assert!(Options::parse(&["--n"]).unwrap_err().starts_with("cannot read `--n`"));
        assert!(Options::parse(&["-x", "1"]).unwrap_err().starts_with("no such option: -x"));
    }
}
