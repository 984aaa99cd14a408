//! Deletes of everything, and of everything with a prefix, as range deletes.

use std::ops::Bound;

use stratal_types::{Comparator, KEY_LEN_MAX, PrefixRange, comparator_named};

use crate::{Error, Operation};

impl Operation {
    /// What takes the value of every key away that begins with `prefix`, in the order of `comparator`:
    /// of all keys, if it is empty. One range delete and, where no key stands behind the range, a
    /// delete of the last key there may be, which is 64 KiB long.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if the order does not keep such keys together, or is not one of
    /// `stratal-types`, so that the last key is not known.
    pub fn delete_prefix(prefix: &[u8], comparator: &dyn Comparator) -> Result<Vec<Self>, Error> {
        let refused = |what| {
            let name = comparator.name();
            Err(Error::InvalidArgument(format!("no prefix delete in the order {name:?}: {what}")))
        };
        let PrefixRange { start, end, exact } = comparator.prefix_range(prefix);
        if !exact {
            return refused("keys with a prefix do not stand together");
        }
        if prefix.len() > KEY_LEN_MAX {
            return Ok(Vec::new());
        }
        if let (Bound::Included(from), Bound::Excluded(to)) = (&start, &end)
            && !from.is_empty()
        {
            return Ok(vec![Self::DeleteRange { from: from.clone(), to: to.clone() }]);
        }
        if comparator_named(comparator.name()).is_none() {
            return refused("its last key is not known");
        }
        // In every known order one of these is the first and the other the last of the keys with the
        // prefix.
        let shortest = if prefix.is_empty() { vec![0] } else { prefix.to_vec() };
        let mut longest = prefix.to_vec();
        longest.resize(KEY_LEN_MAX, u8::MAX);
        let (from, last) = if comparator.compare(&shortest, &longest).is_lt() {
            (shortest, longest)
        } else {
            (longest, shortest)
        };
        let range = Self::DeleteRange { from, to: last.clone() };
        Ok(vec![range, Self::Delete { key: last }])
    }
}
