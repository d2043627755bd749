use cluster::Object;
use serde_json::{Value, json};

use super::{Wrong, wrong};
use crate::api::refusal::Refusal;

/// Checks a disruption budget.
pub(super) fn check(object: &Object) -> Result<(), Refusal> {
    let least = object.at("/spec/minAvailable").filter(|value| !value.is_null());
    let most = object.at("/spec/maxUnavailable").filter(|value| !value.is_null());
    if let (Some(least), Some(most)) = (least, most) {
        // Told as the server holds it, not as it is on the wire.
        let value = json!({"MinAvailable": least, "Selector": object.at("/spec/selector"), "MaxUnavailable": most,
            "UnhealthyPodEvictionPolicy": object.at("/spec/unhealthyPodEvictionPolicy")});
        let why = "minAvailable and maxUnavailable cannot be both set";
        return Err(wrong(object, "spec", &Wrong::Invalid(&value, why)));
    }
    for (field, value) in [("spec.minAvailable", least), ("spec.maxUnavailable", most)] {
        let Some(value) = value else { continue };
        let why = match value {
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
        return Err(wrong(object, field, &Wrong::Invalid(value, why)));
    }
    Ok(())
}
