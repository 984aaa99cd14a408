//! Running the command.

use std::{
    io::Write,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use tempfile::TempDir;

/// A directory of its own, in which the command runs.
pub(crate) struct Desk {
    pub(crate) dir: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Puts a file there.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        std::fs::write(self.dir.path().join(name), bytes).unwrap();
        self
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.path().join(name)).unwrap()
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.dir.path().join(name).exists()
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs `stratal` with arguments that are separated by blanks.
    pub(crate) fn run(&self, args: &str) -> Ran {
        self.run_with(&args.split_whitespace().collect::<Vec<_>>(), b"")
    }

    /// Begins to run `stratal`, with nothing to read, and nobody to read what it says.
    pub(crate) fn spawn(&self, args: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_stratal"))
            .args(args.split_whitespace())
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The names of the files there, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs `stratal`, and gives the most memory that it had, in KiB.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_memory(&self, args: &str) -> u32 {
        let mut child = self.spawn(args);
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            peak = peak.max(peak_memory(child.id()));
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(child.wait().unwrap().success(), "{args}");
        peak
    }

    /// Runs `stratal` with something on its standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_stratal"))
            .args(args)
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A command that does not read its input may have closed it.
        let feeder = std::thread::spawn(move || stdin.write_all(&input).ok());
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        Ran { args: args.join(" "), output }
    }
}

/// The most memory a process has had, in KiB; 0 once it has ended.
#[cfg(target_os = "linux")]
fn peak_memory(process: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// A command that has ended.
pub(crate) struct Ran {
    args: String,
    output: Output,
}

impl Ran {
    pub(crate) fn code(&self) -> i32 {
        self.output.status.code().unwrap()
    }

    pub(crate) fn stdout(&self) -> &[u8] {
        &self.output.stdout
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "{}\n{}\n{}", self.args, self.text(), self.stderr());
        self
    }

    #[track_caller]
    pub(crate) fn prints(self, stdout: impl AsRef<[u8]>) -> Self {
        let (found, wanted) = (self.stdout().escape_ascii(), stdout.as_ref().escape_ascii());
        assert_eq!(found.to_string(), wanted.to_string(), "{}", self.args);
        self
    }

    #[track_caller]
    pub(crate) fn prints_start(self, start: &str) -> Self {
        assert!(self.text().starts_with(start), "{}: {}", self.args, self.text());
        self
    }

    /// Standard error contains each of `words`.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        let stderr = self.stderr();
        for word in words {
            assert!(stderr.contains(word), "{}: no {word:?} in {stderr:?}", self.args);
        }
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.stdout()).unwrap()
    }
}
