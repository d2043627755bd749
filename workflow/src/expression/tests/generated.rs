//! Generated sources.

use proptest::prelude::*;

use super::*;

/// Generates sources from valid tokens, so that random tests find more than syntax errors.
fn tokens() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("a"),
        Just("l"),
        Just("s"),
        Just("x"),
        Just("n"),
        Just("1"),
        Just("0"),
        Just("-1"),
        Just("1.5"),
        Just("2u"),
        Just("'ab'"),
        Just("''"),
        Just("b'x'"),
        Just("null"),
        Just("true"),
        Just("("),
        Just(")"),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just(","),
        Just(":"),
        Just("?"),
        Just("."),
        Just("+"),
        Just("-"),
        Just("*"),
        Just("/"),
        Just("%"),
        Just("=="),
        Just("!="),
        Just("<"),
        Just(">="),
        Just("&&"),
        Just("||"),
        Just("!"),
        Just(" in "),
        Just(".map(x,"),
        Just(".filter(x,"),
        Just(".all(x,"),
        Just(".exists(x,"),
        Just(".size()"),
        Just("size("),
        Just(".matches("),
        Just(".replace("),
        Just(".split("),
        Just(".join("),
        Just(".format("),
        Just("has("),
        Just("lists.range("),
        Just("math.greatest("),
        Just("timestamp("),
        Just("duration("),
        Just("quantity("),
        Just(".sortBy(x,"),
        Just(".?a"),
        Just("[?"),
        Just(".sum()"),
        Just("\n"),
        Just("//"),
        Just("`"),
        Just("\\"),
        Just("é"),
    ];
    proptest::collection::vec(token, 1..40).prop_map(|tokens| tokens.concat())
}

fn sample() -> Variables {
    bindings(json!({
        "a": { "a": 1, "b": [1, 2, { "a": null }], "s": "text" },
        "l": [1, 2.5, "x", null, [3], { "a": 1 }],
        "s": "some text", "n": 7,
    }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn evaluation_of_random_tokens_is_deterministic_and_bounded(source in tokens()) {
        if let Ok(expression) = Expression::parse(&source) {
            // The value is bounded, and a second evaluation gives the same value.
            let value = expression.evaluate(&sample());
            prop_assert_eq!(&value, &expression.evaluate(&sample()));
            if let Ok(value) = value {
                prop_assert!(value.to_string().len() <= 2 * (256 << 10));
            }
        }
    }
}
