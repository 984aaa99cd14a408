//! What the operators make of bytes, and that they keep the contract.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use stratal_merge::{
    MergeOperator, OperatorError, fold, operator_named,
    operators::{AddU64, Append},
};
use stratal_types::VALUE_LEN_MAX;

/// Base, operands, and the value, or part of what the operator says.
type Case<'a> = (Option<&'a str>, &'a [&'a str], Result<&'a str, &'a str>);

fn check(operator: &dyn MergeOperator, cases: &[Case<'_>]) {
    for (base, operands, expected) in cases {
        let bytes: Vec<&[u8]> = operands.iter().map(|operand| operand.as_bytes()).collect();
        let found = fold(operator, b"key", base.map(str::as_bytes), &bytes);
        match (&found, expected) {
            (Ok(value), Ok(expected)) => {
                assert_eq!(str::from_utf8(value).unwrap(), *expected, "{base:?} {operands:?}");
            }
            (Err(OperatorError { reason }), Err(part)) => {
                assert!(reason.contains(part), "{reason}");
            }
            _ => panic!("{base:?} {operands:?}: {found:?}, not {expected:?}"),
        }
    }
}

/// Every base under every chain of operands: folded in pieces, and composed, as folded at once.
/// Returns how many chains compose.
fn check_contract(operator: &dyn MergeOperator, bases: &[&str], operands: &[&str]) -> usize {
    let mut composed = 0;
    let mut chains: Vec<Vec<&[u8]>> = vec![Vec::new()];
    for _ in 0..3 {
        let longer = chains.iter().flat_map(|chain| {
            operands.iter().map(|operand| [&chain[..], &[operand.as_bytes()]].concat())
        });
        chains = longer.collect();
        for chain in &chains {
            let one = operator.partial(b"key", chain);
            composed += usize::from(one.is_some());
            for base in [None].into_iter().chain(bases.iter().map(|base| Some(base.as_bytes()))) {
                let at_once = fold(operator, b"key", base, chain);
                let mut in_pieces: Result<_, OperatorError> = Ok(base.map(<[u8]>::to_vec));
                for operand in chain {
                    in_pieces = in_pieces.and_then(|value| {
                        fold(operator, b"key", value.as_deref(), &[operand]).map(Some)
                    });
                }
                let in_pieces = in_pieces.map(Option::unwrap_or_default).ok();
                assert_eq!(in_pieces, at_once.clone().ok(), "{base:?} {chain:?} in pieces");
                if let Some(one) = &one {
                    let by_one = fold(operator, b"key", base, &[one]);
                    assert_eq!(by_one.ok(), at_once.ok(), "{base:?} {chain:?} as {one:?}");
                }
            }
        }
    }
    composed
}

#[test]
fn operators_are_found_by_their_own_name() {
    for name in ["add-u64", "append"] {
        assert_eq!(operator_named(name).unwrap().name(), name);
    }
    assert_eq!(operator_named("json-patch").is_some(), cfg!(feature = "json-patch"));
    assert!(operator_named("add").is_none());
}

#[test]
fn numbers_are_added_and_what_is_no_number_is_refused() {
    let most = "18446744073709551615";
    let no_number = Err("is no number");
    check(
        &AddU64,
        &[
            (None, &["0"], Ok("0")),
            (None, &["1", "2", "39"], Ok("42")),
            (Some("007"), &["1"], Ok("8")),
            (Some(most), &["0"], Ok(most)),
            (Some(most), &["1"], Ok(most)),
            (Some("1"), &[most, most], Ok(most)),
            (Some("00000000000000000001"), &["1"], Ok("2")),
            (Some(""), &["1"], no_number),
            (None, &[""], no_number),
            (None, &["1", "-1"], no_number),
            (None, &["+1"], no_number),
            (None, &["1 "], no_number),
            (None, &["18446744073709551616"], no_number),
            (None, &["000000000000000000001"], no_number),
        ],
    );
    let most_less_one = "18446744073709551614";
    let operands = ["0", "1", "02", most_less_one, most, "x"];
    let composed = check_contract(&AddU64, &["0", "5", most, "nonsense"], &operands);
    assert_eq!(composed, 5 + 5 * 5 + 5 * 5 * 5, "all without the one that is no number");
}

#[test]
fn appended_operands_stand_in_the_order_in_which_they_were_written() {
    check(
        &Append,
        &[
            (None, &["a", "", "b"], Ok("ab")),
            (Some("x"), &["1", "2"], Ok("x12")),
            (Some(""), &[""], Ok("")),
        ],
    );
    assert_eq!(check_contract(&Append, &["", "x", "yz"], &["", "1", "23"]), 3 + 9 + 27);
}

/// Makes values as long as its operand says.
#[derive(Debug)]
struct Inflate;

impl MergeOperator for Inflate {
    fn name(&self) -> &'static str {
        "inflate"
    }

    fn full(&self, _: &[u8], _: Option<&[u8]>, _: &[&[u8]]) -> Result<Vec<u8>, OperatorError> {
        Ok(vec![0; VALUE_LEN_MAX + 1])
    }
}

