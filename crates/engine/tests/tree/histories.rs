//! Ingestions between everything else, against the model.

use std::{collections::BTreeSet, sync::Arc};

use stratal_engine::{Error, IngestSummary, Operation, Store, Tree};
use stratal_fs::MemFs;
use stratal_testkit::Rng;

use crate::ingestion::install;
use crate::support::{Reference, check, key, open_store, open_tree, small, write};

/// Ingests a few legal changes into both, with everything that may come along.
pub(crate) fn ingest(
    store: &Store,
    tree: &Tree,
    reference: &mut Reference,
    rng: &mut Rng,
) -> Result<IngestSummary, Error> {
    let order = Arc::clone(tree.comparator());
    let seqno = tree.snapshot().bound();
    let mut after = reference.clone();
    // Excises come first: what they take away is not there for the rows.
    let mut changes = Vec::new();
    for _ in 0..rng.index(3) {
        let (mut from, mut to) = (key(rng), key(rng));
        if order.compare(&from, &to).is_gt() {
            std::mem::swap(&mut from, &mut to);
        }
        changes.push(Operation::DeleteRange { from, to });
    }
    let prefix = key(rng);
    let prefix = rng.chance(1, 50).then(|| prefix[..rng.index(2)].to_vec());
    // Keys that such an excise deletes one by one. A row there stands in the place of the delete.
    let mut deleted = BTreeSet::new();
    if let Some(prefix) = &prefix {
        let excised = Operation::delete_prefix(prefix, order.as_ref()).unwrap_or_default();
        for change in &excised {
            after.apply(change, seqno);
            if let Operation::Delete { key } = change {
                deleted.insert(key.clone());
            }
        }
    }
    for change in &changes {
        after.apply(change, seqno);
    }
    let mut taken = BTreeSet::new();
    for _ in 0..rng.index(30) {
        let change = after.draw_one(rng);
        // The history of the reference has one change of a key at a number.
        let is_over_delete =
            matches!(change, Operation::Merge { .. } | Operation::WeakDelete { .. })
                && deleted.contains(&start(&change));
        let is_range = matches!(change, Operation::DeleteRange { .. });
        if !is_range && !is_over_delete && taken.insert(start(&change)) {
            changes.push(change);
        }
    }
    // An excise before the row with which it begins.
    let is_row = |change: &Operation| !matches!(change, Operation::DeleteRange { .. });
    changes.sort_by(|a, b| {
        order.compare(&start(a), &start(b)).then_with(|| is_row(a).cmp(&is_row(b)))
    });

    let mut ingestion = tree.ingestion();
    if let Some(prefix) = &prefix {
        // Refused where such keys do not stand together; and then nothing was excised above.
        drop(ingestion.excise_prefix(prefix));
    }
    for change in &changes {
        match change {
            Operation::Put { key, value } => ingestion.put(key, value)?,
            Operation::Delete { key } => ingestion.delete(key)?,
            Operation::WeakDelete { key } => ingestion.weak_delete(key)?,
            Operation::Merge { key, operand } => ingestion.merge(key, operand)?,
            Operation::DeleteRange { from, to } => ingestion.excise(from, to)?,
            other => panic!("{other:?}"),
        }
    }
    let rows = changes.iter().filter(|change| is_row(change)).count() as u64;
    let is_alone = rng.chance(1, 2);
    let summary = if is_alone {
        ingestion.finish()?
    } else {
        let ready = ingestion.ready()?;
        if ready.is_empty() {
            return Ok(IngestSummary::default());
        }
        install(store, tree, ready)?
    };
    if let Some(given) = summary.seqno {
        assert_eq!((given, summary.rows), (seqno, rows));
        for row in changes.iter().filter(|change| is_row(change)) {
            after.apply(row, seqno);
        }
        *reference = after;
    }
    Ok(summary)
}

/// Where a change stands in the order.
fn start(change: &Operation) -> Vec<u8> {
    match change {
        Operation::Put { key, .. }
        | Operation::Delete { key }
        | Operation::WeakDelete { key }
        | Operation::Merge { key, .. }
        | Operation::DeleteRange { from: key, .. } => key.clone(),
        other => panic!("{other:?}"),
    }
}

/// More ingestions than anything else, under every order and strategy.
#[test]
fn histories_of_ingestions_read_as_the_model_does() {
    for seed in 0..24 {
        let mut rng = Rng::new(seed);
        let comparator = ["bytewise", "reverse", "shortlex"][rng.index(3)];
        let fs: Arc<MemFs> = Arc::new(MemFs::new());
        let (store, _) = open_store(fs, seed).unwrap();
        let tree = open_tree(&store, comparator, small(&mut rng)).unwrap();
        let mut reference = Reference::new(comparator);
        let mut snapshots = Vec::new();
        let mut ingested = 0;
        for step in 0..120 {
            match rng.below(12) {
                0..=4 => {
                    let done = ingest(&store, &tree, &mut reference, &mut rng).unwrap();
                    ingested += u64::from(done.seqno.is_some());
                }
                5..=7 => write(&tree, &mut reference, &mut rng).unwrap(),
                8 => drop(tree.flush().unwrap()),
                9 => {
                    if let Some(job) = tree.plan() {
                        tree.run(&job).unwrap();
                    }
                }
                10 if snapshots.len() < 3 => snapshots.push(tree.snapshot()),
                10 => drop(snapshots.remove(rng.index(3))),
                _ => drop(tree.compact(rng.chance(1, 4)).unwrap()),
            }
            if step % 6 == 0 {
                let context = format!("seed {seed}, step {step}");
                check(&tree, &reference, None, &mut rng, &context);
                for snapshot in &snapshots {
                    check(&tree, &reference, Some(snapshot), &mut rng, &context);
                }
            }
        }
        assert!(ingested > 20, "{ingested}");
    }
}
