//! Blocks made ready on other threads: the same file, in bounded memory, whatever the threads do.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use stratal_filter::FilterSize;
use stratal_sst::{
    BlockPool, Compression, Partitioning, Seal, TableContext, TableOptions, TableWriter,
};
use stratal_testkit::{KeyShape, Rng, sorted_keys, value};
use stratal_types::{Bytewise, DelimitedPrefix};

use crate::support::{IDENTITY, context};

type Job = Box<dyn FnOnce() + Send>;

/// What a pool does with the jobs it is given.
#[derive(Clone, Copy, Debug)]
enum Conduct {
    Thread,
    AtOnce,
    Drop,
    /// Keeps them, and runs none.
    Forget,
    /// Runs the job before with each, so that they come late and out of order.
    Late,
}

#[derive(Debug)]
struct Pool {
    conduct: Conduct,
    payload_len_max: usize,
    kept: Mutex<Kept>,
    jobs: AtomicUsize,
}

#[derive(Default)]
struct Kept(Vec<Job>);

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} jobs", self.0.len())
    }
}

impl BlockPool for Pool {
    fn spawn(&self, job: Job) {
        self.jobs.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock().unwrap();
        match self.conduct {
            Conduct::Thread => drop(thread::spawn(job)),
            Conduct::AtOnce => job(),
            Conduct::Drop => drop(job),
            Conduct::Forget => kept.0.push(job),
            Conduct::Late => {
                let before = kept.0.pop();
                kept.0.push(job);
                if let Some(job) = before {
                    job();
                }
            }
        }
    }

    fn payload_len_max(&self) -> usize {
        self.payload_len_max
    }
}

/// The file of some thousand rows, and the most that its writer held.
fn write(options: TableOptions, pool: Option<Arc<dyn BlockPool>>) -> (Vec<u8>, usize) {
    let ctx = TableContext {
        pool,
        prefix_extractor: Some(Arc::new(DelimitedPrefix::new(b'/'))),
        ..context(Arc::new(Bytewise))
    };
    let mut rng = Rng::new(7);
    let spec = Arc::new(options.validate().unwrap());
    let mut writer = TableWriter::new(&ctx, Vec::new(), IDENTITY, spec).unwrap();
    let mut held = 0;
    for key in sorted_keys(KeyShape::Place, 4000, &mut rng) {
        let len = rng.index(150);
        writer.put(&key, &value(len, 50, &mut rng)).unwrap();
        held = held.max(writer.memory());
    }
    (writer.finish().unwrap().sink, held)
}

#[test]
fn files_are_the_same_with_any_pool() {
    let base = || TableOptions { block_len_target: 1024, ..TableOptions::default() };
    let filter = Some(FilterSize::BitsPerKey(10.0).into());
    let always = || TableOptions { partition_len_target: 512, ..base() };
    let options = [
        base(),
        TableOptions { compression: Compression::Zstd { level: 1 }, filter, ..base() },
        TableOptions { locator: true, ..base() },
        TableOptions { partitioning: Partitioning::Always, ..always() },
        TableOptions { partitioning: Partitioning::Auto { keys: 1500 }, ..always() },
        TableOptions {
            seal: Seal::Aes256Gcm,
            partitioning: Partitioning::Always,
            filter_membership: stratal_sst::FilterMembership::Both,
            ..always()
        },
    ];
    let conducts =
        [Conduct::Thread, Conduct::AtOnce, Conduct::Drop, Conduct::Forget, Conduct::Late];
    for options in options {
        let (expected, _) = write(options.clone(), None);
        for conduct in conducts {
            for payload_len_max in [0, 5000, 1 << 20] {
                let (kept, jobs) = (Mutex::default(), AtomicUsize::new(0));
                let pool = Arc::new(Pool { conduct, payload_len_max, kept, jobs });
                let (file, _) = write(options.clone(), Some(Arc::clone(&pool) as _));
                assert!(file == expected, "{conduct:?}, {payload_len_max}: {options:?}");
                assert!(pool.jobs.load(Ordering::Relaxed) > 100);
            }
        }
    }
}

#[test]
fn what_is_under_way_is_bounded() {
    let options = || TableOptions { block_len_target: 1024, ..TableOptions::default() };
    let (file, alone) = write(options(), None);
    let held = |payload_len_max| {
        let (kept, jobs) = (Mutex::default(), AtomicUsize::new(0));
        let conduct = Conduct::Forget;
        write(options(), Some(Arc::new(Pool { conduct, payload_len_max, kept, jobs }))).1
    };
    assert!(file.len() > 200_000);
    // Payloads, blocks made of them, and buffers that are used again.
    assert!(held(20_000) < alone + 3 * 20_000 + 10_000, "{} {alone}", held(20_000));
    assert!(held(1 << 30) > alone + 200_000, "the pool is used");
}

#[cfg(feature = "rayon")]
#[test]
fn a_rayon_pool_makes_blocks_ready_and_may_run_the_writer_too() {
    use stratal_sst::RayonPool;
    let options = || TableOptions { block_len_target: 1024, ..TableOptions::default() };
    let (expected, _) = write(options(), None);
    let threads = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap());
    let pool = RayonPool::new(Arc::clone(&threads));
    assert!(write(options(), Some(Arc::new(pool.clone()))).0 == expected);
    assert!(write(options(), Some(Arc::new(RayonPool::global()))).0 == expected);
    // On the only thread of the pool itself.
    let file = threads.install(|| write(options(), Some(Arc::new(pool.clone()))).0);
    assert!(file == expected);
}
