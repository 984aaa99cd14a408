//! One tree, without the database around it: no log, and no threads but the adapter's, which are as
//! those of `lsm_common.rs`: one flushes, one merges, and writers wait when a second memtable is
//! sealed or level 0 has 36 runs.
use pb_core::{Caps, Engine, Info, Key};
use std::{
    collections::BTreeSet,
    fs::File,
    io::Read as _,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
};
use stratal_engine::{Store, StoreContext, Tree, TreeOptions, TreeStats};
use stratal_fs::StdFs;
use stratal_types::Cursor as _;
include!("../../stratal_common.rs");

const LEVEL0_RUNS_MAX: usize = 36;

/// What one of the threads has before it.
#[derive(Clone, Copy, Default)]
struct Task {
    is_due: bool,
    runs: bool,
}

#[derive(Default)]
struct State {
    flush: Task,
    merge: Task,
    stop: bool,
    error: Option<String>,
}

struct Shared {
    tree: Arc<Tree>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panicked")
    }
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).expect("no thread panicked")
    }
    /// Does `job` whenever it is due, until it is time to stop.
    fn keep_at(
        &self,
        task: fn(&mut State) -> &mut Task,
        job: fn(&Tree) -> Res<()>,
        then: fn(&mut State),
    ) {
        let mut state = self.state();
        while !state.stop {
            if !task(&mut state).is_due {
                state = self.wait(state);
                continue;
            }
            *task(&mut state) = Task { is_due: false, runs: true };
            drop(state);
            let done = job(&self.tree);
            state = self.state();
            task(&mut state).runs = false;
            match done {
                Ok(()) => then(&mut state),
                Err(error) => state.error = Some(error.to_string()),
            }
            self.changed.notify_all();
        }
    }
    /// Waits while `must_wait` and nothing has failed.
    fn wait_while(&self, must_wait: impl Fn(&State) -> bool) -> Res<()> {
        let mut state = self.state();
        while state.error.is_none() && must_wait(&state) {
            state = self.wait(state);
        }
        state.error.take().map_or(Ok(()), |error| Err(error.into()))
    }
}

struct Alone {
    store: Arc<Store>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    inline: bool,
    /// The newest seal that the threads were told of.
    told: AtomicU64,
}

fn flush_sealed(tree: &Tree) -> Res<()> {
    tree.flush_sealed()?;
    Ok(())
}

fn merge(tree: &Tree) -> Res<()> {
    tree.compact(false)?;
    Ok(())
}

impl Alone {
    /// To be called after every write.
    #[inline]
    fn note_seal(&self) -> Res<()> {
        match self.shared.tree.sealed_to() {
            Some(bound) if bound.get() > self.told.load(Relaxed) => self.sealed(bound.get()),
            _ => Ok(()),
        }
    }
    #[cold]
    fn sealed(&self, bound: u64) -> Res<()> {
        self.told.fetch_max(bound, Relaxed);
        let Shared { tree, changed, .. } = &*self.shared;
        if self.inline {
            flush_sealed(tree)?;
            return merge(tree);
        }
        self.shared.state().flush.is_due = true;
        changed.notify_all();
        self.shared.wait_while(|_| {
            tree.stats().sealed >= 2 || tree.pressure().level0_runs >= LEVEL0_RUNS_MAX
        })
    }
    fn stop(&mut self) {
        self.shared.state().stop = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            thread.join().expect("no thread panicked");
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.stop();
    }
}

fn randomness() -> [u8; 16] {
    let mut bytes = [0; 16];
    let read = File::open("/dev/urandom").and_then(|mut device| device.read_exact(&mut bytes));
    read.expect("the system gives random bytes");
    bytes
}

impl Engine for Alone {
    const NAME: &'static str = "stratal-tree";
    const VERSION: &'static str = concat!("stratal-engine ", env!("CARGO_PKG_VERSION"));
    const CAPS: Caps = Caps {
        delete_range: true,
        kv_sep: false,
        lz4: true,
        zstd: true,
        wal: false,
        durable: false,
        multi_get: true,
    };

