//! Loading records straight into tables.

use stratal::{Ingestion, Keyspace};
use stratal_block::Seal;
use stratal_sst::TableOutput;
use stratal_types::{EntryRef, Fragments};

use crate::{
    args::{Common, LoadArgs},
    database::comparator_of,
    failure::Failure,
    input::Records,
    output::Output,
    progress::Bar,
    sort::{Place, Sorted},
};

/// Bytes that a database takes with empty memtables, and that a table takes while it is written.
const RESERVED: u64 = 8 << 20;

/// Sorts all records and ingests them as one; what came before a bad line is ingested too. Returns
/// records and bytes read.
pub(crate) fn load(
    keyspace: &Keyspace,
    args: &LoadArgs,
    records: &mut Records<'_>,
    common: &Common,
    out: &mut Output,
) -> Result<(u64, u64), Failure> {
    // Runs stand inside the database's directory: there is room for the tables too.
    let beside = args.db.join("load");
    let memory = common.memory.saturating_sub(RESERVED).max(common.memory / 4);
    let place = Place { memory, beside: &beside, seal: Seal::None };
    let (mut count, mut bytes, mut ended) = (0u64, 0u64, Ok(()));
    let sorted = {
        let bar = Bar::bytes("reading", records.progress().total, out);
        let progress = records.progress().clone();
        let next = || match records.next() {
            Ok(Some((key, value))) => {
                count += 1;
                bytes += (key.len() + value.len()) as u64;
                Ok(Some((key, value)))
            }
            Ok(None) => Ok(None),
            Err(failure) => {
                ended = Err(failure);
                Ok(None)
            }
        };
        Sorted::gather(next, &comparator_of(keyspace)?, &place, || bar.set(progress.read()))?
    };
    let mut rows = Rows { ingestion: keyspace.ingestion()?, deletes: args.delete };
    sorted.write(&mut rows, Failure::from)?;
    // Its memory is the flush's now.
    drop(sorted);
    rows.ingestion.finish()?;
    if args.acks {
        // A bad line is the last one read, and is not covered.
        let covered = records.lines() - u64::from(ended.is_err());
        out.line(format!("acked {covered}"))?;
        out.flush()?;
    }
    ended.map(|()| (count, bytes))
}

/// Sorted records on their way into a keyspace.
struct Rows<'a> {
    ingestion: Ingestion<'a>,
    /// A record says that its key goes.
    deletes: bool,
}

impl TableOutput for Rows<'_> {
    type Error = stratal::Error;

    fn add(&mut self, entry: EntryRef<'_>) -> Result<(), stratal::Error> {
        if self.deletes {
            return self.ingestion.delete(entry.key);
        }
        self.ingestion.put(entry.key, entry.value)
    }

    fn add_tombstones(&mut self, fragments: &Fragments) -> Result<(), stratal::Error> {
        fragments
            .iter()
            .try_for_each(|fragment| self.ingestion.excise(fragment.start, fragment.end))
    }
}
