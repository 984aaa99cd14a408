//! A job's file, written no faster than the store's limiter lets it.

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use stratal_fs::{FileSynced, HeldPlace, NewFile, Origin, RateLimiter};

use crate::{Error, Helpers, outputs::JobContext, stop::Stop};

/// Bytes that are written between two payments.
const CHARGE_LEN: u64 = 64 << 10;

/// Bytes that are written between two syncs behind.
const SYNC_LEN: u64 = 16 << 20;

/// A [`NewFile`] that is paid for as it grows. A job that is stopped pays no longer.
#[derive(Debug)]
pub(crate) struct PacedFile {
    file: NewFile,
    limiter: Arc<RateLimiter>,
    stop: Stop,
    origin: Origin,
    /// Bytes of the file that are charged.
    charged: u64,
    /// Threads that sync what is written, so that less is to be waited for in the end.
    helpers: Option<Helpers>,
    /// Bytes of the file that were there at the last sync.
    synced: u64,
    /// Given back when the file is closed.
    _place: HeldPlace,
}

impl PacedFile {
    pub(crate) fn create(path: &Path, context: &JobContext) -> Result<Self, Error> {
        let files = &context.store.files;
        let place = files.open.hold();
        let file = NewFile::create(files.fs.as_ref(), path)
            .map_err(|error| Error::io("create", path, error))?;
        Ok(Self {
            file,
            limiter: Arc::clone(&context.store.context.limiter),
            stop: context.stop.clone(),
            origin: context.origin,
            charged: 0,
            helpers: context.helpers.clone(),
            synced: 0,
            _place: place,
        })
    }

    /// As [`NewFile::finish`].
    pub(crate) fn finish(mut self) -> io::Result<FileSynced> {
        self.charge();
        self.file.finish()
    }

    fn sync_behind(&mut self) -> io::Result<()> {
        if let Some(helpers) = &self.helpers
            && self.charged.saturating_sub(self.synced) >= SYNC_LEN
        {
            self.synced = self.charged;
            self.file.sync_behind(&|job| helpers.pool.spawn(job))?;
        }
        Ok(())
    }

    fn charge(&mut self) {
        let len = self.file.len();
        let bytes = len.saturating_sub(self.charged);
        self.charged = len;
        self.limiter.charge(self.origin, bytes, &|| self.stop.is_stopped());
    }
}

impl Write for PacedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        if self.file.len().saturating_sub(self.charged) >= CHARGE_LEN {
            self.charge();
            self.sync_behind()?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
