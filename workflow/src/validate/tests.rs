use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path as FilePath;

use serde_json::{Value, json};

use super::*;
use crate::catalogue::{ActionClass, ActionSpec, BlastRadius, Priors, Reversibility};
use crate::duration::Duration;

fn action(
    name: &str,
    reversibility: Reversibility,
    has_inverse: bool,
    properties: Value,
    required: &[&str],
) -> ActionSpec {
    ActionSpec {
        name: name.into(),
        summary: name.into(),
        parameters: json!({"type": "object", "additionalProperties": false, "properties": properties, "required": required}),
        target: None,
        target_kinds: Vec::new(),
        class: ActionClass::NaturallyIdempotent,
        reversibility,
        has_inverse,
        reads: Vec::new(),
        needs: Vec::new(),
        effects: Vec::new(),
        permissions: Vec::new(),
        blast_radius: BlastRadius::Object,
        priors: Priors {
            duration: Duration::from_secs(1),
            success_alpha: 1.0,
            success_beta: 1.0,
            cost_seconds: 1.0,
        },
    }
}

/// A catalogue with a reversible action (`scale`), one without effects (`wait`), a reversible one without a declared inverse
/// (`poke`), and an irreversible one (`destroy`).
pub(super) fn catalogue() -> Catalogue {
    let target = json!({"type": "object", "additionalProperties": false, "required": ["kind", "name"], "properties": {
        "kind": {"type": "string"}, "namespace": {"type": "string"}, "name": {"type": "string"}}});
    let count = json!({"type": "integer", "minimum": 0, "maximum": 10_000});
    let text = json!({"type": "string"});
    let actions = [
        action(
            "scale",
            Reversibility::Reversible,
            true,
            json!({"target": target, "replicas": count, "expect": count}),
            &["target", "replicas"],
        ),
        action("wait", Reversibility::NoEffect, false, json!({"duration": text}), &["duration"]),
        action("poke", Reversibility::BestEffort, false, json!({"where": text}), &[]),
        action("destroy", Reversibility::Irreversible, false, json!({"where": text}), &[]),
    ];
    Catalogue {
        version: 1,
        actions: actions.into_iter().map(|action| (action.name.clone(), action)).collect(),
    }
}

const HEAD: &str =
    "apiVersion: chiron.dev/v1alpha1\nkind: RemediationWorkflow\nmetadata: {name: test}\nspec:\n";
const SCALE: &str =
    "scale, arguments: {target: {kind: Deployment, namespace: shop, name: a}, replicas: 2}";
const WAIT: &str = "wait, arguments: {duration: 5s}";

/// Returns a workflow with steps given as `id`, `action, arguments: {…}` and further fields.
fn steps(steps: &[(&str, &str, &str)]) -> String {
    let mut text = format!("{HEAD}  steps:\n");
    for (id, action, rest) in steps {
        writeln!(
            text,
            "    - {{id: {id}, action: {action}{}{rest}}}",
            if rest.is_empty() { "" } else { ", " }
        )
        .unwrap();
    }
    text
}

/// Returns the codes of all findings with their lines.
fn codes(text: &str) -> Vec<(String, usize)> {
    validate(text, &catalogue(), &Limits::default())
        .diagnostics
        .into_iter()
        .map(|found| (found.code, found.line))
        .collect()
}

fn first(text: &str) -> Diagnostic {
    let parsed = validate(text, &catalogue(), &Limits::default());
    parsed.diagnostics.into_iter().next().unwrap_or_else(|| panic!("nothing was found in\n{text}"))
}

fn expect_error(text: &str, code: Code) -> Diagnostic {
    let parsed = validate(text, &catalogue(), &Limits::default());
    assert!(parsed.value.is_none(), "accepted:\n{text}");
    let found = parsed.diagnostics.into_iter().find(|found| found.code == code.as_str());
    found.unwrap_or_else(|| panic!("no {code} in\n{text}\n{:#?}", codes(text)))
}

