use stratal_block::Compression;
use stratal_compaction::plan::{Leveled, LeveledOptions};
use stratal_sst::{TableOptions, TableSpec};
use stratal_types::CutOptions;

use std::sync::Arc;

use crate::Error;

/// How a tree is kept.
#[derive(Clone, Debug)]
pub struct TreeOptions {
    /// Bytes a memtable may hold before it is sealed. Default 64 MiB.
    pub write_buffer_len: usize,
    /// How tables are written. In the first levels, whose tables live briefly, they are not compressed.
    pub table: TableOptions,
    /// Levels above this one are not compressed. Default 2.
    pub compress_from_level: usize,
    /// How tables are merged.
    pub leveled: LeveledOptions,
    /// How long tables get.
    pub cut: CutOptions,
}

impl TreeOptions {
    /// Default of [`write_buffer_len`](Self::write_buffer_len), in bytes.
    pub const WRITE_BUFFER_LEN: usize = 64 << 20;
    /// Default of [`compress_from_level`](Self::compress_from_level).
    pub const COMPRESS_FROM_LEVEL: usize = 2;
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self {
            write_buffer_len: Self::WRITE_BUFFER_LEN,
            table: TableOptions::default(),
            compress_from_level: Self::COMPRESS_FROM_LEVEL,
            leveled: LeveledOptions::default(),
            cut: CutOptions::default(),
        }
    }
}

/// Options that passed [`TreeOptions::validate`].
#[derive(Clone, Debug)]
pub struct TreeSpec {
    options: TreeOptions,
    leveled: Leveled,
    upper: Arc<TableSpec>,
    lower: Arc<TableSpec>,
}

impl TreeOptions {
    /// Checks every option.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`], naming the option.
    pub fn validate(self) -> Result<TreeSpec, Error> {
        let invalid = |error: &dyn std::fmt::Display| Error::InvalidArgument(error.to_string());
        if self.write_buffer_len == 0 {
            return Err(Error::InvalidArgument("write_buffer_len is 0".into()));
        }
        if self.cut.table_len == 0 {
            return Err(Error::InvalidArgument("cut.table_len is 0".into()));
        }
        let uncompressed = TableOptions { compression: Compression::None, ..self.table.clone() };
        Ok(TreeSpec {
            leveled: self.leveled.validate().map_err(|error| invalid(&error))?,
            upper: Arc::new(uncompressed.validate().map_err(|error| invalid(&error))?),
            lower: Arc::new(self.table.clone().validate().map_err(|error| invalid(&error))?),
            options: self,
        })
    }
}

impl TreeSpec {
    /// The options, as given.
    pub fn options(&self) -> &TreeOptions {
        &self.options
    }

    pub(crate) fn leveled(&self) -> &Leveled {
        &self.leveled
    }

    /// How a table of `level` is written.
    pub(crate) fn table(&self, level: usize) -> &Arc<TableSpec> {
        if level < self.options.compress_from_level { &self.upper } else { &self.lower }
    }
}
