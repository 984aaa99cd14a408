use stratal_types::Trailer;

/// Operands of one key, in one buffer, in the order in which they were pushed.
#[derive(Debug, Default)]
pub struct Chain {
    bytes: Vec<u8>,
    /// Trailer, and where the operand ends in `bytes`.
    operands: Vec<(Trailer, usize)>,
}

impl Chain {
    /// Takes every operand out. Keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.operands.clear();
    }

    /// Adds an operand.
    pub fn push(&mut self, trailer: Trailer, operand: &[u8]) {
        self.bytes.extend_from_slice(operand);
        self.operands.push((trailer, self.bytes.len()));
    }

    /// Number of operands.
    pub fn len(&self) -> usize {
        self.operands.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.operands.is_empty()
    }

    /// Memory in use, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.operands.len() * size_of::<(Trailer, usize)>()
    }

    /// The operand pushed after `at` others.
    pub fn get(&self, at: usize) -> Option<(Trailer, &[u8])> {
        let (trailer, end) = *self.operands.get(at)?;
        let start = at.checked_sub(1).and_then(|before| self.operands.get(before));
        let start = start.map_or(0, |(_, end)| *end);
        Some((trailer, self.bytes.get(start..end)?))
    }

    /// The operands, in the order in which they were pushed.
    pub fn in_order(&self) -> Vec<&[u8]> {
        (0..self.len()).filter_map(|at| Some(self.get(at)?.1)).collect()
    }

    /// The operands, the last pushed first: the oldest first, if they were pushed as they stand in
    /// a source.
    pub fn reversed(&self) -> Vec<&[u8]> {
        (0..self.len()).rev().filter_map(|at| Some(self.get(at)?.1)).collect()
    }
}
