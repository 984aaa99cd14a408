use std::io::{self, Write};

/// Where a file goes: counts what was taken, and refuses everything after an I/O error, so that
/// nothing is appended behind damage.
#[derive(Debug)]
pub(crate) struct Sink<W> {
    inner: W,
    position: u64,
    poisoned: bool,
}

impl<W> Sink<W> {
    /// Counts from here.
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, position: 0, poisoned: false }
    }

    /// Bytes taken so far.
    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Whether an earlier call met an I/O error.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    pub(crate) fn into_inner(self) -> W {
        self.inner
    }

    fn check_usable(&self) -> io::Result<()> {
        if self.poisoned {
            return Err(io::Error::other("an earlier write to this archive failed"));
        }
        Ok(())
    }

    /// Every error but an interruption is the last.
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        let ended = |error: &io::Error| error.kind() != io::ErrorKind::Interrupted;
        self.poisoned = result.as_ref().is_err_and(ended);
        result
    }
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check_usable()?;
        let written = self.inner.write(bytes).and_then(|len| match len {
            0 if !bytes.is_empty() => Err(io::ErrorKind::WriteZero.into()),
            len if len > bytes.len() => {
                Err(io::Error::other("the sink took more than it was given"))
            }
            len => {
                let position = self.position.checked_add(len as u64);
                self.position = position.ok_or(io::ErrorKind::FileTooLarge)?;
                Ok(len)
            }
        });
        self.note(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.check_usable()?;
        let flushed = self.inner.flush();
        self.note(flushed)
    }
}
