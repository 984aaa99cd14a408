use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("what").required(true).multiple(true)
        .args(["since", "hold", "release", "holders"]),
    after_help = "Examples:\n  stratal changes ./db --hold backup\n  \
    stratal changes ./db --since 1042\n  \
    stratal changes ./db --since 1042 --limit 1000 --keyspace users\n  \
    stratal changes ./db --hold backup --since 2042\n  \
    stratal changes ./db --holders\n\n\
    One JSON object per line, in the order of seqnos, each with \"seqno\" and \"kind\":\n  \
    put            \"key\", \"value\"\n  \
    delete         \"key\"\n  \
    weak_delete    \"key\"\n  \
    merge          \"key\", \"operand\"\n  \
    delete_range   \"from\" (inclusive), \"to\" (exclusive)\n\n\
    History is collected as tables are written unless it is held. If changes from SEQNO on may be gone\n\
    nothing is printed, the lowest seqno that can be asked for is named, and the exit code is 1. Only what\n\
    is durable is printed: after a crash, what nothing proves to be on the disk waits until the database\n\
    has been opened for writing. Where to go on is said on standard error.")]
pub(crate) struct ChangesArgs {
    /// The database's directory
    pub(crate) db: PathBuf,
    /// Print the changes from this seqno on; with --hold, hold history from there on and no longer from
    /// before
    #[arg(long, value_name = "SEQNO", value_parser = clap::value_parser!(u64).range(..1 << 56))]
    pub(crate) since: Option<u64>,
    /// At most this many changes
    #[arg(long, value_name = "N", requires = "since", conflicts_with = "hold")]
    pub(crate) limit: Option<u64>,
    /// Hold history for NAME, from now on or from where it is held for NAME already, and print from where
    #[arg(long, value_name = "NAME", conflicts_with_all = ["release", "holders"])]
    pub(crate) hold: Option<String>,
    /// Hold history for NAME no longer
    #[arg(long, value_name = "NAME", conflicts_with_all = ["since", "holders"])]
    pub(crate) release: Option<String>,
    /// List for whom history is held, and from where on
    #[arg(long, conflicts_with = "since")]
    pub(crate) holders: bool,
}
