use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::library::{EXPANSIONS, FUNCTIONS};
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

// Rows of the bad-input catalogue.

/// Bad-input row E1: deep brackets and huge sources are rejected before parsing.
#[test]
fn deep_or_long_source_is_rejected_before_parsing() {
    check_parse_error(&"(".repeat(10_000), ExpressionCode::ExpressionTooLong);
    check_parse_error(&"1+".repeat(500_000), ExpressionCode::ExpressionTooLong);
    check_parse_error(&"(".repeat(1_000), ExpressionCode::ExpressionTooDeep);
    check_parse_error(&"[".repeat(33), ExpressionCode::ExpressionTooDeep);
    let error = check_parse_error(
        &format!("1 +\n  {}1{}", "(".repeat(33), ")".repeat(33)),
        ExpressionCode::ExpressionTooDeep,
    );
    assert_eq!((error.line, error.column), (2, 35));
    check(&format!("{}1{}", "(".repeat(32), ")".repeat(32)), json!(1));
}

/// Bad-input row E2: nested comprehensions and doubling strings exceed the budget.
#[test]
fn nested_comprehensions_and_doubling_strings_exceed_budget() {
    let range = "lists.range(1000)";
    let nested = format!("{range}.map(a, {range}.map(b, {range}.map(c, {range}.map(d, d))))");
    check_evaluation_error(&nested, json!({}), ExpressionCode::ExpressionBudget);
    let walked = format!(
        "{range}.all(a, {range}.all(b, {range}.all(c, {range}.all(d, a + b + c + d >= 0))))"
    );
    check_evaluation_error(&walked, json!({}), ExpressionCode::ExpressionBudget);
    check_parse_error(
        "l.map(a, l.map(b, l.map(c, l.map(d, l.map(e, e)))))",
        ExpressionCode::ExpressionTooDeep,
    );

    let doubled = format!("'ab'{}", ".replace('', 'xx')".repeat(64));
    check_evaluation_error(&doubled, json!({}), ExpressionCode::ExpressionBudget);
    let added = format!("['ab']{}", ".map(s, s + s)".repeat(24));
    check_evaluation_error(&added, json!({}), ExpressionCode::ExpressionBudget);
    check_parse_error(
        &format!("['ab']{}", ".map(s, s + s)".repeat(64)),
        ExpressionCode::ExpressionTooManyNodes,
    );
    let formatted = format!("['ab']{}", ".map(s, '%s%s'.format([s, s]))".repeat(20));
    check_evaluation_error(&formatted, json!({}), ExpressionCode::ExpressionBudget);
}

/// Bad-input row E3: regular expressions run in linear time with a bounded program.
#[test]
fn regular_expressions_are_linear_and_bounded() {
    let text = format!("{}b", "a".repeat(64 * 1024 - 1));
    check_with("text.matches('(a+)+$')", json!({ "text": text }), json!(false));
    let error =
        check_parse_error(r"text.matches('\\w{1000}{1000}')", ExpressionCode::RegexTooLarge);
    assert_eq!((error.line, error.column), (1, 14));
    check_parse_error(r"text.matches('(a{1000}){1000}')", ExpressionCode::RegexTooLarge);
    check_parse_error("text.matches('(')", ExpressionCode::RegexSyntax);
    check_parse_error(r"text.matches('(a)\\1')", ExpressionCode::RegexSyntax);
    check_parse_error(
        &format!("text.matches('{}{}')", "(".repeat(70), ")".repeat(70)),
        ExpressionCode::RegexSyntax,
    );
    let long = json!({ "text": "a".repeat(64 * 1024 + 1) });
    check_evaluation_error("text.matches('a')", long, ExpressionCode::ExpressionEvaluation);
    // A large program on a long text exceeds the budget, and computed patterns have a lower size limit than literal ones.
    let heavy = json!({ "text": "a".repeat(60 * 1024) });
    check_evaluation_error(
        r"text.matches('[a-z]{0,900}(a|b|c){0,900}x')",
        heavy,
        ExpressionCode::ExpressionBudget,
    );
    let computed = json!({ "text": "a", "pattern": r"\w{1000}{1000}" });
    check_evaluation_error("text.matches(pattern)", computed, ExpressionCode::ExpressionEvaluation);
    // Each of many matches may read the text to its end, so all matches together are not linear.
    let repeated = json!({ "text": "ab".repeat(8 * 1024) });
    check_evaluation_error(
        "text.findAll('a[ab]*c|a').size()",
        repeated.clone(),
        ExpressionCode::ExpressionBudget,
    );
    check_with("text.findAll('a[ab]*c|a', 3)", repeated, json!(["a", "a", "a"]));
    check_with("text.matches(pattern)", json!({ "text": "abc", "pattern": "^a.c$" }), json!(true));
}

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

