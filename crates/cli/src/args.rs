mod changes;
mod table;
mod tree;

use std::{path::PathBuf, time::Duration};

pub(crate) use changes::ChangesArgs;
use clap::{Parser, Subcommand, ValueEnum};
pub(crate) use table::{
    DiffArgs, GetArgs, KeepArg, NewTableArgs, ScanArgs, SplitArgs, TableMergeArgs, TableVerb,
    WriteArgs, seal_of,
};
pub(crate) use tree::TreeArgs;
use tree::compression;

/// An embedded LSM storage engine: write, query, inspect and verify its files.
#[derive(Debug, Parser)]
#[command(name = "stratal", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options that every verb takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// Print JSON: one object, or one per line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but the data asked for
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// Keys and values in hexadecimal, in both directions
    #[arg(long, global = true)]
    pub(crate) hex: bool,
    /// A file with the root key of encrypted tables: 32 bytes, raw or in hexadecimal
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The keyspace
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    pub(crate) keyspace: String,
    /// Bytes that caches and buffers may take, such as 256MiB
    #[arg(long, global = true, value_name = "SIZE", default_value = "256MiB", value_parser = memory)]
    pub(crate) memory: u64,
    /// Most table files of a database that are open at once, 0 for any number; by default 1000, or half of
    /// what the system allows if that is less
    #[arg(long, global = true, value_name = "N")]
    pub(crate) open_files: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Write records into a database, which is made if there is none
    Load(LoadArgs),
    /// Print the values of keys
    Get(DbGetArgs),
    /// Give a key a value, durably; the database is made if there is none
    Put {
        /// The database's directory
        db: PathBuf,
        /// The key
        key: String,
        /// The value
        value: String,
    },
    /// Apply an operand to a key's value, durably; the database is made if there is none
    Merge(MergeArgs),
    /// Take the values of keys away, durably
    Delete {
        /// The database's directory
        db: PathBuf,
        /// The keys
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Take the values of every key from FROM up to, and without, TO away, durably
    DeleteRange {
        /// The database's directory
        db: PathBuf,
        /// The first key
        from: String,
        /// The first key behind
        to: String,
    },
    /// Print the live records, in key order
    Scan(DbScanArgs),
    /// Print the number of live keys, exactly
    Count {
        /// The database's directory
        db: PathBuf,
        #[command(flatten)]
        range: RangeArgs,
    },
    /// Write what is in memory and in the log to tables
    Flush {
        /// The database's directory
        db: PathBuf,
    },
    /// Merge tables until the tree is fully compacted
    Compact {
        /// The database's directory
        db: PathBuf,
    },
    /// Say what the database holds
    Stats(StatsArgs),
    /// Check every block of every file
    Verify {
        /// The database's directory
        db: PathBuf,
    },
    /// Print what was done since a seqno, or hold that history for somebody
    Changes(ChangesArgs),
    /// List keyspaces, or make or drop one
    Keyspaces(KeyspacesArgs),
    /// Measure workloads on a new database
    Bench(BenchArgs),
    /// Work with a table file alone, without a database
    Table {
        #[command(subcommand)]
        verb: TableVerb,
    },
    /// Recognise a Stratal file by its magic and explain it
    Inspect(InspectArgs),
    /// Load the bundled places and show what Stratal does with them
    Quickstart {
        /// Where to put the data; a directory that quickstart made before is replaced
        #[arg(long, default_value = "quickstart-db")]
        dir: PathBuf,
    },
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Reads no data: levels are told by the manifest, filters by the ends of tables. What was\n\
    written is counted since the database was opened."
)]
pub(crate) struct StatsArgs {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// List every table too
    #[arg(long)]
    pub(crate) tables: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  stratal inspect places.sst\n  \
    stratal inspect places.sst --block 0\n  \
    stratal inspect db/wal-0000000001 --block 1 --json\n\n\
    Tables, log segments, manifests, identities, other archives of Stratal and plain sfa archives are\n\
    recognised. Without --block the blocks are listed: of a table its blocks; of a log or manifest the\n\
    header, then the records; of an archive everything, from the header on. A damaged block is dumped\n\
    as far as it can be read, says what is wrong, and exits 4; a number too high exits 1, a file that\n\
    is none of these 3.")]
pub(crate) struct InspectArgs {
    /// The file
    pub(crate) file: PathBuf,
    /// Dump this block, record or section of the file byte by byte; the first is 0
    #[arg(long, value_name = "N")]
    pub(crate) block: Option<u64>,
}

/// How records stand in text.
#[derive(Debug, clap::Args)]
pub(crate) struct InputArgs {
    /// How the records are written; by default what the file's name says, else tsv
    #[arg(long, value_enum)]
    pub(crate) format: Option<InputFormat>,
    /// Where the key is: of csv a column by its header, of ndjson a JSON pointer such as /id. The
    /// value is the row as a JSON object, or the whole line
    #[arg(long, value_name = "HEADER|POINTER")]
    pub(crate) key: Option<String>,
    /// How many bad lines to pass over before giving up
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) skip_bad: u64,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  stratal load ./db places.tsv.zst\n  \
    stratal load ./db - --format lines --delete < keys\n  \
    stratal load ./db cities.csv --key geonameid\n  \
    stratal load ./db events.ndjson.zst --key /event/id\n  \
    stratal load ./db in.tsv --acks --durability sync --batch 100\n  \
    stratal load ./db in.tsv --compaction lazy --compression zstd --filter-bits 12\n\n\
    How tables are written and merged the keyspace keeps; what is not said stays as it is.")]
pub(crate) struct LoadArgs {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// The records: a file, decompressed if it ends in .zst, .gz or .lz4, or - for standard input
    pub(crate) input: PathBuf,
    #[command(flatten)]
    pub(crate) text: InputArgs,
    /// Each line is a key to delete
    #[arg(long)]
    pub(crate) delete: bool,
    /// What an acknowledged batch survives: nothing, the process's end, or the machine's
    #[arg(long, value_enum, default_value_t = DurabilityArg::Os)]
    pub(crate) durability: DurabilityArg,
    /// Records in a batch
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch: u32,
    /// Print `acked N`, the last input line covered, after each batch has reached its durability
    #[arg(long)]
    pub(crate) acks: bool,
    /// Sort all records and write them straight into tables, as one batch that is neither logged nor
    /// held in memory; always synced
    #[arg(long, conflicts_with_all = ["durability", "batch"])]
    pub(crate) ingest: bool,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DbGetArgs {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// The keys
    #[arg(required = true)]
    pub(crate) keys: Vec<String>,
    /// Write the bytes of the values alone, neither escaped nor ended by a newline
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  stratal merge ./db visits 1 --operator add-u64\n  \
    stratal merge ./db log 'came in; ' --operator append\n  \
    stratal merge ./db user/7 '{\"mail\":null}' --operator json-patch --keyspace users\n\n\
    A keyspace keeps the operator that it was given first; later --operator may be left out, and another\n\
    one exits 5. Nothing is read: operands are applied when the key is.")]
pub(crate) struct MergeArgs {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// The key
    pub(crate) key: String,
    /// What is to be done to its value, as the operator has it
    pub(crate) operand: String,
    /// What applies operands to values
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) operator: Option<OperatorArg>,
}

/// What applies operands to values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OperatorArg {
    /// Add a number, in decimal digits
    AddU64,
    /// Put bytes behind the value
    Append,
    /// Change a JSON value by a JSON merge patch (RFC 7396)
    JsonPatch,
}

impl OperatorArg {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AddU64 => "add-u64",
            Self::Append => "append",
            Self::JsonPatch => "json-patch",
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct DbScanArgs {
    /// The database's directory
    pub(crate) db: PathBuf,
    #[command(flatten)]
    pub(crate) range: RangeArgs,
    #[command(flatten)]
    pub(crate) rows: RowArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KeyspacesArgs {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// Make this keyspace; the database too if there is none
    #[arg(long, value_name = "NAME", conflicts_with = "drop")]
    pub(crate) create: Option<String>,
    /// The order of the new keyspace's keys: bytewise, reverse or shortlex
    #[arg(long, value_name = "NAME", default_value = "bytewise", requires = "create")]
    pub(crate) comparator: String,
    /// What applies operands to values of the new keyspace; may be said later, with the first merge
    #[arg(long, value_enum, value_name = "NAME", requires = "create")]
    pub(crate) operator: Option<OperatorArg>,
    /// For how long the new keyspace keeps values: a number with ms, s, m, h or d; for ever if not said
    #[arg(long, value_name = "TIME", value_parser = time, requires = "create")]
    pub(crate) ttl: Option<Duration>,
    /// Drop this keyspace with all its keys
    #[arg(long, value_name = "NAME")]
    pub(crate) drop: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  stratal bench fillrandom,readrandom,readseq --num 1000000")]
pub(crate) struct BenchArgs {
    /// What to measure, one after the other
    #[arg(required = true, value_delimiter = ',', value_enum)]
    pub(crate) workloads: Vec<Workload>,
    /// Records
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) num: u64,
    /// Reads of the workloads that read at random; by default as many as records
    #[arg(long)]
    pub(crate) reads: Option<u64>,
    /// Bytes in a key, at least 8
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(8..))]
    pub(crate) key_size: u16,
    /// Bytes in a value, of which half compress
    #[arg(long, default_value_t = 100)]
    pub(crate) value_size: usize,
    #[command(flatten)]
    pub(crate) tree: TreeArgs,
    /// Bytes of cache, such as 64MiB
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    pub(crate) cache: u64,
    /// What a write survives before it returns
    #[arg(long, value_enum, default_value_t = DurabilityArg::Os)]
    pub(crate) durability: DurabilityArg,
    /// Where to put the database, which must not exist; by default a directory that goes afterwards
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
}

/// What `bench` can measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Write every record, in key order
    Fillseq,
    /// Write every record, in random order
    Fillrandom,
    /// Write every record again, in random order
    Overwrite,
    /// Get keys at random
    Readrandom,
    /// Get keys at random out of one in a hundred
    Readhot,
    /// Get keys that are not there
    Readmissing,
    /// Scan every record forward
    Readseq,
    /// Scan every record backward
    Readreverse,
    /// Go to keys at random and read ten records
    Seekrandom,
    /// Delete every record, in random order
    Deleterandom,
    /// Compact the whole
    Compact,
}

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DurabilityArg {
    /// Nothing for certain: it may wait in memory
    Memory,
    /// The end of the process
    Os,
    /// The end of the machine's power
    Sync,
}

