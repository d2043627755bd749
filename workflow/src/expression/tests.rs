mod budget;
mod function;
mod generated;
mod source;
mod template_string;
mod truth;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

fn bindings(value: Value) -> Variables {
    match value {
        Value::Object(fields) => fields.into_iter().collect(),
        other => panic!("variables must be an object, found {other}"),
    }
}

fn parse(source: &str) -> Expression {
    Expression::parse(source).unwrap_or_else(|error| panic!("{source}: {error:?}"))
}

/// Asserts that an expression without variables has this value.
fn check(source: &str, expected: Value) {
    check_with(source, json!({}), expected);
}

fn check_with(source: &str, bound: Value, expected: Value) {
    let value = parse(source).evaluate(&bindings(bound));
    assert_eq!(value, Ok(expected), "{source}");
}

fn check_all(sources: &[&str]) {
    for source in sources {
        check(source, json!(true));
    }
}

/// Asserts that parsing a source fails with this code.
fn check_parse_error(source: &str, code: ExpressionCode) -> ExpressionError {
    let error = Expression::parse(source).expect_err(source);
    assert_eq!(error.code, code, "{source}: {error:?}");
    assert!(error.message.len() <= 256, "{error:?}");
    error
}

/// Asserts that evaluation fails with this code, and that the expression is unknown as a condition.
fn check_evaluation_error(source: &str, bound: Value, code: ExpressionCode) -> ExpressionError {
    let (expression, bound) = (parse(source), bindings(bound));
    let error = expression.evaluate(&bound).expect_err(source);
    assert_eq!(error.code, code, "{source}: {error:?}");
    assert!(error.message.len() <= 256, "{error:?}");
    assert!(matches!(expression.evaluate_condition(&bound), Truth::Unknown { .. }), "{source}");
    error
}

fn check_unknown(source: &str, bound: Value) {
    let truth = parse(source).evaluate_condition(&bindings(bound));
    assert!(matches!(truth, Truth::Unknown { .. }), "{source}: {truth:?}");
}

/// Runs `work` on a thread with the stack size of an async runtime's threads.
fn on_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
}

#[test]
fn expression_serializes_as_its_source() {
    let serialized = serde_json::to_value(parse("1 + 1")).unwrap();
    assert_eq!(serialized, json!("1 + 1"));
    assert_eq!(serde_json::from_value::<Expression>(serialized).unwrap(), parse("1 + 1"));
    assert_ne!(parse("1+1"), parse("1 + 1"));
    let error = serde_json::from_value::<Expression>(json!("a == nope()")).unwrap_err().to_string();
    assert_eq!(error, "expression_unknown_function: there is no function `nope` (1:6)");
    assert_eq!(format!("{:?}", parse("a")), "Expression(\"a\")");
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Expression>();
}

#[test]
fn codes_serialize_as_str() {
    use ExpressionCode as C;
    for code in
        [C::ExpressionSyntax, C::ExpressionTooManyNodes, C::RegexTooLarge, C::TemplateTooLong]
    {
        assert_eq!(serde_json::to_value(code).unwrap(), json!(code.as_str()));
    }
}
