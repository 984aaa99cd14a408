//! The verbs of `table`.

use std::path::PathBuf;

use clap::Subcommand;
use stratal_block::{Checksum, Compression, Parity, Seal};
use stratal_filter::{FilterKind, FilterSize, FilterSpec};
use stratal_sst::{FileDigest, Partitioning, Table, TableDictionary, TableOptions};

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
        #[command(flatten)]
        table: NewTableArgs,
    },
    /// Write a damaged table as it was first written, as far as parity and second copies tell
    #[command(after_help = "Example:\n  stratal table scrub damaged.sst repaired.sst\n\n\
        Prints what was repaired and what could not be, and exits 4 if anything could not.")]
    Scrub {
        /// The damaged table, which stays as it is
        file: PathBuf,
        /// The table to write; replaced whole if it exists
        out: PathBuf,
    },
    /// Write what several tables hold into one
    Merge(TableMergeArgs),
    /// Write one table as several that follow one another
    Split(SplitArgs),
    /// Print the records that two tables do not have in common
    Diff(DiffArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  stratal table write places.sst places.tsv.zst\n  \
    sort words | stratal table write words.sst - --format lines\n  \
    stratal table write secret.sst in.tsv --encrypt aes-256-gcm --key-file root.key --parity rs:4+2\n\n\
    Of records with the same key the last counts. Input that does not\n\
    fit in --memory is sorted through files beside the table. The same input and options give the same bytes, unless they are encrypted.")]
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
    /// Threads that compress and encrypt; the file is the same
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,
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
    /// Encrypt with this cipher and the key of --key-file; what is made of an encrypted table is
    /// encrypted as that, unless it is none
    #[arg(long, value_enum, value_name = "CIPHER")]
    pub(crate) encrypt: Option<SealArg>,
    /// What repairs a damaged block: none, sec-ded (single bits), xor:D (one part of D) or rs:D+P (P
    /// parts, beside D)
    #[arg(long, default_value = "none", value_parser = parity)]
    pub(crate) parity: Parity,
    /// What finds damage
    #[arg(long, value_enum, default_value_t = ChecksumArg::Xxh3)]
    pub(crate) checksum: ChecksumArg,
    /// Make a dictionary of up to so many bytes, such as 16KiB, of the first blocks, and compress with
    /// it; needs --compression zstd
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) dictionary: Option<u64>,
    /// Give each entry a digest of its own, 4 bytes, which verify checks
    #[arg(long)]
    pub(crate) digests: bool,
    /// Whether index and filter are in parts that are read one by one: never, always, auto, or from so
    /// many keys on
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = partitioning)]
    pub(crate) partition: Partitioning,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum SealArg {
    None,
    #[value(name = "aes-256-gcm")]
    Aes256Gcm,
    #[value(name = "chacha20-poly1305")]
    ChaCha20Poly1305,
}

impl From<SealArg> for Seal {
    fn from(seal: SealArg) -> Self {
        match seal {
            SealArg::None => Self::None,
            SealArg::Aes256Gcm => Self::Aes256Gcm,
            SealArg::ChaCha20Poly1305 => Self::ChaCha20Poly1305,
        }
    }
}

/// What a table is encrypted with.
pub(crate) fn seal_of(table: &Table) -> Seal {
    let seal = table.contents().header.seal;
    seal.and_then(|seal| Seal::from_tag(seal.cipher.get())).unwrap_or_default()
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum ChecksumArg {
    Xxh3,
    Crc32c,
}

impl From<ChecksumArg> for Checksum {
    fn from(checksum: ChecksumArg) -> Self {
        match checksum {
            ChecksumArg::Xxh3 => Self::Xxh3,
            ChecksumArg::Crc32c => Self::Crc32c,
        }
    }
}

fn parity(text: &str) -> Result<Parity, String> {
    let number = |text: &str| text.parse::<u8>().map_err(|_| format!("{text:?} is no number"));
    match text.split_once(':') {
        None if text == "none" => Ok(Parity::None),
        None if text == "sec-ded" => Ok(Parity::SecDed),
        Some(("xor", data)) => Ok(Parity::Xor { data: number(data)? }),
        Some(("rs", shards)) => {
            let (data, parity) = shards.split_once('+').ok_or("must be rs:D+P, as in rs:4+2")?;
            Ok(Parity::ReedSolomon { data: number(data)?, parity: number(parity)? })
        }
        _ => Err("must be none, sec-ded, xor:D or rs:D+P".into()),
    }
}

fn partitioning(text: &str) -> Result<Partitioning, String> {
    match text {
        "auto" => Ok(Partitioning::default()),
        "never" => Ok(Partitioning::Never),
        "always" => Ok(Partitioning::Always),
        keys => match keys.parse() {
            Ok(keys) => Ok(Partitioning::Auto { keys }),
            Err(_) => Err("must be auto, never, always or a number of keys".into()),
        },
    }
}

impl NewTableArgs {
    /// The options that they stand for, in a table made of `inputs`: what was encrypted stays so unless
    /// it is said.
    pub(crate) fn options(&self, inputs: &[Table]) -> TableOptions {
        let inherited = inputs.iter().map(seal_of).rfind(|seal| *seal != Seal::None);
        let filter = (self.filter_bits > 0.0).then(|| FilterSpec {
            kind: self.filter.into(),
            size: FilterSize::BitsPerKey(self.filter_bits),
        });
        TableOptions {
            block_len_target: u32::try_from(self.block_size).unwrap_or(u32::MAX),
            compression: self.compression,
            checksum: self.checksum.into(),
            seal: self.encrypt.map(Seal::from).or(inherited).unwrap_or_default(),
            parity: self.parity,
            dictionary: self.dictionary.map_or(TableDictionary::None, dictionary),
            entry_digests: self.digests,
            partitioning: self.partition,
            filter,
            ..TableOptions::default()
        }
    }
}

/// A dictionary of at most `len` bytes, made of a hundred times as many.
fn dictionary(len: u64) -> TableDictionary {
    let len_max = u32::try_from(len).unwrap_or(u32::MAX);
    let sample_len = len_max.saturating_mul(100).min(TableDictionary::SAMPLE_LEN_MAX);
    TableDictionary::Train { len_max, sample_len }
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
pub(crate) struct TableMergeArgs {
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
