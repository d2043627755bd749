//! Conversion between JSON and CEL values.

use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional, CelString,
    CelType, CelUInt,
};
use cel::common::value::Val;
use serde_json::Value;

use super::error::{ExpressionCode, ExpressionError};
use super::quantity::QuantityValue;
use super::time::{DurationValue, TimestampValue};

/// Maximum nesting of a value.
pub(super) const MAX_DEPTH: usize = 64;

/// Converts a JSON value to a CEL value; strings are borrowed.
///
/// The caller must have checked its depth.
pub(super) fn from_json<'v>(value: &'v Value) -> Box<dyn Val + 'v> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Box::new(CelInt::from(int)),
            (None, Some(uint)) => Box::new(CelUInt::from(uint)),
            // NaN occurs only with a serde_json feature that this workspace does not use; comparisons with it are unknown.
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => {
            Box::new(CelList::from(items.iter().map(from_json).collect::<Vec<_>>()))
        }
        Value::Object(fields) => {
            // The interpreter uses hash maps; comprehensions iterate over their sorted keys (see `library::ordered`).
            let fields: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = fields
                .iter()
                .map(|(name, value)| (CelMapKey::from(name.as_str()), from_json(value)))
                .collect();
            Box::new(CelMap::from(fields))
        }
    }
}

fn not_representable(what: &str, hint: &str) -> ExpressionError {
    ExpressionError::new(
        ExpressionCode::ExpressionEvaluation,
        format!("{what} cannot be represented in JSON"),
    )
    .hint(hint)
}

/// Converts a CEL value to JSON: timestamps, durations and quantities as strings, the keys of maps as sorted strings.
pub(super) fn to_json(value: &dyn Val) -> Result<Value, ExpressionError> {
    if value.downcast_ref::<CelNull>().is_some() {
        return Ok(Value::Null);
    }
    if let Some(value) = value.downcast_ref::<CelBool>() {
        return Ok(Value::Bool(*value.inner()));
    }
    if let Some(value) = value.downcast_ref::<CelInt>() {
        return Ok(Value::from(*value.inner()));
    }
    if let Some(value) = value.downcast_ref::<CelUInt>() {
        return Ok(Value::from(*value.inner()));
    }
    if let Some(value) = value.downcast_ref::<CelDouble>() {
        // Adding 0.0 turns -0.0 into 0.0: `-0.0` is not allowed in canonical JSON.
        let number = serde_json::Number::from_f64(*value.inner() + 0.0).map(Value::Number);
        return number.ok_or_else(|| {
            not_representable("NaN or infinity", "guard the division, or use math.isFinite()")
        });
    }
    if let Some(value) = value.downcast_ref::<CelString<'_>>() {
        return Ok(Value::String(value.inner().to_owned()));
    }
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        return list
            .inner()
            .iter()
            .map(|item| to_json(item.as_ref()))
            .collect::<Result<_, _>>()
            .map(Value::Array);
    }
    if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        let mut fields: Vec<_> = map.inner().iter().collect();
        fields.sort_by(|one, other| one.0.cmp(other.0));
        let fields =
            fields.into_iter().map(|(key, value)| Ok((key_text(key), to_json(value.as_ref())?)));
        return fields.collect::<Result<_, _>>().map(Value::Object);
    }
    if let Some(timestamp) = value.downcast_ref::<TimestampValue>() {
        return Ok(Value::String(timestamp.to_string()));
    }
    if let Some(duration) = value.downcast_ref::<DurationValue>() {
        return Ok(Value::String(duration.to_string()));
    }
    if let Some(quantity) = value.downcast_ref::<QuantityValue>() {
        return Ok(Value::String(quantity.0.to_string()));
    }
    if let Some(type_value) = value.downcast_ref::<CelType>() {
        return Ok(Value::String(type_value.name().to_owned()));
    }
    if let Some(optional) = value.downcast_ref::<CelOptional<'_>>() {
        let empty = || not_representable("an empty optional", "unwrap it with .orValue(…)");
        return to_json(optional.option().ok_or_else(empty)?);
    }
    Err(not_representable(
        value.get_type().name(),
        "convert it to a string: string(…) or base64.encode(…)",
    ))
}

fn key_text(key: &CelMapKey<'_>) -> String {
    match key {
        CelMapKey::Bool(key) => key.inner().to_string(),
        CelMapKey::Int(key) => key.inner().to_string(),
        CelMapKey::UInt(key) => key.inner().to_string(),
        CelMapKey::String(key) => key.inner().to_owned(),
    }
}

/// Whether a value is nested no deeper than [`MAX_DEPTH`]. Uses an explicit stack, because the value may be very deep.
pub(super) fn is_shallow(value: &Value) -> bool {
    let mut open = vec![(value, 1_usize)];
    while let Some((value, depth)) = open.pop() {
        let inner: &mut dyn Iterator<Item = &Value> = match value {
            Value::Array(items) => &mut items.iter(),
            Value::Object(fields) => &mut fields.values(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => continue,
        };
        if depth > MAX_DEPTH {
            return false;
        }
        open.extend(inner.map(|value| (value, depth + 1)));
    }
    true
}