/// Bad-input row E6: a value is never scanned for placeholders.
#[test]
fn rendered_value_is_not_rendered_again() {
    for hostile in [
        "${{ secrets.db }}",
        "{{secrets.db}}",
        "${HOME}",
        "$${{ 1 + 1 }}",
        "${{ label }}",
        "`id`",
        "$(id)",
    ] {
        let bound = bindings(json!({ "label": hostile, "secrets": { "db": "hunter2" } }));
        assert_eq!(render("${{ label }}", &bound), Ok(json!(hostile)));
        assert_eq!(render("at ${{ label }}.", &bound), Ok(json!(format!("at {hostile}."))));
        let within = json!({ "name": "${{ label }}", "list": ["<${{ label }}>", 1, null] });
        let expected = json!({ "name": hostile, "list": [format!("<{hostile}>"), 1, null] });
        assert_eq!(render_value(&within, &bound), Ok(expected));
    }
}

/// Bad-input row E7: other runs, the environment, files and hosts are not accessible.
#[test]
fn variables_outside_scope_are_unknown() {
    let allowed: BTreeSet<String> = ["target", "steps"].map(String::from).into();
    for (source, column) in [
        ("env.HOME == 'x'", 1),
        ("target.ready && runs['run_01'].status == 'failed'", 17),
        ("file == 1", 1),
        ("steps.all(s, s.ok == host)", 22),
        ("steps.all(target, target.ok) && .secrets.db == ''", 34),
        ("has(process.pid)", 5),
    ] {
        let error = parse(source).check_variables(&allowed).expect_err(source);
        assert_eq!(error.code, ExpressionCode::ExpressionUnknownVariable, "{source}");
        assert_eq!((error.line, error.column), (1, column), "{source}: {error:?}");
        assert!(error.hint.contains("steps, target"), "{error:?}");
    }
    for source in [
        "env('HOME')",
        "readFile('/etc/passwd')",
        "http.get('http://x')",
        "now()",
        "target.exec('sh')",
    ] {
        check_parse_error(source, ExpressionCode::ExpressionUnknownFunction);
    }
    let fine = parse("target.ready && steps.all(s, s.ok) && type(target.n) == int");
    assert_eq!(fine.check_variables(&allowed), Ok(()));
    // Variables that the expression does not use are not accessible, also not by a dotted name.
    check_unknown("target.secret == 'x'", json!({ "target": {}, "target.other": "x" }));
}

/// Bad-input row E8: timestamps are in UTC and defined from year 1 to the end of year 9999.
#[test]
fn time_is_utc_until_the_end_of_year_9999() {
    check_all(&[
        // The hour that daylight saving time skips in Europe exists in UTC.
        "timestamp('2026-03-29T01:30:00Z') + duration('1h') == timestamp('2026-03-29T02:30:00Z')",
        "timestamp('2026-03-29T03:30:00+02:00') == timestamp('2026-03-29T01:30:00Z')",
        "timestamp('2026-03-29T03:30:00+02:00').getHours() == 1",
        // Leap days.
        "timestamp('2024-02-28T12:00:00Z') + duration('24h') == timestamp('2024-02-29T12:00:00Z')",
        "timestamp('2023-02-28T12:00:00Z') + duration('24h') == timestamp('2023-03-01T12:00:00Z')",
        "timestamp('2024-12-31T00:00:00Z').getDayOfYear() == 365",
        // The limits of the range.
        "timestamp('9999-12-31T23:59:59.999999999Z') > timestamp('9999-12-31T23:59:59Z')",
        "timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z') > duration('87649415h')",
        "string(timestamp('9999-12-31T23:59:59.5Z')) == '9999-12-31T23:59:59.5Z'",
        "timestamp(253402300799) == timestamp('9999-12-31T23:59:59Z')",
        "int(timestamp('1969-12-31T23:59:59.5Z')) == -1",
    ]);
    for source in [
        "timestamp('9999-12-31T23:59:59Z') + duration('1s') > timestamp('2026-01-01T00:00:00Z')",
        "timestamp('0001-01-01T00:00:00Z') - duration('1ns') < timestamp('2026-01-01T00:00:00Z')",
        "timestamp('0001-01-01T00:00:00+01:00') < timestamp('2026-01-01T00:00:00Z')",
        "timestamp(253402300800) > timestamp(0)",
        "timestamp(9223372036854775807) > timestamp(0)",
        "timestamp('2023-02-29T00:00:00Z') > timestamp(0)",
        "timestamp('2016-12-31T23:59:60Z') > timestamp(0)",
        "timestamp('2026-01-01T00:00:00') > timestamp(0)",
        "timestamp('2026-01-01') > timestamp(0)",
        "timestamp('yesterday') > timestamp(0)",
        "timestamp('') > timestamp(0)",
        "duration('87660001h') > duration('1s')",
        "duration('87660000h') + duration('1h') > duration('1s')",
        "duration('1 day') > duration('1s')",
        "duration('1.2.3s') > duration('1s')",
        "duration('') > duration('1s')",
        "duration('99999999999999999999h') > duration('1s')",
    ] {
        check_unknown(source, json!({}));
    }
    let error = check_parse_error(
        "t.getHours('Europe/Paris') == 1",
        ExpressionCode::ExpressionUnknownFunction,
    );
    assert_eq!(error.hint, "timestamps are always in UTC");
}

