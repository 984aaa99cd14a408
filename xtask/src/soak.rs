//! Long runs: the same tests with more time, or tests too long for every commit.
//!
//! A run is a row of [`SOAKS`]: a package, which of its tests, and the variables by which they learn
//! what they may take. They print what they counted, and the seed with a failure; the same seed finds
//! it again.

use std::path::Path;

use crate::{interleavings, process};

const USAGE: &str = "\
cargo xtask soak WHAT [--seed N] [--for SECONDS] [--places FILE] [--plot FILE]
cargo xtask soak list
";

/// A long run.
struct Soak {
    name: &'static str,
    about: &'static str,
    package: &'static str,
    tests: Tests,
    /// Variable by which the tests take each option; none where the option has no meaning.
    seed: Option<&'static str>,
    seconds: Option<&'static str>,
    places: Option<&'static str>,
    plot: Option<&'static str>,
}

/// Which tests of a package take part.
enum Tests {
    /// All of one test target.
    Target(&'static str),
    /// Those too long for every run, whose name contains this.
    Ignored(&'static str),
    /// Those too long for every run, of one test target, so that no other is built.
    IgnoredOf(&'static str),
    /// All of the test target of that name, built for the checker of that name.
    Checked(&'static str),
}

const SOAKS: &[Soak] = &[
    Soak {
        name: "fuzz",
        about: "every fuzz body on pseudo-random and mutated inputs",
        package: "stratal-fuzz",
        tests: Tests::Target("smoke"),
        seed: Some("STRATAL_FUZZ_SEED"),
        seconds: Some("STRATAL_FUZZ_SECS"),
        places: None,
        plot: None,
    },
    Soak {
        name: "filters",
        about: "hundreds of millions of added keys, each asked for, in filters of every kind",
        package: "stratal-filter",
        tests: Tests::Ignored("soak"),
        seed: None,
        seconds: None,
        places: None,
        plot: None,
    },
    Soak {
        name: "places",
        about: "the command on a large file of places (--places cities.tsv.zst)",
        package: "stratal-cli",
        tests: Tests::Ignored("places"),
        seed: None,
        seconds: None,
        places: Some("STRATAL_PLACES"),
        plot: None,
    },
    Soak {
        name: "compaction",
        about: "histories of one key and of a few under the rules of garbage collection",
        package: "stratal-compaction",
        tests: Tests::Ignored("soak"),
        seed: Some("STRATAL_SOAK_SEED"),
        seconds: Some("STRATAL_SOAK_SECS"),
        places: None,
        plot: None,
    },
    Soak {
        name: "shapes",
        about: "10⁸ inserts into simulated trees of every strategy (--plot FILE.svg)",
        package: "stratal-compaction",
        tests: Tests::IgnoredOf("shapes"),
        seed: Some("STRATAL_SOAK_SEED"),
        seconds: None,
        places: None,
        plot: Some("STRATAL_SOAK_PLOT"),
    },
    Soak {
        name: "tree",
        about: "histories under two or three sets of options each, against the model",
        package: "stratal-engine",
        tests: Tests::IgnoredOf("model"),
        seed: Some("STRATAL_SOAK_SEED"),
        seconds: Some("STRATAL_SOAK_SECS"),
        places: None,
        plot: None,
    },
    Soak {
        name: "model",
        about: "histories of a database against the model",
        package: "stratal",
        tests: Tests::Ignored("soak_model"),
        seed: Some("STRATAL_SOAK_SEED"),
        seconds: Some("STRATAL_SOAK_SECS"),
        places: None,
        plot: None,
    },
    Soak {
        name: "crash",
        about: "workloads of a database crashed at every operation, recoveries too",
        package: "stratal",
        tests: Tests::Ignored("soak_crash"),
        seed: Some("STRATAL_SOAK_SEED"),
        seconds: Some("STRATAL_SOAK_SECS"),
        places: None,
        plot: None,
    },
    Soak {
        name: "faults",
        about: "workloads of a database with a fault at every operation",
        package: "stratal",
        tests: Tests::Ignored("soak_faults"),
        seed: Some("STRATAL_SOAK_SEED"),
        seconds: Some("STRATAL_SOAK_SECS"),
        places: None,
        plot: None,
    },
    Soak {
        name: "shuttle",
        about: "one tree under schedules of its threads; each scenario takes the time of --for",
        package: "stratal-engine",
        tests: Tests::Checked("shuttle"),
        seed: Some("STRATAL_SHUTTLE_SEED"),
        seconds: Some("STRATAL_SHUTTLE_SECS"),
        places: None,
        plot: None,
    },
    Soak {
        name: "shuttle-db",
        about: "a database under schedules of its threads; as shuttle",
        package: "stratal",
        tests: Tests::Checked("shuttle"),
        seed: Some("STRATAL_SHUTTLE_SEED"),
        seconds: Some("STRATAL_SHUTTLE_SECS"),
        places: None,
        plot: None,
    },
];

/// What the caller asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    seed: Option<u64>,
    seconds: Option<u64>,
    places: Option<String>,
    plot: Option<String>,
}

/// Does what `words`, the command line behind `soak`, say.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<(), String> {
    let (name, rest) = match words {
        [] | ["--help" | "-h" | "help"] => {
            print!("{USAGE}\n{}", list());
            return Ok(());
        }
        ["list"] => {
            print!("{}", list());
            return Ok(());
        }
        [name, rest @ ..] => (*name, rest),
    };
    let soak = SOAKS
        .iter()
        .find(|soak| soak.name == name)
        .ok_or_else(|| format!("no such soak: {name}\n\n{USAGE}\n{}", list()))?;
    let environment = environment(soak, &options(rest)?)?;
    let passed = process::timed(name, || {
        let mut command = process::cargo(root);
        command.args(arguments(soak)).envs(environment);
        if let Tests::Checked(checker) = soak.tests {
            interleavings::under(&mut command, root, checker);
        }
        process::run_tests(&mut command)
    })?;
    println!("soak {name}: {passed} passed");
    Ok(())
}

/// What cargo is told. Tests that pass are heard too: they say what they counted.
fn arguments(soak: &Soak) -> Vec<&'static str> {
    // Under a checker as every run of it is built: a seed must find the same again.
    let profile = match soak.tests {
        Tests::Checked(_) => "--profile=test",
        _ => "--release",
    };
    let run = ["test", profile, "-p", soak.package];
    let chosen: &[&str] = match soak.tests {
        Tests::Target(name) | Tests::Checked(name) => &["--test", name, "--", "--nocapture"],
        Tests::Ignored(name) => &["--", "--ignored", name, "--nocapture"],
        Tests::IgnoredOf(name) => &["--test", name, "--", "--ignored", "--nocapture"],
    };
    run.iter().chain(chosen).copied().collect()
}

fn list() -> String {
    let rows = SOAKS.iter().map(|soak| format!("  {:<10} {}", soak.name, soak.about));
    rows.collect::<Vec<_>>().join("\n") + "\n"
}

fn options(words: &[&str]) -> Result<Options, String> {
    let number = |option: &str, value: &str| {
        value.parse().map_err(|_| format!("{option} takes a whole number, not {value}"))
    };
    let mut options = Options::default();
    for pair in words.chunks(2) {
        match *pair {
            ["--seed", seed] => options.seed = Some(number("--seed", seed)?),
            ["--for", seconds] => options.seconds = Some(number("--for", seconds)?),
            ["--places", file] => options.places = Some(file.into()),
            ["--plot", file] => options.plot = Some(file.into()),
            _ => return Err(format!("cannot read `{}`\n\n{USAGE}", pair.join(" "))),
        }
    }
    Ok(options)
}

/// The variables to set. An error if an option is given that the run does not heed, or if a file
/// that it needs is not.
fn environment(soak: &Soak, options: &Options) -> Result<Vec<(&'static str, String)>, String> {
    let seed = options.seed.map(|seed| seed.to_string());
    let seconds = options.seconds.map(|seconds| seconds.to_string());
    // The tests run in the folder of their own crate.
    let places = match &options.places {
        Some(file) if soak.places.is_some() => Some(absolute(file)?),
        Some(file) => Some(file.clone()),
        None if soak.places.is_some() => {
            return Err(format!("soak {} needs --places FILE", soak.name));
        }
        None => None,
    };
    let plot = options.plot.as_ref().map(|file| absolute_new(file)).transpose()?;
    let given = [
        ("--seed", soak.seed, seed),
        ("--for", soak.seconds, seconds),
        ("--places", soak.places, places),
        ("--plot", soak.plot, plot),
    ];
    let mut environment = Vec::new();
    for (option, variable, value) in given {
        match (variable, value) {
            (Some(variable), Some(value)) => environment.push((variable, value)),
            (None, Some(_)) => return Err(format!("soak {} takes no {option}", soak.name)),
            (_, None) => {}
        }
    }
    Ok(environment)
}

/// The whole path of a file that need not be there.
fn absolute_new(file: &str) -> Result<String, String> {
    let path = std::path::absolute(file).map_err(|error| format!("{file}: {error}"))?;
    path.into_os_string().into_string().map_err(|_| format!("{file} is not named in UTF-8"))
}

fn absolute(file: &str) -> Result<String, String> {
    let path = std::fs::canonicalize(file).map_err(|error| format!("{file}: {error}"))?;
    path.into_os_string().into_string().map_err(|_| format!("{file} is not named in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soak(name: &str) -> &'static Soak {
        SOAKS.iter().find(|soak| soak.name == name).unwrap()
    }

    #[test]
    fn options_become_variables() {
        let asked = options(&["--for", "90", "--seed", "7"]).unwrap();
        assert_eq!(
            environment(soak("fuzz"), &asked).unwrap(),
            [("STRATAL_FUZZ_SEED", "7".to_owned()), ("STRATAL_FUZZ_SECS", "90".to_owned())]
        );
        assert_eq!(environment(soak("fuzz"), &Options::default()), Ok(vec![]));
    }

    #[test]
    fn rows_become_commands_whose_tests_are_heard() {
        let typed = |name| arguments(soak(name)).join(" ");
        assert_eq!(typed("fuzz"), "test --release -p stratal-fuzz --test smoke -- --nocapture");
        assert_eq!(
            typed("shapes"),
            "test --release -p stratal-compaction --test shapes -- --ignored --nocapture"
        );
        assert_eq!(typed("model"), "test --release -p stratal -- --ignored soak_model --nocapture");
        assert_eq!(
            typed("shuttle"),
            "test --profile=test -p stratal-engine --test shuttle -- --nocapture"
        );
    }

    #[test]
    fn files_are_handed_on_by_whole_paths() {
        let asked = options(&["--places", "Cargo.toml"]).unwrap();
        let [(variable, path)] = &environment(soak("places"), &asked).unwrap()[..] else {
            panic!("one variable");
        };
        assert_eq!(*variable, "STRATAL_PLACES");
        assert!(Path::new(path).is_absolute(), "{path}");
    }

    #[test]
    fn a_plot_goes_where_it_is_told_though_nothing_is_there_yet() {
        let asked = options(&["--plot", "no such folder/shapes.svg"]).unwrap();
        let [(variable, path)] = &environment(soak("shapes"), &asked).unwrap()[..] else {
            panic!("one variable");
        };
        assert_eq!(*variable, "STRATAL_SOAK_PLOT");
        assert!(Path::new(path).is_absolute() && path.ends_with("shapes.svg"), "{path}");
    }

    #[test]
    fn what_a_run_cannot_use_or_lacks_is_an_error() {
        let cases: [(&str, &[&str], &str); 4] = [
            ("tree", &["--plot", "a.svg"], "soak tree takes no --plot"),
            ("places", &[], "soak places needs --places FILE"),
            ("places", &["--places", "Cargo.toml", "--seed", "1"], "soak places takes no --seed"),
            ("fuzz", &["--places", "nowhere"], "soak fuzz takes no --places"),
        ];
        for (name, words, expected) in cases {
            let error = environment(soak(name), &options(words).unwrap()).unwrap_err();
            assert_eq!(error, expected);
        }
        assert_eq!(
            options(&["--for", "ever"]),
            Err("--for takes a whole number, not ever".to_owned())
        );
        assert!(options(&["--seed"]).unwrap_err().starts_with("cannot read `--seed`"));
    }

    #[test]
    fn unknown_runs_are_told_the_known_ones() {
        let error = run(Path::new("."), &["moonlight"]).unwrap_err();
        for soak in SOAKS {
            assert!(error.contains(soak.name), "{error}");
        }
    }
}
