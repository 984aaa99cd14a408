//! What the project's own files must look like.
//!
//! * Crates forbid unsafe code, except those made for it ([`UNSAFE_CRATES`]), and take the
//!   workspace's lints.
//! * A `FORMAT.md` is part of its crate's rustdoc.
//! * Nothing refers to the machine that it was written on ([`MACHINE_PATHS`]).
//! * A source file stays short enough to be read at one sitting ([`LINES_MAX`]).
//! * Crates that the test kit is built on do not use it inside their own `src/`, where it would
//!   meet two copies of their types.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Crates where unsafe code lives. Growing this list is a design change.
const UNSAFE_CRATES: &[&str] = &["simd", "slab", "memtable", "cache"];

/// Lines of a source file, tests at its end not counted.
const LINES_MAX: usize = 700;

/// Sources that are longer, and how long they may be. Entries shrink and leave; none is added.
const LONG_SOURCES: &[(&str, usize)] = &[];

/// Beginnings of paths that exist on one machine only. In pieces, so that this file has none.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/", "work"), concat!("/", "root"), concat!("/", "home/"), concat!("sha", "red/")];

/// Crates that the test kit depends on.
const BELOW_TESTKIT: [&str; 2] = ["types", "fs"];

/// A text file of the project.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// From the root, with `/` between the parts.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Every text file at or below `root` but what `.gitignore` names; it may hold only whole paths
/// from the root (`/target`).
pub(crate) fn read(root: &Path) -> Result<Vec<Source>, String> {
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let ignore_path = root.join(".gitignore");
    let ignored = fs::read_to_string(&ignore_path).map_err(|error| failed(&ignore_path, error))?;
    let mut left_out: Vec<PathBuf> =
        ignored.lines().map(|line| root.join(line.trim_matches('/'))).collect();
    left_out.push(root.join(".git"));

    let mut sources = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| failed(&folder, error))? {
            let entry = entry.map_err(|error| failed(&folder, error))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| failed(&path, error))?;
            if left_out.contains(&path) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let bytes = fs::read(&path).map_err(|error| failed(&path, error))?;
                if let (Ok(text), Ok(path)) = (String::from_utf8(bytes), path.strip_prefix(root)) {
                    let path = path.to_string_lossy().replace('\\', "/");
                    sources.push(Source { path, text });
                }
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

/// What is wrong with them.
pub(crate) fn complaints(sources: &[Source]) -> Vec<String> {
    complaints_but(sources, UNSAFE_CRATES, LONG_SOURCES)
}

/// The same under other exemptions.
fn complaints_but(
    sources: &[Source],
    unsafe_crates: &[&str],
    long_sources: &[(&str, usize)],
) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        complaints.extend(unsafe_code(source, unsafe_crates));
        complaints.extend(lints(source));
        complaints.extend(format_docs(source, sources));
        complaints.extend(machine_paths(source));
        complaints.extend(length(source, long_sources));
        complaints.extend(testkit_below_itself(source));
    }
    for (path, _) in long_sources {
        if !sources.iter().any(|source| source.path == *path) {
            complaints.push(format!("{path} is gone; take it off the list of long sources"));
        }
    }
    complaints
}

/// The folder of the package and the path inside it, for members of the workspace.
fn in_package(path: &str) -> Option<(&str, &str)> {
    let folder_len = match path.strip_prefix("crates/") {
        Some(inner) => "crates/".len() + inner.find('/')?,
        None => path.find('/')?,
    };
    let (folder, inner) = (&path[..folder_len], &path[folder_len + 1..]);
    // What is nested deeper is no member: the libFuzzer programs, the no-std library.
    (folder.starts_with("crates/") || folder == "xtask" || folder == "fuzz")
        .then_some((folder, inner))
}

