//! Merge operators that only tests have: each breaks what some other one would hide.

use std::sync::Arc;

use stratal_engine::{MergeOperator, OperatorError, operator_named};

/// Every operator that a history may draw, by name.
pub(crate) const NAMES: [&str; 8] = [
    "append",
    "append alone",
    "append in part",
    "affine",
    "affine alone",
    "picky",
    "add-u64",
    "json-patch",
];

/// The operator called `name`: one of the engine's own, or one from here.
pub(crate) fn named(name: &str) -> Option<Arc<dyn MergeOperator>> {
    match name {
        "append alone" => Some(Arc::new(Appending { name: "append alone", composes: |_| false })),
        "append in part" => {
            Some(Arc::new(Appending { name: "append in part", composes: |count| count % 2 == 0 }))
        }
        "affine" => Some(Arc::new(Affine { name: "affine", composes: true })),
        "affine alone" => Some(Arc::new(Affine { name: "affine alone", composes: false })),
        "picky" => Some(Arc::new(Picky)),
        name => operator_named(name),
    }
}

/// Appends, and composes only so many operands as it likes: neither commutes nor repeats.
#[derive(Debug)]
struct Appending {
    name: &'static str,
    composes: fn(usize) -> bool,
}

impl MergeOperator for Appending {
    fn name(&self) -> &str {
        self.name
    }

    fn full(
        &self,
        _key: &[u8],
        base: Option<&[u8]>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, OperatorError> {
        Ok([base.unwrap_or_default(), &operands.concat()].concat())
    }

    fn partial(&self, _key: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
        (self.composes)(operands.len()).then(|| operands.concat())
    }
}

/// Numbers under `x ↦ a·x + b` modulo 2⁶⁴: a lost operand, one applied twice, or two in the wrong order
/// show in the value, however many others follow. The key takes part.
#[derive(Debug)]
struct Affine {
    name: &'static str,
    composes: bool,
}

/// What `bytes` are as an operand: the slope, which is odd, so that nothing is lost, and the offset.
fn slope_and_offset(bytes: &[u8]) -> (u64, u64) {
    let word = |at: usize| {
        let bytes = bytes.iter().skip(at).take(8);
        bytes.fold(0u64, |word, byte| word << 8 | u64::from(*byte))
    };
    (word(0) | 1, word(8))
}

impl MergeOperator for Affine {
    fn name(&self) -> &str {
        self.name
    }

    fn full(
        &self,
        key: &[u8],
        base: Option<&[u8]>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, OperatorError> {
        // Nothing differs from every value, and from key to key.
        let mut number = match base {
            Some(base) => slope_and_offset(&[&[0; 7], base].concat()).1,
            None => key.len() as u64 ^ 0x9e37_79b9_7f4a_7c15,
        };
        for operand in operands {
            let (slope, offset) = slope_and_offset(operand);
            number = number.wrapping_mul(slope).wrapping_add(offset);
        }
        // The first byte is for filters, which never find one here that they remove weakly.
        let tag = b"krdk"[(number % 4) as usize];
        Ok([&[tag], &number.swap_bytes().to_le_bytes()[..]].concat())
    }

    fn partial(&self, _key: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
        let (mut slope, mut offset) = (1u64, 0u64);
        for operand in operands {
            let (by, plus) = slope_and_offset(operand);
            slope = slope.wrapping_mul(by);
            offset = offset.wrapping_mul(by).wrapping_add(plus);
        }
        let words = [slope, offset].map(|word| word.swap_bytes().to_le_bytes());
        self.composes.then(|| words.concat())
    }
}

/// Appends, and refuses operands that begin with `!`.
#[derive(Debug)]
struct Picky;

impl MergeOperator for Picky {
    fn name(&self) -> &'static str {
        "picky"
    }

    fn full(
        &self,
        _key: &[u8],
        base: Option<&[u8]>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, OperatorError> {
        match operands.iter().find(|operand| operand.starts_with(b"!")) {
            Some(_) => Err(OperatorError::new("told to fail")),
            None => Ok([base.unwrap_or_default(), &operands.concat()].concat()),
        }
    }

    fn partial(&self, _key: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
        // An operand that fails stays where it is.
        let fails = operands.iter().any(|operand| operand.starts_with(b"!"));
        (!fails).then(|| operands.concat())
    }
}

/// The operators keep their contract, or every history that uses them is void: done in pieces, or
/// composed, operands make what they make one after the other.
#[test]
fn operators_may_be_done_in_pieces() {
    use stratal_testkit::Rng;
    let mut rng = Rng::new(1);
    for name in NAMES {
        let operator = named(name).unwrap_or_else(|| panic!("no operator {name}"));
        let mut composed = 0;
        for _ in 0..300 {
            let operands: Vec<Vec<u8>> =
                (0..3).map(|_| crate::world::operand(name, false, &mut rng)).collect();
            let [a, b, c] = [0, 1, 2].map(|at| operands[at].as_slice());
            let base = rng.chance(2, 3).then(|| crate::world::value(name, &mut rng));
            let base = base.as_deref();
            let whole = operator.full(b"k", base, &[a, b, c]).ok();
            let one_by_one =
                [a, b, c].iter().try_fold(base.map(<[u8]>::to_vec), |base, operand| {
                    operator.full(b"k", base.as_deref(), &[operand]).ok().map(Some)
                });
            assert_eq!(whole, one_by_one.flatten(), "{name}: {base:?} {operands:?}");
            if let Some(both) = operator.partial(b"k", &[a, b]) {
                composed += 1;
                let found = operator.full(b"k", base, &[&both, c]).ok();
                assert_eq!(found, whole, "{name}: {base:?} {operands:?} composed");
            }
        }
        assert_eq!(composed == 0, name.ends_with("alone"), "{name}");
    }
}
