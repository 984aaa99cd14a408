use std::{fmt::Debug, sync::Arc};

use stratal_types::{EntryKind, VALUE_LEN_MAX};

use crate::operators::{AddU64, Append};

/// How operands are applied to values.
///
/// An operand is written without reading the value; who reads the key, or merges the tables that
/// hold it, applies the operands to the value under them.
///
/// # Contract
///
/// * The [`name`](Self::name) is stored with the data, and data written under one name is not read
///   under another: what an operator makes of given bytes never changes.
/// * [`full`](Self::full) depends on nothing but its arguments, and does not panic, whatever bytes
///   it gets.
/// * It may be done in pieces: `full(full(base, a), b)` is `full(base, a ‖ b)`. Reads and merges of
///   tables cut chains of operands wherever they like.
/// * If [`partial`](Self::partial) gives an operand, that does what all of them do, one after the
///   other, on every base and on nothing, failures included.
pub trait MergeOperator: Debug + Send + Sync {
    /// The name stored with data that has operands of this operator.
    fn name(&self) -> &str;

    /// The value of `key` after `operands`, oldest first and at least one, were applied to `base`,
    /// or to nothing.
    ///
    /// # Errors
    ///
    /// When an operand or the base makes no sense to the operator. A read then fails; a merge of
    /// tables leaves the operands as they are.
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

impl OperatorError {
    /// An error with this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// Makes values of operands for a read. What is made, a [`MergeOperator`] says; whose sources they are
/// adds where separated values lie, and how failures are told.
pub trait Fold<E>: Debug + Send + Sync {
    /// The value of `key` after `operands`, oldest first and at least one, were applied to `base`:
    /// the bytes of an entry of that kind, which is a value or a pointer, or nothing.
    ///
    /// # Errors
    ///
    /// If there is no such value, or no operator. The read fails with it.
    fn fold(
        &self,
        key: &[u8],
        base: Option<(EntryKind, &[u8])>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, E>;
}

/// The value of `key` that `operator` makes, as [`MergeOperator::full`]. Every fold goes through
/// here.
///
/// # Errors
///
/// Those of the operator, and one for a value longer than [`VALUE_LEN_MAX`], which no table takes.
pub fn fold(
    operator: &dyn MergeOperator,
    key: &[u8],
    base: Option<&[u8]>,
    operands: &[&[u8]],
) -> Result<Vec<u8>, OperatorError> {
    let value = operator.full(key, base, operands)?;
    if value.len() > VALUE_LEN_MAX {
        let len = value.len();
        let reason = format!("the value would be {len} bytes, at most {VALUE_LEN_MAX} are allowed");
        return Err(OperatorError { reason });
    }
    Ok(value)
}

/// One operand in place of several, as [`MergeOperator::partial`], unless it were longer than
/// [`VALUE_LEN_MAX`].
pub fn compose(operator: &dyn MergeOperator, key: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
    operator.partial(key, operands).filter(|operand| operand.len() <= VALUE_LEN_MAX)
}

/// The operator of this crate that stores itself under `name`: `add-u64`, `append` and, in a build
/// with the feature of that name, `json-patch`.
///
/// ```
/// use stratal_merge::{fold, operator_named};
/// let add = operator_named("add-u64").unwrap();
/// assert_eq!(fold(add.as_ref(), b"visits", Some(b"40"), &[b"1", b"1"]).unwrap(), b"42");
/// assert!(operator_named("by moonlight").is_none());
/// ```
pub fn operator_named(name: &str) -> Option<Arc<dyn MergeOperator>> {
    let known: [Arc<dyn MergeOperator>; 2] = [Arc::new(AddU64), Arc::new(Append)];
    #[cfg(feature = "json-patch")]
    let known = known.into_iter().chain([Arc::new(crate::operators::JsonPatch) as _]);
    known.into_iter().find(|operator| operator.name() == name)
}
