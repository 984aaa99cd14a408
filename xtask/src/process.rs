//! Running commands, in sight: each is printed before it runs.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

/// Cargo, of the toolchain that runs this program, at `root`.
pub(crate) fn cargo(root: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(root).stdin(Stdio::null());
    command
}

/// Runs a command to its end; an error if it does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    println!("$ {}", printed(command));
    let status = command.status().map_err(|error| format!("{}: {error}", printed(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", printed(command))) }
}

/// Runs `cargo test …`, showing its output, and counts the tests that passed. An error if one
/// fails, or if none ran: a filter that matches nothing must not look like success.
pub(crate) fn run_tests(command: &mut Command) -> Result<u64, String> {
    println!("$ {}", printed(command));
    let spawned = command.stdout(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| format!("{}: {error}", printed(command)))?;
    let output = child.stdout.take().expect("the output is piped");
    let mut passed = 0;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.map_err(|error| error.to_string())?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        passed += tests_passed(&line).unwrap_or(0);
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    match passed {
        _ if !status.success() => Err(format!("{} ended with {status}", printed(command))),
        0 => Err(format!("{} ran no test", printed(command))),
        passed => Ok(passed),
    }
}

/// The count in a line such as `test result: ok. 3 passed; 0 failed; …`.
fn tests_passed(line: &str) -> Option<u64> {
    let (_, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
    counts.split_once(" passed")?.0.parse().ok()
}

/// Runs one step of a longer list, with its name before and its time behind.
pub(crate) fn timed<T>(name: &str, step: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    println!("== {name}");
    let start = Instant::now();
    let outcome = step();
    let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
    println!("== {name}: {verdict}, {:.1} s", start.elapsed().as_secs_f64());
    // The commands run in between write to the same place.
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    outcome
}

/// The command as one would type it: its own environment, its name, its arguments.
fn printed(command: &Command) -> String {
    let environment = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}={}", name.to_string_lossy(), quoted(&value?.to_string_lossy())))
    });
    let arguments = command.get_args().map(|argument| quoted(&argument.to_string_lossy()));
    environment
        .chain([printed_name(command.get_program())])
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The last part of a program's path.
fn printed_name(program: &std::ffi::OsStr) -> String {
    let name = Path::new(program).file_name().unwrap_or(program);
    name.to_string_lossy().into_owned()
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{word}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_printed_as_typed() {
        let mut command = Command::new("/opt/bin/cargo");
        command.args(["doc", "--no-deps", "a b"]).env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(printed(&command), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps 'a b'");
    }

    #[test]
    fn the_count_of_passed_tests_is_read_from_the_closing_line() {
        let line = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out";
        assert_eq!(tests_passed(line), Some(12));
        assert_eq!(tests_passed("test result: FAILED. 7 passed; 1 failed"), Some(7));
        assert_eq!(tests_passed("test sixteen_passed ... ok"), None);
    }

    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--no-such-option").stdout(Stdio::null()).stderr(Stdio::null());
        let error = run(&mut command).unwrap_err();
        assert!(error.contains("--no-such-option ended with"), "{error}");
    }

    #[test]
    fn a_run_without_tests_is_an_error() {
        let own = std::env::current_exe().unwrap();
        let filtered = |filter: &str| run_tests(Command::new(&own).args(["--exact", filter]));
        assert!(filtered("process::tests::no_such_test").unwrap_err().ends_with("ran no test"));
        assert_eq!(filtered("process::tests::commands_are_printed_as_typed"), Ok(1));
    }
}
