//! The generators as `proptest` strategies, which shrink what fails.

use proptest::{collection::vec, prelude::*, sample::select};

use crate::{KeyShape, Op, Rng, value};

/// A shape of keys.
pub fn key_shape() -> impl Strategy<Value = KeyShape> {
    select(KeyShape::ALL.to_vec())
}

/// A key of one to four bytes over an alphabet with both extremes: collisions, common prefixes and
/// keys that begin other keys are frequent.
pub fn small_key() -> impl Strategy<Value = Vec<u8>> {
    vec(select(vec![0x00u8, 0x01, b'a', b'b', 0xfe, 0xff]), 1..=4)
}

/// A key of any of the shapes or a small one, from about `population` of each.
pub fn key(population: u64) -> impl Strategy<Value = Vec<u8>> {
    let shaped = (key_shape(), any::<u64>())
        .prop_map(move |(shape, seed)| shape.key(population, &mut Rng::new(seed)));
    prop_oneof![2 => small_key(), 1 => shaped]
}

/// A value of up to `len_max` bytes, short ones more often, of any compressibility.
pub fn any_value(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![Just(0), 0..=len_max.min(20), 0..=len_max];
    (len, 0u8..=100, any::<u64>())
        .prop_map(|(len, percent, seed)| value(len, percent, &mut Rng::new(seed)))
}

/// Any change, to few small keys, so that one key sees many of them.
pub fn op() -> impl Strategy<Value = Op> {
    let put = (small_key(), any_value(40)).prop_map(|(key, value)| Op::Put { key, value });
    let merge = (small_key(), vec(any::<u8>(), 0..4));
    let range = (small_key(), small_key());
    prop_oneof![
        6 => put,
        2 => small_key().prop_map(|key| Op::Delete { key }),
        1 => small_key().prop_map(|key| Op::WeakDelete { key }),
        2 => merge.prop_map(|(key, operand)| Op::Merge { key, operand }),
        1 => range.prop_map(|(from, to)| Op::DeleteRange { from, to }),
    ]
}

/// Up to `count_max` changes.
pub fn ops(count_max: usize) -> impl Strategy<Value = Vec<Op>> {
    vec(op(), 0..=count_max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;
    use stratal_types::{KeyRange, SeqNo};

    proptest! {
        #[test]
        fn generated_changes_are_within_the_limits_and_the_oracle_takes_them(changes in ops(60)) {
            let mut model = Model::bytewise();
            for (seqno, change) in (1u32..).zip(&changes) {
                model.apply(seqno.into(), change);
            }
            for (key, _, value) in model.entries() {
                prop_assert!((1..=4).contains(&key.len()) && value.len() <= 40);
            }
            // A scan is nothing but a get of every key.
            for bound in [1u32, 20, 61] {
                let rows = model.scan(&KeyRange::ALL, bound.into());
                prop_assert!(rows.is_sorted());
                for (key, value) in &rows {
                    prop_assert_eq!(model.get(key, bound.into()), Some(value.clone()));
                }
            }
            prop_assert_eq!(model.count(&KeyRange::ALL, SeqNo::ZERO), 0);
        }

        #[test]
        fn generated_keys_and_values_are_within_the_limits(
            key in key(1000),
            value in any_value(300),
        ) {
            prop_assert!((1..=stratal_types::KEY_LEN_MAX).contains(&key.len()));
            prop_assert!(value.len() <= 300);
        }
    }
}
