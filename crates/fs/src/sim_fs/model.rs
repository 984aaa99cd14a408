use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    io,
    path::Path,
    sync::Arc,
};

use super::crash::{Fate, Stale};
use crate::{
    DirEntry, FileKind, Metadata,
    content::{Content, checked_end},
    names::{dir_is_file, names},
};

pub(super) type NodeId = u64;

const ROOT: NodeId = 0;

type Entries = BTreeMap<OsString, NodeId>;

/// A disk and the memory in front of it: what is durable, what is visible, and in between the
/// changes that lead from one to the other.
///
/// Nodes are shared between copies, so that a copy costs little more than its list of nodes.
#[derive(Clone, Debug)]
pub(super) struct Model {
    nodes: BTreeMap<NodeId, Node>,
    /// Changes of names that are not durable, in order.
    names: Vec<NameChange>,
    next: NodeId,
    /// What the last file that was removed or cut had held. Its blocks are the next ones to be
    /// used, and where a write does not reach them they show it again.
    recycled: Option<Content>,
    opens: BTreeMap<NodeId, u32>,
}

#[derive(Clone, Debug)]
enum Node {
    File(Arc<FileNode>),
    Dir(Arc<DirNode>),
}

/// A file, apart from its names. `visible` is `durable` with the log applied, unless a failed sync
/// has dropped pages.
#[derive(Clone, Debug, Default)]
struct FileNode {
    visible: Content,
    durable: Content,
    log: Vec<Logged>,
    /// Names it has, as visible.
    links: u32,
    failed_write: bool,
    failed_sync: bool,
}

#[derive(Clone, Debug, Default)]
struct DirNode {
    visible: Arc<Entries>,
    durable: Arc<Entries>,
    failed_sync: bool,
}

#[derive(Clone, Debug)]
struct Logged {
    op: u64,
    change: Change,
    state: LogState,
}

/// How far a change of a file has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogState {
    /// The next sync makes it durable.
    Pending,
    /// A sync of it failed: it may have reached the disk, and no later sync will take it there.
    Doubtful,
    /// Durable, though it stands behind a doubtful one.
    Synced,
}

/// A change of a file's bytes or length.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write {
        offset: u64,
        bytes: Arc<[u8]>,
    },
    SetLen(u64),
    /// Lengthen to hold this many bytes; never cut.
    Grow(u64),
    Zero {
        offset: u64,
        len: u64,
    },
}

/// A change of names that happens whole or not at all.
#[derive(Clone, Debug)]
struct NameChange {
    op: u64,
    /// Each name that changes, and what it stands for afterwards.
    steps: Vec<(NodeId, OsString, Option<NodeId>)>,
    /// The directory whose sync makes it durable.
    home: NodeId,
    /// A directory that is removed, which needs everything in it to be gone first.
    empties: Option<NodeId>,
    doubtful: bool,
}

impl NameChange {
    /// Whether this change can only be on disk if `earlier`, which came before, is too: the states
    /// of one name reach the disk in order.
    fn needs(&self, earlier: &Self) -> bool {
        earlier.steps.iter().any(|(dir, name, _)| {
            self.empties == Some(*dir)
                || self.steps.iter().any(|(own_dir, own, _)| own_dir == dir && own == name)
        })
    }
}

