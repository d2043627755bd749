use serde_json::Value;
use workflow::{ActionSpec, Args};

/// Returns the action and arguments that undo the change that produced `prior`, or `None` if there is nothing to undo.
///
/// The undo is compare-and-revert: its arguments contain `expect`, the value that the step wrote. If the field has another
/// value by then, the action is refused with the code `changed_concurrently`. A step that changed nothing has no prior
/// state and nothing to undo.
pub fn inverse(spec: &ActionSpec, _args: &Args, prior: &Value) -> Option<(String, Args)> {
    let undo = prior.get("undo")?.as_object()?;
    spec.has_inverse.then(|| (spec.name.clone(), undo.clone()))
}
