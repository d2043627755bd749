//! Whether a body fits its kind: fields that the kind does not have, and values of another type.

use cluster::Kind;
use serde_json::Value;

use super::schema::{SCHEMA, Shape, Type};
use crate::api::{Cause, FieldValidation, Refusal, version_of};

/// Words of a strategic merge patch that are no fields.
const DIRECTIVES: char = '$';

/// Takes out of a body of a known kind the fields that the kind does not have, and names them; of a kind of which
/// nothing is known, everything stays.
///
/// # Errors
/// [`Misfit`] where a value is of another type, or where a field is not known and the request is strict.
pub(super) fn fit(
    kind: &Kind,
    body: &mut Value,
    validation: FieldValidation,
) -> Result<Vec<String>, Misfit> {
    let Some((name, known)) = SCHEMA.of_kind(&kind.api_version, &kind.kind) else {
        return Ok(Vec::new());
    };
    let mut walk = Walk { unknown: Vec::new() };
    walk.object(name, known, body, "", true).map_err(Misfit)?;
    let told: Vec<String> =
        walk.unknown.iter().map(|field| format!("unknown field {field:?}")).collect();
    match validation {
        FieldValidation::Strict if !told.is_empty() => {
            Err(Misfit(format!("strict decoding error: {}", told.join(", "))))
        }
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Strict | FieldValidation::Warn => Ok(told),
    }
}

/// Why a body does not fit its kind.
#[derive(Debug)]
pub(super) struct Misfit(String);

impl Misfit {
    /// What is answered where the body was a whole object.
    pub(super) fn of_object(self, kind: &Kind) -> Refusal {
        let version = version_of(kind);
        let (kind, why) = (&kind.kind, self.0);
        Refusal::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: {why}"
        ))
    }

    /// What is answered where the body was a patch.
    pub(super) fn of_patch(self, patch: &str) -> Refusal {
        let why = format!("Invalid value: {patch:?}: {}", self.0);
        let message = format!(" \"\" is invalid: patch: {why}");
        let cause =
            Cause { reason: "FieldValueInvalid".into(), message: why, field: "patch".into() };
        Refusal { causes: vec![cause], ..Refusal::new(422, "Invalid", message) }
    }
}

struct Walk {
    unknown: Vec<String>,
}

impl Walk {
    fn object(
        &mut self,
        name: &str,
        known: &Type,
        value: &mut Value,
        path: &str,
        is_root: bool,
    ) -> Result<(), String> {
        let Value::Object(members) = value else { return Ok(()) };
        let mut wrong = Ok(());
        members.retain(|member, value| {
            if is_root && matches!(member.as_str(), "apiVersion" | "kind")
                || member.starts_with(DIRECTIVES)
            {
                return true;
            }
            let below = if path.is_empty() { member.clone() } else { format!("{path}.{member}") };
            let field =
                known.fields.iter().find(|field| field.name == member && !field.is("inline"));
            let Some(field) = field else {
                self.unknown.push(below);
                return false;
            };
            if wrong.is_ok() {
                wrong = self.value(name, &field.shape, value, &below);
            }
            true
        });
        wrong
    }

    fn value(
        &mut self,
        name: &str,
        shape: &Shape,
        value: &mut Value,
        path: &str,
    ) -> Result<(), String> {
        if value.is_null() {
            return Ok(());
        }
        match (shape, &mut *value) {
            (Shape::List(item), Value::Array(items)) => {
                for (i, one) in items.iter_mut().enumerate() {
                    self.value(name, item, one, &format!("{path}[{i}]"))?;
                }
                Ok(())
            }
            (Shape::Map(item), Value::Object(members)) => {
                for (key, one) in members {
                    self.value(name, item, one, &format!("{path}.{key}"))?;
                }
                Ok(())
            }
            (Shape::Of(below), Value::Object(_)) => {
                let known = SCHEMA.get(below).expect("every type that a field names is described");
                self.object(below, known, value, path, false)
            }
            (Shape::Text | Shape::Bytes | Shape::Time | Shape::MicroTime, Value::String(_))
            | (Shape::Bool, Value::Bool(_))
            | (Shape::Double, Value::Number(_))
            | (Shape::Quantity | Shape::IntOrText, Value::String(_) | Value::Number(_))
            | (Shape::Raw | Shape::Fields, _) => Ok(()),
            (Shape::Int32 | Shape::Int64, Value::Number(number)) if number.is_i64() => Ok(()),
            (wanted, found) => {
                let owner = name.rsplit('.').next().unwrap_or_default();
                let without_indices: String = path
                    .split('.')
                    .map(|part| part.split('[').next().unwrap_or_default())
                    .collect::<Vec<_>>()
                    .join(".");
                Err(format!(
                    "json: cannot unmarshal {} into Go struct field {owner}.{without_indices} of type {}",
                    said(found),
                    go_type(wanted)
                ))
            }
        }
    }
}

fn said(value: &Value) -> String {
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

/// A type in the words of the server that this one stands for.
fn go_type(shape: &Shape) -> String {
    match shape {
        Shape::Text => "string".into(),
        Shape::Int32 => "int32".into(),
        Shape::Int64 => "int64".into(),
        Shape::Double => "float64".into(),
        Shape::Bool => "bool".into(),
        Shape::Bytes => "[]uint8".into(),
        Shape::Time | Shape::MicroTime => "v1.Time".into(),
        Shape::Quantity => "resource.Quantity".into(),
        Shape::IntOrText => "intstr.IntOrString".into(),
        Shape::Raw | Shape::Fields => "interface {}".into(),
        Shape::Of(name) => {
            let mut parts = name.rsplit('.');
            let (kind, version) =
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            format!("{}.{kind}", if version == "meta" { "v1" } else { version })
        }
        Shape::List(item) => format!("[]{}", go_type(item)),
        Shape::Map(item) => format!("map[string]{}", go_type(item)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_fields_are_named_and_left_out_and_wrong_types_are_refused() {
        let kind = Kind::new("apps/v1", "Deployment");
        let body = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "labels": {"x": "y"}},
            "spec": {"replicaz": 2, "replicas": 1, "template": {"spec": {"containers": [{"name": "c", "imag": "i"}]}}}});
        let mut pruned = body.clone();
        let unknown = fit(&kind, &mut pruned, FieldValidation::Warn).unwrap();
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
        let refusal =
            fit(&kind, &mut body.clone(), FieldValidation::Strict).unwrap_err().of_object(&kind);
        assert!(refusal.message.starts_with("Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field"));
        let refusal = fit(&kind, &mut json!({"spec": {"replicas": "two"}}), FieldValidation::Warn)
            .unwrap_err()
            .of_object(&kind);
        assert!(refusal.message.ends_with("json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"), "{}", refusal.message);
    }
}