fn unsafe_code(source: &Source, unsafe_crates: &[&str]) -> Option<String> {
    let (folder, "src/lib.rs" | "src/main.rs") = in_package(&source.path)? else { return None };
    let exempt = folder.strip_prefix("crates/").is_some_and(|name| unsafe_crates.contains(&name));
    let forbidden = source.text.lines().any(|line| line == "#![forbid(unsafe_code)]");
    (!exempt && !forbidden).then(|| {
        format!("{} lacks #![forbid(unsafe_code)]: it belongs in a crate made for it", source.path)
    })
}

fn lints(source: &Source) -> Option<String> {
    let (_, "Cargo.toml") = in_package(&source.path)? else { return None };
    (!source.text.contains("[lints]\nworkspace = true"))
        .then(|| format!("{} does not take the workspace's lints", source.path))
}

fn format_docs(source: &Source, sources: &[Source]) -> Option<String> {
    let (folder, "FORMAT.md") = in_package(&source.path)? else { return None };
    let library = format!("{folder}/src/lib.rs");
    let included = sources.iter().any(|other| {
        other.path == library && other.text.contains("include_str!(\"../FORMAT.md\")")
    });
    (!included).then(|| format!("{} is not included in the rustdoc of {library}", source.path))
}

fn machine_paths(source: &Source) -> impl Iterator<Item = String> {
    source.text.lines().enumerate().filter_map(|(i, line)| {
        let path = MACHINE_PATHS.into_iter().find(|path| names(line, path))?;
        Some(format!("{}:{} names {path}, which is on one machine only", source.path, i + 1))
    })
}

/// Whether `path` occurs in `line` as the beginning of a path: not inside a longer word.
fn names(line: &str, path: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    line.match_indices(path).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + path.len()..]);
        let begins = !before.ends_with(|c| is_word(c) || "./}>)".contains(c));
        let ends = path.ends_with('/') || !after.starts_with(is_word);
        begins && ends
    })
}

fn length(source: &Source, long_sources: &[(&str, usize)]) -> Option<String> {
    let path = &source.path;
    let (_, inner) = in_package(path)?;
    let is_rust = Path::new(inner).extension().is_some_and(|extension| extension == "rs");
    if !is_rust || !inner.starts_with("src/") || inner.ends_with("/tests.rs") {
        return None;
    }
    let lines = lines_before_tests(&source.text);
    let allowed = long_sources.iter().find(|(long, _)| long == path).map(|&(_, lines)| lines);
    match allowed {
        None if lines > LINES_MAX => {
            Some(format!("{path} has {lines} lines without tests; cut it by nouns ({LINES_MAX})"))
        }
        Some(allowed) if lines > allowed => {
            Some(format!("{path} has grown to {lines} lines from {allowed}; it may only shrink"))
        }
        Some(_) if lines <= LINES_MAX => {
            Some(format!("{path} is no longer long; take it off the list of long sources"))
        }
        _ => None,
    }
}

fn lines_before_tests(text: &str) -> usize {
    let end = text.find("\n#[cfg(test)]\nmod ").map_or(text.len(), |at| at + 1);
    text[..end].lines().count()
}

