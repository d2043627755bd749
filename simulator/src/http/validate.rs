//! Field validation of request bodies: unknown fields and wrong types.

use cluster::Kind;
use serde_json::Value;

use super::schema::{FieldType, SCHEMA, TypeSchema};
use crate::api::{FieldValidation, StatusCause, StatusError, version_of};

/// The prefix of directives in a strategic merge patch (`$patch`), which are not fields.
const DIRECTIVE_PREFIX: char = '$';

/// Removes unknown fields from a body and returns a warning for each. Bodies of custom kinds are not changed.
///
/// # Errors
/// Returns [`DecodeError`] if a value has the wrong type, or if validation is strict and a field is unknown.
pub(super) fn prune_unknown_fields(
    kind: &Kind,
    body: &mut Value,
    validation: FieldValidation,
) -> Result<Vec<String>, DecodeError> {
    let Some((name, type_schema)) = SCHEMA.of_kind(&kind.api_version, &kind.kind) else {
        return Ok(Vec::new());
    };
    let mut pruner = Pruner { unknown: Vec::new() };
    pruner.object(name, type_schema, body, "", true).map_err(DecodeError)?;
    let warnings: Vec<String> =
        pruner.unknown.iter().map(|field| format!("unknown field {field:?}")).collect();
    match validation {
        FieldValidation::Strict if !warnings.is_empty() => {
            Err(DecodeError(format!("strict decoding error: {}", warnings.join(", "))))
        }
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Strict | FieldValidation::Warn => Ok(warnings),
    }
}

/// A body that does not match the schema of its kind.
#[derive(Debug)]
pub(super) struct DecodeError(String);

impl DecodeError {
    /// Converts the error to the response for an object.
    pub(super) fn for_object(self, kind: &Kind) -> StatusError {
        let version = version_of(kind);
        let (kind, detail) = (&kind.kind, self.0);
        StatusError::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: {detail}"
        ))
    }

    /// Converts the error to the response for a patch.
    pub(super) fn for_patch(self, patch: &str) -> StatusError {
        let detail = format!("Invalid value: {patch:?}: {}", self.0);
        let message = format!(" \"\" is invalid: patch: {detail}");
        let cause = StatusCause {
            reason: "FieldValueInvalid".into(),
            message: detail,
            field: "patch".into(),
        };
        StatusError { causes: vec![cause], ..StatusError::new(422, "Invalid", message) }
    }
}

struct Pruner {
    unknown: Vec<String>,
}

impl Pruner {
    fn object(
        &mut self,
        name: &str,
        type_schema: &TypeSchema,
        value: &mut Value,
        path: &str,
        is_root: bool,
    ) -> Result<(), String> {
        let Value::Object(members) = value else { return Ok(()) };
        let mut result = Ok(());
        members.retain(|member, value| {
            if is_root && matches!(member.as_str(), "apiVersion" | "kind")
                || member.starts_with(DIRECTIVE_PREFIX)
            {
                return true;
            }
            let field_path =
                if path.is_empty() { member.clone() } else { format!("{path}.{member}") };
            let field =
                type_schema.fields.iter().find(|field| field.name == member && !field.is("inline"));
            let Some(field) = field else {
                self.unknown.push(field_path);
                return false;
            };
            if result.is_ok() {
                result = self.value(name, &field.field_type, value, &field_path);
            }
            true
        });
        result
    }