/// One change that a crash may lose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsynced<'a> {
    pub(super) op: u64,
    place: Place,
    /// The change, if it is one of a file's bytes.
    pub(super) change: Option<&'a Change>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Name(usize),
    Data(NodeId),
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            nodes: BTreeMap::from([(ROOT, Node::Dir(Arc::default()))]),
            names: Vec::new(),
            next: ROOT + 1,
            recycled: None,
            opens: BTreeMap::new(),
        }
    }

    // Names, as visible.

    fn resolve(&self, path: &Path) -> io::Result<NodeId> {
        names(path)?.into_iter().try_fold(ROOT, |dir, name| self.child(dir, name))
    }

    fn child(&self, dir: NodeId, name: &OsStr) -> io::Result<NodeId> {
        self.dir(dir)?.visible.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The directory that holds, or would hold, `path`, and the name in it.
    fn place(&self, path: &Path) -> io::Result<(NodeId, OsString)> {
        let mut names = names(path)?;
        let name = names.pop().ok_or(io::ErrorKind::IsADirectory)?;
        let dir = names.into_iter().try_fold(ROOT, |dir, name| self.child(dir, name))?;
        self.dir(dir)?;
        Ok((dir, name.to_os_string()))
    }

    fn dir(&self, id: NodeId) -> io::Result<&DirNode> {
        match self.nodes.get(&id) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn file(&self, id: NodeId) -> io::Result<&FileNode> {
        match self.nodes.get(&id) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn dir_mut(&mut self, id: NodeId) -> Option<&mut DirNode> {
        match self.nodes.get_mut(&id) {
            Some(Node::Dir(dir)) => Some(Arc::make_mut(dir)),
            _ => None,
        }
    }

    fn file_mut(&mut self, id: NodeId) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => Ok(Arc::make_mut(file)),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The file that `path` names.
    pub(super) fn open(&mut self, path: &Path) -> io::Result<NodeId> {
        let id = self.resolve(path)?;
        self.file(id)?;
        Ok(self.opened(id))
    }

    pub(super) fn opened(&mut self, id: NodeId) -> NodeId {
        *self.opens.entry(id).or_default() += 1;
        id
    }

    /// Notes that a handle on what `path` names never came to be.
    pub(super) fn close_path(&mut self, path: &Path) {
        if let Ok(id) = self.resolve(path) {
            self.close(id);
        }
    }

    /// Notes that a handle is gone.
    pub(super) fn close(&mut self, id: NodeId) {
        if let Some(opens) = self.opens.get_mut(&id) {
            *opens -= 1;
            if *opens == 0 {
                self.opens.remove(&id);
                if self.file(id).is_ok_and(|file| file.links == 0) {
                    self.collect();
                }
            }
        }
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let entries = self.dir(self.resolve(path)?)?.visible.iter().map(|(name, id)| {
            let Metadata { kind, len, .. } = self.metadata_of(*id)?;
            Ok(DirEntry { name: name.clone(), kind, len })
        });
        entries.collect()
    }

    pub(super) fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.metadata_of(self.resolve(path)?)
    }

    fn metadata_of(&self, id: NodeId) -> io::Result<Metadata> {
        if self.dir(id).is_ok() {
            return Ok(Metadata { kind: FileKind::Dir, len: 0, links: 1 });
        }
        let file = self.file(id)?;
        Ok(Metadata { kind: FileKind::File, len: file.visible.len(), links: file.links.into() })
    }

    // Changes of names.

    pub(super) fn create_file(&mut self, op: u64, path: &Path) -> io::Result<NodeId> {
        let (dir, name) = self.place(path)?;
        if self.child(dir, &name).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = self.add_node(Node::File(Arc::default()));
        self.change_names(op, dir, None, vec![(dir, name, Some(id))]);
        Ok(id)
    }

    /// The file `path`, created if it is missing.
    pub(super) fn find_or_create(&mut self, op: u64, path: &Path) -> io::Result<NodeId> {
        match self.resolve(path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => self.create_file(op, path),
            found => self.file(found?).map(|_| ()).and_then(|()| self.resolve(path)),
        }
    }

    pub(super) fn create_dir(&mut self, op: u64, path: &Path) -> io::Result<()> {
        let mut dir = ROOT;
        let names = names(path)?;
        for (i, name) in names.iter().enumerate() {
            dir = if let Ok(id) = self.child(dir, name) {
                self.dir(id).map_err(|_| dir_is_file(i + 1 == names.len()))?;
                id
            } else {
                let id = self.add_node(Node::Dir(Arc::default()));
                self.change_names(op, dir, None, vec![(dir, name.to_os_string(), Some(id))]);
                id
            };
        }
        Ok(())
    }

    pub(super) fn remove_file(&mut self, op: u64, path: &Path) -> io::Result<()> {
        let (dir, name) = self.place(path)?;
        self.file(self.child(dir, &name)?)?;
        self.change_names(op, dir, None, vec![(dir, name, None)]);
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, op: u64, path: &Path) -> io::Result<()> {
        let id = self.resolve(path)?;
        if !self.dir(id)?.visible.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (dir, name) = self.place(path).map_err(|_| io::ErrorKind::ResourceBusy)?;
        self.change_names(op, dir, Some(id), vec![(dir, name, None)]);
        Ok(())
    }

    pub(super) fn rename(&mut self, op: u64, from: &Path, to: &Path) -> io::Result<()> {
        let ((from_dir, from), (to_dir, to)) = (self.place(from)?, self.place(to)?);
        let id = self.child(from_dir, &from)?;
        self.file(id)?;
        if let Ok(there) = self.child(to_dir, &to) {
            self.file(there)?;
            if there == id {
                // Two names of one file: as POSIX has it, both stay.
                return Ok(());
            }
        }
        self.change_names(op, to_dir, None, vec![(from_dir, from, None), (to_dir, to, Some(id))]);
        Ok(())
    }

    pub(super) fn hard_link(&mut self, op: u64, from: &Path, to: &Path) -> io::Result<()> {
        let id = self.resolve(from)?;
        self.file(id)?;
        let (dir, name) = self.place(to)?;
        if self.child(dir, &name).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.change_names(op, dir, None, vec![(dir, name, Some(id))]);
        Ok(())
    }

    fn add_node(&mut self, node: Node) -> NodeId {
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, node);
        id
    }

    /// Changes visible names, and logs the change.
    fn change_names(
        &mut self,
        op: u64,
        home: NodeId,
        empties: Option<NodeId>,
        steps: Vec<(NodeId, OsString, Option<NodeId>)>,
    ) {
        for (dir, name, now) in &steps {
            let Some(dir) = self.dir_mut(*dir) else { continue };
            let before = assign(Arc::make_mut(&mut dir.visible), name, *now);
            if let Some(file) = now.and_then(|id| self.file_mut(id).ok()) {
                file.links += 1;
            }
            if let Some(file) = before.and_then(|id| self.file_mut(id).ok()) {
                file.links -= 1;
                if file.links == 0 {
                    self.recycled = Some(file.visible.clone());
                }
            }
        }
        self.names.push(NameChange { op, steps, home, empties, doubtful: false });
    }

    /// Makes the changes of a directory's names durable, those before a failed sync excepted. What
    /// such a change needs goes with it.
    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let home = self.resolve(path)?;
        self.dir(home)?;
        let mut taken: Vec<bool> =
            self.names.iter().map(|change| change.home == home && !change.doubtful).collect();
        for later in (0..taken.len()).rev() {
            if taken[later] {
                for (earlier, taken) in self.names.iter().zip(&mut taken).take(later) {
                    *taken |= self.names[later].needs(earlier);
                }
            }
        }
        let mut taken = taken.into_iter();
        let (durable, rest) =
            std::mem::take(&mut self.names).into_iter().partition(|_| taken.next() == Some(true));
        self.names = rest;
        let durable: Vec<NameChange> = durable;
        for (dir, name, now) in durable.iter().flat_map(|change| &change.steps) {
            if let Some(dir) = self.dir_mut(*dir) {
                assign(Arc::make_mut(&mut dir.durable), name, *now);
            }
        }
        self.collect();
        Ok(())
    }

    /// Notes that a sync of a directory failed.
    pub(super) fn fail_dir_sync(&mut self, path: &Path) {
        let Ok(home) = self.resolve(path) else { return };
        if let Some(dir) = self.dir_mut(home) {
            dir.failed_sync = true;
        }
        for change in self.names.iter_mut().filter(|change| change.home == home) {
            change.doubtful = true;
        }
    }

    /// Whether a sync of the directory failed before.
    pub(super) fn dir_sync_failed(&self, path: &Path) -> bool {
        self.resolve(path).and_then(|id| self.dir(id)).is_ok_and(|dir| dir.failed_sync)
    }

    /// Forgets nodes that have no name, visible or durable or in between, and no handle.
    fn collect(&mut self) {
        let mut named = self.nameable();
        named.extend(self.opens.keys());
        self.nodes.retain(|id, _| named.contains(id));
    }

    /// Nodes that have a name now or may have one after a crash.
    fn nameable(&self) -> BTreeSet<NodeId> {
        let dirs = self.nodes.values().filter_map(|node| match node {
            Node::Dir(dir) => Some(dir),
            Node::File(_) => None,
        });
        let entries = dirs.flat_map(|dir| dir.visible.values().chain(dir.durable.values()));
        let changing = self.names.iter().flat_map(|change| &change.steps);
        let changing = changing.flat_map(|(dir, _, now)| [Some(*dir), *now]).flatten();
        entries.copied().chain(changing).chain([ROOT]).collect()
    }

    // Bytes.

    pub(super) fn content(&self, id: NodeId) -> io::Result<&Content> {
        Ok(&self.file(id)?.visible)
    }

    /// Whether a write to the file failed before, and whether a sync did.
    pub(super) fn failures(&self, id: NodeId) -> (bool, bool) {
        self.file(id).map_or((false, false), |file| (file.failed_write, file.failed_sync))
    }

    pub(super) fn fail_write(&mut self, id: NodeId) {
        if let Ok(file) = self.file_mut(id) {
            file.failed_write = true;
        }
    }

    pub(super) fn change(&mut self, op: u64, id: NodeId, change: Change) -> io::Result<()> {
        if let Change::SetLen(len) = change
            && len < self.content(id)?.len()
        {
            self.recycled = Some(self.content(id)?.clone());
        }
        let file = self.file_mut(id)?;
        change.apply(&mut file.visible)?;
        file.log.push(Logged { op, change, state: LogState::Pending });
        Ok(())
    }

    pub(super) fn sync(&mut self, id: NodeId) -> io::Result<()> {
        let file = self.file_mut(id)?;
        let pending = |logged: &&mut Logged| logged.state == LogState::Pending;
        file.log.iter_mut().filter(pending).for_each(|logged| logged.state = LogState::Synced);
        if file.log.iter().all(|logged| logged.state == LogState::Synced) {
            file.log.clear();
            file.durable = file.visible.clone();
        }
        Ok(())
    }

    /// Notes that a sync of a file failed. The system now holds its pages for clean, and may have
    /// dropped them.
    pub(super) fn fail_sync(&mut self, id: NodeId, drops_pages: bool) {
        let Ok(file) = self.file_mut(id) else { return };
        file.failed_sync = true;
        let pending = |logged: &&mut Logged| logged.state == LogState::Pending;
        file.log.iter_mut().filter(pending).for_each(|logged| logged.state = LogState::Doubtful);
        if drops_pages {
            let len = file.visible.len();
            let mut on_disk = file.durable.clone();
            let mut synced = file.log.iter().filter(|logged| logged.state == LogState::Synced);
            let replayed = synced.try_for_each(|logged| logged.change.apply(&mut on_disk));
            if replayed.and_then(|()| on_disk.set_len(len)).is_ok() {
                file.visible = on_disk;
            }
        }
    }

    /// Replaces durable bytes behind the back of everybody.
    pub(super) fn alter(&mut self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let id = self.resolve(path)?;
        self.file(id)?;
        let file = self.file_mut(id)?;
        for content in [&mut file.visible, &mut file.durable] {
            let left = usize::try_from(content.len().saturating_sub(offset)).unwrap_or(usize::MAX);
            content.put(offset, &bytes[..bytes.len().min(left)]);
        }
        Ok(())
    }

    /// Bytes in files that have a name or a handle.
    pub(super) fn used(&self) -> u64 {
        let files = self.nodes.iter().filter_map(|(id, node)| match node {
            Node::File(file) if file.links > 0 || self.opens.contains_key(id) => Some(file),
            _ => None,
        });
        files.map(|file| file.visible.len()).sum()
    }

    // Crashes.

    /// Everything a crash may lose, in the order in which it was done.
    pub(super) fn unsynced(&self) -> Vec<Unsynced<'_>> {
        let mut nameable = None;
        let mut all: Vec<_> = self
            .names
            .iter()
            .enumerate()
            .map(|(i, change)| Unsynced { op: change.op, place: Place::Name(i), change: None })
            .collect();
        for (id, node) in &self.nodes {
            let Node::File(file) = node else { continue };
            if file.log.is_empty() {
                continue;
            }
            // What no name leads to, now or after a crash, nobody will find changed.
            if file.links == 0 && !nameable.get_or_insert_with(|| self.nameable()).contains(id) {
                continue;
            }
            all.extend(file.log.iter().filter(|logged| logged.state != LogState::Synced).map(
                |logged| Unsynced {
                    op: logged.op,
                    place: Place::Data(*id),
                    change: Some(&logged.change),
                },
            ));
        }
        all.sort_by_key(|unsynced| unsynced.op);
        all
    }

    /// Which sets of unsynced changes of names a crash may leave, as masks, lowest bit first; only
    /// for fewer changes than a mask has bits.
    pub(super) fn name_masks(&self) -> impl Iterator<Item = u64> + '_ {
        let count = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let masks = 0..1u64.checked_shl(count).unwrap_or(0);
        masks.filter(move |&mask| {
            let mut kept: Vec<bool> = (0..count).map(|i| (mask >> i) & 1 == 1).collect();
            let asked = kept.clone();
            self.close_downwards(&mut kept);
            kept == asked
        })
    }

    pub(super) fn unsynced_names(&self) -> usize {
        self.names.len()
    }

    /// Takes back those changes of names that need one that is not kept.
    fn close_downwards(&self, kept: &mut [bool]) {
        for later in 0..kept.len() {
            kept[later] &= (0..later)
                .all(|earlier| kept[earlier] || !self.names[later].needs(&self.names[earlier]));
        }
    }

    /// The disk as it is found after a crash which left each unsynced change, in the order of
    /// [`unsynced`](Self::unsynced), to its fate.
    pub(super) fn after_crash(&self, fates: &[Fate], seed: u64) -> Self {
        let mut names_kept = vec![false; self.names.len()];
        let mut data_fates: BTreeMap<NodeId, Vec<Fate>> = BTreeMap::new();
        for (unsynced, fate) in self.unsynced().iter().zip(fates) {
            match unsynced.place {
                Place::Name(i) => names_kept[i] = *fate != Fate::Lost,
                Place::Data(id) => data_fates.entry(id).or_default().push(*fate),
            }
        }
        self.close_downwards(&mut names_kept);

        let mut dirs: BTreeMap<NodeId, Arc<Entries>> = BTreeMap::new();
        for (id, node) in &self.nodes {
            if let Node::Dir(dir) = node {
                dirs.insert(*id, Arc::clone(&dir.durable));
            }
        }
        for (change, _) in self.names.iter().zip(names_kept).filter(|(_, kept)| *kept) {
            for (dir, name, now) in &change.steps {
                if let Some(entries) = dirs.get_mut(dir) {
                    assign(Arc::make_mut(entries), name, *now);
                }
            }
        }

        // What can be reached from the root is still there.
        let mut links: BTreeMap<NodeId, u32> = BTreeMap::new();
        let mut nodes = BTreeMap::new();
        let mut reached = vec![ROOT];
        while let Some(id) = reached.pop() {
            *links.entry(id).or_default() += 1;
            if let Some(entries) = dirs.remove(&id) {
                reached.extend(entries.values());
                let durable = Arc::clone(&entries);
                let dir = DirNode { visible: entries, durable, failed_sync: false };
                nodes.insert(id, Node::Dir(Arc::new(dir)));
            }
        }
        let stale = Stale { recycled: self.recycled.as_ref(), seed };
        for (id, node) in &self.nodes {
            if let (Node::File(file), Some(links)) = (node, links.get(id)) {
                let fates = data_fates.get(id).map_or(&[][..], Vec::as_slice);
                nodes.insert(*id, Node::File(file.after_crash(*links, fates, &stale)));
            }
        }
        Self {
            nodes,
            names: Vec::new(),
            next: self.next,
            recycled: self.recycled.clone(),
            opens: BTreeMap::new(),
        }
    }

    /// A copy without handles.
    pub(super) fn fork(&self) -> Self {
        Self { opens: BTreeMap::new(), ..self.clone() }
    }

    /// Shows every visible path and file, in order.
    pub(super) fn for_each(&self, mut show: impl FnMut(&Path, Option<&Content>)) {
        let mut below = vec![(std::path::PathBuf::new(), ROOT)];
        while let Some((path, id)) = below.pop() {
            match self.nodes.get(&id) {
                Some(Node::File(file)) => show(&path, Some(&file.visible)),
                Some(Node::Dir(dir)) => {
                    show(&path, None);
                    below.extend(dir.visible.iter().rev().map(|(name, id)| (path.join(name), *id)));
                }
                None => {}
            }
        }
    }
}

