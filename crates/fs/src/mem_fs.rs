use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::io::Errno;
use stratal_types::sync::{Mutex, RwLock};

use crate::{
    Access, DirEntry, File, FileKind, Fs, Hint, Lock, LockMode, Metadata,
    content::{Content, checked_end},
    lock::Holders,
    names::{dir_is_file, names},
};

/// Files in memory, gone when the last clone and handle are: for tests, and for databases that need
/// not outlive the process.
///
/// Clones share the files. There is one root; a path with `..` is refused. Syncs do nothing, since
/// there is nothing to survive. Longest file: 64 GiB. With a capacity, lengths of all files together
/// stay below it: a write that does not fit is short, and then fails with `StorageFull`.
///
/// ```
/// use std::path::Path;
/// use stratal_fs::{Fs, MemFs};
/// let fs = MemFs::with_capacity(4);
/// let file = fs.create(Path::new("/a"))?;
/// assert_eq!(file.write_at(b"hello", 0)?, 4);
/// assert_eq!(file.write_at(b"o", 4).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemFs {
    tree: Arc<Mutex<BTreeMap<PathBuf, Node>>>,
    space: Arc<Space>,
}

#[derive(Clone, Debug)]
enum Node {
    Dir,
    File(Arc<Inode>),
}

/// A file, apart from its names. Gives its space back when names and handles are gone.
#[derive(Debug)]
struct Inode {
    content: RwLock<Content>,
    holders: Mutex<Holders>,
    space: Arc<Space>,
}

#[derive(Debug)]
struct Space {
    capacity: u64,
    used: Mutex<u64>,
}

impl Space {
    /// Takes up to `wanted` bytes; returns how many there were.
    fn take_some(&self, wanted: u64) -> u64 {
        let mut used = self.used.lock();
        let taken = wanted.min(self.capacity.saturating_sub(*used));
        *used += taken;
        taken
    }

    /// Takes `wanted` bytes, or none.
    fn take(&self, wanted: u64) -> io::Result<()> {
        let taken = self.take_some(wanted);
        if taken < wanted {
            self.give_back(taken);
            return Err(Errno::NOSPC.into());
        }
        Ok(())
    }

    fn give_back(&self, len: u64) {
        *self.used.lock() -= len;
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        let len = self.content.read().len();
        self.space.give_back(len);
    }
}

impl Default for MemFs {
    fn default() -> Self {
        Self::with_capacity(u64::MAX)
    }
}

impl MemFs {
    /// An empty file system without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty file system for `capacity` bytes.
    pub fn with_capacity(capacity: u64) -> Self {
        let tree = BTreeMap::from([(PathBuf::new(), Node::Dir)]);
        let space = Space { capacity, used: Mutex::new(0) };
        Self { tree: Arc::new(Mutex::new(tree)), space: Arc::new(space) }
    }

    fn new_inode(&self) -> Arc<Inode> {
        Arc::new(Inode {
            content: RwLock::new(Content::default()),
            holders: Mutex::new(Holders::default()),
            space: Arc::clone(&self.space),
        })
    }
}

