use cluster::Object;
use serde_json::{Value, json};

use super::{FieldError, invalid_field};
use crate::api::status_error::StatusError;

/// Checks a PodDisruptionBudget.
pub(super) fn check(object: &Object) -> Result<(), StatusError> {
    let min = object.at("/spec/minAvailable").filter(|value| !value.is_null());
    let max = object.at("/spec/maxUnavailable").filter(|value| !value.is_null());
    if let (Some(min), Some(max)) = (min, max) {
        // The message of a real server shows the internal (Go) representation, not the serialized one.
        let value = json!({"MinAvailable": min, "Selector": object.at("/spec/selector"), "MaxUnavailable": max,
            "UnhealthyPodEvictionPolicy": object.at("/spec/unhealthyPodEvictionPolicy")});
        let detail = "minAvailable and maxUnavailable cannot be both set";
        return Err(invalid_field(object, "spec", &FieldError::Invalid(&value, detail)));
    }
    for (field, value) in [("spec.minAvailable", min), ("spec.maxUnavailable", max)] {
        let Some(value) = value else { continue };
        let detail = match value {
            Value::Number(number) if number.as_i64().is_some_and(|number| number >= 0) => continue,
            Value::Number(_) => "must be greater than or equal to 0",
            Value::String(text) => match text.strip_suffix('%').map(str::parse::<u32>) {
                Some(Ok(0..=100)) => continue,
                Some(Ok(_)) => "must not be greater than 100%",
                Some(Err(_)) | None => {
                    "a valid percent string must be a numeric string followed by an ending '%'"
                }
            },
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                "must be an integer or percentage (e.g '5%%')"
            }
        };
        return Err(invalid_field(object, field, &FieldError::Invalid(value, detail)));
    }
    Ok(())
}