impl FileNode {
    fn after_crash(self: &Arc<Self>, links: u32, fates: &[Fate], stale: &Stale<'_>) -> Arc<Self> {
        if self.log.is_empty() && self.links == links && !self.failed_sync && !self.failed_write {
            return Arc::clone(self);
        }
        let mut content = self.durable.clone();
        let mut fates = fates.iter();
        for logged in &self.log {
            let fate = match logged.state {
                LogState::Synced => Fate::Kept,
                LogState::Pending | LogState::Doubtful => {
                    fates.next().copied().unwrap_or(Fate::Lost)
                }
            };
            fate.befall(&logged.change, &mut content, stale);
        }
        content.trim();
        Arc::new(Self { visible: content.clone(), durable: content, links, ..Self::default() })
    }
}

impl Change {
    /// Does the change to `content`.
    pub(super) fn apply(&self, content: &mut Content) -> io::Result<()> {
        match self {
            Self::Write { offset, bytes } => content.write(*offset, bytes),
            Self::SetLen(len) => content.set_len(*len),
            Self::Grow(len) => content.grow(*len),
            Self::Zero { offset, len } => {
                content.zero(*offset, *len);
                Ok(())
            }
        }
    }

    /// By how many bytes the change lengthens a file of `len` bytes.
    pub(super) fn growth(&self, len: u64) -> io::Result<u64> {
        let end = match self {
            Self::Write { offset, bytes } => checked_end(*offset, bytes.len() as u64)?,
            Self::SetLen(end) | Self::Grow(end) => checked_end(*end, 0)?,
            Self::Zero { .. } => 0,
        };
        Ok(end.saturating_sub(len))
    }
}

/// Lets `name` stand for `now`; returns what it stood for.
fn assign(entries: &mut Entries, name: &OsStr, now: Option<NodeId>) -> Option<NodeId> {
    match now {
        Some(id) => entries.insert(name.to_os_string(), id),
        None => entries.remove(name),
    }
}
