//! Damaged files of a database: each verb gives the right answer, or says which file is wrong.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use stratal_fs::{Fs, StdFs};

use crate::support::Desk;

/// Places in a file at which a bit is flipped.
const FLIPS: usize = 24;

const READING: [&str; 5] =
    ["scan db", "get db key0000 key0150 late1", "count db", "stats db", "verify db"];

/// A small database that was closed, and what is in it.
struct Scene {
    desk: Desk,
    files: BTreeMap<PathBuf, Vec<u8>>,
    rows: String,
}

/// What is done to a file.
#[derive(Clone, Debug)]
enum Harm {
    CutTo(usize),
    Foreign,
    Flip { at: usize, bit: u8 },
}

/// How often what came out.
#[derive(Debug, Default)]
struct Tally {
    cases: usize,
    runs: usize,
    right: usize,
    refused: usize,
    found_by_verify: usize,
    wrong: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let desk = Desk::new();
        let mut rows: String =
            (0..300).map(|i| format!("key{i:04}\tvalue number {i} of the table\n")).collect();
        desk.run_with(&["load", "db", "-"], rows.as_bytes()).exits(0);
        desk.run("flush db").exits(0);
        for i in 0..3 {
            desk.run(&format!("put db late{i} in-the-log-{i}")).exits(0);
            rows.extend(["late", &i.to_string(), "\tin-the-log-", &i.to_string(), "\n"]);
        }
        // Without the room that segments reserve, half of a file is half of what it says.
        let dir = desk.path().join("db");
        for (name, bytes) in files_in(&dir) {
            if name.to_string_lossy().starts_with("wal-") {
                // The second of two end records is 512 bytes, most of them zeros.
                let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 512);
                let used = used.next_multiple_of(8).min(bytes.len());
                fs::write(dir.join(name), &bytes[..used]).unwrap();
            }
        }
        let files = files_in(&dir);
        desk.run("scan db").exits(0).prints(&rows);
        desk.run("verify db").exits(0);
        Self { desk, files, rows }
    }

    fn dir(&self) -> PathBuf {
        self.desk.path().join("db")
    }

    /// Puts the directory back to what it was.
    fn restore(&self) {
        for name in files_in(&self.dir()).keys().filter(|name| !self.files.contains_key(*name)) {
            StdFs.remove_file(&self.dir().join(name)).unwrap();
        }
        for (name, bytes) in &self.files {
            fs::write(self.dir().join(name), bytes).unwrap();
        }
    }

    /// Does harm to one file and runs every verb.
    fn suffer(&self, name: &Path, harm: &Harm, tally: &mut Tally) {
        self.restore();
        fs::write(self.dir().join(name), harm.done_to(&self.files[name])).unwrap();
        let before = files_in(&self.dir());
        tally.cases += 1;
        for verb in READING {
            self.judge(verb, self.answer(verb).as_deref(), (name, harm), tally);
        }
        if files_in(&self.dir()) != before {
            let context = format!("{} {harm:?}", name.display());
            tally.wrong.push(format!("{context}: a reading verb modified the directory"));
        }
        let was_put = self.judge("put db new row", Some(""), (name, harm), tally) == 0;
        let after = format!("{}{}", self.rows, if was_put { "new\trow\n" } else { "" });
        self.judge("scan db", Some(&after), (name, harm), tally);
    }

    /// What a verb prints when nothing is damaged, if that can be told.
    fn answer(&self, verb: &str) -> Option<String> {
        match verb {
            "scan db" => Some(self.rows.clone()),
            "count db" => Some(format!("{}\n", self.rows.lines().count())),
            "stats db" | "verify db" => None,
            _ => {
                let values = verb.split_whitespace().skip(2).map(|key| {
                    let row = self.rows.lines().find_map(|row| row.strip_prefix(key)).unwrap();
                    format!("{}\n", row.trim_start())
                });
                Some(values.collect())
            }
        }
    }

    /// Every harm to every file whose path begins so.
    #[track_caller]
    fn harm_all(&self, start: &str) {
        let mut tally = Tally::default();
        let names: Vec<_> =
            self.files.keys().filter(|name| name.to_string_lossy().starts_with(start)).collect();
        assert!(!names.is_empty(), "no {start} among {:?}", self.files.keys());
        for name in names {
            for harm in harms(self.files[name].len()) {
                self.suffer(name, &harm, &mut tally);
            }
        }
        self.restore();
        let Tally { cases, runs, right, refused, found_by_verify, wrong } = tally;
        println!(
            "{start}: {cases} harms, {runs} runs: {right} right, {refused} refused; verify found {found_by_verify}"
        );
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
        self.desk.run("scan db").exits(0).prints(&self.rows);
    }

    /// Runs a verb and says how it exits. If it succeeds it has to print `answer`, if that is given.
    fn judge(
        &self,
        args: &str,
        answer: Option<&str>,
        (name, harm): (&Path, &Harm),
        tally: &mut Tally,
    ) -> i32 {
        let ran = self.desk.run(args);
        let (code, stdout, stderr) = (ran.code(), ran.text(), ran.stderr());
        let said = format!("{stdout}{stderr}");
        let file = name.file_name().unwrap().to_string_lossy();
        let is_prefix = answer.is_none_or(|answer| answer.starts_with(&stdout));
        let wrong = match code {
            0 if answer.is_some_and(|answer| answer != stdout) => "another answer",
            3 if !matches!(harm, Harm::Foreign) => "nothing foreign is there",
            3..=6 if !said.contains(&*file) => "the file is not named",
            3..=6 if matches!(harm, Harm::Flip { .. }) && !said.contains("offset") => {
                "no offset is named"
            }
            3..=6 if !is_prefix => "another answer before the failure",
            0 | 3..=6 => "",
            _ => "damage has no such exit code",
        };
        tally.runs += 1;
        if wrong.is_empty() {
            tally.right += usize::from(code == 0);
            tally.refused += usize::from(code != 0);
            tally.found_by_verify += usize::from(code != 0 && args == "verify db");
        } else {
            tally.wrong.push(format!(
                "{} {harm:?}: `stratal {args}` exits {code}: {wrong}\n  stdout {}\n  stderr {stderr:?}",
                name.display(),
                stdout.escape_debug().take(200).collect::<String>(),
            ));
        }
        code
    }
}

