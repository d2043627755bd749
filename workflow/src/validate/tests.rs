use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path as FilePath;

use serde_json::{Value, json};

use super::*;
use crate::catalogue::{ActionClass, ActionSpec, BlastRadius, Priors, Reversibility};
use crate::duration::Span;

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
        class: ActionClass::A,
        reversibility,
        has_inverse,
        reads: Vec::new(),
        needs: Vec::new(),
        effects: Vec::new(),
        permissions: Vec::new(),
        blast_radius: BlastRadius::Object,
        priors: Priors {
            duration: Span::from_secs(1),
            success_alpha: 1.0,
            success_beta: 1.0,
            cost_seconds: 1.0,
        },
    }
}

/// Two actions as the catalogue declares them, and three that it does not have: one that can be undone and does not know
/// how, one that cannot be undone, and one that is harmless.
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

/// A workflow of such steps: `id`, `action, arguments: {…}` and what else there is.
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

/// The codes of what is found, with their lines.
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

fn is_refused(text: &str, code: Code) -> Diagnostic {
    let parsed = validate(text, &catalogue(), &Limits::default());
    assert!(parsed.value.is_none(), "accepted:\n{text}");
    let found = parsed.diagnostics.into_iter().find(|found| found.code == code.as_str());
    found.unwrap_or_else(|| panic!("no {code} in\n{text}\n{:#?}", codes(text)))
}

fn folder(name: &str) -> std::path::PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

#[test]
fn every_broken_manifest_is_answered_with_its_code_line_and_column() {
    let index = std::fs::read_to_string(folder("datasets/broken/index.tsv")).unwrap();
    let (mut wrong, mut count) = (String::new(), 0);
    for row in index.lines().skip(1) {
        let (file, expected) = row.split_once('\t').unwrap();
        let bytes = std::fs::read(folder("datasets/broken").join(file)).unwrap();
        let parsed = validate_manifest(&bytes, &catalogue(), &Limits::default());
        let word = |severity| if severity == Severity::Error { "error" } else { "warning" };
        let found = parsed.diagnostics.iter().map(|found| {
            format!("{}\t{}\t{}\t{}", found.code, word(found.severity), found.line, found.column)
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
    assert_eq!(files, count + 1, "each file is in the index");
}

#[test]
fn codes_are_unique_and_in_order() {
    let all: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
    assert!(Code::ALL.iter().all(|code| code.as_str().len() == 7 && code.summary().ends_with('.')));
}

#[test]
fn published_schemas_are_those_of_the_types() {
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
            "{} is not as the types: run this test with UPDATE_SCHEMAS=1",
            file.display()
        );
    }
}

#[test]
fn a_whole_workflow_is_read_from_yaml_and_from_json_to_the_same_digest() {
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
fn a_value_is_judged_as_its_text_is_but_without_places() {
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

#[test]
fn c1_billion_laughs_many_anchors_and_recursive_aliases_are_refused_by_budget() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_string();
    for level in 1..12 {
        let uses = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(laughs, "a{level}: &a{level} [{uses}]").unwrap();
    }
    let found = is_refused(&laughs, Code::TooManyNodes);
    assert!(found.line <= 6, "the budget ended the reading at line {}", found.line);
    let anchors: String = (0..100_000).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "k{n}: &a{n} 1");
        text
    });
    let limits = Limits { document_bytes: 8 << 20, ..Limits::default() };
    let found = validate(&anchors, &catalogue(), &limits).diagnostics.remove(0);
    assert_eq!((found.code.as_str(), found.line), ("CHI0108", 101));
    assert_eq!(is_refused("a: &a [1, *a]\n", Code::BadAlias).column, 11);
    let wide = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(200_000), vec!["*a"; 90].join(", "));
    is_refused(&wide, Code::TooLarge);
    let deep = format!(
        "a: &a {}1{}\nb: {}*a{}\n",
        "[".repeat(20),
        "]".repeat(20),
        "[".repeat(20),
        "]".repeat(20)
    );
    is_refused(&deep, Code::TooDeep);
}

#[test]
fn c2_duplicate_keys_merge_keys_tags_and_many_documents_are_refused() {
    is_refused("a: 1\na: 2\n", Code::DuplicateKey);
    is_refused("a: &a {b: 1}\nc: {<<: *a}\n", Code::MergeKey);
    is_refused("a: !!python/object:os.system {}\n", Code::Tag);
    is_refused("a: !!int \"3\"\n", Code::Tag);
    is_refused("a: 1\n---\nb: 2\n", Code::ManyDocuments);
    is_refused("%YAML 1.1\n---\na: 1\n", Code::Syntax);
    // A quoted `<<` is a key like any other.
    assert_eq!(codes("{\"<<\": 1, \"apiVersion\": \"x\"}")[0].0, "CHI0120");
}

