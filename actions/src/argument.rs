use cluster::ObjectRef;
use workflow::{ActionSpec, Args};

/// The object that the action acts on, out of `{kind, name, [namespace, apiVersion, uid, cluster]}`; `cluster` where
/// the argument names none. Absent for actions on nothing, and where the argument does not name an object.
pub fn target(spec: &ActionSpec, args: &Args, cluster: &str) -> Option<ObjectRef> {
    let _ = (spec, args, cluster);
    None
}

/// Every way in which `args` do not fit what the action takes: path and message, in order of the path.
pub fn check_arguments(spec: &ActionSpec, args: &Args) -> Vec<(String, String)> {
    workflow::catalogue::arguments::check(spec, args)
}
