//! History that is held for whoever will come back for it.

use stratal_manifest::{HOLDER_LEN_MAX, VersionEdit};
use stratal_types::SeqNo;

use crate::{Error, Store};

impl Store {
    /// Holds history for `holder` from the present on, durably, and returns that bound: changes with
    /// this number and higher ones stay, in every tree, until the holder [goes on](Self::advance_history)
    /// or [lets go](Self::release_history), through restarts too. For one who holds already nothing
    /// changes, and the bound is where he is.
    ///
    /// What is held takes space: no version that is newer, and none that a read there sees, is
    /// collected.
    ///
    /// ```
    /// # use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
    /// # use stratal_engine::{Store, StoreContext, Tree, TreeOptions};
    /// # let count = AtomicU64::new(0);
    /// # let unique = Arc::new(move || u128::from(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes());
    /// # let fs = Arc::new(stratal_fs::MemFs::new());
    /// # let (store, _) = Store::open(StoreContext::new(fs, "/db", 8 << 20, unique))?;
    /// # let id = store.create_tree("places", "bytewise", &[])?;
    /// # let tree = Tree::open(&store, id, TreeOptions::default().validate()?)?;
    /// let begin = store.hold_history("search index")?;
    /// tree.put(b"AD/Vila", b"1418")?;
    /// tree.put(b"AD/Vila", b"1419")?;
    /// tree.flush()?;
    /// tree.compact(true)?;
    /// // Both are still there to be told from one another.
    /// assert_eq!(store.snapshot_at(begin)?.bound(), begin);
    /// store.advance_history("search index", store.clock().visible())?;
    /// assert!(store.release_history("search index")?);
    /// # Ok::<(), stratal_engine::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a name that has not 1 to 255 bytes; [`Error::Manifest`].
    pub fn hold_history(&self, holder: &str) -> Result<SeqNo, Error> {
        if !(1..=HOLDER_LEN_MAX).contains(&holder.len()) {
            let what = format!("the name of a holder has 1 to {HOLDER_LEN_MAX} bytes");
            return Err(Error::InvalidArgument(what));
        }
        let mut manifest = self.manifest.lock();
        if let Some(bound) = manifest.version().held.get(holder) {
            return Ok(*bound);
        }
        // Held before it is durable: a job that begins meanwhile must leave it there.
        let bound = self.clock.hold(holder);
        let held = self.append(&mut manifest, self.holding().hold_history(holder, bound));
        match held {
            Ok(_) => Ok(bound),
            Err(error) => {
                self.clock.let_go(holder);
                Err(error)
            }
        }
    }

    /// Notes, durably, that `holder` needs no history below `bound` any more. A bound that is not above
    /// his own changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchHolder`]; [`Error::InvalidArgument`] for a bound above the present;
    /// [`Error::Manifest`]. History is held as before then.
    pub fn advance_history(&self, holder: &str, bound: SeqNo) -> Result<(), Error> {
        let mut manifest = self.manifest.lock();
        let before = manifest.version().held.get(holder).copied();
        let before = before.ok_or_else(|| Error::NoSuchHolder(holder.to_owned()))?;
        let visible = self.clock.visible();
        if bound > visible {
            let what = format!("{bound} is above {visible}, the present");
            return Err(Error::InvalidArgument(what));
        }
        if bound > before {
            self.append(&mut manifest, self.holding().hold_history(holder, bound))?;
            self.clock.set_held(holder, bound);
        }
        Ok(())
    }

    /// Holds nothing for `holder` any more, durably; returns whether anything was held for him.
    ///
    /// # Errors
    ///
    /// [`Error::Manifest`]. History is held as before then.
    pub fn release_history(&self, holder: &str) -> Result<bool, Error> {
        let mut manifest = self.manifest.lock();
        if !manifest.version().held.contains_key(holder) {
            return Ok(false);
        }
        self.append(&mut manifest, self.holding().release_history(holder))?;
        self.clock.let_go(holder);
        Ok(true)
    }

    /// For whom history is held, by name, and from which bound on.
    pub fn held_history(&self) -> Vec<(String, SeqNo)> {
        let version = self.version();
        version.held.iter().map(|(holder, bound)| (holder.to_string(), *bound)).collect()
    }

    /// An edit about holders. It keeps numbers from being given twice that a holder has heard of.
    fn holding(&self) -> VersionEdit {
        let mut edit = VersionEdit::new();
        edit.set_clock(self.clock.next());
        edit
    }
}
