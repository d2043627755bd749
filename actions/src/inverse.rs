use serde_json::Value;
use workflow::{ActionSpec, Args};

/// How the change that left `prior` is undone: an action and what it is told, or none where nothing is to undo.
///
/// Compare and revert: the arguments carry `expect`, the value that we left; run where the field no longer holds it, the
/// action refuses with the code `drifted`. A step that found everything as it should be has no prior state and nothing
/// to undo.
pub fn inverse(spec: &ActionSpec, _args: &Args, prior: &Value) -> Option<(String, Args)> {
    let undo = prior.get("undo")?.as_object()?;
    spec.has_inverse.then(|| (spec.name.clone(), undo.clone()))
}
