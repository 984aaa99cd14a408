use stratal_engine::OperationRef;
use stratal_types::{EntryDigest, SeqNo, key_hash, sync::Arc};
use stratal_wal::PAYLOAD_LEN_MAX;

use crate::{Error, inner::Core, record};

/// Bytes of payload that a batch may have: what a record holds, less what stands before the batch.
const BATCH_LEN_MAX: usize = PAYLOAD_LEN_MAX as usize - 64;

/// A batch before it is committed: its operations as they will stand in the log, from where they are also
/// applied. There is no other copy.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    body: Vec<u8>,
    // Most batches have one.
    first: Option<Part>,
    others: Vec<Part>,
}

/// Consecutive operations on one keyspace.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) core: Arc<Core>,
    pub(crate) count: u64,
    /// Where they end in the body.
    end: usize,
    /// Their digests, if the keyspace checks entries from when they are written on.
    digests: Option<Vec<EntryDigest>>,
}

impl Draft {
    /// Adds an operation.
    ///
    /// # Errors
    ///
    /// Those of what cannot be logged or applied, and then nothing was added.
    pub(crate) fn push(
        &mut self,
        core: &Arc<Core>,
        operation: OperationRef<'_>,
    ) -> Result<(), Error> {
        // Once it is logged it is too late to find out.
        core.tree.check_one(operation)?;
        let before = self.body.len();
        let len_max = before.saturating_add(record::operation_len_max(operation));
        if len_max > BATCH_LEN_MAX {
            return Err(too_large(len_max as u64, BATCH_LEN_MAX as u64));
        }
        self.body.reserve(len_max - before);
        if !record::encode_operation(core.id, operation, &mut self.body) {
            return Err(Error::invalid("the log has no form for this operation"));
        }
        let end = self.body.len();
        let digest = core.tree.takes_digests().then(|| operation.digest());
        let takes = |part: &&mut Part| {
            Arc::ptr_eq(&part.core, core) && part.digests.is_some() == digest.is_some()
        };
        if let Some(part) = self.others.last_mut().or(self.first.as_mut()).filter(takes) {
            part.count += 1;
            part.end = end;
            part.digests.iter_mut().for_each(|digests| digests.extend(digest));
            return Ok(());
        }
        let digests = digest.map(|digest| vec![digest]);
        let part = Part { core: Arc::clone(core), count: 1, end, digests };
        if self.first.is_none() {
            self.first = Some(part);
        } else {
            self.others.push(part);
        }
        Ok(())
    }

    /// The operations as they stand in the log.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Number of operations.
    pub(crate) fn count(&self) -> u64 {
        self.parts().map(|part| part.count).sum()
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> + Clone {
        self.first.iter().chain(&self.others)
    }

    /// A check of the body, if any of the operations has a digest, and every one that has fits it.
    pub(crate) fn body_hash(&self) -> Result<Option<u64>, Error> {
        let mut has_digests = false;
        for (part, bytes) in self.parts_with_bytes() {
            let Some(digests) = &part.digests else { continue };
            has_digests = true;
            if !record::operations(bytes).map(OperationRef::digest).eq(digests.iter().copied()) {
                return Err(changed_in_memory());
            }
        }
        Ok(has_digests.then(|| key_hash(&self.body)))
    }

    /// Applies everything, with the numbers from `first` on; returns the number behind.
    pub(crate) fn apply(&self, first: SeqNo) -> Result<SeqNo, stratal_engine::Error> {
        let mut seqno = first;
        for (part, bytes) in self.parts_with_bytes() {
            part.apply(bytes, seqno)?;
            seqno = SeqNo::new(seqno.get() + part.count).unwrap_or(SeqNo::MAX);
        }
        Ok(seqno)
    }

    fn parts_with_bytes(&self) -> impl Iterator<Item = (&Part, &[u8])> {
        let mut from = 0;
        self.parts().map(move |part| {
            let bytes = self.body.get(from..part.end).unwrap_or_default();
            from = part.end;
            (part, bytes)
        })
    }
}

impl Part {
    fn apply(&self, bytes: &[u8], first: SeqNo) -> Result<(), stratal_engine::Error> {
        let Self { core, count, digests, .. } = self;
        let takes_digests = digests.is_none() && core.tree.takes_digests();
        let mut digests = digests.iter().flatten().copied();
        let mut found = 0;
        let operations = record::operations(bytes).map(|operation| {
            found += 1;
            let taken = || takes_digests.then(|| operation.digest());
            (operation, digests.next().or_else(taken))
        });
        core.tree.apply_each(operations, first)?;
        if found == *count {
            return Ok(());
        }
        let what = "a batch has changed in memory after it was logged";
        Err(stratal_engine::Error::InvalidArgument(what.into()))
    }
}

pub(crate) fn changed_in_memory() -> Error {
    Error::MemoryDamage { what: "a batch has changed in memory before it was logged".into() }
}

pub(crate) fn too_large(len: u64, max: u64) -> Error {
    Error::TooLarge { what: "the batch", len, min: 1, max }
}

#[cfg(all(test, not(any(shuttle, loom))))]
mod tests {
    use super::*;
    use crate::{Database, Durability, Executor, Health, TreeOptions};

    #[test]
    fn a_batch_that_changed_before_it_was_logged_is_refused_if_its_operations_are_checked() {
        for digests_at_insert in [true, false] {
            let mut options = TreeOptions { digests_at_insert, ..TreeOptions::default() };
            options.table.entry_digests = true;
            let fs = std::sync::Arc::new(stratal_fs::MemFs::new());
            let builder = Database::builder("/db").fs(fs).executor(Executor::Inline);
            let db = builder.tree_options(options).open().unwrap();
            let places = db.open_keyspace("default").unwrap();
            let [key, value] = [&b"AD/Vila"[..], &b"1418"[..]];
            let mut draft = Draft::default();
            let put = OperationRef::Put { key, value };
            draft.push(places.core(), OperationRef::Delete { key: b"AD/Canillo" }).unwrap();
            draft.push(places.core(), put).unwrap();
            assert_eq!((draft.count(), draft.parts().count()), (2, 1));
            assert_eq!(draft.body_hash().unwrap().is_some(), digests_at_insert);
            for place in 0..draft.body.len() {
                draft.body[place] ^= 1;
                let is_refused = matches!(draft.body_hash(), Err(Error::MemoryDamage { .. }));
                let is_tree = place == 1 || place == 14;
                assert_eq!(is_refused, digests_at_insert && !is_tree, "{place}");
                draft.body[place] ^= 1;
            }
            draft.body[7] ^= 1;
            let committed = db.inner().commit(draft, Durability::Os);
            assert_eq!(committed.is_err(), digests_at_insert, "{committed:?}");
            assert_eq!(places.is_empty().unwrap(), digests_at_insert, "nothing of the batch");
            assert_eq!(db.health(), Health::Healthy);
        }
    }
}
