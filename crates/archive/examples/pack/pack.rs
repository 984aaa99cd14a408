//! Packs: an archive with a section for each file, and a list of their names that stands twice.

use std::{
    collections::BTreeSet,
    error::Error,
    hash::{BuildHasher, RandomState},
    io::Write,
    path::{Path, PathBuf},
};

use stratal_archive::{
    ArchiveHeader, ArchiveWriter, Half, Opener, Part, Progress, SECTIONS_MAX, Section,
    SectionHasher, SectionTag, Toc, TocEntry,
};
use stratal_fs::{Access, File, FileKind, Fs, NewFile, create_dir_synced};
use stratal_types::FileUid;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// What kind of archive a pack is.
pub(crate) const FILE_TYPE: [u8; 4] = *b"PACK";

/// The names of the files, in the order of their sections. Nothing can be found without it, so it
/// stands twice; and its upper-case letter refuses the pack to readers that do not know it.
///
/// Each name is its length as a `u16`, little-endian, and its bytes, UTF-8 with `/` between parts.
pub(crate) enum List {}

impl Section for List {
    const TAG: SectionTag = SectionTag(*b"List");
    type View<'a> = Vec<&'a str>;
    type Error = Box<dyn Error>;

    fn parse(mut bytes: &[u8]) -> Result<Vec<&str>> {
        let mut names = Vec::new();
        while let Some((len, rest)) = bytes.split_first_chunk() {
            let (name, rest) = rest
                .split_at_checked(u16::from_le_bytes(*len).into())
                .ok_or("the list ends within a name")?;
            let name = std::str::from_utf8(name)?;
            // A pack may come from anywhere: no name leads out of the directory that it is put into.
            if name.split('/').any(|part| matches!(part, "" | "." | ".."))
                || name.contains(['\\', '\0'])
            {
                return Err(format!("{name:?} is no name for a file").into());
            }
            names.push(name);
            bytes = rest;
        }
        if bytes.is_empty() { Ok(names) } else { Err("the list ends within a length".into()) }
    }
}

/// Most files in a pack: what is left of the sections besides both copies of the list.
pub(crate) const FILES_MAX: usize = SECTIONS_MAX - 2;

/// Bytes moved at once.
const PIECE_LEN: usize = 64 << 10;

const USAGE: &str = "\
usage: pack create PACK FILE|DIR...
       pack list PACK
       pack verify PACK
       pack extract PACK DIR";

