//! Sources: their limits, their positions in errors, and their variables.

use super::*;

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
