use cluster::Object;
use serde_json::Value;

use super::{Wrong, wrong};
use crate::api::refusal::Refusal;

/// Checks a definition of a custom kind.
pub(super) fn check(object: &Object) -> Result<(), Refusal> {
    let text = |pointer: &str| object.at(pointer).and_then(Value::as_str).unwrap_or_default();
    for pointer in ["/spec/group", "/spec/scope", "/spec/names/plural", "/spec/names/kind"] {
        if text(pointer).is_empty() {
            return Err(wrong(object, &pointer[1..].replace('/', "."), &Wrong::Required("")));
        }
    }
    if !matches!(text("/spec/scope"), "Namespaced" | "Cluster") {
        let value = object.at("/spec/scope").cloned().unwrap_or_default();
        let why = "supported values: \"Cluster\", \"Namespaced\"";
        return Err(wrong(object, "spec.scope", &Wrong::Invalid(&value, why)));
    }
    let name = format!("{}.{}", text("/spec/names/plural"), text("/spec/group"));
    if object.name() != name {
        let value = Value::from(object.name());
        let why = "must be spec.names.plural+\".\"+spec.group";
        return Err(wrong(object, "metadata.name", &Wrong::Invalid(&value, why)));
    }
    let versions =
        object.at("/spec/versions").and_then(Value::as_array).cloned().unwrap_or_default();
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        let value = Value::Array(versions);
        let why = "must have exactly one version marked as storage version";
        return Err(wrong(object, "spec.versions", &Wrong::Invalid(&value, why)));
    }
    for (i, version) in versions.iter().enumerate() {
        if version.pointer("/schema/openAPIV3Schema").is_none() {
            let field = format!("spec.versions[{i}].schema.openAPIV3Schema");
            return Err(wrong(object, &field, &Wrong::Required("schemas are required")));
        }
    }
    Ok(())
}
