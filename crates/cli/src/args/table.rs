//! The verbs of `table`.

use std::path::PathBuf;

use clap::Subcommand;
use stratal_block::Compression;
use stratal_filter::{FilterKind, FilterSize, FilterSpec};
use stratal_sst::{FileDigest, TableOptions};

use super::{InputArgs, RangeArgs, RowArgs, compression, size};

#[derive(Debug, Subcommand)]
pub(crate) enum TableVerb {
    /// Write a table from records, sorting them first
    Write(WriteArgs),
    /// Print the values of keys
    Get(GetArgs),
    /// Print the live records, in key order
    Scan(ScanArgs),
    /// Say what is in a table
    #[command(after_help = "Example:\n  stratal table info places.sst --digest --json")]
    Info {
        /// The table file
        file: PathBuf,
        /// Also the checksum of the whole file (XXH3-128), which takes reading it
        #[arg(long)]
        digest: bool,
    },
    /// Check every block of a table
    #[command(after_help = "Examples:\n  stratal table verify places.sst\n  \
        stratal table verify copy.sst --digest $(stratal table info places.sst --digest --json | jq -r .digest)")]
    Verify {
        /// The table file
        file: PathBuf,
        /// The checksum that the whole file must have, as `info --digest` prints it
        #[arg(long, value_name = "HEX")]
        digest: Option<FileDigest>,
    },
    /// Print every byte of a table, with what it means
    Dump {
        /// The table file
        file: PathBuf,
    },
    /// Write what can be read of a damaged table into a new one
    #[command(after_help = "Examples:\n  stratal table salvage damaged.sst saved.sst\n\n\
        Prints what is lost, with the keys it costs, and exits 4 if anything is. Where the index is lost\n\
        blocks are found one behind the other.")]
    Salvage {
        /// The damaged table, which stays as it is
        file: PathBuf,
        /// The table to write; replaced whole if it exists
        out: PathBuf,
    },
    /// Write what several tables hold into one
    Merge(MergeArgs),
    /// Write one table as several that follow one another
    Split(SplitArgs),
    /// Print the records that two tables do not have in common
    Diff(DiffArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  stratal table write places.sst places.tsv.zst\n  \
    sort words | stratal table write words.sst - --format lines\n\n\
    Of records with the same key the last counts. Input that does not\n\
    fit in --memory is sorted through files beside the table. The same input and options give the same bytes.")]
pub(crate) struct WriteArgs {
    /// The table file to write; replaced whole if it exists
    pub(crate) file: PathBuf,
    /// The records: a file, decompressed if it ends in .zst, .gz or .lz4, or - for standard input
    pub(crate) input: PathBuf,
    #[command(flatten)]
    pub(crate) text: InputArgs,
    /// The order of keys: bytewise, reverse or shortlex
    #[arg(long, value_name = "NAME", default_value = "bytewise")]
    pub(crate) comparator: String,
    #[command(flatten)]
    pub(crate) table: NewTableArgs,
}

/// How a new table is made.
#[derive(Debug, clap::Args)]
pub(crate) struct NewTableArgs {
    /// none, lz4, zstd or zstd:LEVEL
    #[arg(long, default_value = "lz4", value_parser = compression)]
    pub(crate) compression: Compression,
    /// Bytes in a block before compression, such as 4KiB
    #[arg(long, value_name = "SIZE", default_value = "4KiB", value_parser = size)]
    pub(crate) block_size: u64,
    /// Bits per key in the filter; 0 for none
    #[arg(long, value_name = "BITS", default_value_t = 10.0)]
    pub(crate) filter_bits: f64,
    /// How the filter works: bloom is built quickly, burr is a third smaller
    #[arg(long, value_enum, value_name = "KIND", default_value_t = FilterArg::Bloom)]
    pub(crate) filter: FilterArg,
}

impl NewTableArgs {
    /// The options that they stand for.
    pub(crate) fn options(&self) -> TableOptions {
        let filter = (self.filter_bits > 0.0).then(|| FilterSpec {
            kind: self.filter.into(),
            size: FilterSize::BitsPerKey(self.filter_bits),
        });
        TableOptions {
            block_len_target: u32::try_from(self.block_size).unwrap_or(u32::MAX),
            compression: self.compression,
            filter,
            ..TableOptions::default()
        }
    }
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum FilterArg {
    Bloom,
    Burr,
}

impl From<FilterArg> for FilterKind {
    fn from(filter: FilterArg) -> Self {
        match filter {
            FilterArg::Bloom => Self::BlockedBloom,
            FilterArg::Burr => Self::Burr,
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  stratal table merge all.sst monday.sst tuesday.sst\n  \
    stratal table merge all.sst base.sst changes.sst --keep live\n\n\
    Later inputs are newer: where they have the same key, the one named last counts. Tables of a\n\
    database have versions, and there the newer version counts wherever it is.")]
pub(crate) struct MergeArgs {
    /// The table to write; replaced whole if it exists
    pub(crate) out: PathBuf,
    /// The tables to read, the oldest first
    #[arg(required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Which entries are kept
    #[arg(long, value_enum, default_value_t = KeepArg::Newest)]
    pub(crate) keep: KeepArg,
    #[command(flatten)]
    pub(crate) table: NewTableArgs,
}

/// Which entries a merge keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum KeepArg {
    /// The newest version of each key, deletes too: they may hide what other tables hold
    Newest,
    /// The newest version of each key that is not deleted: no other table matters
    Live,
    /// Every version
    Versions,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  stratal table split places.sst part.sst --at D --at M\n  \
    stratal table split places.sst part.sst --size 64MiB\n\n\
    The pieces are part-1.sst, part-2.sst and so on, in order of keys. With --at a piece that would\n\
    hold nothing is left out, and its number with it.")]
pub(crate) struct SplitArgs {
    /// The table to read, which stays as it is
    pub(crate) file: PathBuf,
    /// What the pieces are named after; replaced whole if they exist
    pub(crate) out: PathBuf,
    /// Begin a piece at this key; as often as wanted, in the table's order
    #[arg(long, value_name = "KEY", required_unless_present = "size")]
    pub(crate) at: Vec<String>,
    /// Begin a piece once the one before has about this many bytes, such as 64MiB
    #[arg(long, value_name = "SIZE", conflicts_with = "at", value_parser = size)]
    pub(crate) size: Option<u64>,
    #[command(flatten)]
    pub(crate) table: NewTableArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  stratal table diff before.sst after.sst\n  \
    stratal table diff before.sst after.sst --exit-code --quiet > changes\n\n\
    Prints `-key TAB value` for what LEFT says and `+key TAB value` for what RIGHT says; with --json one\n\
    object a key: {key, left, right}.")]
pub(crate) struct DiffArgs {
    /// One table
    pub(crate) left: PathBuf,
    /// The other one, of the same order
    pub(crate) right: PathBuf,
    /// Exit 1 if there is a difference
    #[arg(long)]
    pub(crate) exit_code: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// The table file
    pub(crate) file: PathBuf,
    /// The keys
    #[arg(required = true)]
    pub(crate) keys: Vec<String>,
    /// Write the bytes of the values alone, neither escaped nor ended by a newline
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ScanArgs {
    /// The table file
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) range: RangeArgs,
    #[command(flatten)]
    pub(crate) rows: RowArgs,
}
