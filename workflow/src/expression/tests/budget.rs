//! The budget of an evaluation: cost, size, and stack.

use super::super::library::{EXPANSIONS, FUNCTIONS};
use super::*;
use proptest::prelude::*;

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

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
