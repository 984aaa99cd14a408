//! A batch that is cut short while it is applied.

use std::{
    cmp::Ordering as Order,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use stratal_engine::{Error, Store, Tree, TreeOptions, WriteBatch};
use stratal_fs::MemFs;
use stratal_types::{Comparator, SeqNo};

use crate::support::store_context;

/// Bytewise, unless it is told to panic.
#[derive(Debug, Default)]
struct Fragile(Arc<AtomicBool>);

impl Comparator for Fragile {
    fn name(&self) -> &'static str {
        "fragile"
    }

    fn compare(&self, a: &[u8], b: &[u8]) -> Order {
        assert!(!self.0.load(Ordering::Relaxed), "told to panic");
        a.cmp(b)
    }
}

fn open(fs: &Arc<MemFs>, seed: u64, panics: &Arc<AtomicBool>) -> (Arc<Store>, [Arc<Tree>; 2]) {
    let mut context = store_context(fs.clone(), seed);
    let panics = Arc::clone(panics);
    context.comparators = Arc::new(move |_| Some(Arc::new(Fragile(Arc::clone(&panics))) as _));
    let (store, _) = Store::open(context).unwrap();
    let trees = ["one", "two"].map(|name| {
        let known = store.version().tree_named(name).map(|tree| tree.id);
        let id = known.unwrap_or_else(|| store.create_tree(name, "fragile", &[]).unwrap());
        Tree::open(&store, id, TreeOptions::default().validate().unwrap()).unwrap()
    });
    (store, trees)
}

#[test]
fn half_of_a_batch_is_never_seen_and_never_durable() {
    let fs = Arc::new(MemFs::new());
    let panics: Arc<AtomicBool> = Arc::default();
    let (store, [one, two]) = open(&fs, 1, &panics);
    one.put(b"before", b"1").unwrap();
    one.flush().unwrap();
    one.put(b"waiting", b"1").unwrap();

    // Keys are compared every few puts, when a node is sorted. A single change happens or does not.
    let all_or_nothing = |panics_too: bool| {
        panics.store(panics_too, Ordering::Relaxed);
        let put = |i: u32| catch_unwind(AssertUnwindSafe(|| two.put(&i.to_le_bytes(), b"1")));
        let done = (0..40).take_while(|i| put(*i).is_ok()).count();
        panics.store(false, Ordering::Relaxed);
        done
    };
    let done = all_or_nothing(true);
    assert!((1..40).contains(&done), "{done} puts before a panic");
    assert_eq!(two.len().unwrap(), done as u64);
    assert_eq!(all_or_nothing(false), 40);
    two.delete_range(&[0], &[255; 5]).unwrap();
    two.put(b"after", b"1").unwrap();

    let mut batch = WriteBatch::new();
    for i in 0..40u32 {
        batch.put(i.to_le_bytes(), "1");
    }
    panics.store(true, Ordering::Relaxed);
    assert!(catch_unwind(AssertUnwindSafe(|| one.write(&batch))).is_err());
    panics.store(false, Ordering::Relaxed);
    let torn = |written: Result<SeqNo, Error>| assert!(matches!(written, Err(Error::Torn)));
    torn(one.put(b"later", b"1"));
    torn(two.put(b"later", b"1"));
    let mut ingestion = two.ingestion();
    ingestion.put(b"later", b"1").unwrap();
    assert!(matches!(ingestion.finish(), Err(Error::Torn)));
    assert!(matches!(one.flush(), Err(Error::Torn)));
    let seen = |tree: &Tree| {
        let rows: Result<Vec<_>, _> = tree.range::<&[u8]>(..).unwrap().collect();
        rows.unwrap().into_iter().map(|(key, _)| key.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(seen(&one), [b"before".to_vec(), b"waiting".to_vec()]);
    assert_eq!(seen(&two), [b"after".to_vec()]);
    assert!(store.snapshot().bound() <= store.clock().visible());

    drop((one, two));
    Arc::into_inner(store).unwrap().close().unwrap();
    let (_store, [one, two]) = open(&fs, 2, &panics);
    assert_eq!(seen(&one), [b"before".to_vec()], "what was in memory is the caller's to repeat");
    one.put(b"a", b"1").unwrap();
    two.put(b"a", b"1").unwrap();
    one.flush().unwrap();
    assert_eq!(seen(&one), [b"a".to_vec(), b"before".to_vec()]);
}
