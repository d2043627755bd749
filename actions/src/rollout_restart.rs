use cluster::Object;
use serde_json::{Value, json};
use workflow::fact::Predicate;
use workflow::{ActionClass, ActionSpec, Args, Reversibility};

use crate::change::{FieldUpdate, Proposed, add_with_parents, read_then_patch};
use crate::declaration::{WORKLOADS, fact, priors, reversible};
use crate::equivalence::is_equal;
use crate::{Next, Reply};

pub(crate) const NAME: &str = "rollout-restart";

/// Pod template annotation; changing it makes the controller replace every pod.
const MARKER: &str = "chiron.dev/restarted-at-step";

pub(crate) fn spec() -> ActionSpec {
    ActionSpec {
        class: ActionClass::Marked,
        reversibility: Reversibility::BestEffort,
        has_inverse: false,
        // The values after a restart are unknown, so the effects declare none.
        effects: vec![
            fact(Predicate::Restarts, None, None),
            fact(Predicate::Waiting, None, None),
            fact(Predicate::Terminated, None, None),
        ],
        priors: priors(45, 2.0, 3.0, 30.0),
        ..reversible(
            NAME,
            "Restarts every pod of a workload with a rolling update.",
            WORKLOADS,
            json!({}),
            &[],
        )
    }
}

pub(crate) fn next(spec: &ActionSpec, args: &Args, key: &str, replies: &[Reply]) -> Next {
    read_then_patch(spec, args, replies, |_| Vec::new(), |object, _| propose(args, key, object))
}

fn propose(args: &Args, key: &str, object: &Object) -> Proposed {
    if is_paused(object) {
        return paused();
    }
    let annotations = object.at("/spec/template/metadata/annotations");
    let current = annotations.and_then(|map| map.get(MARKER)).cloned().unwrap_or_default();
    let field = FieldUpdate { current, desired: key.into(), is_same: is_equal };
    field.propose(args, |field| {
        let operation = add_with_parents(
            object,
            &["spec", "template", "metadata", "annotations", MARKER],
            field.desired.clone(),
        );
        (vec![operation], None)
    })
}

/// Whether the rollout of a Deployment is paused.
pub(crate) fn is_paused(object: &Object) -> bool {
    object.at("/spec/paused").and_then(Value::as_bool) == Some(true)
}

pub(crate) fn paused() -> Proposed {
    Proposed::Refused { code: "paused", message: "the rollout is paused, so a change has no effect; resume it first (`kubectl rollout resume`)".into() }
}
