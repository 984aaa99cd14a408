use stratal_engine::{Error as EngineError, Store, StrategyOptions, TreeId, TreeOptions, TreeSpec};

use crate::{Builder, Error};

/// How keyspaces are kept: as the builder says, or each as it was told.
#[derive(Debug)]
pub(crate) struct TreeChoice {
    /// For those that were told nothing.
    spec: TreeSpec,
    /// Whether the builder was given options, which then count for all.
    is_given: bool,
    /// Counts for all in any case.
    strategy: Option<StrategyOptions>,
}

impl TreeChoice {
    pub(crate) fn of(builder: &Builder) -> Result<Self, EngineError> {
        Ok(Self {
            spec: builder.options().validate()?,
            is_given: builder.tree_options.is_some(),
            strategy: builder.strategy,
        })
    }

    /// Bytes of a memtable of any keyspace.
    pub(crate) fn write_buffer_len(&self) -> usize {
        self.spec.options().write_buffer_len
    }

    /// The options of a keyspace that is made now.
    pub(crate) fn new_spec(&self) -> TreeSpec {
        self.spec.clone()
    }

    /// The options of the keyspace `name`.
    pub(crate) fn spec(&self, store: &Store, id: TreeId, name: &str) -> Result<TreeSpec, Error> {
        if self.is_given {
            return Ok(self.new_spec());
        }
        let kept = store.kept_options(id, self.spec.options())?;
        let Some(kept) = kept else { return Ok(self.new_spec()) };
        let strategy = self.strategy.unwrap_or(kept.strategy);
        let options = TreeOptions { strategy, ..kept };
        // They were fine where they were set. A provider may not be compiled in here.
        let unsupported = |error| Error::Unsupported {
            what: format!("the options that keyspace {name:?} keeps: {error}"),
        };
        options.validate().map_err(unsupported)
    }
}