fn testkit_below_itself(source: &Source) -> Option<String> {
    let (folder, inner) = in_package(&source.path)?;
    let below = folder.strip_prefix("crates/").is_some_and(|name| BELOW_TESTKIT.contains(&name));
    (below && inner.starts_with("src/") && source.text.contains("stratal_testkit")).then(|| {
        format!("{} uses the test kit, which is built on it; do so from tests/", source.path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIDY: &str = "//! A crate.\n#![forbid(unsafe_code)]\n";

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[track_caller]
    fn complains(sources: &[(&str, &str)], expected: &[&str]) {
        let sources: Vec<Source> = sources.iter().map(|(path, text)| source(path, text)).collect();
        assert_eq!(complaints_but(&sources, &["simd"], &[]), expected);
    }

    #[test]
    fn unsafe_code_is_forbidden_but_in_crates_made_for_it() {
        complains(&[("crates/fs/src/lib.rs", TIDY), ("crates/fs/src/door.rs", "")], &[]);
        complains(&[("crates/simd/src/lib.rs", "//! Kernels.")], &[]);
        for path in ["crates/fs/src/lib.rs", "crates/cli/src/main.rs", "fuzz/src/lib.rs"] {
            let expected =
                format!("{path} lacks #![forbid(unsafe_code)]: it belongs in a crate made for it");
            complains(&[(path, "// #![forbid(unsafe_code)]\n")], &[&expected]);
        }
        complains(&[("xtask/no-std/src/lib.rs", ""), ("fuzz/libfuzzer/src/main.rs", "")], &[]);
    }

    #[test]
    fn members_take_the_workspaces_lints() {
        complains(&[("crates/fs/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n")], &[]);
        complains(
            &[("crates/fs/Cargo.toml", "[package]\n"), ("Cargo.toml", "[workspace]\n")],
            &["crates/fs/Cargo.toml does not take the workspace's lints"],
        );
    }

    #[test]
    fn a_format_is_documented_where_it_is_implemented() {
        let included =
            format!("{TIDY}#[doc = include_str!(\"../FORMAT.md\")]\npub mod format {{}}");
        let format = ("crates/block/FORMAT.md", "# Blocks");
        complains(&[format, ("crates/block/src/lib.rs", &included)], &[]);
        complains(
            &[format, ("crates/block/src/lib.rs", TIDY), ("crates/sst/src/lib.rs", &included)],
            &["crates/block/FORMAT.md is not included in the rustdoc of crates/block/src/lib.rs"],
        );
    }

    #[test]
    fn paths_of_one_machine_are_noticed() {
        for path in MACHINE_PATHS {
            let line = format!("one\nread `{path}` first");
            let expected = format!("README.md:2 names {path}, which is on one machine only");
            complains(&[("README.md", &line)], &[&expected]);
        }
        let innocent = "the /workspace, a/root, Shared, $dir/root, ../work, network/home/";
        complains(&[("README.md", innocent)], &[]);
    }

    #[test]
    fn long_sources_are_noticed_and_the_list_of_them_only_shrinks() {
        let long = format!("{TIDY}{}", "// line\n".repeat(LINES_MAX));
        let path = "crates/fs/src/lib.rs";
        complains(
            &[(path, &long)],
            &["crates/fs/src/lib.rs has 702 lines without tests; cut it by nouns (700)"],
        );
        complains(&[("crates/fs/tests/all.rs", &long), ("crates/fs/src/tests.rs", &long)], &[]);
        let tested = format!("{TIDY}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        complains(&[(path, &tested)], &[]);

        let listed =
            |text: &str, lines| complaints_but(&[source(path, text)], &[], &[(path, lines)]);
        assert_eq!(listed(&long, 702), [""; 0]);
        assert_eq!(
            listed(&long, 701),
            ["crates/fs/src/lib.rs has grown to 702 lines from 701; it may only shrink"]
        );
        assert_eq!(
            listed(TIDY, 701),
            ["crates/fs/src/lib.rs is no longer long; take it off the list of long sources"]
        );
        assert_eq!(
            complaints_but(&[], &[], &[(path, 701)]),
            ["crates/fs/src/lib.rs is gone; take it off the list of long sources"]
        );
    }

    #[test]
    fn the_test_kit_is_not_used_inside_what_it_is_built_on() {
        let uses = format!("{TIDY}#[cfg(test)]\nmod tests {{ use stratal_testkit::keys; }}\n");
        complains(
            &[("crates/fs/src/lib.rs", &uses), ("crates/sst/src/lib.rs", &uses)],
            &["crates/fs/src/lib.rs uses the test kit, which is built on it; do so from tests/"],
        );
        complains(&[("crates/fs/tests/all.rs", &uses)], &[]);
    }

    #[test]
    fn what_git_ignores_is_not_read() {
        let root = crate::root();
        let sources = read(&root).unwrap();
        let has = |path: &str| sources.iter().any(|source| source.path == path);
        assert!(has("xtask/src/sources.rs") && has(".gitignore"));
        assert!(!sources.iter().any(|source| source.path.starts_with("target/")));
    }
}
