use crate::{MergeOperator, OperatorError};

/// `append`: operands are put behind the value, oldest first; nothing is an empty value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Append;

impl MergeOperator for Append {
    fn name(&self) -> &'static str {
        "append"
    }

    fn full(
        &self,
        _key: &[u8],
        base: Option<&[u8]>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, OperatorError> {
        let base = base.unwrap_or_default();
        let mut value = Vec::with_capacity(base.len() + total_len(operands));
        value.extend_from_slice(base);
        for operand in operands {
            value.extend_from_slice(operand);
        }
        Ok(value)
    }

    fn partial(&self, _key: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
        Some(operands.concat())
    }
}

fn total_len(operands: &[&[u8]]) -> usize {
    operands.iter().map(|operand| operand.len()).sum()
}
