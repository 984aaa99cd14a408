use stratal_types::Trailer;

/// The operands of one key, newest first, in one buffer.
#[derive(Debug, Default)]
pub(super) struct Chain {
    bytes: Vec<u8>,
    /// Trailer, and where the operand ends in `bytes`.
    operands: Vec<(Trailer, usize)>,
}

impl Chain {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.operands.clear();
    }

    pub(super) fn push(&mut self, trailer: Trailer, operand: &[u8]) {
        self.bytes.extend_from_slice(operand);
        self.operands.push((trailer, self.bytes.len()));
    }

    pub(super) fn len(&self) -> usize {
        self.operands.len()
    }

    /// Memory in use, in bytes.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.operands.len() * size_of::<(Trailer, usize)>()
    }

    /// The operand at `at`, counted from the newest.
    pub(super) fn get(&self, at: usize) -> Option<(Trailer, &[u8])> {
        let (trailer, end) = *self.operands.get(at)?;
        let start = at.checked_sub(1).and_then(|before| self.operands.get(before));
        let start = start.map_or(0, |(_, end)| *end);
        Some((trailer, self.bytes.get(start..end)?))
    }

    pub(super) fn oldest_first(&self) -> Vec<&[u8]> {
        (0..self.len()).rev().filter_map(|at| Some(self.get(at)?.1)).collect()
    }
}