/// Which of the rows found are printed, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct RowArgs {
    /// From the last key to the first
    #[arg(long)]
    pub(crate) reverse: bool,
    /// At most this many records
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Leave the values out
    #[arg(long)]
    pub(crate) keys_only: bool,
    /// How to print records
    #[arg(long, value_enum, default_value_t = OutputFormat::Tsv)]
    pub(crate) format: OutputFormat,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RangeArgs {
    /// Only keys that begin with this
    #[arg(long, value_name = "P")]
    pub(crate) prefix: Option<String>,
    /// From this key on
    #[arg(long, value_name = "A")]
    pub(crate) from: Option<String>,
    /// Up to, and without, this key
    #[arg(long, value_name = "B")]
    pub(crate) to: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// Key, TAB, value
    Tsv,
    /// The line is the key, the value is empty
    Lines,
    /// Rows under a line of headers; needs --key HEADER
    Csv,
    /// {"key":…,"value":…}, or with --key POINTER any JSON
    Ndjson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Key, TAB, value
    Tsv,
    /// {"key":…,"value":…}
    Ndjson,
    /// A line of headers, then key and value in columns
    Csv,
}

/// Least that `--memory` may give.
const MEMORY_MIN: u64 = 16 << 20;

fn memory(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if bytes < MEMORY_MIN {
        return Err("must be at least 16MiB".into());
    }
    Ok(bytes)
}

