use cluster::{Object, Reply};
use serde_json::{Value, json};
use workflow::fact::Predicate;
use workflow::{ActionSpec, Args};

use crate::Next;
use crate::argument::whole;
use crate::change::{Field, Proposal, change, put};
use crate::declaration::{fact, priors, reversible};
use crate::sameness::is_equal;

pub(crate) const NAME: &str = "scale";

pub(crate) fn spec() -> ActionSpec {
    let count = |what: &str| json!({"type": "integer", "minimum": 0, "maximum": 10_000, "description": what});
    let arguments = json!({
        "replicas": count("How many pods there shall be: a number, never a difference."),
        "expect": count("How many must be asked for now; anything else is left as it is."),
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
            "Sets how many pods a workload keeps.",
            &["Deployment", "StatefulSet"],
            arguments,
            &["replicas"],
        )
    }
}

pub(crate) fn next(spec: &ActionSpec, args: &Args, _key: &str, replies: &[Reply]) -> Next {
    change(spec, args, replies, |_| Vec::new(), |object, _| propose(args, object))
}

fn propose(args: &Args, object: &Object) -> Proposal {
    let wanted = match whole(args, "replicas") {
        Ok(replicas) => Value::from(replicas),
        Err(refused) => return refused,
    };
    // Kubernetes takes one where none is said.
    let current = object.at("/spec/replicas").cloned().unwrap_or_else(|| 1.into());
    Field { current, wanted, is_same: is_equal }.propose(args, |field| {
        let undo = Args::from_iter([("replicas".to_string(), field.current.clone())]);
        (vec![put(object, &["spec", "replicas"], field.wanted.clone())], Some(undo))
    })
}
