use cluster::{Object, Reply};
use serde_json::{Value, json};
use workflow::fact::Predicate;
use workflow::{ActionClass, ActionSpec, Args, Reversibility};

use crate::Next;
use crate::change::{Field, Proposal, change, put};
use crate::declaration::{WORKLOADS, fact, priors, reversible};
use crate::sameness::is_equal;

pub(crate) const NAME: &str = "rollout-restart";

/// The annotation of the pod template whose change makes the controller replace every pod.
const MARKER: &str = "chiron.dev/restarted-at-step";

pub(crate) fn spec() -> ActionSpec {
    ActionSpec {
        class: ActionClass::B,
        reversibility: Reversibility::BestEffort,
        has_inverse: false,
        // What a restart makes of them is seen only afterwards: the value stays open.
        effects: vec![
            fact(Predicate::Restarts, None, None),
            fact(Predicate::Waiting, None, None),
            fact(Predicate::Terminated, None, None),
        ],
        priors: priors(45, 2.0, 3.0, 30.0),
        ..reversible(
            NAME,
            "Replaces every pod of a workload, a few at a time, without changing what they run.",
            WORKLOADS,
            json!({}),
            &[],
        )
    }
}

pub(crate) fn next(spec: &ActionSpec, args: &Args, key: &str, replies: &[Reply]) -> Next {
    change(spec, args, replies, |_| Vec::new(), |object, _| propose(args, key, object))
}

fn propose(args: &Args, key: &str, object: &Object) -> Proposal {
    if is_paused(object) {
        return paused();
    }
    let annotations = object.at("/spec/template/metadata/annotations");
    let current = annotations.and_then(|map| map.get(MARKER)).cloned().unwrap_or_default();
    let field = Field { current, wanted: key.into(), is_same: is_equal };
    field.propose(args, |field| {
        let operation = put(
            object,
            &["spec", "template", "metadata", "annotations", MARKER],
            field.wanted.clone(),
        );
        (vec![operation], None)
    })
}

/// Whether rollouts of a Deployment are paused.
pub(crate) fn is_paused(object: &Object) -> bool {
    object.at("/spec/paused").and_then(Value::as_bool) == Some(true)
}

pub(crate) fn paused() -> Proposal {
    Proposal::Refuse { code: "paused", why: "its rollouts are paused, so nothing would happen: resume it first (`kubectl rollout resume`)".into() }
}