/// Bad-input row C3: tokens that YAML readers treat as booleans or numbers are variable names or errors.
#[test]
fn yaml_boolean_words_are_variable_names() {
    for source in ["no", "on", "yes", "y"] {
        assert_eq!(parse(source).variables().len(), 1, "{source}");
        check_unknown(source, json!({}));
    }
    for source in ["1_000", "0o7", ".inf"] {
        let outcome = Expression::parse(source)
            .map(|expression| expression.evaluate_condition(&Variables::new()));
        assert!(!matches!(outcome, Ok(Truth::True | Truth::False)), "{source}: {outcome:?}");
    }
    check("1e3", json!(1000.0));
}

// Sources that abort the process if they are passed to the CEL crate directly.

/// These sources overflow the stack if they are passed to the CEL crate directly.
#[test]
fn sources_that_abort_the_cel_crate_are_rejected() {
    on_small_stack(|| {
        check_parse_error(&format!("1{}", "+1".repeat(3_000)), ExpressionCode::ExpressionTooLong);
        check_parse_error(&format!("1{}", "+1".repeat(20_000)), ExpressionCode::ExpressionTooLong);
        check_parse_error(&format!("a{}", "[0]".repeat(3_000)), ExpressionCode::ExpressionTooLong);
        check_parse_error(&format!("1{}", "+1".repeat(201)), ExpressionCode::ExpressionOperators);
        check_parse_error(&format!("a{}", "[0]".repeat(201)), ExpressionCode::ExpressionOperators);
        check_parse_error(&format!("a{}", ".b".repeat(201)), ExpressionCode::ExpressionOperators);
        check_parse_error(&format!("{}true", "!".repeat(201)), ExpressionCode::ExpressionOperators);
        check_parse_error(
            &format!("true{}", "||true".repeat(201)),
            ExpressionCode::ExpressionOperators,
        );
        check_parse_error(
            &format!("{}1{}", "(".repeat(90), ")".repeat(90)),
            ExpressionCode::ExpressionTooDeep,
        );
        check_parse_error(
            &format!("{}1{}", "[".repeat(90), "]".repeat(90)),
            ExpressionCode::ExpressionTooDeep,
        );
        check_parse_error(&"x ? 1 : ".repeat(101), ExpressionCode::ExpressionOperators);
        check_parse_error(
            &format!("{}2", "x ? 1 : ".repeat(60)),
            ExpressionCode::ExpressionTooDeep,
        );
    });
}

#[test]
fn highest_accepted_trees_evaluate_on_a_small_stack() {
    on_small_stack(|| {
        check(&format!("1{}", "+1".repeat(200)), json!(201));
        check(&format!("{}true", "!".repeat(200)), json!(true));
        check(&format!("{}1{}", "[".repeat(30), "]".repeat(30)), {
            (0..30).fold(json!(1), |inner, _| json!([inner]))
        });
        let nested = (0..60).fold(json!(7), |inner, _| json!([inner]));
        check_with(&format!("a{}", "[0]".repeat(60)), json!({ "a": nested }), json!(7));
        // Alternating selections and indices form one chain; too many are rejected by the node limit instead of a crash.
        let mixed = format!("a{}", ".b[0]".repeat(160));
        check_evaluation_error(&mixed, json!({ "a": {} }), ExpressionCode::ExpressionEvaluation);
        let sums = format!("{}1{}", "-(".repeat(30), format!("{})", "+1*2".repeat(3)).repeat(30));
        parse(&sums).evaluate(&Variables::new()).unwrap();
    });
}

#[test]
fn deep_or_large_variables_are_rejected() {
    on_small_stack(|| {
        let deep = (0..1_000).fold(json!(1), |inner, _| json!([inner]));
        check_evaluation_error(
            "size(a) > 0",
            json!({ "a": deep }),
            ExpressionCode::ExpressionBudget,
        );
        let large = Value::from(vec!["x".repeat(1_000); 5_000]);
        let error = check_evaluation_error(
            "size(a) > 0",
            json!({ "a": large }),
            ExpressionCode::ExpressionBudget,
        );
        assert!(error.hint.contains("fewer"), "{error:?}");
        // Unused variables are ignored.
        check_with("1 + 1", json!({ "a": large }), json!(2));
    });
}

