use std::{cell::Cell, hint::black_box, ops::Deref, ptr};

use bytes::Bytes;
use stratal_simd::prefetch_address;

/// Bytes that are shared, and where the count of those who share them is.
///
/// A count lies by itself. Who will share a part of the bytes ([`Bytes::slice_ref`]) waits for it then,
/// unless it was [asked for](Self::touch_count) before.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    bytes: Bytes,
    /// An address near the count, which is only ever asked for; 0 if it is not known.
    count: usize,
}

thread_local! {
    /// Where the owner lies whose bytes were asked for last.
    static OWNER: Cell<usize> = const { Cell::new(0) };
}

/// An owner that tells where it lies when its bytes are asked for, which is once, by who has put it there.
struct Owner<T>(T);

impl<T: AsRef<[u8]>> AsRef<[u8]> for Owner<T> {
    fn as_ref(&self) -> &[u8] {
        OWNER.set(ptr::from_ref(self).addr());
        self.0.as_ref()
    }
}

impl Shared {
    /// Bytes that belong to `owner`.
    pub(crate) fn owned(owner: impl AsRef<[u8]> + Send + 'static) -> Self {
        OWNER.set(0);
        let bytes = Bytes::from_owner(Owner(owner));
        // The count is kept in front of the owner. Were it not, a line would come that nobody looks at.
        let count = OWNER.get().saturating_sub(size_of::<usize>());
        Self { bytes, count }
    }

    /// The bytes alone.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// `part` of these bytes, shared in the same way.
    ///
    /// # Panics
    ///
    /// If it is not a part of them.
    #[must_use]
    pub fn part(&self, part: &[u8]) -> Self {
        Self { bytes: self.bytes.slice_ref(part), count: self.count }
    }

    /// Asks for the count to be brought near, and waits for nothing, or for less than who changes it.
    #[inline]
    pub fn touch_count(&self) {
        match self.count {
            0 => drop(black_box(self.bytes.is_unique())),
            count => prefetch_address(count),
        }
    }
}

impl Deref for Shared {
    type Target = Bytes;

    #[inline]
    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

impl AsRef<[u8]> for Shared {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Bytes> for Shared {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, count: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_knows_where_its_count_is() {
        let shared = Shared::owned(vec![7; 100]);
        let part = shared.part(&shared[10..20]);
        assert_eq!((&part[..], part.count), (&[7; 10][..], shared.count));
        assert_ne!(shared.count, 0);
        // An owner lies behind its count, in a piece of memory of its own.
        assert_eq!(shared.count % align_of::<usize>(), 0);
        let other = Shared::owned(vec![8; 100]);
        assert!(other.count.abs_diff(shared.count) >= size_of::<Owner<Vec<u8>>>());
        part.touch_count();
        drop((shared, other));
        assert_eq!(part.into_bytes(), [7; 10][..]);
        let plain = Shared::from(Bytes::from_static(b"x"));
        plain.touch_count();
        assert_eq!(plain.count, 0);
    }
}