impl Fs for MemFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let path = normal(path)?;
        let mut tree = self.tree.lock();
        require_vacant(&tree, &path)?;
        let inode = self.new_inode();
        tree.insert(path, Node::File(Arc::clone(&inode)));
        Ok(Box::new(MemFile { inode, access: Access::ReadWrite }))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let inode = inode_of(&self.tree.lock(), &normal(path)?)?;
        Ok(Box::new(MemFile { inode, access }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        let mut dir = PathBuf::new();
        for name in names(path)? {
            dir.push(name);
            if let Node::File(_) = tree.entry(dir.clone()).or_insert(Node::Dir) {
                let is_last = dir == normal(path)?;
                return Err(dir_is_file(is_last));
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let dir = normal(dir)?;
        let tree = self.tree.lock();
        require_dir(&tree, &dir)?;
        let entries = below(&tree, &dir).filter(|(path, _)| path.parent() == Some(&dir));
        let entries = entries.map(|(path, node)| {
            let (kind, len) = kind_and_len(node);
            let name = path.file_name().map(OsStr::to_os_string).unwrap_or_default();
            DirEntry { name, kind, len }
        });
        Ok(entries.collect())
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let tree = self.tree.lock();
        let path = normal(path)?;
        let node = tree.get(&path).ok_or_else(|| missing(&tree, &path))?;
        let links = match node {
            Node::Dir => 1,
            Node::File(inode) => {
                let same =
                    |node: &&Node| matches!(node, Node::File(other) if Arc::ptr_eq(other, inode));
                tree.values().filter(same).count() as u64
            }
        };
        let (kind, len) = kind_and_len(node);
        Ok(Metadata { kind, len, links })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let path = normal(path)?;
        let mut tree = self.tree.lock();
        inode_of(&tree, &path)?;
        tree.remove(&path);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let path = normal(path)?;
        let mut tree = self.tree.lock();
        require_dir(&tree, &path)?;
        if below(&tree, &path).next().is_some() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if path.as_os_str().is_empty() {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        tree.remove(&path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (normal(from)?, normal(to)?);
        let mut tree = self.tree.lock();
        let inode = inode_of(&tree, &from)?;
        require_parent(&tree, &to)?;
        match tree.get(&to) {
            Some(Node::Dir) => return Err(io::ErrorKind::IsADirectory.into()),
            // Two names of one file: as POSIX has it, both stay.
            Some(Node::File(there)) if Arc::ptr_eq(there, &inode) => return Ok(()),
            _ => {}
        }
        tree.remove(&from);
        tree.insert(to, Node::File(inode));
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (normal(from)?, normal(to)?);
        let mut tree = self.tree.lock();
        let inode = inode_of(&tree, &from)?;
        require_vacant(&tree, &to)?;
        tree.insert(to, Node::File(inode));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        require_dir(&self.tree.lock(), &normal(dir)?)
    }

    fn available_space(&self, path: &Path) -> io::Result<u64> {
        self.metadata(path)?;
        Ok(self.space.capacity.saturating_sub(*self.space.used.lock()))
    }

    fn lock(&self, path: &Path, mode: LockMode) -> io::Result<Box<dyn Lock>> {
        let normal = normal(path)?;
        let inode = {
            let mut tree = self.tree.lock();
            require_parent(&tree, &normal)?;
            match tree.entry(normal).or_insert_with(|| Node::File(self.new_inode())) {
                Node::File(inode) => Arc::clone(inode),
                Node::Dir => return Err(io::ErrorKind::IsADirectory.into()),
            }
        };
        if !inode.holders.lock().try_take(mode) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(MemLock { inode, mode }))
    }
}

fn inode_of(tree: &BTreeMap<PathBuf, Node>, path: &Path) -> io::Result<Arc<Inode>> {
    match tree.get(path) {
        Some(Node::File(inode)) => Ok(Arc::clone(inode)),
        Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
        None => Err(missing(tree, path)),
    }
}

/// Why there is nothing at `path`.
fn missing(tree: &BTreeMap<PathBuf, Node>, path: &Path) -> io::Error {
    let through_file = path.ancestors().any(|above| matches!(tree.get(above), Some(Node::File(_))));
    let kind = if through_file { io::ErrorKind::NotADirectory } else { io::ErrorKind::NotFound };
    kind.into()
}

fn normal(path: &Path) -> io::Result<PathBuf> {
    Ok(names(path)?.into_iter().collect())
}

fn require_dir(tree: &BTreeMap<PathBuf, Node>, path: &Path) -> io::Result<()> {
    match tree.get(path) {
        Some(Node::Dir) => Ok(()),
        Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
        None => Err(missing(tree, path)),
    }
}

fn require_parent(tree: &BTreeMap<PathBuf, Node>, path: &Path) -> io::Result<()> {
    require_dir(tree, path.parent().ok_or(io::ErrorKind::IsADirectory)?)
}

fn require_vacant(tree: &BTreeMap<PathBuf, Node>, path: &Path) -> io::Result<()> {
    if tree.contains_key(path) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    require_parent(tree, path)
}

/// Everything below `dir`, at any depth, in order: paths are ordered name by name.
fn below<'a>(
    tree: &'a BTreeMap<PathBuf, Node>,
    dir: &'a Path,
) -> impl Iterator<Item = (&'a PathBuf, &'a Node)> {
    let from = tree.range(dir.to_path_buf()..).skip(1);
    from.take_while(move |(path, _)| path.starts_with(dir))
}

fn kind_and_len(node: &Node) -> (FileKind, u64) {
    match node {
        Node::Dir => (FileKind::Dir, 0),
        Node::File(inode) => (FileKind::File, inode.content.read().len()),
    }
}

#[derive(Debug)]
struct MemLock {
    inode: Arc<Inode>,
    mode: LockMode,
}

impl Lock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.inode.holders.lock().release(self.mode);
    }
}

#[derive(Debug)]
struct MemFile {
    inode: Arc<Inode>,
    access: Access,
}

impl MemFile {
    fn require_write(&self) -> io::Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::Read => Err(Errno::BADF.into()),
        }
    }
}

impl File for MemFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.inode.content.read().read(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.require_write()?;
        if buf.is_empty() {
            return Ok(0);
        }
        let mut content = self.inode.content.write();
        let end = checked_end(offset, buf.len() as u64)?;
        let growth = end.saturating_sub(content.len());
        let missing = growth - self.inode.space.take_some(growth);
        let fits = buf.len().saturating_sub(usize::try_from(missing).unwrap_or(usize::MAX));
        if fits == 0 {
            // What was taken would only have filled the gap before `offset`.
            self.inode.space.give_back(growth - missing);
            return Err(Errno::NOSPC.into());
        }
        content.write(offset, &buf[..fits])?;
        Ok(fits)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.inode.content.read().len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.require_write()?;
        let mut content = self.inode.content.write();
        checked_end(len, 0)?;
        let before = content.len();
        self.inode.space.take(len.saturating_sub(before))?;
        self.inode.space.give_back(before.saturating_sub(len));
        content.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.require_write()?;
        if len == 0 {
            return Ok(());
        }
        let mut content = self.inode.content.write();
        let end = checked_end(offset, len)?.max(content.len());
        self.inode.space.take(end - content.len())?;
        content.grow(end)
    }

    fn punch_hole(&self, offset: u64, len: u64) -> io::Result<()> {
        self.require_write()?;
        self.inode.content.write().zero(offset, len);
        Ok(())
    }

    fn hint(&self, _: Hint) {}
}