// The budget.

#[test]
fn typical_conditions_are_within_the_budget() {
    let pods: Vec<Value> = (0..100)
        .map(|i| {
            json!({
                "metadata": { "name": format!("api-{i}"), "namespace": "shop", "labels": { "app": "api", "tier": "web" } },
                "spec": { "containers": [{ "name": "api", "image": "registry/api:1.2.3",
                    "resources": { "limits": { "memory": "128Mi" } } }] },
                "status": { "phase": "Running", "containerStatuses": [{ "ready": true, "restartCount": i }] },
            })
        })
        .collect();
    let bound = json!({ "pods": pods, "d": { "spec": { "replicas": 3 }, "status": { "readyReplicas": 3 } } });
    for source in [
        "d.status.readyReplicas >= d.spec.replicas",
        "pods.all(p, p.status.phase == 'Running' && p.status.containerStatuses.all(c, c.ready))",
        "pods.filter(p, p.metadata.labels.app == 'api').size() == 100",
        "pods.map(p, p.status.containerStatuses.map(c, c.restartCount).sum()).max() == 99",
        "pods.exists(p, p.metadata.name.matches('^api-[0-9]+$'))",
        "pods.map(p, p.metadata.name).join(',').contains('api-99')",
        "pods.all(p, p.spec.containers.all(c, quantity(c.resources.limits.memory).isLessThan(quantity('1Gi'))))",
        "pods.map(p, p.metadata.namespace).distinct() == ['shop']",
        "pods.map(p, p.metadata.name).sort()[0] == 'api-0'",
    ] {
        check_with(source, bound.clone(), json!(true));
    }
}

#[test]
fn budget_uses_actual_variable_sizes() {
    let source = "l.all(a, l.all(b, a + b >= 0))";
    check_with(source, json!({ "l": (0..30).collect::<Vec<i64>>() }), json!(true));
    let error = check_evaluation_error(
        source,
        json!({ "l": (0..300).collect::<Vec<i64>>() }),
        ExpressionCode::ExpressionBudget,
    );
    assert!(error.message.contains("units"), "{error:?}");
    let doubled = "(s + s).size()";
    check_with(doubled, json!({ "s": "x".repeat(60_000) }), json!(120_000));
    let error = check_evaluation_error(
        doubled,
        json!({ "s": "x".repeat(200_000) }),
        ExpressionCode::ExpressionBudget,
    );
    assert!(error.message.contains("bytes"), "{error:?}");
    check_with("lists.range(n).size()", json!({ "n": 1_000 }), json!(1_000));
    check_evaluation_error(
        "lists.range(n).size()",
        json!({ "n": 1_000_000 }),
        ExpressionCode::ExpressionBudget,
    );
    check_evaluation_error(
        "lists.range(n * n).size()",
        json!({ "n": 2 }),
        ExpressionCode::ExpressionBudget,
    );
}

#[test]
fn every_allocation_counts_toward_the_budget() {
    let text = json!({ "s": "ab".repeat(20_000), "l": vec!["x".repeat(500); 600] });
    for source in [
        "s.replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaa')",
        "s.replace('', s)",
        "s.split('')",
        "s.split('a').map(x, x + x)",
        "s.findAll('a')",
        "l.join(s)",
        "l.map(x, l)",
        "l + l + l",
        "[s, s, s, s, s, s, s]",
        "{'a': s, 'b': s, 'c': s, 'd': s, 'e': s, 'f': s, 'g': s}",
        "'%s%s%s%s'.format([l, l, l, l])",
        "strings.quote(s + s + s)",
        "base64.encode(bytes(s + s + s + s))",
        "[l].map(x, x + x).flatten()",
        "l.indexOf(s) == l.indexOf(s) && s.indexOf(s.substring(20000)) > 0",
        "l",
    ] {
        check_evaluation_error(source, text.clone(), ExpressionCode::ExpressionBudget);
    }
}

#[test]
fn every_function_has_a_cost() {
    for &(name, style, least, most) in FUNCTIONS.iter().chain(EXPANSIONS) {
        for count in least..=most {
            let call = cel::common::ast::CallExpr {
                func_name: match name {
                    "math.bitShiftLeft" => library::internal::SHIFT_LEFT.to_owned(),
                    "math.bitShiftRight" => library::internal::SHIFT_RIGHT.to_owned(),
                    other => other.to_owned(),
                },
                target: (style == library::CallStyle::Member).then(|| Box::new(literal())),
                args: (0..count).map(|_| literal()).collect(),
            };
            let node = cel::IdedExpr { id: 1, expr: cel::common::ast::Expr::Call(call) };
            let checked =
                cost::check(&node, &Patterns::new(), &Variables::new(), std::iter::empty());
            // The only function that creates a list from an unknown number.
            assert!(checked.is_ok() || name == "lists.range", "{name}: {checked:?}");
        }
    }
}

