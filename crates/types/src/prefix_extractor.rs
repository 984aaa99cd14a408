use alloc::{format, string::String, sync::Arc};
use core::{fmt::Debug, num::NonZeroU64};

use crate::key_hash;

/// Cuts from a key the prefix under which it is looked for together with others.
///
/// A filter over prefixes can tell that no key begins with one. It is only asked under the extractor
/// that it was built under.
///
/// # Contract
///
/// * What is cut never changes for a given [`name`](Self::name): the name, as
///   [`id`](Self::id), is stored with the data.
/// * `prefix(key)`, if there is one, is how `key` begins.
/// * Whatever begins with a key has the prefix of that key: if `prefix(a)` is `Some(p)` and `b`
///   begins with `a`, then `prefix(b)` is `Some(p)`. So a scan of the keys that begin with `a` may
///   ask a filter for `p`, and finds all of them under it; where `prefix(a)` is `None`, it may not
///   ask.
/// * `prefix` neither panics nor depends on anything but its argument.
pub trait PrefixExtractor: Debug + Send + Sync {
    /// The name stored, as [`id`](Self::id), with what was built under it.
    fn name(&self) -> &str;

    /// The prefix of `key`; `None` if it has none, and then no filter answers for it.
    fn prefix<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]>;

    /// The number by which formats know the extractor: the [`key_hash`] of its name.
    fn id(&self) -> NonZeroU64 {
        NonZeroU64::new(key_hash(self.name().as_bytes())).unwrap_or(NonZeroU64::MIN)
    }
}

/// The first so many bytes; shorter keys have no prefix.
///
/// ```
/// use stratal_types::{FixedPrefix, PrefixExtractor};
/// let country = FixedPrefix::new(2);
/// assert_eq!(country.name(), "fixed:2");
/// assert_eq!(country.prefix(b"AD/Vila"), Some(&b"AD"[..]));
/// assert_eq!(country.prefix(b"A"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedPrefix {
    len: u16,
    name: String,
}

impl FixedPrefix {
    /// Cuts off `len` bytes.
    pub fn new(len: u16) -> Self {
        Self { len, name: format!("fixed:{len}") }
    }
}

impl PrefixExtractor for FixedPrefix {
    fn name(&self) -> &str {
        &self.name
    }

    fn prefix<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        key.get(..self.len.into())
    }
}

/// What stands before the first of a certain byte, and that byte; keys without it have no prefix.
///
/// ```
/// use stratal_types::{DelimitedPrefix, PrefixExtractor};
/// let country = DelimitedPrefix::new(b'/');
/// assert_eq!(country.name(), "delimited:2f");
/// assert_eq!(country.prefix(b"AD/Vila/Old"), Some(&b"AD/"[..]));
/// assert_eq!(country.prefix(b"AD"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelimitedPrefix {
    delimiter: u8,
    name: String,
}

impl DelimitedPrefix {
    /// Cuts behind the first `delimiter`.
    pub fn new(delimiter: u8) -> Self {
        Self { delimiter, name: format!("delimited:{delimiter:02x}") }
    }
}

impl PrefixExtractor for DelimitedPrefix {
    fn name(&self) -> &str {
        &self.name
    }

    fn prefix<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        let end = key.iter().position(|&byte| byte == self.delimiter)?;
        key.get(..=end)
    }
}

/// No prefix of any key: what is built under it answers for whole keys only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoPrefix;

impl PrefixExtractor for NoPrefix {
    fn name(&self) -> &'static str {
        "none"
    }

    fn prefix<'k>(&self, _key: &'k [u8]) -> Option<&'k [u8]> {
        None
    }
}

/// The extractor of this crate that has this `name`.
///
/// ```
/// use stratal_types::prefix_extractor_named;
/// let country = prefix_extractor_named("fixed:2").unwrap();
/// assert_eq!(country.prefix(b"AD/Vila"), Some(&b"AD"[..]));
/// assert!(prefix_extractor_named("fixed:two").is_none());
/// ```
pub fn prefix_extractor_named(name: &str) -> Option<Arc<dyn PrefixExtractor>> {
    let (kind, argument) = name.split_once(':').unwrap_or((name, ""));
    let extractor: Arc<dyn PrefixExtractor> = match kind {
        "none" => Arc::new(NoPrefix),
        "fixed" => Arc::new(FixedPrefix::new(argument.parse().ok()?)),
        "delimited" => Arc::new(DelimitedPrefix::new(u8::from_str_radix(argument, 16).ok()?)),
        _ => return None,
    };
    // Another spelling of an argument would be another name for the same.
    (extractor.name() == name).then_some(extractor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn extractors() -> Vec<Arc<dyn PrefixExtractor>> {
        let names = ["none", "fixed:0", "fixed:2", "fixed:65535", "delimited:07", "delimited:ff"];
        names.into_iter().map(|name| prefix_extractor_named(name).unwrap()).collect()
    }

    #[test]
    fn extractors_are_found_by_their_own_name_only() {
        for extractor in extractors() {
            let found = prefix_extractor_named(extractor.name()).unwrap();
            assert_eq!(found.id(), extractor.id());
        }
        for name in ["", "none:", "fixed", "fixed:02", "fixed:+2", "fixed:65536", "delimited:7"] {
            assert!(prefix_extractor_named(name).is_none(), "{name}");
        }
    }

    #[test]
    fn an_id_is_the_hash_of_the_name() {
        assert_eq!(FixedPrefix::new(2).id().get(), key_hash(b"fixed:2"));
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(alloc::vec![0u8, 7, 255]), 0..5)
    }

    proptest! {
        #[test]
        fn what_begins_with_a_key_has_its_prefix(a in key(), more in key()) {
            let b = [&a[..], &more].concat();
            for extractor in extractors() {
                if let Some(prefix) = extractor.prefix(&a) {
                    prop_assert!(a.starts_with(prefix));
                    prop_assert_eq!(extractor.prefix(&b), Some(prefix), "{}", extractor.name());
                }
            }
        }
    }
}
