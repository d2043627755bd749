//! Fuzz targets for the parsers of outside text: each is a function over bytes that panics if a property is violated.
//!
//! `tests/it/fuzz.rs` runs them on their corpus and on seeded mutations of it; `cargo fuzz` runs them with coverage feedback.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::LazyLock;

use cluster::{KubeCluster, Object, Patch, Quantity, Selector};
use serde_json::{Value, json};
use workflow::catalogue::Catalogue;
use workflow::validate::{Manifest, check_workflow, validate_manifest};
use workflow::{Expression, Limits, PastExecution, Severity, Truth};

/// A fuzz target: its name, which is also the name of the folder with its corpus, and its function.
pub type FuzzTarget = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [FuzzTarget; 11] = [
    ("alertmanager", alertmanager),
    ("duration", duration),
    ("expression", expression),
    ("history", history),
    ("json", json_body),
    ("kubeconfig", kubeconfig),
    ("manifest", manifest),
    ("patch", patch),
    ("quantity", quantity),
    ("scenario", scenario),
    ("selector", selector),
];

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// A delivery of Alertmanager: the number of alerts is bounded, and an accepted body is a JSON object.
pub fn alertmanager(data: &[u8]) {
    let limits = Limits::default();
    let received = jiff::Timestamp::UNIX_EPOCH;
    if let Ok(delivery) = workflow::alertmanager::parse(data, &limits, received) {
        assert!(delivery.alerts.len() <= limits.alerts_per_body);
        assert!(delivery.group_key.chars().count() <= 1_024);
    }
}

/// JSON bodies: what the strict parser accepts, the lenient parser accepts without repairs and with the same value.
pub fn json_body(data: &[u8]) {
    let depth = Limits::default().depth;
    let strict = workflow::json::parse(data, depth);
    let lenient = workflow::json::parse_lenient(data, depth);
    if let Ok(value) = strict {
        assert_eq!(lenient, Ok((value, Vec::new())));
    }
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(actions::catalogue);

/// Workflows, templates and guardrails: a document yields a value exactly if no finding is an error.
pub fn manifest(data: &[u8]) {
    let limits = Limits::default();
    let parsed = validate_manifest(data, &CATALOGUE, &limits);
    let has_error = parsed.diagnostics.iter().any(|found| found.severity == Severity::Error);
    assert_eq!(parsed.value.is_none(), has_error, "{:#?}", parsed.diagnostics);
    assert!(parsed.diagnostics.len() <= 100);
    assert!(parsed.diagnostics.iter().all(|found| found.line > 0 && found.column > 0));
    if let Some(Manifest::Workflow(workflow)) = parsed.value {
        let findings = check_workflow(&workflow, &CATALOGUE, &limits);
        assert!(findings.iter().all(|found| found.severity != Severity::Error), "{findings:#?}");
    }
}

/// Scenarios and worlds of the simulator.
pub fn scenario(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let _ = simulator::ScenarioFile::parse(text);
    let _ = simulator::WorldFile::parse(text);
}

static VARIABLES: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    let bound = json!({
        "a": { "a": 1, "b": [1, 2, { "a": null }], "s": "text" },
        "l": [1, 2.5, "x", null, [3], { "a": 1 }],
        "s": "some text", "n": 7,
    });
    match bound {
        Value::Object(fields) => fields.into_iter().collect(),
        _ => BTreeMap::new(),
    }
});

/// Expressions and templates: evaluation is deterministic, and its result is bounded.
pub fn expression(data: &[u8]) {
    let Some(source) = text(data) else { return };
    if let Ok(expression) = Expression::parse(source) {
        let value = expression.evaluate(&VARIABLES);
        assert_eq!(value, expression.evaluate(&VARIABLES), "{source}");
        if let Ok(value) = &value {
            assert!(value.to_string().len() <= 2 * (256 << 10), "{source}");
        }
        let truth = expression.evaluate_condition(&VARIABLES);
        assert_eq!(truth == Truth::True, value == Ok(Value::Bool(true)), "{source}");
    }
    let _ = workflow::expression::render(source, &VARIABLES);
}

static DEPLOYMENT: LazyLock<Object> = LazyLock::new(|| {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "api", "namespace": "shop", "labels": {"app": "api"}, "annotations": {"a/b": "1"}},
        "spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "api"}}, "spec": {
            "tolerations": [{"key": "old"}],
            "containers": [
                {"name": "api", "image": "api:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                    "ports": [{"containerPort": 80, "name": "http"}]},
                {"name": "side", "image": "side:1"}]}}},
        "status": {"conditions": [{"type": "Available", "status": "True"}]},
    });
    Object::from_value(deployment).expect("a Deployment")
});

/// JSON, merge and strategic patches: a patched object is an object of the same kind, and the result is deterministic.
pub fn patch(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    // A bare value is tried as the two kinds of patches that any object is; a JSON patch has to be written in full.
    let patches = match serde_json::from_value::<Patch>(value.clone()) {
        Ok(patch) => vec![patch],
        Err(_) => vec![Patch::Merge(value.clone()), Patch::Strategic(value)],
    };
    for patch in patches {
        let _ = patch.changed_pointers();
        let patched = patch.apply(&DEPLOYMENT);
        assert_eq!(patched, patch.apply(&DEPLOYMENT));
        if let Ok(object) = patched {
            assert_eq!(object.kind(), DEPLOYMENT.kind());
            let read =
                Object::from_value(object.to_value()).expect("a patched object is an object");
            assert_eq!(read.to_value(), object.to_value());
        }
    }
}

/// Quantities: the text is kept, and parses to the same amount.
pub fn quantity(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(quantity) = Quantity::parse(text) {
        assert_eq!(quantity.to_string(), text);
        assert_eq!(quantity.scale(1, 1), quantity.scale(2, 2), "{text}");
    }
}

/// Label selectors: the formatted selector parses to an equal one.
pub fn selector(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(selector) = text.parse::<Selector>() {
        assert_eq!(selector.to_string().parse(), Ok(selector.clone()), "{text:?}: {selector}");
        let _ = selector.matches(&BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    }
}

/// Durations: the formatted duration parses to an equal one.
pub fn duration(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(duration) = workflow::duration::Duration::parse(text) {
        assert_eq!(workflow::duration::Duration::parse(&duration.to_string()), Ok(duration));
    }
}

/// Past executions in JSON Lines: an accepted line is written back to a line that is read to the same value.
pub fn history(data: &[u8]) {
    let Some(text) = text(data) else { return };
    for line in text.lines() {
        if let Ok(execution) = serde_json::from_str::<PastExecution>(line) {
            let written = serde_json::to_string(&execution).expect("a past execution is JSON");
            let read: PastExecution = serde_json::from_str(&written).expect("what was written");
            assert_eq!(read, execution);
        }
    }
}

/// Kubeconfig files.
pub fn kubeconfig(data: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(data).expect("a temporary file can be written");
    if let Err(error) = KubeCluster::contexts(file.path()) {
        assert!(!error.hint().is_empty());
    }
}
