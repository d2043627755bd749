use cluster::Object;
use serde_json::Value;
use workflow::catalogue::BlastRadius;
use workflow::{ActionSpec, Args, Impact};

use crate::{find, target};

/// Returns the impact of the action, as guardrails evaluate it.
///
/// The affected pods are the replicas of its target among `objects`; for an action that sets the number of replicas, the pods that are added or removed. A
/// target that is not among `objects` may have any number of pods: `u32::MAX`.
pub fn impact(spec: &ActionSpec, args: &Args, objects: &[Object]) -> Impact {
    let named = target(spec, args, "");
    let found = named.as_ref().and_then(|named| {
        objects.iter().find(|object| object.reference(&named.cluster).is_same(named))
    });
    let replicas_after =
        find(&spec.name).and_then(|action| action.replicas_after(args)).map(saturating_u32);
    let pods = match spec.blast_radius {
        BlastRadius::Nothing | BlastRadius::Object | BlastRadius::Service => 0,
        BlastRadius::Workload | BlastRadius::Node => found.map_or(u32::MAX, |object| {
            let current = replicas(object);
            replicas_after.map_or(current, |after| after.abs_diff(current))
        }),
    };
    let targets = match (named, found) {
        (Some(named), Some(object)) => vec![object.reference(&named.cluster)],
        (named, _) => named.into_iter().collect(),
    };
    Impact {
        action: spec.name.clone(),
        arguments: args.clone(),
        targets,
        pods,
        replicas_after,
        class: spec.class,
        reversibility: spec.reversibility,
    }
}

/// Returns the desired number of pods of a workload.
fn replicas(object: &Object) -> u32 {
    let pointer = if object.kind().kind == "DaemonSet" {
        "/status/desiredNumberScheduled"
    } else {
        "/spec/replicas"
    };
    object.at(pointer).and_then(Value::as_u64).map_or(1, saturating_u32)
}

fn saturating_u32(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
