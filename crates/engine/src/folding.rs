use std::sync::Arc;

use stratal_merge::{Fold, MergeOperator, fold};
use stratal_types::{EntryKind, sync::OnceLock};

use crate::Error;

/// How the operands of a tree are folded. Chosen once, when the tree is opened or later.
#[derive(Debug, Default)]
pub(crate) struct Folding(OnceLock<Chosen>);

#[derive(Debug)]
struct Chosen {
    name: String,
    /// `None` if nobody here knows the name.
    operator: Option<Arc<dyn MergeOperator>>,
}

impl Folding {
    /// Chooses the operator called `name`, unless one was chosen before.
    pub(crate) fn choose(&self, name: &str, operator: Option<Arc<dyn MergeOperator>>) {
        self.0.get_or_init(|| Chosen { name: name.to_owned(), operator });
    }

    /// The name of the operator that was chosen.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.get().map(|chosen| &*chosen.name)
    }

    /// The operator, for merges of tables, which leave operands alone without one.
    pub(crate) fn operator(&self) -> Option<&dyn MergeOperator> {
        self.0.get().and_then(|chosen| chosen.operator.as_deref())
    }

    /// The operator, for whoever cannot do without.
    pub(crate) fn needed(&self) -> Result<&dyn MergeOperator, Error> {
        self.operator().ok_or_else(|| Error::NoOperator { name: self.name().map(str::to_owned) })
    }
}

impl Fold<Error> for Folding {
    fn fold(
        &self,
        key: &[u8],
        base: Option<(EntryKind, &[u8])>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, Error> {
        let operator = self.needed()?;
        let base = match base {
            Some((EntryKind::Put | EntryKind::PutOverDelete, value)) => Some(value),
            Some((kind, _)) => return Err(Error::NotAValue(kind)),
            None => None,
        };
        fold(operator, key, base, operands).map_err(|source| Error::Operator {
            operator: operator.name().to_owned(),
            key: key.to_vec(),
            source,
        })
    }
}
