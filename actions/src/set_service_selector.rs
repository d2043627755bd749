use cluster::Object;
use serde_json::{Value, json};
use workflow::catalogue::BlastRadius;
use workflow::fact::Predicate;
use workflow::{ActionSpec, Args};

use crate::change::{FieldUpdate, Proposed, add_with_parents, read_then_patch};
use crate::declaration::{fact, priors, reversible};
use crate::equivalence::is_equal;
use crate::{Next, Reply};

pub(crate) const NAME: &str = "set-service-selector";

pub(crate) fn spec() -> ActionSpec {
    let labels = |what: &str| {
        json!({"type": "object", "description": what,
            "additionalProperties": {"type": "string", "maxLength": 63, "pattern": "^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$"}})
    };
    let arguments = json!({
        "selector": labels("The complete selector; labels that are not listed are removed. Empty only when undoing a change."),
        "expect": labels("The selector that must be set now; with any other selector, nothing is changed."),
    });
    ActionSpec {
        reads: vec![fact(Predicate::Selects, None, None)],
        // Which workloads it selects afterwards depends on their labels, so the effects declare no keys.
        effects: vec![
            fact(Predicate::Selects, None, None),
            fact(Predicate::Endpoints, None, None),
            fact(Predicate::Reachable, None, None),
        ],
        blast_radius: BlastRadius::Service,
        priors: priors(15, 8.0, 2.0, 30.0),
        ..reversible(
            NAME,
            "Sets the pod selector of a Service.",
            &["Service"],
            arguments,
            &["selector"],
        )
    }
}

pub(crate) fn next(spec: &ActionSpec, args: &Args, _key: &str, replies: &[Reply]) -> Next {
    read_then_patch(spec, args, replies, |_| Vec::new(), |object, _| propose(args, object))
}

fn propose(args: &Args, object: &Object) -> Proposed {
    let desired = args.get("selector").cloned().unwrap_or_default();
    let is_empty = desired.as_object().is_none_or(serde_json::Map::is_empty);
    if is_empty && !args.contains_key("expect") {
        return Proposed::Refused {
            code: "bad-arguments",
            message: "an empty selector selects no pods".into(),
        };
    }
    let current = object
        .at("/spec/selector")
        .filter(|value| value.is_object())
        .cloned()
        .unwrap_or_else(|| Value::Object(Args::new()));
    FieldUpdate { current, desired, is_same: is_equal }.propose(args, |field| {
        let undo = Args::from_iter([("selector".to_string(), field.current.clone())]);
        (vec![add_with_parents(object, &["spec", "selector"], field.desired.clone())], Some(undo))
    })
}