    fn value(
        &mut self,
        name: &str,
        field_type: &FieldType,
        value: &mut Value,
        path: &str,
    ) -> Result<(), String> {
        if value.is_null() {
            return Ok(());
        }
        match (field_type, &mut *value) {
            (FieldType::List(item), Value::Array(items)) => {
                for (i, one) in items.iter_mut().enumerate() {
                    self.value(name, item, one, &format!("{path}[{i}]"))?;
                }
                Ok(())
            }
            (FieldType::Map(item), Value::Object(members)) => {
                for (key, one) in members {
                    self.value(name, item, one, &format!("{path}.{key}"))?;
                }
                Ok(())
            }
            (FieldType::Ref(name), Value::Object(_)) => {
                let type_schema =
                    SCHEMA.get(name).expect("the schema contains every referenced type");
                self.object(name, type_schema, value, path, false)
            }
            (
                FieldType::String | FieldType::Bytes | FieldType::Time | FieldType::MicroTime,
                Value::String(_),
            )
            | (FieldType::Bool, Value::Bool(_))
            | (FieldType::Double, Value::Number(_))
            | (FieldType::Quantity | FieldType::IntOrString, Value::String(_) | Value::Number(_))
            | (FieldType::Raw | FieldType::Fields, _) => Ok(()),
            (FieldType::Int32 | FieldType::Int64, Value::Number(number)) if number.is_i64() => {
                Ok(())
            }
            (wanted, found) => {
                let owner = name.rsplit('.').next().unwrap_or_default();
                let without_indices: String = path
                    .split('.')
                    .map(|part| part.split('[').next().unwrap_or_default())
                    .collect::<Vec<_>>()
                    .join(".");
                Err(format!(
                    "json: cannot unmarshal {} into Go struct field {owner}.{without_indices} of type {}",
                    json_type(found),
                    go_type(wanted)
                ))
            }
        }
    }
}

fn json_type(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(number) if number.is_i64() => "number".into(),
        Value::Number(number) => format!("number {number}"),
        Value::String(_) => "string".into(),
        Value::Array(_) => "array".into(),
        Value::Object(_) => "object".into(),
    }
}

/// Returns the Go type of a field, for error messages.
fn go_type(field_type: &FieldType) -> String {
    match field_type {
        FieldType::String => "string".into(),
        FieldType::Int32 => "int32".into(),
        FieldType::Int64 => "int64".into(),
        FieldType::Double => "float64".into(),
        FieldType::Bool => "bool".into(),
        FieldType::Bytes => "[]uint8".into(),
        FieldType::Time | FieldType::MicroTime => "v1.Time".into(),
        FieldType::Quantity => "resource.Quantity".into(),
        FieldType::IntOrString => "intstr.IntOrString".into(),
        FieldType::Raw | FieldType::Fields => "interface {}".into(),
        FieldType::Ref(name) => {
            let mut parts = name.rsplit('.');
            let (kind, version) =
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            format!("{}.{kind}", if version == "meta" { "v1" } else { version })
        }
        FieldType::List(item) => format!("[]{}", go_type(item)),
        FieldType::Map(item) => format!("map[string]{}", go_type(item)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_fields_are_pruned_and_wrong_types_rejected() {
        let kind = Kind::new("apps/v1", "Deployment");
        let body = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "labels": {"x": "y"}},
            "spec": {"replicaz": 2, "replicas": 1, "template": {"spec": {"containers": [{"name": "c", "imag": "i"}]}}}});
        let mut pruned = body.clone();
        let unknown = prune_unknown_fields(&kind, &mut pruned, FieldValidation::Warn).unwrap();
        assert_eq!(
            unknown,
            [
                "unknown field \"spec.replicaz\"",
                "unknown field \"spec.template.spec.containers[0].imag\""
            ]
        );
        assert_eq!(
            pruned["spec"],
            json!({"replicas": 1, "template": {"spec": {"containers": [{"name": "c"}]}}})
        );
        let error = prune_unknown_fields(&kind, &mut body.clone(), FieldValidation::Strict)
            .unwrap_err()
            .for_object(&kind);
        assert!(error.message.starts_with("Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field"));
        let error = prune_unknown_fields(
            &kind,
            &mut json!({"spec": {"replicas": "two"}}),
            FieldValidation::Warn,
        )
        .unwrap_err()
        .for_object(&kind);
        assert!(error.message.ends_with("json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"), "{}", error.message);
    }
}