fn literal() -> cel::IdedExpr {
    let text = cel::common::types::CelString::from("x");
    cel::IdedExpr {
        id: 1,
        expr: cel::common::ast::Expr::Literal(cel::common::ast::LiteralValue::String(text)),
    }
}

#[test]
fn every_function_of_the_table_is_declared() {
    // A call with wrong argument types fails in evaluation; a call of an undeclared function would fail in parsing.
    for &(name, style, least, _) in FUNCTIONS {
        let arguments = vec!["missing"; least].join(", ");
        let source = match style {
            library::CallStyle::Global => format!("{name}({arguments})"),
            library::CallStyle::Member => format!("missing.{name}({arguments})"),
        };
        let bound = bindings(json!({ "missing": { "odd": [] } }));
        if let Err(error) = parse(&source).evaluate(&bound) {
            let expected = match name {
                "lists.range" => ExpressionCode::ExpressionBudget,
                _ => ExpressionCode::ExpressionEvaluation,
            };
            assert_eq!(error.code, expected, "{source}: {error:?}");
        }
    }
}

// Three-valued logic.

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

// The language.

#[test]
fn parse_errors_have_positions() {
    let error = check_parse_error("a == 1 &&\n  b ==", ExpressionCode::ExpressionSyntax);
    assert_eq!(error.line, 2, "{error:?}");
    let error = check_parse_error("'é' == nope('x')", ExpressionCode::ExpressionUnknownFunction);
    assert_eq!((error.line, error.column), (1, 8), "{error:?}");
    let error = check_parse_error("'é' == 1 1", ExpressionCode::ExpressionSyntax);
    assert_eq!((error.line, error.column), (1, 10), "{error:?}");
    let error = check_parse_error("'e'.map(1, 2)", ExpressionCode::ExpressionSyntax);
    assert_eq!((error.line, error.column), (1, 9), "{error:?}");
    let error = check_parse_error("a == 'x", ExpressionCode::ExpressionSyntax);
    assert_eq!((error.line, error.column), (1, 6));
    let error =
        check_parse_error("upperAscii('x') == 'X'", ExpressionCode::ExpressionUnknownFunction);
    assert!(error.hint.contains("value.upperAscii"), "{error:?}");
    check_parse_error("", ExpressionCode::ExpressionSyntax);
    check_parse_error("  ", ExpressionCode::ExpressionSyntax);
    check_parse_error("Message{field: 1}", ExpressionCode::ExpressionSyntax);
    check_parse_error("'a'.substring(1, 2, 3)", ExpressionCode::ExpressionUnknownFunction);
}

#[test]
fn variables_returns_only_free_variables() {
    let names =
        |source: &str| parse(source).variables().iter().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(names("a.b.c + d['e'] == f"), "a d f");
    assert_eq!(names("l.all(x, x > y) && x"), "l x y");
    assert_eq!(names("l.map(x, x.map(y, y + x))"), "l");
    assert_eq!(names("l.sortBy(x, x.n)[0].n"), "l");
    assert_eq!(names("a.?b.orValue(c)"), "a c");
    assert_eq!(names("m.optMap(v, v + w).orValue(0)"), "m w");
    assert_eq!(names("type(a) == int || type(a) == google.protobuf.Timestamp"), "a");
    assert_eq!(names("math.ceil(a) + size(lists.range(2))"), "a");
    assert_eq!(names("has(a.b) ? {'k': v} : {}"), "a v");
    assert_eq!(names("'a.b' == r'c' // d"), "");
}

#[test]
fn string_functions() {
    check_all(&[
        "'hello'.charAt(1) == 'e'",
        "'a-b-c'.replace('-', '_') == 'a_b_c'",
        "'a-b-c'.replace('-', '_', 1) == 'a_b-c'",
        "'a,b,c'.split(',') == ['a', 'b', 'c']",
        "'a,b,c'.split(',', 2) == ['a', 'b,c']",
        "['a', 'b'].join('/') == 'a/b'",
        "' x '.trim() == 'x'",
        "'Ab'.lowerAscii() == 'ab' && 'Ab'.upperAscii() == 'AB'",
        "'hello'.substring(1, 3) == 'el'",
        "'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3",
        "'%s has %d of %.2f'.format(['x', 3, 1.5]) == 'x has 3 of 1.50'",
        "'abc'.reverse() == 'cba'",
        "strings.quote('a\"b') == '\"a\\\\\"b\"'",
        "'abc'.startsWith('ab') && 'abc'.endsWith('bc') && 'abc'.contains('b')",
        "base64.encode(b'hello') == 'aGVsbG8=' && string(base64.decode('aGVsbG8=')) == 'hello'",
        "size('πέντε') == 5",
    ]);
}

