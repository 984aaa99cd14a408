//! Merge operators.

use stratal_merge::{MergeOperator, compose, fold, operators};

/// Pieces of JSON, so that what they make is often JSON.
const TOKENS: [&str; 12] =
    ["{", "}", "\"a\":", "\"b\":", "null", "1", ",", "[", "]", "{\"a\":", "{\"b\":null}", "}}"];

/// Any bytes as a base and operands, cut at every 0xff.
pub fn operands(data: &[u8]) {
    let parts: Vec<&[u8]> = data.split(|byte| *byte == 0xff).collect();
    check(&operators::Append, &parts);
    check(&operators::AddU64, &parts);
    check(&operators::JsonPatch, &parts);
}

/// Any bytes as pieces of JSON: a base, and patches cut at every 0xff.
pub fn json_patches(data: &[u8]) {
    let text = |part: &[u8]| {
        let tokens = part.iter().filter_map(|byte| TOKENS.get(usize::from(*byte) % TOKENS.len()));
        tokens.copied().collect::<String>().into_bytes()
    };
    let parts: Vec<Vec<u8>> = data.split(|byte| *byte == 0xff).map(text).collect();
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    check(&operators::JsonPatch, &parts);
}

/// Operands do in pieces, and composed, what they do at once.
fn check(operator: &dyn MergeOperator, parts: &[&[u8]]) {
    let Some((base, operands)) = parts.split_first() else { return };
    let Some((first, rest)) = operands.split_first() else { return };
    let composed = compose(operator, b"key", operands);
    for base in [None, Some(*base)] {
        let at_once = fold(operator, b"key", base, operands).ok();
        let mut in_pieces = fold(operator, b"key", base, &[first]).ok();
        for operand in rest {
            in_pieces =
                in_pieces.and_then(|value| fold(operator, b"key", Some(&value), &[operand]).ok());
        }
        assert_eq!(in_pieces, at_once);
        if let Some(composed) = &composed {
            assert_eq!(fold(operator, b"key", base, &[composed]).ok(), at_once);
        }
    }
}
