//! Texts with placeholders.

use super::*;

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