#[test]
fn c3_untyped_words_and_numbers_are_parsed_as_the_field_is_typed_or_refused() {
    let with = |value: &str| {
        format!(
            "{HEAD}  parameters: [{{name: x, type: boolean, default: {value}}}]\n  steps: [{{id: a, action: {WAIT}}}]\n"
        )
    };
    for value in ["no", "on", "1_000", "0o7", ".inf", ".nan"] {
        is_refused(&with(value), Code::Ambiguous);
    }
    for value in ["1e3", "\"no\"", "y"] {
        is_refused(&with(value), Code::BadDefault);
    }
    assert_eq!(codes(&with("false")), []);
    let retry = |value: &str| steps(&[("a", WAIT, &format!("retry: {{attempts: {value}}}"))]);
    assert_eq!(codes(&retry("1e0")), []);
    is_refused(&retry("1.5"), Code::WrongType);
    is_refused(&retry("\"3\""), Code::WrongType);
    is_refused(&retry("true"), Code::WrongType);
    let named = format!(
        "{}\n",
        steps(&[("a", WAIT, "")]).replace("{name: test}", "{name: test, version: 1.10}")
    );
    let found = is_refused(&named, Code::WrongType);
    assert!(found.hint.starts_with("quote it"), "{}", found.hint);
    // The key `on` of a retry is a key, and not true.
    assert_eq!(codes(&steps(&[("a", WAIT, "retry: {on: [timeout]}")])), []);
}

#[test]
fn c4_cycles_are_named_in_full() {
    let of_two = first(&steps(&[("a", WAIT, "needs: [b]"), ("b", WAIT, "needs: [a]")]));
    assert_eq!((of_two.code.as_str(), of_two.line), ("CHI0145", 6));
    assert!(of_two.message.ends_with("a -> b -> a"), "{}", of_two.message);
    assert!(first(&steps(&[("a", WAIT, "needs: [a]")])).message.ends_with(": a -> a"));
    let mut text = format!("{HEAD}  steps:\n");
    for step in 0..100 {
        writeln!(text, "    - {{id: s{step}, action: {WAIT}, needs: [s{}]}}", (step + 1) % 100)
            .unwrap();
    }
    let found = is_refused(&text, Code::Cycle);
    assert_eq!(found.message.matches(" -> ").count(), 100);
    assert!(
        found.message.contains(": s0 -> s1 -> ") && found.message.ends_with("s99 -> s0"),
        "{}",
        found.message
    );
    // A diamond is no cycle.
    let diamond = [
        ("a", WAIT, ""),
        ("b", WAIT, "needs: [a]"),
        ("c", WAIT, "needs: [a]"),
        ("d", WAIT, "needs: [b, c]"),
    ];
    assert_eq!(codes(&steps(&diamond)), []);
}

#[test]
fn c5_missing_needs_duplicate_ids_and_too_many_steps_or_edges_are_refused() {
    let found = is_refused(
        &steps(&[("first", WAIT, ""), ("b", WAIT, "needs: [frist]")]),
        Code::UnknownNeed,
    );
    assert_eq!(found.hint, "did you mean `first`?");
    is_refused(&steps(&[("a", WAIT, ""), ("a", WAIT, "")]), Code::DuplicateName);
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
    let found = is_refused(&many(257), Code::TooManySteps);
    assert_eq!((found.path.as_str(), found.line, found.column), ("spec.steps[256]", 262, 7));
    // No configuration passes the hard limit.
    let limits = Limits { steps: 1_000, ..Limits::default() };
    assert!(validate(&many(257), &catalogue(), &limits).value.is_none());
    let needs = vec!["a"; 1_001].join(", ");
    let found = is_refused(
        &steps(&[("a", WAIT, ""), ("b", WAIT, &format!("needs: [{needs}]"))]),
        Code::TooManyEdges,
    );
    assert_eq!(found.path, "spec.steps[1].needs[1000]");
}