fn folder(name: &str) -> std::path::PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// Code, severity, line and column must match `datasets/broken/index.tsv`.
#[test]
fn every_broken_manifest_has_its_expected_diagnostic() {
    let index = std::fs::read_to_string(folder("datasets/broken/index.tsv")).unwrap();
    let (mut wrong, mut count) = (String::new(), 0);
    for row in index.lines().skip(1) {
        let (file, expected) = row.split_once('\t').unwrap();
        let bytes = std::fs::read(folder("datasets/broken").join(file)).unwrap();
        let parsed = validate_manifest(&bytes, &catalogue(), &Limits::default());
        let severity_name =
            |severity| if severity == Severity::Error { "error" } else { "warning" };
        let found = parsed.diagnostics.iter().map(|found| {
            format!(
                "{}\t{}\t{}\t{}",
                found.code,
                severity_name(found.severity),
                found.line,
                found.column
            )
        });
        if found.collect::<Vec<_>>() != [expected] {
            writeln!(wrong, "{file}: expected {expected}, found {:#?}", parsed.diagnostics)
                .unwrap();
        }
        assert_eq!(parsed.value.is_some(), expected.contains("warning"), "{file}");
        count += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 30);
    let files = std::fs::read_dir(folder("datasets/broken")).unwrap().count();
    assert_eq!(files, count + 1, "every file must be in the index");
}

#[test]
fn codes_are_unique_and_in_order() {
    let all: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
    assert!(Code::ALL.iter().all(|code| code.as_str().len() == 7 && code.summary().ends_with('.')));
}

#[test]
fn published_schemas_match_the_types() {
    for (name, schema) in [
        ("workflow", workflow_schema()),
        ("template", template_schema()),
        ("guardrails", guardrails_schema()),
    ] {
        let text = serde_json::to_string_pretty(schema).unwrap() + "\n";
        let file = folder("schemas").join(format!("{name}.json"));
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let published = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            published == text,
            "{} is outdated: run this test with UPDATE_SCHEMAS=1",
            file.display()
        );
    }
}

#[test]
fn yaml_and_json_give_the_same_digest() {
    let text = format!(
        "{HEAD}  parameters:\n    - {{name: replicas, type: integer, default: 2, min: 1, max: 1e1}}\n  steps:\n\
         \x20   - id: up\n      action: scale\n      arguments:\n        target: &t {{kind: Deployment, namespace: shop, name: a}}\n\
         \x20       replicas: ${{{{ params.replicas }}}}\n      retry: {{on: [conflict]}}\n      timeout: 30s\n\
         \x20     postconditions:\n        - read: {{d: *t}}\n          check: d.status.readyReplicas >= params.replicas\n          within: 5m\n\
         \x20   - id: rest\n      action: wait\n      arguments: {{duration: 5s}}\n      needs: [up]\n      when: steps.up.output.changed\n\
         \x20 success:\n    - read: {{d: *t}}\n      check: |\n        d != null &&\n          steps['rest'].output != null\n"
    );
    let parsed = validate(&text, &catalogue(), &Limits::default());
    assert_eq!(parsed.diagnostics, []);
    let workflow = parsed.value.unwrap();
    let json =
        validate(&serde_json::to_string(&workflow).unwrap(), &catalogue(), &Limits::default());
    assert_eq!(json.diagnostics, []);
    assert_eq!(json.value.unwrap().digest(), workflow.digest());
    assert_eq!(check_workflow(&workflow, &catalogue(), &Limits::default()), []);
}

#[test]
fn check_workflow_gives_the_findings_without_positions() {
    let text = steps(&[("a", WAIT, ""), ("b", SCALE, "")]);
    let mut workflow = validate(&text, &catalogue(), &Limits::default()).value.unwrap();
    workflow.spec.steps[0].needs = vec!["b".into(), "c".into()];
    workflow.spec.steps[1].needs = vec!["a".into()];
    workflow.spec.steps[1].arguments.insert("replicas".into(), json!(9_007_199_254_740_993u64));
    workflow.spec.bound = BTreeMap::from([("x".into(), json!(1))]);
    workflow.kind = "Other".into();
    let found = check_workflow(&workflow, &catalogue(), &Limits::default());
    let codes: Vec<&str> = found.iter().map(|found| found.code.as_str()).collect();
    assert_eq!(codes, ["CHI0121", "CHI0172", "CHI0144", "CHI0145", "CHI0151", "CHI0116"]);
    assert!(found.iter().all(|found| (found.line, found.column) == (0, 0)));
    assert_eq!(found[3].path, "spec.steps[0].needs[0]");
}

