use cluster::{Object, Reply};
use serde_json::{Value, json};
use workflow::catalogue::BlastRadius;
use workflow::fact::Predicate;
use workflow::{ActionSpec, Args};

use crate::Next;
use crate::change::{Field, Proposal, change, put};
use crate::declaration::{fact, priors, reversible};
use crate::sameness::is_equal;

pub(crate) const NAME: &str = "set-service-selector";

pub(crate) fn spec() -> ActionSpec {
    let labels = |what: &str| {
        json!({"type": "object", "description": what,
            "additionalProperties": {"type": "string", "maxLength": 63, "pattern": "^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$"}})
    };
    let arguments = json!({
        "selector": labels("The labels of the pods behind the Service, all of them: what is not named is no longer asked for. Empty only to turn back."),
        "expect": labels("The selector that must stand there now; anything else is left as it is."),
    });
    ActionSpec {
        reads: vec![fact(Predicate::Selects, None, None)],
        // Which workloads it selects afterwards is told by their labels, so the key stays open.
        effects: vec![
            fact(Predicate::Selects, None, None),
            fact(Predicate::Endpoints, None, None),
            fact(Predicate::Reachable, None, None),
        ],
        blast_radius: BlastRadius::Service,
        priors: priors(15, 8.0, 2.0, 30.0),
        ..reversible(
            NAME,
            "Sets which pods a Service sends traffic to.",
            &["Service"],
            arguments,
            &["selector"],
        )
    }
}

pub(crate) fn next(spec: &ActionSpec, args: &Args, _key: &str, replies: &[Reply]) -> Next {
    change(spec, args, replies, |_| Vec::new(), |object, _| propose(args, object))
}

fn propose(args: &Args, object: &Object) -> Proposal {
    let wanted = args.get("selector").cloned().unwrap_or_default();
    let is_empty = wanted.as_object().is_none_or(serde_json::Map::is_empty);
    if is_empty && !args.contains_key("expect") {
        return Proposal::Refuse {
            code: "bad-arguments",
            why: "an empty selector would leave it without any pod".into(),
        };
    }
    let current = object
        .at("/spec/selector")
        .filter(|value| value.is_object())
        .cloned()
        .unwrap_or_else(|| Value::Object(Args::new()));
    Field { current, wanted, is_same: is_equal }.propose(args, |field| {
        let undo = Args::from_iter([("selector".to_string(), field.current.clone())]);
        (vec![put(object, &["spec", "selector"], field.wanted.clone())], Some(undo))
    })
}