#[test]
fn regular_expression_functions() {
    check_all(&[
        r"'api-7f9c'.matches('^api-[0-9a-f]+$')",
        r"matches('abc', 'b')",
        r"'OOMKilled at 12:30'.find('[0-9]+:[0-9]+') == '12:30'",
        r"'none'.find('[0-9]+') == ''",
        r"'a1b22c333'.findAll('[0-9]+') == ['1', '22', '333']",
        r"'a1b22c333'.findAll('[0-9]+', 2) == ['1', '22']",
        r"'a1b22'.findAll('[0-9]+', 0) == []",
        r"['a1', 'b'].filter(s, s.matches('[0-9]')) == ['a1']",
    ]);
    check_unknown("'a'.matches(1)", json!({}));
}

#[test]
fn list_and_map_functions() {
    check_all(&[
        "[1, 2, 3].sum() == 6 && [].sum() == 0 && [1.5, 2.0].sum() == 3.5",
        "[duration('1s'), duration('2s')].sum() == duration('3s')",
        "[3, 1, 2].min() == 1 && [3, 1, 2].max() == 3 && ['b', 'a'].min() == 'a'",
        "[1, 2, 2].isSorted() && !([2, 1].isSorted()) && [].isSorted()",
        "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(5) == -1",
        "[[1], [2, 3]].flatten() == [1, 2, 3]",
        "[3, 1, 2].sort() == [1, 2, 3] && [1, 1, 2].distinct() == [1, 2]",
        "[{'n': 2}, {'n': 1}].sortBy(x, x.n)[0].n == 1",
        "lists.range(3) == [0, 1, 2] && [1, 2, 3].slice(1, 2) == [2] && [1, 2].reverse() == [2, 1]",
        "{'a': 1}.a == 1 && 'a' in {'a': 1} && !('b' in {'a': 1})",
        "{'a': 1}.?b.orValue(7) == 7 && optional.of(1).hasValue()",
        "[1, 2, 3].exists_one(x, x > 2) && [1, 2].map(x, x > 1, x * 2) == [4]",
        "1 == 1.0 && 1u == 1 && [1] == [1.0] && {'a': 1} == {'a': 1.0}",
    ]);
    for source in
        ["[].min() == 1", "['a'].sum() == 'a'", "[[1], [2]].sum() == [1, 2]", "[1, 'a'].max() == 1"]
    {
        check_unknown(source, json!({}));
    }
}

#[test]
fn maps_are_iterated_in_key_order() {
    let labels: serde_json::Map<String, Value> =
        (0..50).map(|i| (format!("key-{i:02}"), json!(i))).collect();
    let keys: Vec<String> = labels.keys().cloned().collect();
    for _ in 0..5 {
        check_with("labels.map(k, k)", json!({ "labels": labels }), json!(keys));
    }
    check("{'b': 1, 'a': 2, 'c': 3}.map(k, k)", json!(["a", "b", "c"]));
    check_with("labels.map(k, labels[k]).sum()", json!({ "labels": labels }), json!(1225));
    check_with(
        "{'z': 1, 'x': labels}",
        json!({ "labels": { "b": 1 } }),
        json!({ "x": { "b": 1 }, "z": 1 }),
    );
}

#[test]
fn number_functions() {
    check_all(&[
        "math.ceil(1.2) == 2.0 && math.floor(1.8) == 1.0 && math.round(1.5) == 2.0 && math.trunc(-1.5) == -1.0",
        "math.abs(-3) == 3 && math.sign(-2) == -1 && math.sqrt(9) == 3.0",
        "math.greatest(1, 2, 3) == 3 && math.least([4, 2, 8]) == 2 && math.greatest(1, 2.5) == 2.5",
        "math.bitAnd(6, 3) == 2 && math.bitOr(6, 3) == 7 && math.bitXor(6, 3) == 5 && math.bitNot(0) == -1",
        "7 / 2 == 3 && -7 / 2 == -3 && 7 % 3 == 1 && 7.0 / 2.0 == 3.5",
        "int('42') == 42 && double('1.5') == 1.5 && string(7) == '7' && uint(3) == 3u",
        "math.isFinite(1.0) && !math.isNaN(1.0)",
    ]);
    check_with("a > b", json!({ "a": u64::MAX, "b": i64::MAX }), json!(true));
    check_with("n", json!({ "n": u64::MAX }), json!(u64::MAX));
    check_unknown("1 + 1.0 == 2.0", json!({}));
}