/// Bad-input row C1: billion laughs, many anchors and recursive aliases are rejected by the node budget.
#[test]
fn alias_bombs_are_rejected() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_string();
    for level in 1..12 {
        let uses = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(laughs, "a{level}: &a{level} [{uses}]").unwrap();
    }
    let found = expect_error(&laughs, Code::TooManyNodes);
    assert!(found.line <= 6, "parsing stopped at line {}", found.line);
    let anchors: String = (0..100_000).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "k{n}: &a{n} 1");
        text
    });
    let limits = Limits { document_bytes: 8 << 20, ..Limits::default() };
    let found = validate(&anchors, &catalogue(), &limits).diagnostics.remove(0);
    assert_eq!((found.code.as_str(), found.line), ("CHI0108", 101));
    assert_eq!(expect_error("a: &a [1, *a]\n", Code::InvalidAlias).column, 11);
    let wide = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(200_000), vec!["*a"; 90].join(", "));
    expect_error(&wide, Code::TooLarge);
    let deep = format!(
        "a: &a {}1{}\nb: {}*a{}\n",
        "[".repeat(20),
        "]".repeat(20),
        "[".repeat(20),
        "]".repeat(20)
    );
    expect_error(&deep, Code::TooDeep);
}

/// Bad-input row C2: duplicate keys, merge keys, tags and multiple documents are rejected.
#[test]
fn duplicate_keys_merge_keys_tags_and_documents_are_rejected() {
    expect_error("a: 1\na: 2\n", Code::DuplicateKey);
    expect_error("a: &a {b: 1}\nc: {<<: *a}\n", Code::MergeKey);
    expect_error("a: !!python/object:os.system {}\n", Code::Tag);
    expect_error("a: !!int \"3\"\n", Code::Tag);
    expect_error("a: 1\n---\nb: 2\n", Code::ManyDocuments);
    expect_error("%YAML 1.1\n---\na: 1\n", Code::Syntax);
    // A quoted `<<` is a normal key.
    assert_eq!(codes("{\"<<\": 1, \"apiVersion\": \"x\"}")[0].0, "CHI0120");
}

/// Bad-input row C3: plain scalars are parsed according to the type of the field, or rejected.
#[test]
fn ambiguous_scalars_are_rejected() {
    let with = |value: &str| {
        format!(
            "{HEAD}  parameters: [{{name: x, type: boolean, default: {value}}}]\n  steps: [{{id: a, action: {WAIT}}}]\n"
        )
    };
    for value in ["no", "on", "1_000", "0o7", ".inf", ".nan"] {
        expect_error(&with(value), Code::Ambiguous);
    }
    for value in ["1e3", "\"no\"", "y"] {
        expect_error(&with(value), Code::InvalidParameterValue);
    }
    assert_eq!(codes(&with("false")), []);
    let retry = |value: &str| steps(&[("a", WAIT, &format!("retry: {{attempts: {value}}}"))]);
    assert_eq!(codes(&retry("1e0")), []);
    expect_error(&retry("1.5"), Code::WrongType);
    expect_error(&retry("\"3\""), Code::WrongType);
    expect_error(&retry("true"), Code::WrongType);
    let named = format!(
        "{}\n",
        steps(&[("a", WAIT, "")]).replace("{name: test}", "{name: test, version: 1.10}")
    );
    let found = expect_error(&named, Code::WrongType);
    assert!(found.hint.starts_with("quote it"), "{}", found.hint);
    // The key `on` of a retry is not the boolean true.
    assert_eq!(codes(&steps(&[("a", WAIT, "retry: {on: [timeout]}")])), []);
}

/// Bad-input row C4: the message lists all steps of a cycle.
#[test]
fn cycles_are_reported_in_full() {
    let of_two = first(&steps(&[("a", WAIT, "needs: [b]"), ("b", WAIT, "needs: [a]")]));
    assert_eq!((of_two.code.as_str(), of_two.line), ("CHI0145", 6));
    assert!(of_two.message.ends_with("a -> b -> a"), "{}", of_two.message);
    assert!(first(&steps(&[("a", WAIT, "needs: [a]")])).message.ends_with(": a -> a"));
    let mut text = format!("{HEAD}  steps:\n");
    for step in 0..100 {
        writeln!(text, "    - {{id: s{step}, action: {WAIT}, needs: [s{}]}}", (step + 1) % 100)
            .unwrap();
    }
    let found = expect_error(&text, Code::Cycle);
    assert_eq!(found.message.matches(" -> ").count(), 100);
    assert!(
        found.message.contains(": s0 -> s1 -> ") && found.message.ends_with("s99 -> s0"),
        "{}",
        found.message
    );
    // A diamond is not a cycle.
    let diamond = [
        ("a", WAIT, ""),
        ("b", WAIT, "needs: [a]"),
        ("c", WAIT, "needs: [a]"),
        ("d", WAIT, "needs: [b, c]"),
    ];
    assert_eq!(codes(&steps(&diamond)), []);
}

