use std::{io, sync::Arc};

use rustix::io::Errno;
use stratal_types::key_hash;

const PAGE_LEN: usize = 4096;
type Page = [u8; PAGE_LEN];

/// Longest file the file systems in memory hold, in bytes.
const LEN_MAX: u64 = 1 << 36;

/// The bytes of a file: pages shared between copies, holes for pages never written, and a length
/// that is kept apart from them.
///
/// Bytes behind the length are zero, except while an image after a crash is being put together,
/// where [`put`](Self::put) may leave some until [`trim`](Self::trim).
#[derive(Clone, Default)]
pub(crate) struct Content {
    pages: Vec<Option<Arc<Page>>>,
    len: u64,
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Copies what stands at `offset` into `buf`; returns how many bytes that were.
    pub(crate) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        let Some(mut rest) = buf.get_mut(..len).filter(|rest| !rest.is_empty()) else { return 0 };
        let (mut page, mut start) = place_of(offset);
        while !rest.is_empty() {
            let (part, behind) = rest.split_at_mut(rest.len().min(PAGE_LEN - start));
            match self.pages.get(page) {
                Some(Some(bytes)) => part.copy_from_slice(&bytes[start..start + part.len()]),
                _ => part.fill(0),
            }
            rest = behind;
            (page, start) = (page + 1, 0);
        }
        len
    }

    /// Writes `bytes` at `offset` and lengthens the file to hold them.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = checked_end(offset, bytes.len() as u64)?;
        self.put(offset, bytes);
        self.len = self.len.max(end);
        Ok(())
    }

    /// Writes `bytes` at `offset` and leaves the length alone. `offset` was accepted by
    /// [`write`](Self::write) of some content before.
    pub(crate) fn put(&mut self, offset: u64, bytes: &[u8]) {
        let (mut page, mut start) = place_of(offset);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(rest.len().min(PAGE_LEN - start));
            if self.pages.len() <= page {
                self.pages.resize(page + 1, None);
            }
            let bytes = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE_LEN]));
            Arc::make_mut(bytes)[start..start + part.len()].copy_from_slice(part);
            rest = behind;
            (page, start) = (page + 1, 0);
        }
    }

    /// Cuts or lengthens.
    pub(crate) fn set_len(&mut self, len: u64) -> io::Result<()> {
        checked_end(len, 0)?;
        let shorter = len < self.len;
        self.len = len;
        if shorter {
            self.trim();
        }
        Ok(())
    }

    /// Lengthens to hold `len` bytes; never cuts.
    pub(crate) fn grow(&mut self, len: u64) -> io::Result<()> {
        self.set_len(self.len.max(len))
    }

    /// Makes `len` bytes at `offset` read as zero, without lengthening.
    pub(crate) fn zero(&mut self, offset: u64, len: u64) {
        let end = offset.saturating_add(len).min((self.pages.len() * PAGE_LEN) as u64);
        let mut at = offset;
        while at < end {
            let (page, start) = place_of(at);
            let part = (PAGE_LEN - start).min(usize::try_from(end - at).unwrap_or(PAGE_LEN));
            if part == PAGE_LEN {
                self.pages[page] = None;
            } else if let Some(bytes) = &mut self.pages[page] {
                Arc::make_mut(bytes)[start..start + part].fill(0);
            }
            at += part as u64;
        }
    }

    /// Forgets what stands behind the length.
    pub(crate) fn trim(&mut self) {
        let (page, start) = place_of(self.len);
        self.pages.truncate(page + usize::from(start > 0));
        if let Some(Some(bytes)) = self.pages.get_mut(page)
            && bytes[start..].iter().any(|&byte| byte != 0)
        {
            Arc::make_mut(bytes)[start..].fill(0);
        }
    }

    /// A number that contents with different bytes almost never share. Holes and zeros are alike.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut sum = key_hash(&self.len.to_le_bytes());
        for (number, page) in (0u64..).zip(&self.pages) {
            if let Some(page) = page.as_ref().filter(|page| page.iter().any(|&byte| byte != 0)) {
                sum ^= key_hash(&[&number.to_le_bytes(), &page[..]].concat());
            }
        }
        sum
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}

/// Page number, and offset in the page.
fn place_of(offset: u64) -> (usize, usize) {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    (offset / PAGE_LEN, offset % PAGE_LEN)
}

/// `offset + len`, if a file may be that long.
pub(crate) fn checked_end(offset: u64, len: u64) -> io::Result<u64> {
    let end = offset.checked_add(len).filter(|end| *end <= LEN_MAX);
    end.ok_or_else(|| Errno::FBIG.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Content {
        fn to_vec(&self) -> Vec<u8> {
            let mut bytes = vec![0; usize::try_from(self.len).unwrap()];
            assert_eq!(self.read(&mut bytes, 0), bytes.len());
            bytes
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
        Zero(u64, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let near = prop_oneof![0u64..64, 4000u64..4200, 8100u64..9000];
        prop_oneof![
            (near.clone(), prop::collection::vec(1u8.., 1..5000))
                .prop_map(|(a, b)| Step::Write(a, b)),
            near.clone().prop_map(Step::SetLen),
            (near, 0u64..9000).prop_map(|(a, b)| Step::Zero(a, b)),
        ]
    }

    proptest! {
        #[test]
        fn pages_hold_what_a_vector_holds(steps in prop::collection::vec(step(), 1..12)) {
            let (mut content, mut model) = (Content::default(), Vec::<u8>::new());
            for step in steps {
                let before = content.clone();
                let copy = before.to_vec();
                match step {
                    Step::Write(at, bytes) => {
                        content.write(at, &bytes).unwrap();
                        let at = usize::try_from(at).unwrap();
                        model.resize(model.len().max(at + bytes.len()), 0);
                        model[at..at + bytes.len()].copy_from_slice(&bytes);
                    }
                    Step::SetLen(len) => {
                        content.set_len(len).unwrap();
                        model.resize(usize::try_from(len).unwrap(), 0);
                    }
                    Step::Zero(at, len) => {
                        content.zero(at, len);
                        let from = usize::try_from(at).unwrap().min(model.len());
                        let to = usize::try_from(at + len).unwrap().min(model.len());
                        model[from..to].fill(0);
                    }
                }
                prop_assert_eq!(content.to_vec(), &model[..]);
                prop_assert_eq!(before.to_vec(), copy, "a copy does not change");
                let mut again = Content::default();
                again.write(0, &model).unwrap();
                prop_assert_eq!(again.fingerprint(), content.fingerprint());
            }
        }
    }

    #[test]
    fn absurd_offsets_are_refused() {
        let mut content = Content::default();
        for offset in [LEN_MAX, u64::MAX] {
            assert!(content.write(offset, b"x").is_err());
        }
        assert!(content.set_len(u64::MAX).is_err());
        content.set_len(LEN_MAX).unwrap();
        assert!(content.pages.is_empty(), "a hole costs nothing");
    }
}
