use cluster::Object;
use serde_json::Value;

use super::{FieldError, invalid_field};
use crate::api::status_error::StatusError;

/// Checks a CustomResourceDefinition.
pub(super) fn check(object: &Object) -> Result<(), StatusError> {
    let text = |pointer: &str| object.at(pointer).and_then(Value::as_str).unwrap_or_default();
    for pointer in ["/spec/group", "/spec/scope", "/spec/names/plural", "/spec/names/kind"] {
        if text(pointer).is_empty() {
            return Err(invalid_field(
                object,
                &pointer[1..].replace('/', "."),
                &FieldError::Required(""),
            ));
        }
    }
    if !matches!(text("/spec/scope"), "Namespaced" | "Cluster") {
        let value = object.at("/spec/scope").cloned().unwrap_or_default();
        let detail = "supported values: \"Cluster\", \"Namespaced\"";
        return Err(invalid_field(object, "spec.scope", &FieldError::Invalid(&value, detail)));
    }
    let name = format!("{}.{}", text("/spec/names/plural"), text("/spec/group"));
    if object.name() != name {
        let value = Value::from(object.name());
        let detail = "must be spec.names.plural+\".\"+spec.group";
        return Err(invalid_field(object, "metadata.name", &FieldError::Invalid(&value, detail)));
    }
    let versions =
        object.at("/spec/versions").and_then(Value::as_array).cloned().unwrap_or_default();
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        let value = Value::Array(versions);
        let detail = "must have exactly one version marked as storage version";
        return Err(invalid_field(object, "spec.versions", &FieldError::Invalid(&value, detail)));
    }
    for (i, version) in versions.iter().enumerate() {
        if version.pointer("/schema/openAPIV3Schema").is_none() {
            let field = format!("spec.versions[{i}].schema.openAPIV3Schema");
            return Err(invalid_field(
                object,
                &field,
                &FieldError::Required("schemas are required"),
            ));
        }
    }
    Ok(())
}