/// Bad-input row C5: unknown needs, duplicate ids, and too many steps or edges are rejected.
#[test]
fn invalid_step_graphs_are_rejected() {
    let found = expect_error(
        &steps(&[("first", WAIT, ""), ("b", WAIT, "needs: [frist]")]),
        Code::UnknownNeed,
    );
    assert_eq!(found.hint, "did you mean `first`?");
    expect_error(&steps(&[("a", WAIT, ""), ("a", WAIT, "")]), Code::DuplicateName);
    let many = |count: usize| {
        let mut text = format!("{HEAD}  steps:\n");
        for step in 0..count {
            writeln!(text, "    - {{id: step-{step}-of-many, action: {WAIT}}}").unwrap();
        }
        text
    };
    assert_eq!(codes(&many(100)), []);
    let parsed = validate(&many(101), &catalogue(), &Limits::default());
    assert_eq!(parsed.value.unwrap().spec.steps.len(), 101);
    assert_eq!(
        (
            parsed.diagnostics[0].code.as_str(),
            parsed.diagnostics[0].severity,
            parsed.diagnostics[0].line
        ),
        ("CHI0141", Severity::Warning, 106)
    );
    let found = expect_error(&many(257), Code::TooManySteps);
    assert_eq!((found.path.as_str(), found.line, found.column), ("spec.steps[256]", 262, 7));
    // The configuration cannot exceed the hard limit.
    let limits = Limits { steps: 1_000, ..Limits::default() };
    assert!(validate(&many(257), &catalogue(), &limits).value.is_none());
    let needs = vec!["a"; 1_001].join(", ");
    let found = expect_error(
        &steps(&[("a", WAIT, ""), ("b", WAIT, &format!("needs: [{needs}]"))]),
        Code::TooManyEdges,
    );
    assert_eq!(found.path, "spec.steps[1].needs[1000]");
}

/// Bad-input row C7: retries and timeouts out of range are rejected.
#[test]
fn retries_and_timeouts_out_of_range_are_rejected() {
    for attempts in ["0", "11", "1000000000"] {
        expect_error(
            &steps(&[("a", WAIT, &format!("retry: {{attempts: {attempts}}}"))]),
            Code::OutOfRange,
        );
    }
    expect_error(&steps(&[("a", WAIT, "retry: {attempts: -1}")]), Code::OutOfRange);
    expect_error(&steps(&[("a", WAIT, "retry: {jitter: 1.5}")]), Code::OutOfRange);
    expect_error(&steps(&[("a", WAIT, "retry: {initial: 1m, cap: 1s}")]), Code::OutOfRange);
    for timeout in ["0s", "25h"] {
        expect_error(&steps(&[("a", WAIT, &format!("timeout: {timeout}"))]), Code::OutOfRange);
    }
    for timeout in ["-1s", "1e18", "1000000000000000000s", "5", "soon", "{}"] {
        expect_error(&steps(&[("a", WAIT, &format!("timeout: {timeout}"))]), Code::InvalidDuration);
    }
    // Loops are not supported.
    expect_error(&steps(&[("a", WAIT, "while: 'true'")]), Code::UnknownField);
}

/// Bad-input row C8: unknown fields and actions are rejected with the most similar name as a hint.
#[test]
fn unknown_fields_and_actions_are_rejected_with_a_suggestion() {
    let found = expect_error(&steps(&[("a", WAIT, "timeuot: 5s")]), Code::UnknownField);
    assert_eq!(found.hint, "did you mean `timeout`?");
    let found = expect_error(&steps(&[("a", "scael", "")]), Code::UnknownAction);
    assert_eq!(found.hint, "did you mean `scale`?");
    let found = expect_error(
        &steps(&[("a", "wait, arguments: {duration: 5s, unti: x}", "")]),
        Code::InvalidArgument,
    );
    assert_eq!(found.path, "spec.steps[0].arguments.unti");
    // Unknown fields are also rejected inside untagged enums.
    expect_error(
        &steps(&[("a", SCALE, "compensation: {action: wait, arguments: {duration: 1s}, x: 1}")]),
        Code::UnknownField,
    );
    expect_error(&steps(&[("a", SCALE, "compensation: {action: wiat}")]), Code::UnknownAction);
    let read = "postconditions: [{read: {d: {kind: Pod, namespace: n, name: x, selector: y}}, check: 'true'}]";
    expect_error(&steps(&[("a", WAIT, read)]), Code::UnknownField);
}

