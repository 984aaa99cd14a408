//! Where and when something was measured.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

/// The facts that belong to figures, as the first line of results.
pub(super) fn facts(root: &Path, words: &[String]) -> Value {
    json!({"facts": {
        "command": command(words),
        "commit": commit(root),
        "date": date(seconds_now()),
        "processor": processor(),
        "memory": memory(),
        "kernel": first_line("/proc/sys/kernel/osrelease"),
        "load before": load(),
    }})
}

/// Options that say where something lies, which is nobody's business but the machine's.
const PLACES: [&str; 4] = ["--results", "--html", "--markdown", "--dir"];

/// What was typed, as far as it makes a difference to figures.
fn command(words: &[String]) -> String {
    let mut shown = vec!["cargo", "xtask"];
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if PLACES.contains(&word.as_str()) {
            words.next();
        } else if word != "--no-build" {
            shown.push(word);
        }
    }
    shown.join(" ")
}

/// Processes that wanted to run in the last 1, 5 and 15 minutes.
fn load() -> String {
    let line = first_line("/proc/loadavg");
    line.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The day of today, as in `2026-01-31`.
pub(super) fn today() -> String {
    date(seconds_now())
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The short name of the commit; with a plus if files differ from it.
fn commit(root: &Path) -> String {
    let git = |words: &[&str]| {
        let output = Command::new("git").current_dir(root).args(words).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(name) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".into() };
    let is_clean = git(&["status", "--porcelain"]).is_some_and(|changes| changes.is_empty());
    if is_clean { name } else { format!("{name}+") }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let names = text.lines().filter(|line| line.starts_with("model name"));
    let name =
        names.clone().next().and_then(|line| line.split_once(": ")).map_or("unknown", |l| l.1);
    format!("{} × {name}", names.count())
}

fn memory() -> String {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|total| total.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map_or("unknown".into(), |kib| format!("{} GiB", kib.div_ceil(1 << 20)))
}

fn first_line(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}

/// The day so many seconds after the beginning of 1970, in the calendar of all days.
fn date(seconds: u64) -> String {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut days = seconds / 86_400;
    let mut year = 1970;
    loop {
        let len = if is_leap(year) { 366 } else { 365 };
        if days < len {
            break;
        }
        days -= len;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for len in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < len {
            break;
        }
        days -= len;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_without_places() {
        let words = ["bench-peers", "--n", "10000", "--dir", "/x", "--no-build", "--cpu"];
        let words = words.map(str::to_owned);
        assert_eq!(command(&words), "cargo xtask bench-peers --n 10000 --cpu");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_767_225_599, "2025-12-31"),
            (1_767_225_600, "2026-01-01"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(date(seconds), expected);
        }
    }
}
