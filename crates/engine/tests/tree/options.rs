//! What a tree is told to keep it keeps, and goes by from the next flush or merge on.

use std::sync::Arc;

use stratal_engine::{Error, StrategyOptions, TieredOptions, Tree, TreeOptions, TreeSettings};
use stratal_fs::MemFs;
use stratal_sst::TableOptions;
use stratal_types::{CutOptions, FixedPrefix, PrefixExtractor};

use crate::support::open_store;

fn tiered() -> TreeOptions {
    let strategy = StrategyOptions::Tiered(TieredOptions { runs: 3, ..TieredOptions::default() });
    TreeOptions {
        strategy,
        table: TableOptions { block_len_target: 512, ..TableOptions::default() },
        cut: CutOptions { table_len: 4 << 10, ..CutOptions::default() },
        compress_from_level: 0,
        prefix: Some(Arc::new(FixedPrefix::new(2))),
        ..TreeOptions::default()
    }
}

fn fill(tree: &Tree) {
    for i in 0..2000u32 {
        tree.put(format!("{i:08}").as_bytes(), &[b'v'; 20]).unwrap();
    }
    tree.flush().unwrap();
}

#[test]
fn options_count_from_the_next_flush_on_and_outlive_the_process() {
    let fs = Arc::new(MemFs::new());
    let (store, _) = open_store(fs.clone(), 1).unwrap();
    let id = store.create_tree("t", "bytewise", &[]).unwrap();
    let base = TreeOptions { write_buffer_len: 1 << 20, ..TreeOptions::default() };
    assert!(store.kept_options(id, &base).unwrap().is_none(), "nothing was said yet");
    let tree = Tree::open(&store, id, base.clone().validate().unwrap()).unwrap();
    fill(&tree);
    assert_eq!(tree.stats().levels[0].tables, 1, "64 MiB to a table");
    tree.set_spec(tiered().validate().unwrap()).unwrap();
    fill(&tree);
    let tables = tree.stats().levels[0].tables;
    assert!(tables > 5, "{tables} tables, of 4 KiB each");
    drop(tree);
    Arc::into_inner(store).unwrap().close().unwrap();

    let (store, _) = open_store(fs, 2).unwrap();
    let kept = store.kept_options(id, &base).unwrap().unwrap();
    assert_eq!(kept.strategy, tiered().strategy);
    assert_eq!((kept.cut, &kept.table), (tiered().cut, &tiered().table));
    assert_eq!(kept.prefix.as_ref().map(|it| it.name()), Some("fixed:2"));
    assert_eq!(kept.write_buffer_len, 1 << 20, "memory is the process's");
    // Whoever says otherwise has it otherwise, and nothing is written for it.
    let tree = Tree::open(&store, id, base.clone().validate().unwrap()).unwrap();
    assert_eq!(tree.spec().options().strategy, StrategyOptions::default());
    assert!(
        store.kept_options(id, &base).unwrap().is_some_and(|it| it.strategy.name() == "tiered")
    );
    fill(&tree);
    let tree = Tree::open(&store, id, kept.validate().unwrap()).unwrap();
    assert_eq!(tree.spec().options().strategy.name(), "tiered");
}

#[test]
fn options_and_a_merge_operator_are_kept_beside_each_other() {
    for operator_first in [true, false] {
        let (store, _) = open_store(Arc::new(MemFs::new()), 1).unwrap();
        let id = store.create_tree("t", "bytewise", &[]).unwrap();
        let tree = Tree::open(&store, id, TreeOptions::default().validate().unwrap()).unwrap();
        if operator_first {
            tree.set_merge_operator("append").unwrap();
        }
        tree.set_spec(tiered().validate().unwrap()).unwrap();
        if !operator_first {
            tree.set_merge_operator("append").unwrap();
        }
        let TreeSettings { merge_operator, options, .. } = store.settings(id).unwrap();
        assert_eq!(merge_operator.as_deref(), Some("append"));
        assert_eq!(options.unwrap().strategy, tiered().strategy);
    }
}

#[test]
fn an_extractor_without_a_name_that_can_be_stored_is_refused() {
    #[derive(Debug)]
    struct Named(String);
    impl PrefixExtractor for Named {
        fn name(&self) -> &str {
            &self.0
        }
        fn prefix<'k>(&self, _: &'k [u8]) -> Option<&'k [u8]> {
            None
        }
    }
    for (len, is_fine) in [(0, false), (1, true), (255, true), (256, false)] {
        let prefix: Arc<dyn PrefixExtractor> = Arc::new(Named("x".repeat(len)));
        let checked = TreeOptions { prefix: Some(prefix), ..TreeOptions::default() }.validate();
        assert_eq!(checked.is_ok(), is_fine, "{len}");
        assert!(is_fine || matches!(checked, Err(Error::InvalidArgument(_))));
    }
}
