use cluster::Object;
use serde_json::{Value, json};
use workflow::fact::Predicate;
use workflow::{ActionSpec, Args};

use crate::argument::integer;
use crate::change::{FieldUpdate, Proposed, add_with_parents, read_then_patch};
use crate::declaration::{fact, priors, reversible};
use crate::equivalence::is_equal;
use crate::{Next, Reply};

pub(crate) const NAME: &str = "scale";

pub(crate) fn spec() -> ActionSpec {
    let count = |what: &str| json!({"type": "integer", "minimum": 0, "maximum": 10_000, "description": what});
    let arguments = json!({
        "replicas": count("The desired number of pods, absolute, not relative."),
        "expect": count("The number of replicas that must be set now; with any other number, nothing is changed."),
    });
    ActionSpec {
        reads: vec![fact(Predicate::Replicas, None, None)],
        effects: vec![
            fact(Predicate::Replicas, None, Some(json!("$replicas"))),
            fact(Predicate::ReadyReplicas, None, None),
        ],
        priors: priors(30, 7.0, 3.0, 20.0),
        ..reversible(
            NAME,
            "Sets the number of replicas of a workload.",
            &["Deployment", "StatefulSet"],
            arguments,
            &["replicas"],
        )
    }
}

pub(crate) fn next(spec: &ActionSpec, args: &Args, _key: &str, replies: &[Reply]) -> Next {
    read_then_patch(spec, args, replies, |_| Vec::new(), |object, _| propose(args, object))
}

fn propose(args: &Args, object: &Object) -> Proposed {
    let desired = match integer(args, "replicas") {
        Ok(replicas) => Value::from(replicas),
        Err(refused) => return refused,
    };
    // Kubernetes defaults to one replica.
    let current = object.at("/spec/replicas").cloned().unwrap_or_else(|| 1.into());
    FieldUpdate { current, desired, is_same: is_equal }.propose(args, |field| {
        let undo = Args::from_iter([("replicas".to_string(), field.current.clone())]);
        (vec![add_with_parents(object, &["spec", "replicas"], field.desired.clone())], Some(undo))
    })
}