/// Bad-input row C9: reversible actions need an inverse or a compensation, and irreversible steps must run last.
#[test]
fn missing_compensation_or_early_irreversible_step_is_rejected() {
    expect_error(&steps(&[("a", "poke", "")]), Code::NoCompensation);
    expect_error(&steps(&[("a", "poke", "compensation: inverse")]), Code::NoInverse);
    assert_eq!(codes(&steps(&[("a", "poke", "compensation: none")])), []);
    assert_eq!(
        codes(&steps(&[("a", "poke", "compensation: {action: wait, arguments: {duration: 1s}}")])),
        []
    );
    assert_eq!(codes(&steps(&[("a", SCALE, "compensation: inverse")])), []);
    let found = expect_error(
        &steps(&[("end", "destroy", ""), ("a", SCALE, "needs: [end]")]),
        Code::IrreversibleTooSoon,
    );
    assert_eq!((found.path.as_str(), found.line), ("spec.steps[0]", 6));
    expect_error(&steps(&[("end", "destroy", ""), ("a", SCALE, "")]), Code::IrreversibleTooSoon);
    expect_error(
        &steps(&[("end", "destroy", ""), ("other", "destroy", "needs: [end]")]),
        Code::IrreversibleTooSoon,
    );
    assert_eq!(
        codes(&steps(&[
            ("a", SCALE, ""),
            ("end", "destroy", "needs: [a]"),
            ("rest", WAIT, "needs: [end]")
        ])),
        []
    );
}

/// Bad-input row C10: names that are paths, device names, too long or confusable are rejected.
#[test]
fn invalid_or_confusable_names_are_rejected() {
    let long = "a".repeat(300);
    for name in [
        "../x",
        "a/b",
        "'a\\b'",
        "\"a\\0b\"",
        "con",
        "lpt1",
        "A",
        "-a",
        "''",
        "a..b",
        "сheckout",
        long.as_str(),
    ] {
        expect_error(&steps(&[(name, WAIT, "")]), Code::InvalidName);
        expect_error(
            &steps(&[("a", WAIT, "")]).replace("name: test", &format!("name: {name}")),
            Code::InvalidName,
        );
    }
    // The first letter is Cyrillic.
    let found = expect_error(&steps(&[("сheckout", WAIT, "")]), Code::InvalidName);
    assert_eq!(found.hint, "did you mean `checkout`, in ASCII letters?");
    let parsed = validate(
        &steps(&[("warm", WAIT, ""), ("warrn", WAIT, "")]),
        &catalogue(),
        &Limits::default(),
    );
    assert_eq!(
        (parsed.diagnostics[0].code.as_str(), parsed.diagnostics[0].severity),
        ("CHI0131", Severity::Warning)
    );
    assert!(parsed.value.is_some());
}

#[test]
fn expression_errors_have_document_positions() {
    let position = |text: &str| {
        let found = first(text);
        (found.code, found.line, found.column)
    };
    let base = steps(&[]);
    let of = |when: &str| {
        format!(
            "{base}    - id: a\n      action: wait\n      arguments: {{duration: 5s}}\n      when: {when}\n"
        )
    };
    assert_eq!(position(&of("x && true")), ("CHI0161".into(), 9, 13));
    assert_eq!(position(&of("'true && x'")), ("CHI0161".into(), 9, 22));
    assert_eq!(position(&of("|\n        true &&\n          params.y")), ("CHI0162".into(), 11, 11));
    assert_eq!(
        position(&of("|\n\n        true &&\n          params.y")),
        ("CHI0162".into(), 12, 11)
    );
    assert_eq!(position(&of(">-\n        true &&\n        params.y")), ("CHI0162".into(), 10, 9));
    assert_eq!(position(&of("[1, 2]")), ("CHI0124".into(), 9, 13));
    let placeholder = "{duration: 'for ${{ params.z }}'}";
    assert_eq!(
        position(&of("'true'").replace("{duration: 5s}", placeholder)),
        ("CHI0162".into(), 8, 34)
    );
}