#[test]
fn a_value_that_no_table_takes_is_an_error() {
    let error = fold(&Inflate, b"key", None, &[b""]).unwrap_err();
    assert!(error.reason.contains("1073741825 bytes"), "{error}");
    assert_eq!(Inflate.partial(b"key", &[b"", b""]), None, "unless an operator says how");
}

#[cfg(feature = "json-patch")]
mod json {
    use stratal_merge::operators::JsonPatch;

    use super::{check, check_contract};

    /// The cases in the appendix of RFC 7396: value, patch, result.
    const OF_THE_RFC: [(&str, &str, &str); 15] = [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
        ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ];

    #[test]
    fn patches_do_what_the_rfc_says() {
        for (value, patch, result) in OF_THE_RFC {
            check(&JsonPatch, &[(Some(value), &[patch], Ok(result))]);
        }
    }

    #[test]
    fn what_is_not_patched_stays_as_it_is_written() {
        let number = "1.000000000000000000000000000001e+400";
        let value = format!(r#"{{ "z" : [ 1,  2 ], "n":{number}, "é\n":{{"x": 1}} }}"#);
        let result = format!(r#"{{"a":0,"n":{number},"z":[ 1,  2 ],"é\n":{{"x": 1}}}}"#);
        check(
            &JsonPatch,
            &[
                (Some(&value), &[r#"{"a":0}"#], Ok(&result)),
                (None, &[r#"{"b":1,"a":{"x":null},"b":2}"#], Ok(r#"{"a":{},"b":2}"#)),
                (Some("not JSON"), &["1"], Err("the value is not JSON")),
                (Some("{}"), &["{"], Err("the patch is not JSON")),
                (Some("{}"), &["{} {}"], Err("the patch is not JSON")),
                (Some("{}"), &["\u{fffd}"], Err("the patch is not JSON")),
                (Some("{}"), &[r#"{"\ud800":1}"#], Err("a name is not JSON")),
            ],
        );
    }

    #[test]
    fn depth_is_limited_where_it_would_cost_stack() {
        let objects =
            |depth: usize| [r#"{"a":"#.repeat(depth), "0".into(), "}".repeat(depth)].concat();
        let deep = objects(100_000);
        let deep_and_b = [&deep[..deep.len() - 1], r#","b":1}"#].concat();
        let arrays = ["[".repeat(1_000_000), "]".repeat(1_000_000)].concat();
        check(
            &JsonPatch,
            &[
                (None, &[&objects(128)], Ok(&objects(128))),
                (None, &[&objects(129)], Err("deep")),
                (None, &[&objects(100_000)], Err("deep")),
                (Some(&deep), &[r#"{"b":1}"#], Ok(&deep_and_b)),
                (Some(&arrays), &[&arrays], Ok(&arrays)),
            ],
        );
    }

    #[test]
    fn patches_compose_where_one_patch_can_say_it() {
        let values = [
            "1",
            "null",
            "[]",
            "{}",
            r#"{"a":1}"#,
            r#"{"a":{"x":1},"b":2}"#,
            r#"{"b":{"y":null}}"#,
        ];
        let patches = [
            "7",
            "null",
            "{}",
            r#"{"a":null}"#,
            r#"{"a":{"x":null}}"#,
            r#"{"a":{"y":2}}"#,
            r#"{"a":3,"b":null}"#,
            r#"{"b":{"x":{"z":1}}}"#,
            "no JSON",
        ];
        let composed = check_contract(&JsonPatch, &values, &patches);
        println!("{composed} of {} chains compose", 9 + 81 + 729);
        assert_eq!(composed, 297, "the others need an object whatever was there, or are no JSON");
    }
}
