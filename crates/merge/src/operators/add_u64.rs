use crate::{MergeOperator, OperatorError};

/// `add-u64`: values and operands are numbers in decimal digits, and operands are added. Nothing
/// counts as 0. A sum above 2⁶⁴ − 1 stays there.
///
/// Numbers have 1 to 20 digits, without a sign; what comes out has no leading zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddU64;

impl MergeOperator for AddU64 {
    fn name(&self) -> &'static str {
        "add-u64"
    }

    fn full(
        &self,
        _key: &[u8],
        base: Option<&[u8]>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, OperatorError> {
        let mut sum = 0u64;
        for text in base.into_iter().chain(operands.iter().copied()) {
            let number = parse(text).ok_or_else(|| {
                let text = text.get(..24).unwrap_or(text).escape_ascii();
                OperatorError::new(format!("\"{text}\" is no number from 0 to {}", u64::MAX))
            })?;
            sum = sum.saturating_add(number);
        }
        Ok(sum.to_string().into_bytes())
    }

    fn partial(&self, key: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
        self.full(key, None, operands).ok()
    }
}

fn parse(text: &[u8]) -> Option<u64> {
    if !(1..=20).contains(&text.len()) {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
