use std::{env, fs, path::Path};

/// The text stored at `path`. If there is none and `UPDATE_GOLDEN=1` is set, `current` is stored
/// first; nothing ever rewrites a file that exists.
///
/// ```no_run
/// use std::path::Path;
/// # let dump_of_what_is_written = String::new();
/// let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1/empty.dump"));
/// let stored = stratal_testkit::golden(path, &dump_of_what_is_written);
/// assert_eq!(stored, dump_of_what_is_written, "released bytes do not change");
/// ```
///
/// # Panics
///
/// If the file is missing and may not be written, or cannot be read.
#[track_caller]
pub fn golden(path: impl AsRef<Path>, current: &str) -> String {
    let path = path.as_ref();
    let may_write = env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1");
    if may_write && !path.exists() {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).unwrap_or_else(|err| panic!("{}: {err}", dir.display()));
        }
        fs::write(path, current).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    }
    read_golden(path)
}

/// The text stored at `path`, which must be there: for released files that nothing writes any more.
///
/// # Panics
///
/// If the file cannot be read.
#[track_caller]
pub fn read_golden(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|err| {
        panic!("{}: {err} (a new golden file is stored with UPDATE_GOLDEN=1)", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_file_is_given_back_and_not_overwritten() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let stored = golden(path, "something else");
        assert!(stored.contains("stratal-testkit"));
        assert_eq!(stored, read_golden(path));
    }

    #[test]
    #[should_panic(expected = "UPDATE_GOLDEN=1")]
    fn a_missing_file_says_how_it_is_made() {
        read_golden(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/none.dump"));
    }
}
