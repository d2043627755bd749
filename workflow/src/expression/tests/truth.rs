//! Three-valued logic, and errors of an evaluation.

use super::*;

/// Bad-input row E4: arithmetic without a result (overflow, division by zero) is unknown.
#[test]
fn arithmetic_error_is_unknown() {
    for source in [
        "1 / 0 == 1",
        "1 % 0 == 1",
        "1u / 0u == 1u",
        "9223372036854775807 + 1 > 0",
        "-9223372036854775808 - 1 < 0",
        "9223372036854775807 * 2 > 0",
        "-9223372036854775808 / -1 > 0",
        "-9223372036854775808 % -1 == 0",
        "-(-9223372036854775808) > 0",
        "18446744073709551615u + 1u > 0u",
        "0u - 1u < 1u",
        "math.bitShiftLeft(1, 64) == 0",
        "math.bitShiftRight(1, 64) == 0",
        "math.bitShiftLeft(1u, 64) == 0u",
        "math.bitShiftLeft(1, -1) == 0",
        "math.abs(-9223372036854775808) > 0",
        "int(1e300) > 0",
        "int('9223372036854775808') > 0",
        "[9223372036854775807, 1].sum() > 0",
    ] {
        check_evaluation_error(source, json!({}), ExpressionCode::ExpressionEvaluation);
    }
    check("math.bitShiftLeft(1, 63)", json!(i64::MIN));
    check("math.bitShiftRight(-1, 63)", json!(1));
    check_parse_error("9223372036854775808 > 0", ExpressionCode::ExpressionSyntax);
}

/// Bad-input row E5: an expression with a missing, null or non-finite value is never true.
#[test]
fn missing_null_or_nan_is_never_true() {
    for source in [
        "0.0 / 0.0 == 0.0 / 0.0",
        "0.0 / 0.0 != 1.0",
        "0.0 / 0.0 < 1.0",
        "!(0.0 / 0.0 >= 1.0)",
        "1.0 / 0.0 > 1.0",
        "-1.0 / 0.0 < 1.0",
        "double('NaN') != 1.0",
        "double('Infinity') > 1.0",
        "1e308 * 10.0 > 1.0",
        "math.sqrt(-1.0) != 1.0",
        "0.0 / 0.0 in [1.0]",
        "!(0.0 / 0.0 in [1.0])",
        "[1.0, 0.0 / 0.0].max() > 0.0",
        "[0.0 / 0.0, 1.0].isSorted()",
    ] {
        check_unknown(source, json!({}));
    }
    for source in [
        "missing",
        "missing == 1",
        "missing != 1",
        "!missing",
        "missing.field > 1",
        "has(missing.field)",
        "nothing",
        "nothing == 1",
        "nothing != 1",
        "1 != nothing",
        "nothing > 1",
        "nothing < 1",
        "!(nothing > 1)",
        "nothing in [1]",
        "!(nothing in [1])",
        "d.absent == 1",
        "d.nothing != 1",
        "d.replicas",
        "'true'",
        "d.name",
        "d",
    ] {
        check_unknown(
            source,
            json!({ "nothing": null, "d": { "replicas": 1, "name": "true", "nothing": null } }),
        );
    }
    // Minus zero equals zero.
    check("-0.0 < 0.0", json!(false));
    check("-0.0 > 0.0", json!(false));
    check("-0.0", json!(0.0));
    // An explicit null test has a value.
    check_with("d.nothing == null", json!({ "d": { "nothing": null } }), json!(true));
    check_with("d.nothing != null", json!({ "d": { "nothing": 1 } }), json!(true));
    check("math.isNaN(0.0 / 0.0) && math.isInf(1.0 / 0.0)", json!(true));
}

/// As in CEL, an error is ignored if the other operand decides the result.
#[test]
fn logical_operators_absorb_errors() {
    check_all(&[
        "true || missing",
        "missing || true",
        "!(false && missing)",
        "!(missing && false)",
    ]);
    check_all(&["[1, 0].exists(x, 1 / x == 1)", "!([0, 2].all(x, 2 / x == 2))"]);
    for source in [
        "false || missing",
        "missing || false",
        "true && missing",
        "missing && true",
        "missing || missing",
    ] {
        check_unknown(source, json!({}));
    }
    check_unknown("[0, 2].exists(x, 1 / x == 1)", json!({}));
    check_unknown("missing ? true : true", json!({}));
}

#[test]
fn truth_serializes_with_its_message() {
    let truth = parse("d.x > 1").evaluate_condition(&bindings(json!({ "d": {} })));
    let serialized = serde_json::to_value(&truth).unwrap();
    assert_eq!(serialized["truth"], "unknown");
    assert!(serialized["message"].as_str().unwrap().contains("`x`"), "{serialized}");
    assert_eq!(serde_json::from_value::<Truth>(serialized).unwrap(), truth);
    assert_eq!(serde_json::to_value(Truth::True).unwrap(), json!({ "truth": "true" }));
}

#[test]
fn errors_do_not_show_values() {
    let secret = json!({ "secret": "hunter2", "n": 1 });
    for source in [
        "secret > n",
        "secret + n",
        "secret[n]",
        "n[secret]",
        "{secret: 1}[n]",
        "[n][secret]",
        "-secret",
        "n / 0",
    ] {
        let error = parse(source).evaluate(&bindings(secret.clone())).expect_err(source);
        assert!(!format!("{error:?}").contains("hunter2"), "{source}: {error:?}");
    }
}