/// Does what the command line says.
pub(crate) fn run(fs: &dyn Fs, words: &[String], out: &mut dyn Write) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["create", path, ref inputs @ ..] if !inputs.is_empty() => {
            let toc = create(fs, Path::new(path), inputs)?;
            writeln!(out, "{} files, {} bytes", toc.entries.len() - 2, toc.file_len)?;
        }
        ["list", path] => {
            for (name, entry) in Pack::open(fs, Path::new(path))?.files() {
                writeln!(out, "{:>12}  {name}", entry.len)?;
            }
        }
        ["verify", path] => {
            let damage = Pack::open(fs, Path::new(path))?.verify()?;
            for line in &damage {
                writeln!(out, "{line}")?;
            }
            if !damage.is_empty() {
                return Err(format!("{path}: {} parts are damaged", damage.len()).into());
            }
            writeln!(out, "{path}: everything is whole")?;
        }
        ["extract", path, dir] => {
            let damaged = Pack::open(fs, Path::new(path))?.extract(fs, Path::new(dir), out)?;
            if damaged > 0 {
                return Err(format!("{path}: {damaged} files are damaged and left out").into());
            }
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

/// Packs `inputs`, directories with all that is in them, into a new file at `path`.
pub(crate) fn create(fs: &dyn Fs, path: &Path, inputs: &[&str]) -> Result<Toc> {
    let mut files = Vec::new();
    for input in inputs {
        let input = Path::new(input);
        let name = input.file_name().ok_or("an input needs a name of its own")?;
        collect(fs, input, name.to_str().ok_or("names must be UTF-8")?, &mut files)?;
    }
    if files.len() > FILES_MAX {
        return Err(format!("{} files, at most {FILES_MAX} fit into a pack", files.len()).into());
    }
    let names: BTreeSet<&String> = files.iter().map(|(name, _)| name).collect();
    if names.len() < files.len() {
        return Err("two files would have the same name".into());
    }

    // The pack gets its name when it is whole and durable, so nobody ever sees half of one.
    let unfinished = PathBuf::from(format!("{}.unfinished", path.display()));
    let uid = FileUid(random());
    let header = ArchiveHeader { file_type: FILE_TYPE, uid, ..ArchiveHeader::default() };
    let mut writer = ArchiveWriter::new(NewFile::create(fs, &unfinished)?, header)?;
    let mut list = Vec::new();
    for (index, (name, path)) in files.iter().enumerate() {
        writer.section(tag_of(index))?;
        let file = fs.open(path, Access::Read)?;
        each_piece(file.as_ref(), 0, file.len()?, |piece| Ok(writer.write_all(piece)?))?;
        list.extend(u16::try_from(name.len())?.to_le_bytes());
        list.extend(name.as_bytes());
    }
    writer.section(List::TAG)?;
    writer.write_all(&list)?;
    writer.mirror(List::TAG, list)?;
    let (file, toc) = writer.finish()?;
    let synced = file.finish()?;
    fs.rename(synced.path(), path)?;
    fs.sync_dir(directory_of(path))?;
    Ok(toc)
}

/// A pack that was opened.
#[derive(Debug)]
pub(crate) struct Pack {
    file: Box<dyn File>,
    toc: Toc,
    /// Each file's name and the section of its bytes.
    files: Vec<(String, TocEntry)>,
}

impl Pack {
    /// Reads the contents of the pack and its list, which as a rule takes one read.
    pub(crate) fn open(fs: &dyn Fs, path: &Path) -> Result<Self> {
        let file = fs.open(path, Access::Read)?;
        let mut opener = Opener::new(file.len()?);
        let mut bytes = Vec::new();
        let toc = loop {
            match opener.advance(&bytes)? {
                Progress::Need(range) => bytes = read(file.as_ref(), range.start, range.end)?,
                Progress::Done(toc) => break toc,
            }
        };
        if toc.header.file_type != FILE_TYPE {
            let found = toc.header.file_type.escape_ascii().to_string();
            return Err(format!("{}: an archive of type {found}, no pack", path.display()).into());
        }
        let names = read_list(file.as_ref(), &toc)?;
        let mut files = Vec::new();
        for (index, name) in names.into_iter().enumerate() {
            let entry = toc.get(tag_of(index), Half::Primary);
            files.push((name, *entry.ok_or("the list names a file that is not there")?));
        }
        let tags: Vec<_> = (0..files.len()).map(tag_of).chain([List::TAG]).collect();
        toc.require_known(&tags)?;
        Ok(Self { file, toc, files })
    }

    /// Every file's name and section.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &TocEntry)> {
        self.files.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// Reads everything; returns a line for each part that is damaged.
    pub(crate) fn verify(&self) -> Result<Vec<String>> {
        let mut damage = Vec::new();
        for part in Part::ALL {
            let range = self.toc.part_range(part);
            let bytes = read(self.file.as_ref(), range.start, range.end)?;
            if let Err(error) = self.toc.check_part(part, &bytes) {
                damage.push(format!("{part:?}: {error}"));
            }
        }
        for (name, entry) in self.files() {
            if let Err(error) = self.copy(entry, |_| Ok(()))? {
                damage.push(format!("{name}: {error}"));
            }
        }
        for entry in self.toc.find(List::TAG) {
            if let Err(error) = self.copy(entry, |_| Ok(()))? {
                damage.push(format!("list of names, {} copy: {error}", entry.half));
            }
        }
        Ok(damage)
    }

    /// Writes every file that is whole below `dir`, where it must not exist; returns how many are not.
    pub(crate) fn extract(&self, fs: &dyn Fs, dir: &Path, out: &mut dyn Write) -> Result<u64> {
        let mut damaged = 0;
        for (name, entry) in self.files() {
            let path = dir.join(name);
            create_dir_synced(fs, directory_of(&path))?;
            let mut file = NewFile::create(fs, &path)?;
            let copied = self.copy(entry, |piece| Ok(file.write_all(piece)?))?;
            match copied {
                Ok(()) => {
                    let synced = file.finish()?;
                    fs.sync_dir(directory_of(synced.path()))?;
                    writeln!(out, "{name}")?;
                }
                Err(error) => {
                    drop(file);
                    fs.remove_file(&path)?;
                    writeln!(out, "{name}: left out: {error}")?;
                    damaged += 1;
                }
            }
        }
        Ok(damaged)
    }

    /// Hands on the bytes of a section in pieces, then says whether they are what was written.
    fn copy(
        &self,
        entry: &TocEntry,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<Result<(), stratal_archive::Error>> {
        let mut hasher = SectionHasher::new();
        each_piece(self.file.as_ref(), entry.offset, entry.len, |piece| {
            hasher.update(piece);
            take(piece)
        })?;
        Ok(hasher.verify(entry))
    }
}

/// The section of the file with this number: `F` and the number in base 36, at most `F35p`.
fn tag_of(index: usize) -> SectionTag {
    let digit = |place: u32| {
        let digit = index / 36_usize.pow(place) % 36;
        char::from_digit(u32::try_from(digit).unwrap_or(0), 36).map_or(b'0', |digit| digit as u8)
    };
    SectionTag([b'F', digit(2), digit(1), digit(0)])
}

/// The names, from the first copy of the list that can be read.
fn read_list(file: &dyn File, toc: &Toc) -> Result<Vec<String>> {
    let mut error = "there is no list of names".into();
    for entry in toc.find(List::TAG) {
        let bytes = read(file, entry.offset, entry.range().end)?;
        match entry.view::<List>(&bytes) {
            Ok(names) => return Ok(names.into_iter().map(str::to_owned).collect()),
            Err(failed) => error = failed,
        }
    }
    Err(error)
}

/// Adds the file at `path`, or every file below it.
fn collect(fs: &dyn Fs, path: &Path, name: &str, files: &mut Vec<(String, PathBuf)>) -> Result<()> {
    if fs.metadata(path)?.kind == FileKind::Dir {
        for entry in fs.list(path)? {
            let own = entry.name.to_str().ok_or("names must be UTF-8")?;
            collect(fs, &path.join(own), &format!("{name}/{own}"), files)?;
        }
    } else {
        files.push((name.to_owned(), path.to_owned()));
    }
    Ok(())
}

fn read(file: &dyn File, start: u64, end: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(end.saturating_sub(start))?];
    file.read_exact_at(&mut bytes, start)?;
    Ok(bytes)
}

/// Reads `len` bytes from `start` on, piece by piece.
fn each_piece(
    file: &dyn File,
    start: u64,
    len: u64,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let end = start.saturating_add(len);
    let mut at = start;
    while at < end {
        let piece = read(file, at, end.min(at.saturating_add(PIECE_LEN as u64)))?;
        at = at.saturating_add(piece.len() as u64);
        take(&piece)?;
    }
    Ok(())
}

/// The directory that a path is in.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Bits that no other file has: the keys that the process draws for its hash maps are random.
fn random() -> [u8; 16] {
    let half = || RandomState::new().hash_one(0u8);
    (u128::from(half()) << 64 | u128::from(half())).to_le_bytes()
}