#[test]
fn time_functions() {
    check_all(&[
        "timestamp(now) - timestamp(started) > duration('10m')"
            .replace("now", "'2026-01-01T01:00:00Z'")
            .replace("started", "'2026-01-01T00:00:00Z'")
            .as_str(),
        "duration('90m').getHours() == 1 && duration('90m').getMinutes() == 90 && duration('1.5s').getMilliseconds() == 1500",
        "string(duration('1h30m')) == '5400s' && string(duration('-1.5s')) == '-1.5s'",
        "duration('1h') + duration('30m') == duration('1h30m') && duration('1h') - duration('2h') == duration('-1h')",
        "duration('100ms') < duration('1s') && duration('1us') > duration('1ns') && duration('0') == duration('0s')",
        "timestamp('2026-01-04T10:20:30.125Z').getDayOfWeek() == 0",
        "timestamp('2026-01-04T10:20:30.125Z').getFullYear() == 2026 && timestamp('2026-01-04T10:20:30Z').getMonth() == 0",
        "timestamp('2026-01-04T10:20:30.125Z').getDate() == 4 && timestamp('2026-01-04T10:20:30Z').getDayOfMonth() == 3",
        "timestamp('2026-01-04T10:20:30.125Z').getMilliseconds() == 125 && timestamp('2026-01-04T10:20:30Z').getSeconds() == 30",
        "timestamp('2026-01-04T10:20:30.125Z').getMinutes() == 20 && int(timestamp('1970-01-01T00:01:00Z')) == 60",
        "type(timestamp(0)) == google.protobuf.Timestamp && type(duration('1s')) == google.protobuf.Duration",
        "[timestamp(2), timestamp(1)].min() == timestamp(1)",
    ]);
    check("timestamp('2026-01-04T10:20:30.5+02:00')", json!("2026-01-04T08:20:30.5Z"));
    check("duration('90s')", json!("90s"));
    check_unknown("timestamp(0) + timestamp(0) == timestamp(0)", json!({}));
    check_unknown("timestamp(0) < duration('1s')", json!({}));
}

#[test]
fn quantity_functions() {
    check_all(&[
        "quantity('128Mi').isLessThan(quantity('1Gi')) && quantity('1Gi').isGreaterThan(quantity('1G'))",
        "quantity('1000m') == quantity('1') && quantity('1.5Gi') == quantity('1536Mi')",
        "quantity('500m') < quantity('1') && quantity('2') >= quantity(2)",
        "quantity('1Gi').compareTo(quantity('1Gi')) == 0 && quantity('1').compareTo(quantity('2')) == -1",
        "quantity('128Mi').asInteger() == 134217728 && quantity('128Mi').isInteger()",
        "!quantity('100m').isInteger() && quantity('100m').asApproximateFloat() == 0.1",
        "quantity('128Mi').add(quantity('128Mi')) == quantity('256Mi') && quantity('5').sub(2) == quantity('3')",
        "quantity('9007199254740993').asInteger() == 9007199254740993",
        "quantity('-5').sign() == -1 && quantity('0').sign() == 0",
        "isQuantity('1.3Gi') && !isQuantity('200K bytes') && !isQuantity('')",
        "[quantity('2Gi'), quantity('1Gi')].max() == quantity('2Gi')",
    ]);
    for source in [
        "quantity('lots') > quantity('1')",
        "quantity('1') > 1",
        "quantity('100m').asInteger() == 0",
    ] {
        check_unknown(source, json!({}));
    }
    check("quantity('128Mi')", json!("128Mi"));
    check_with("quantity(m) > quantity('64Mi')", json!({ "m": "128Mi" }), json!(true));
    let long = json!({ "m": "1".repeat(10_000) });
    check_with("isQuantity(m)", long, json!(false));
}

// Serialization and template strings.

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

#[test]
fn single_placeholder_keeps_its_type() {
    let bound = bindings(
        json!({ "d": { "replicas": 3, "name": "api", "labels": { "b": 1, "a": 2 } }, "none": null }),
    );
    for (template, expected) in [
        ("${{ d.replicas + 1 }}", json!(4)),
        ("${{d.replicas}}", json!(3)),
        ("n=${{ d.replicas }}", json!("n=3")),
        (" ${{ d.replicas }}", json!(" 3")),
        ("${{ d.name }}-${{ d.replicas }}", json!("api-3")),
        ("${{ d.labels }}", json!({ "a": 2, "b": 1 })),
        ("${{ none }}", json!(null)),
        ("l ${{ d.labels }}", json!("l {\"a\":2,\"b\":1}")),
        ("${{ {'a': {'b': '}}'}}.a.b }}", json!("}}")),
        ("$${{ d.name }} and ${{ d.name }}", json!("${{ d.name }} and api")),
        ("plain {{ text }} ${x} }}", json!("plain {{ text }} ${x} }}")),
        ("", json!("")),
    ] {
        assert_eq!(render(template, &bound), Ok(expected), "{template}");
    }
    assert_eq!(
        render("x ${{ none }}", &bound).unwrap_err().code,
        ExpressionCode::ExpressionEvaluation
    );
}

