use std::fmt::Debug;

/// How the operands of a tree are applied. A value of the tree's configuration, stored by name
/// elsewhere.
pub trait MergeOperator: Debug + Send + Sync {
    /// The value of `key` after `operands`, oldest first, were applied to `base`, or to nothing.
    ///
    /// # Errors
    ///
    /// When an operand or the base makes no sense to the operator. A merge of tables then leaves
    /// the operands as they are.
    fn full(
        &self,
        key: &[u8],
        base: Option<&[u8]>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, OperatorError>;

    /// One operand that does what `operands`, oldest first, do one after another on any base.
    /// `None`, the default, if there is none.
    fn partial(&self, key: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
        let _ = (key, operands);
        None
    }
}

/// A merge operator could not apply its operands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("merge operator failed: {reason}")]
pub struct OperatorError {
    /// What the operator says.
    pub reason: String,
}