impl Harm {
    fn done_to(&self, bytes: &[u8]) -> Vec<u8> {
        match *self {
            Self::CutTo(len) => bytes[..len].to_vec(),
            Self::Foreign => b"PK\x03\x04 something else entirely\n".repeat(60),
            Self::Flip { at, bit } => {
                let mut bytes = bytes.to_vec();
                bytes[at] ^= 1 << bit;
                bytes
            }
        }
    }
}

fn harms(len: usize) -> Vec<Harm> {
    let mut harms = vec![Harm::Foreign];
    if len > 0 {
        harms.extend([Harm::CutTo(0), Harm::CutTo(len / 2), Harm::CutTo(len - 1)]);
        let flips = FLIPS.min(len);
        harms.extend((0..flips).map(|i| Harm::Flip {
            at: i * (len - 1) / (flips - 1).max(1),
            bit: u8::try_from(i % 8).unwrap(),
        }));
    }
    harms
}

/// Every file below `dir`, by its path from there.
fn files_in(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = PathBuf::from(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            let below = files_in(&entry.path()).into_iter();
            files.extend(below.map(|(path, bytes)| (name.join(path), bytes)));
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    files
}

#[test]
fn a_damaged_identity_gives_no_wrong_answer() {
    Scene::new().harm_all("IDENTITY");
}

#[test]
fn a_damaged_manifest_gives_no_wrong_answer() {
    Scene::new().harm_all("manifest-");
}

#[test]
fn a_damaged_table_gives_no_wrong_answer() {
    Scene::new().harm_all("tables/");
}

#[test]
fn a_damaged_log_gives_no_wrong_answer() {
    Scene::new().harm_all("wal-");
}

#[test]
fn markers_and_locks_count_by_name_alone() {
    let scene = Scene::new();
    scene.harm_all("MANIFEST.");
    scene.harm_all("LOCK");
}
