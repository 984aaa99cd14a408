use std::{borrow::Borrow, cmp::Ordering, sync::Arc};

use bytes::Bytes;
use stratal_types::{Comparator, EntryRef, SeqNo, Trailer};

/// The order of keys, carried by every row because the skip list asks the rows.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// `None` for bytewise order, which needs no call.
    custom: Option<Arc<dyn Comparator>>,
}

impl Order {
    pub(crate) fn new(comparator: &Arc<dyn Comparator>) -> Self {
        Self { custom: (!comparator.is_bytewise()).then(|| Arc::clone(comparator)) }
    }

    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        match &self.custom {
            None => a.cmp(b),
            Some(comparator) => comparator.compare(a, b),
        }
    }
}

/// One stored entry. Rows of one key and number are equal, whatever else they hold.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    order: Order,
    /// Key, then value.
    bytes: Bytes,
    key_len: usize,
    trailer: Trailer,
}

impl Row {
    /// `bytes` hold key and value, of which the key is `key_len` bytes.
    pub(crate) fn new(order: &Order, bytes: Bytes, key_len: usize, trailer: Trailer) -> Self {
        Self { order: order.clone(), bytes, key_len, trailer }
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.bytes[..self.key_len]
    }

    pub(crate) fn trailer(&self) -> Trailer {
        self.trailer
    }

    /// The value, sharing the memtable's memory.
    pub(crate) fn value(&self) -> Bytes {
        self.bytes.slice(self.key_len..)
    }

    pub(crate) fn entry(&self) -> EntryRef<'_> {
        let (key, value) = self.bytes.split_at(self.key_len);
        EntryRef::new(key, self.trailer, value)
    }

    /// Whether both are one row, and not just equal.
    pub(crate) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.bytes.as_ptr(), other.bytes.as_ptr())
    }
}

/// A place in the order of rows: that of a row, or one to look for.
///
/// Rows borrow as `dyn Place`, so that a search allocates no row.
pub(crate) trait Place {
    fn order(&self) -> &Order;
    fn key(&self) -> &[u8];
    fn seqno(&self) -> SeqNo;
}

impl Place for Row {
    fn order(&self) -> &Order {
        &self.order
    }

    fn key(&self) -> &[u8] {
        self.key()
    }

    fn seqno(&self) -> SeqNo {
        self.trailer.seqno()
    }
}

/// The place of `key` at `seqno`.
pub(crate) struct Sought<'a> {
    pub(crate) order: &'a Order,
    pub(crate) key: &'a [u8],
    pub(crate) seqno: SeqNo,
}

impl Place for Sought<'_> {
    fn order(&self) -> &Order {
        self.order
    }

    fn key(&self) -> &[u8] {
        self.key
    }

    fn seqno(&self) -> SeqNo {
        self.seqno
    }
}

impl<'a> Borrow<dyn Place + 'a> for Row {
    fn borrow(&self) -> &(dyn Place + 'a) {
        self
    }
}

fn compare(a: &(impl Place + ?Sized), b: &(impl Place + ?Sized)) -> Ordering {
    a.order().compare(a.key(), b.key()).then_with(|| b.seqno().cmp(&a.seqno()))
}

impl Ord for dyn Place + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self, other)
    }
}

impl PartialOrd for dyn Place + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Place + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for dyn Place + '_ {}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self, other)
    }
}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Row {}
