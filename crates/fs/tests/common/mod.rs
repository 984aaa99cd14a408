//! Steps on a file system as data, and the one function that knows how each is done.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use stratal_fs::{Access, File, FileKind, Fs, Lock, LockMode};

/// One call. Paths stand below a root that the runner adds.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Mkdir(String),
    Create(String),
    /// Opens a file and keeps the handle under a name, which may be used as a path after `@`.
    Hold(String, String, Access),
    Drop(String),
    Write(String, u64, Vec<u8>),
    Read(String, u64, usize),
    Len(String),
    SetLen(String, u64),
    Allocate(String, u64, u64),
    Punch(String, u64, u64),
    Sync(String),
    SyncDir(String),
    List(String),
    Stat(String),
    Remove(String),
    Rmdir(String),
    Rename(String, String),
    Link(String, String),
    Lock(String, String, LockMode),
    Unlock(String),
}

/// Reads a line such as `write /a 3 "lo"`.
pub(crate) fn parse(line: &str) -> Step {
    let words: Vec<&str> = line.split_whitespace().collect();
    let word = |i: usize| words[i].to_string();
    let number = |i: usize| words[i].parse::<u64>().unwrap_or_else(|_| panic!("{line}"));
    match words[0] {
        "mkdir" => Step::Mkdir(word(1)),
        "create" => Step::Create(word(1)),
        "hold" => Step::Hold(
            word(1),
            word(2),
            if words[3] == "r" { Access::Read } else { Access::ReadWrite },
        ),
        "drop" => Step::Drop(word(1)),
        "write" => Step::Write(word(1), number(2), unquote(words[3])),
        "read" => Step::Read(word(1), number(2), usize::try_from(number(3)).unwrap()),
        "len" => Step::Len(word(1)),
        "setlen" => Step::SetLen(word(1), number(2)),
        "allocate" => Step::Allocate(word(1), number(2), number(3)),
        "punch" => Step::Punch(word(1), number(2), number(3)),
        "sync" => Step::Sync(word(1)),
        "syncdir" => Step::SyncDir(word(1)),
        "list" => Step::List(word(1)),
        "stat" => Step::Stat(word(1)),
        "rm" => Step::Remove(word(1)),
        "rmdir" => Step::Rmdir(word(1)),
        "mv" => Step::Rename(word(1), word(2)),
        "ln" => Step::Link(word(1), word(2)),
        "lock" => {
            let mode = if words[3] == "shared" { LockMode::Shared } else { LockMode::Exclusive };
            Step::Lock(word(1), word(2), mode)
        }
        "unlock" => Step::Unlock(word(1)),
        _ => panic!("no such step: {line}"),
    }
}

/// `"text"`, or `"x"*100` for a hundred of them.
fn unquote(word: &str) -> Vec<u8> {
    match word.split_once("\"*") {
        Some((text, times)) => text[1..].repeat(times.parse().unwrap()).into_bytes(),
        None => word.trim_matches('"').as_bytes().to_vec(),
    }
}

/// Bytes as text, zeros as dots.
pub(crate) fn show(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| if byte == 0 { '.' } else { char::from(byte) }).collect()
}

/// Does steps on a file system, and says what came of each in words that do not depend on which
/// file system it is.
pub(crate) struct Runner<'a> {
    fs: &'a dyn Fs,
    root: PathBuf,
    held: BTreeMap<String, Box<dyn File>>,
    locks: BTreeMap<String, Box<dyn Lock>>,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(fs: &'a dyn Fs, root: &Path) -> Self {
        Self { fs, root: root.into(), held: BTreeMap::new(), locks: BTreeMap::new() }
    }

    /// The outcome, or the name of the error's kind.
    pub(crate) fn run(&mut self, step: &Step) -> String {
        match self.try_run(step) {
            Ok(outcome) => outcome,
            Err(err) => format!("{:?}", err.kind()),
        }
    }

    pub(crate) fn try_run(&mut self, step: &Step) -> io::Result<String> {
        let fs = self.fs;
        let path = |path: &str| self.root.join(path.trim_start_matches('/'));
        match step {
            Step::Mkdir(dir) => fs.create_dir(&path(dir))?,
            Step::Create(file) => drop(fs.create(&path(file))?),
            Step::Hold(name, file, access) => {
                let file = fs.open(&path(file), *access)?;
                self.held.insert(name.clone(), file);
            }
            Step::Drop(name) => drop(self.held.remove(name)),
            Step::Write(file, offset, bytes) => {
                self.with(file, Access::ReadWrite, |file| file.write_all_at(bytes, *offset))?;
            }
            Step::Read(file, offset, len) => {
                return self.with(file, Access::Read, |file| {
                    Ok(format!("{:?}", show(&read_up_to(file, *offset, *len)?)))
                });
            }
            Step::Len(file) => {
                return self.with(file, Access::Read, |file| Ok(file.len()?.to_string()));
            }
            Step::SetLen(file, len) => {
                self.with(file, Access::ReadWrite, |file| file.set_len(*len))?;
            }
            Step::Allocate(file, offset, len) => {
                self.with(file, Access::ReadWrite, |file| file.allocate(*offset, *len))?;
            }
            Step::Punch(file, offset, len) => {
                self.with(file, Access::ReadWrite, |file| file.punch_hole(*offset, *len))?;
            }
            Step::Sync(file) => self.with(file, Access::ReadWrite, |file| file.sync_data())?,
            Step::SyncDir(dir) => fs.sync_dir(&path(dir))?,
            Step::List(dir) => {
                let entries = fs.list(&path(dir))?;
                let entry = |entry: stratal_fs::DirEntry| match entry.kind {
                    FileKind::Dir => format!("{}/", entry.name.display()),
                    _ => format!("{}:{}", entry.name.display(), entry.len),
                };
                if entries.is_empty() {
                    return Ok("nothing".into());
                }
                return Ok(entries.into_iter().map(entry).collect::<Vec<_>>().join(" "));
            }
            Step::Stat(file) => {
                let found = fs.metadata(&path(file))?;
                return Ok(match found.kind {
                    FileKind::Dir => "dir".into(),
                    _ => format!("{} bytes, {} names", found.len, found.links),
                });
            }
            Step::Remove(file) => fs.remove_file(&path(file))?,
            Step::Rmdir(dir) => fs.remove_dir(&path(dir))?,
            Step::Rename(from, to) => fs.rename(&path(from), &path(to))?,
            Step::Link(from, to) => fs.hard_link(&path(from), &path(to))?,
            Step::Lock(name, file, mode) => {
                let lock = fs.lock(&path(file), *mode)?;
                self.locks.insert(name.clone(), lock);
            }
            Step::Unlock(name) => drop(self.locks.remove(name)),
        }
        Ok("ok".into())
    }

    fn with<T>(
        &self,
        file: &str,
        access: Access,
        act: impl FnOnce(&dyn File) -> io::Result<T>,
    ) -> io::Result<T> {
        match file.strip_prefix('@') {
            Some(name) => act(&**self.held.get(name).ok_or(io::ErrorKind::NotConnected)?),
            None => act(&*self.fs.open(&self.root.join(file.trim_start_matches('/')), access)?),
        }
    }
}

/// What stands at `offset`, up to `len` bytes of it, however many reads that takes.
pub(crate) fn read_up_to(file: &dyn File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
