/// One change to a tree of keys, as a test generates it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The key gets a value.
    Put {
        /// The key.
        key: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// The key has no value any more.
    Delete {
        /// The key.
        key: Vec<u8>,
    },
    /// Like a delete; the caller knows of one put since the last delete.
    WeakDelete {
        /// The key.
        key: Vec<u8>,
    },
    /// An operand for the merge operator.
    Merge {
        /// The key.
        key: Vec<u8>,
        /// The operand.
        operand: Vec<u8>,
    },
    /// Every key from `from` up to, and without, `to` loses its value.
    DeleteRange {
        /// The first key that may be hidden.
        from: Vec<u8>,
        /// The first key behind.
        to: Vec<u8>,
    },
}
