use cluster::Object;
use serde_json::Value;
use workflow::catalogue::BlastRadius;
use workflow::{ActionSpec, Args, Footprint};

use crate::target;

/// What the action would do, as far as guardrails care.
///
/// The pods that it may disturb are those that its target, among `objects`, asks for (of a change of scale, those that
/// come or go). A target that is not among `objects` may have any number: `u32::MAX`.
pub fn footprint(spec: &ActionSpec, args: &Args, objects: &[Object]) -> Footprint {
    let named = target(spec, args, "");
    let found = named.as_ref().and_then(|named| {
        objects.iter().find(|object| object.reference(&named.cluster).is_same(named))
    });
    let replicas_after =
        args.get("replicas").filter(|_| spec.name == "scale").and_then(Value::as_u64).map(count);
    let pods = match spec.blast_radius {
        BlastRadius::Nothing | BlastRadius::Object | BlastRadius::Service => 0,
        BlastRadius::Workload | BlastRadius::Node => found.map_or(u32::MAX, |object| {
            let present = replicas(object);
            replicas_after.map_or(present, |after| after.abs_diff(present))
        }),
    };
    let targets = match (named, found) {
        (Some(named), Some(object)) => vec![object.reference(&named.cluster)],
        (named, _) => named.into_iter().collect(),
    };
    Footprint {
        action: spec.name.clone(),
        arguments: args.clone(),
        targets,
        pods,
        replicas_after,
        class: spec.class,
        reversibility: spec.reversibility,
    }
}

/// How many pods a workload asks for.
fn replicas(object: &Object) -> u32 {
    let pointer = if object.kind().kind == "DaemonSet" {
        "/status/desiredNumberScheduled"
    } else {
        "/spec/replicas"
    };
    object.at(pointer).and_then(Value::as_u64).map_or(1, count)
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