/// A number of bytes: digits and an optional unit, binary (`KiB`) or decimal (`kB`).
/// A length of time, such as `90m`. Without a unit it would be guesswork.
fn time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let (number, unit) = text.split_at(digits.len());
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("must be a number with ms, s, m, h or d".into()),
    };
    let number: u64 = number.parse().map_err(|_| "must be a whole number and a unit".to_owned())?;
    let ms = number.checked_mul(unit_ms).filter(|ms| *ms > 0);
    ms.map(Duration::from_millis).ok_or_else(|| "must be above 0, and not so much".into())
}

fn size(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(format!("{unit:?} is no unit; use KiB, MiB, GiB, or kB, MB, GB")),
    };
    let number: u64 = number.parse().map_err(|_| "not a number of bytes".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        let cases = [("0", Ok(0)), ("4KiB", Ok(4096)), ("64 MiB", Ok(64 << 20)), ("1kB", Ok(1000))];
        for (text, expected) in cases {
            assert_eq!(size(text), expected);
        }
        for text in ["", "KiB", "4QiB", "-1", "99999999999GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(memory("15MiB").is_err());
    }

    #[test]
    fn times_have_a_unit() {
        for (text, ms) in [("1ms", 1), ("90m", 5_400_000), ("2d", 172_800_000)] {
            assert_eq!(time(text), Ok(Duration::from_millis(ms)));
        }
        for text in ["", "5", "s", "0s", "-1s", "1w", "1 s", "99999999999999999d"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