#[test]
fn template_errors_have_positions() {
    for (template, code, position) in [
        ("a\n ${{ b", ExpressionCode::TemplateSyntax, (2, 2)),
        ("${{ 'a }}", ExpressionCode::TemplateSyntax, (1, 1)),
        ("${{ }}", ExpressionCode::ExpressionSyntax, (1, 5)),
        ("ab ${{ nope(1) }}", ExpressionCode::ExpressionUnknownFunction, (1, 8)),
        ("${{ 1 }} ${{ 1 +\n nope(1) }}", ExpressionCode::ExpressionUnknownFunction, (2, 2)),
    ] {
        let error = TemplateString::parse(template).expect_err(template);
        assert_eq!(
            (error.code, (error.line, error.column)),
            (code, position),
            "{template}: {error:?}"
        );
    }
    let found = placeholders("x ${{ a.b }} y ${{ c }}").unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|placeholder| (placeholder.expression.source(), placeholder.offset))
        .collect();
    assert_eq!(found, [("a.b", 2), ("c", 15)]);
}

#[test]
fn rendered_text_is_bounded() {
    let bound = bindings(json!({ "s": "x".repeat(100_000) }));
    assert!(render("${{ s }}${{ s }}", &bound).is_ok());
    assert_eq!(
        render("${{ s }}${{ s }}${{ s }}", &bound).unwrap_err().code,
        ExpressionCode::TemplateTooLong
    );
    assert!(render(&"${{ 1 }}".repeat(100), &bound).is_ok());
    for long in ["x".repeat(256 * 1024 + 1), "${{ 1 }}".repeat(101)] {
        assert_eq!(TemplateString::parse(&long).unwrap_err().code, ExpressionCode::TemplateTooLong);
    }
    let deep = (0..1_000).fold(json!("x"), |inner, _| json!([inner]));
    assert_eq!(render_value(&deep, &bound).unwrap_err().code, ExpressionCode::ExpressionBudget);
}

// Properties.

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
    fn arbitrary_text_does_not_panic(source in ".{0,300}") {
        if let Ok(expression) = Expression::parse(&source) {
            let _ = expression.evaluate_condition(&sample());
        }
        let _ = render(&source, &sample());
        let _ = render(&format!("${{{{ {source} }}}}"), &sample());
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_100)) {
        let _ = Expression::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn random_tokens_do_not_panic_and_are_deterministic(source in tokens()) {
        if let Ok(expression) = Expression::parse(&source) {
            // The value is bounded, and a second evaluation gives the same value.
            let value = expression.evaluate(&sample());
            prop_assert_eq!(&value, &expression.evaluate(&sample()));
            if let Ok(value) = value {
                prop_assert!(value.to_string().len() <= 2 * (256 << 10));
            }
        }
    }

    #[test]
    fn values_never_exceed_the_estimated_size(
        text in "[ab,]{0,60}",
        numbers in proptest::collection::vec(-5_i64..50, 0..20),
        source in proptest::sample::select(vec![
            "s.split('')", "s.split(',')", "s.split(',', 3)", "s.replace('a', 'bbb')", "s.replace('', 'xy')",
            "s.replace('a', 'bbb', 2)", "strings.quote(s)", "base64.encode(bytes(s))", "s.findAll('[ab]+')", "s + s + ','",
            "[s, s].join(s)", "l.map(x, [x, x])", "l.map(x, string(x)).join(s)", "l + l", "{'k': l, s: s}", "[l, [l]].flatten(2)",
            "lists.range(size(l)).map(i, s)", "l.filter(x, x > 3)", "l.sort()", "l.distinct()", "l.reverse()",
            "'%s %s %d'.format([s, l, size(l)])", "l.map(x, {'x': x, 's': s})", "[s].map(x, x + x).map(x, x + x)", "s.reverse()",
            "l.map(x, x > 1, s.substring(0))", "'%x %s'.format([s, {'a': l}])", "l.map(x, '%b %.100f'.format([x, double(x)]))",
        ]),
    ) {
        let bound = bindings(json!({ "s": text, "l": numbers }));
        let expression = parse(source);
        let value = expression.evaluate(&bound).unwrap();
        prop_assert!(cost::value_bytes(&value) <= cost::max_value_bytes(&expression.compiled.tree.root, &expression.compiled.patterns, &bound), "{}", source);
    }
}
