//! A batch that is cut short while it is applied.

use std::{
    cmp::Ordering as Order,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use stratal_engine::{Error, Store, Tree, TreeOptions, WriteBatch};
use stratal_fs::MemFs;
use stratal_types::{Comparator, SeqNo};

use crate::support::store_context;

/// Bytewise, for so many comparisons; then it panics.
#[derive(Debug)]
struct Fragile(Arc<AtomicUsize>);

/// More than there are.
const FOR_EVER: usize = usize::MAX;

impl Comparator for Fragile {
    fn name(&self) -> &'static str {
        "fragile"
    }

    fn compare(&self, a: &[u8], b: &[u8]) -> Order {
        let one_less = |left: usize| left.checked_sub(usize::from(left < FOR_EVER));
        let is_left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok();
        assert!(is_left, "told to panic");
        a.cmp(b)
    }
}

fn open(fs: &Arc<MemFs>, seed: u64, lasts: &Arc<AtomicUsize>) -> (Arc<Store>, [Arc<Tree>; 2]) {
    let mut context = store_context(fs.clone(), seed);
    let lasts = Arc::clone(lasts);
    context.comparators = Arc::new(move |_| Some(Arc::new(Fragile(Arc::clone(&lasts))) as _));
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
    let lasts = Arc::new(AtomicUsize::new(FOR_EVER));
    let (store, [one, two]) = open(&fs, 1, &lasts);
    one.put(b"before", b"1").unwrap();
    one.flush().unwrap();
    one.put(b"waiting", b"1").unwrap();

    // A put compares a key or more. A single change happens or does not.
    let all_or_nothing = |comparisons: usize| {
        lasts.store(comparisons, Ordering::Relaxed);
        let put = |i: u32| catch_unwind(AssertUnwindSafe(|| two.put(&i.to_le_bytes(), b"1")));
        let done = (0..40).take_while(|i| put(*i).is_ok()).count();
        lasts.store(FOR_EVER, Ordering::Relaxed);
        done
    };
    let done = all_or_nothing(30);
    assert!((1..40).contains(&done), "{done} puts before a panic");
    assert_eq!(two.len().unwrap(), done as u64);
    assert_eq!(all_or_nothing(FOR_EVER), 40);
    two.delete_range(&[0], &[255; 5]).unwrap();
    two.put(b"after", b"1").unwrap();

    let mut batch = WriteBatch::new();
    for i in 0..40u32 {
        batch.put(i.to_le_bytes(), "1");
    }
    lasts.store(30, Ordering::Relaxed);
    assert!(catch_unwind(AssertUnwindSafe(|| one.write(&batch))).is_err());
    lasts.store(FOR_EVER, Ordering::Relaxed);
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
    let (_store, [one, two]) = open(&fs, 2, &lasts);
    assert_eq!(seen(&one), [b"before".to_vec()], "what was in memory is the caller's to repeat");
    one.put(b"a", b"1").unwrap();
    two.put(b"a", b"1").unwrap();
    one.flush().unwrap();
    assert_eq!(seen(&one), [b"a".to_vec(), b"before".to_vec()]);
}