    fn open(dir: &Path, o: &Opts) -> Res<Self> {
        let context =
            StoreContext::new(Arc::new(StdFs), dir.join("db"), o.cache_bytes, Arc::new(randomness));
        let (store, report) = Store::open(context)?;
        store.remove_orphans(&report, &BTreeSet::new())?;
        let known = store.version().trees.keys().next().copied();
        let id = known.map_or_else(|| store.create_tree("t", "bytewise", &[]), Ok)?;
        let tree = Tree::open(&store, id, tree_options(o)?.validate()?)?;
        let shared = Arc::new(Shared { tree, state: Mutex::default(), changed: Condvar::new() });
        let mut threads = Vec::new();
        if !o.inline_bg {
            let (flushes, merges) = (Arc::clone(&shared), Arc::clone(&shared));
            threads.push(std::thread::spawn(move || {
                flushes.keep_at(|s| &mut s.flush, flush_sealed, |s| s.merge.is_due = true);
            }));
            threads.push(std::thread::spawn(move || {
                merges.keep_at(|s| &mut s.merge, merge, |_| ());
            }));
        }
        Ok(Self { store, shared, threads, inline: o.inline_bg, told: AtomicU64::new(0) })
    }
    #[inline]
    fn put(&self, k: &[u8], v: &[u8]) -> Res<()> {
        self.shared.tree.put(k, v)?;
        self.note_seal()
    }
    fn delete(&self, k: &[u8]) -> Res<()> {
        self.shared.tree.delete(k)?;
        self.note_seal()
    }
    fn delete_range(&self, lo: &[u8], hi: &[u8]) -> Res<()> {
        self.shared.tree.delete_range(lo, hi)?;
        self.note_seal()
    }
    #[inline]
    fn get<R>(&self, k: &[u8], f: impl FnOnce(&[u8]) -> R) -> Res<Option<R>> {
        Ok(self.shared.tree.get(k)?.map(|v| f(&v)))
    }
    fn multi_get(&self, keys: &[Key], f: &mut impl FnMut(usize, Option<&[u8]>)) -> Res<()> {
        for (at, value) in self.shared.tree.multi_get(keys)?.iter().enumerate() {
            f(at, value.as_deref());
        }
        Ok(())
    }
    fn scan(&self, from: &[u8], n: usize, f: &mut impl FnMut(&[u8], &[u8])) -> Res<usize> {
        let mut rows = self.shared.tree.cursor(from..)?;
        rows.seek_to_first()?;
        let mut count = 0;
        while let Some(row) = rows.entry() {
            f(row.key, row.value);
            count += 1;
            if count == n {
                break;
            }
            rows.advance()?;
        }
        Ok(count)
    }
    fn scan_rev(&self, from: &[u8], n: usize, f: &mut impl FnMut(&[u8], &[u8])) -> Res<usize> {
        let mut rows = self.shared.tree.cursor(..=from)?;
        rows.seek_to_last()?;
        let mut count = 0;
        while let Some(row) = rows.entry() {
            f(row.key, row.value);
            count += 1;
            if count == n {
                break;
            }
            rows.retreat()?;
        }
        Ok(count)
    }
    fn flush(&self) -> Res<()> {
        self.shared.tree.flush()?;
        Ok(())
    }
    fn wait_idle(&self) -> Res<()> {
        self.flush()?;
        if self.inline {
            return merge(&self.shared.tree);
        }
        self.shared.state().merge.is_due = true;
        self.shared.changed.notify_all();
        self.shared.wait_while(|state| {
            [state.flush, state.merge].iter().any(|task| task.is_due || task.runs)
        })
    }
    fn compact_all(&self) -> Res<()> {
        self.wait_idle()?;
        self.shared.tree.compact(true)?;
        Ok(())
    }
    fn info(&self) -> Info {
        Info { filter_bytes: None, shape: shape(&self.shared.tree.stats()) }
    }
    fn amplification(&self) -> Option<Amplification> {
        Some(amplification_of(&self.shared.tree.stats()))
    }
    fn close(self) -> Res<()> {
        self.wait_idle()?;
        let store = Arc::clone(&self.store);
        drop(self);
        Ok(Arc::into_inner(store).ok_or("something else has the store")?.close()?)
    }
}

fn main() {
    pb_core::child_main::<Alone>();
}