#[test]
fn c7_retries_and_timeouts_beyond_their_range_are_refused() {
    for attempts in ["0", "11", "1000000000"] {
        is_refused(
            &steps(&[("a", WAIT, &format!("retry: {{attempts: {attempts}}}"))]),
            Code::OutOfRange,
        );
    }
    is_refused(&steps(&[("a", WAIT, "retry: {attempts: -1}")]), Code::OutOfRange);
    is_refused(&steps(&[("a", WAIT, "retry: {jitter: 1.5}")]), Code::OutOfRange);
    is_refused(&steps(&[("a", WAIT, "retry: {initial: 1m, cap: 1s}")]), Code::OutOfRange);
    for timeout in ["0s", "25h"] {
        is_refused(&steps(&[("a", WAIT, &format!("timeout: {timeout}"))]), Code::OutOfRange);
    }
    for timeout in ["-1s", "1e18", "1000000000000000000s", "5", "soon", "{}"] {
        is_refused(&steps(&[("a", WAIT, &format!("timeout: {timeout}"))]), Code::BadDuration);
    }
    // There is no `while`.
    is_refused(&steps(&[("a", WAIT, "while: 'true'")]), Code::UnknownField);
}

#[test]
fn c8_unknown_fields_and_actions_are_refused_with_the_nearest_name() {
    let found = is_refused(&steps(&[("a", WAIT, "timeuot: 5s")]), Code::UnknownField);
    assert_eq!(found.hint, "did you mean `timeout`?");
    let found = is_refused(&steps(&[("a", "scael", "")]), Code::UnknownAction);
    assert_eq!(found.hint, "did you mean `scale`?");
    let found = is_refused(
        &steps(&[("a", "wait, arguments: {duration: 5s, unti: x}", "")]),
        Code::BadArgument,
    );
    assert_eq!(found.path, "spec.steps[0].arguments.unti");
    // Nothing is passed over inside the untagged words either.
    is_refused(
        &steps(&[("a", SCALE, "compensation: {action: wait, arguments: {duration: 1s}, x: 1}")]),
        Code::UnknownField,
    );
    is_refused(&steps(&[("a", SCALE, "compensation: {action: wiat}")]), Code::UnknownAction);
    let read = "postconditions: [{read: {d: {kind: Pod, namespace: n, name: x, selector: y}}, check: 'true'}]";
    is_refused(&steps(&[("a", WAIT, read)]), Code::UnknownField);
}

#[test]
fn c9_what_can_be_undone_says_how_and_what_cannot_comes_last() {
    is_refused(&steps(&[("a", "poke", "")]), Code::NoCompensation);
    is_refused(&steps(&[("a", "poke", "compensation: inverse")]), Code::NoInverse);
    assert_eq!(codes(&steps(&[("a", "poke", "compensation: none")])), []);
    assert_eq!(
        codes(&steps(&[("a", "poke", "compensation: {action: wait, arguments: {duration: 1s}}")])),
        []
    );
    assert_eq!(codes(&steps(&[("a", SCALE, "compensation: inverse")])), []);
    let found = is_refused(
        &steps(&[("end", "destroy", ""), ("a", SCALE, "needs: [end]")]),
        Code::IrreversibleTooSoon,
    );
    assert_eq!((found.path.as_str(), found.line), ("spec.steps[0]", 6));
    is_refused(&steps(&[("end", "destroy", ""), ("a", SCALE, "")]), Code::IrreversibleTooSoon);
    is_refused(
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

#[test]
fn c10_names_that_are_paths_devices_too_long_or_look_alike_are_refused() {
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
        is_refused(&steps(&[(name, WAIT, "")]), Code::BadName);
        is_refused(
            &steps(&[("a", WAIT, "")]).replace("name: test", &format!("name: {name}")),
            Code::BadName,
        );
    }
    // The first letter is Cyrillic.
    let found = is_refused(&steps(&[("сheckout", WAIT, "")]), Code::BadName);
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
fn expressions_are_placed_where_they_stand() {
    let place = |text: &str| {
        let found = first(text);
        (found.code, found.line, found.column)
    };
    let base = steps(&[]);
    let of = |when: &str| {
        format!(
            "{base}    - id: a\n      action: wait\n      arguments: {{duration: 5s}}\n      when: {when}\n"
        )
    };
    assert_eq!(place(&of("x && true")), ("CHI0161".into(), 9, 13));
    assert_eq!(place(&of("'true && x'")), ("CHI0161".into(), 9, 22));
    assert_eq!(place(&of("|\n        true &&\n          params.y")), ("CHI0162".into(), 11, 11));
    assert_eq!(place(&of("|\n\n        true &&\n          params.y")), ("CHI0162".into(), 12, 11));
    assert_eq!(place(&of(">-\n        true &&\n        params.y")), ("CHI0162".into(), 10, 9));
    assert_eq!(place(&of("[1, 2]")), ("CHI0124".into(), 9, 13));
    let hole = "{duration: 'for ${{ params.z }}'}";
    assert_eq!(place(&of("'true'").replace("{duration: 5s}", hole)), ("CHI0162".into(), 8, 34));
}
