//! Between JSON and the values of the language.

use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional, CelString,
    CelType, CelUInt,
};
use cel::common::value::Val;
use serde_json::Value;

use super::error::{ExpressionCode, ExpressionError};
use super::quantity::Amount;
use super::time::{Moment, Span};

/// Deepest nesting of a value.
pub(super) const DEPTH: usize = 64;

/// A JSON value as a value of the language; strings are borrowed.
///
/// The caller has bounded its depth.
pub(super) fn from_json<'v>(value: &'v Value) -> Box<dyn Val + 'v> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Box::new(CelInt::from(int)),
            (None, Some(uint)) => Box::new(CelUInt::from(uint)),
            // Not finite only with a feature that this workspace does not use; a comparison with it is then unknown.
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => {
            Box::new(CelList::from(items.iter().map(from_json).collect::<Vec<_>>()))
        }
        Value::Object(fields) => {
            // The interpreter's maps hash; whatever walks one is handed its keys in order (see `library::ordered`).
            let fields: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = fields
                .iter()
                .map(|(name, value)| (CelMapKey::from(name.as_str()), from_json(value)))
                .collect();
            Box::new(CelMap::from(fields))
        }
    }
}

fn without_json(what: &str, hint: &str) -> ExpressionError {
    ExpressionError::new(
        ExpressionCode::ExpressionEvaluation,
        format!("{what} has no form in JSON"),
    )
    .hint(hint)
}

/// A value of the language as JSON: timestamps, durations and quantities as they are written, a map's keys as text
/// and in order.
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
        // JSON has one zero: minus zero would print as `-0.0` and be refused by the canonical form.
        let number = serde_json::Number::from_f64(*value.inner() + 0.0).map(Value::Number);
        return number.ok_or_else(|| {
            without_json("NaN or infinity", "guard the division, or use math.isFinite()")
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
    if let Some(moment) = value.downcast_ref::<Moment>() {
        return Ok(Value::String(moment.to_string()));
    }
    if let Some(span) = value.downcast_ref::<Span>() {
        return Ok(Value::String(span.to_string()));
    }
    if let Some(amount) = value.downcast_ref::<Amount>() {
        return Ok(Value::String(amount.0.to_string()));
    }
    if let Some(named) = value.downcast_ref::<CelType>() {
        return Ok(Value::String(named.name().to_owned()));
    }
    if let Some(optional) = value.downcast_ref::<CelOptional<'_>>() {
        let absent = || without_json("an absent optional", "end it with .orValue(…)");
        return to_json(optional.option().ok_or_else(absent)?);
    }
    Err(without_json(value.get_type().name(), "turn it into text: string(…) or base64.encode(…)"))
}

fn key_text(key: &CelMapKey<'_>) -> String {
    match key {
        CelMapKey::Bool(key) => key.inner().to_string(),
        CelMapKey::Int(key) => key.inner().to_string(),
        CelMapKey::UInt(key) => key.inner().to_string(),
        CelMapKey::String(key) => key.inner().to_owned(),
    }
}

/// Whether a value nests no deeper than [`DEPTH`]. It keeps its own stack, for the value may be very deep.
pub(super) fn is_shallow(value: &Value) -> bool {
    let mut open = vec![(value, 1_usize)];
    while let Some((value, depth)) = open.pop() {
        let inner: &mut dyn Iterator<Item = &Value> = match value {
            Value::Array(items) => &mut items.iter(),
            Value::Object(fields) => &mut fields.values(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => continue,
        };
        if depth > DEPTH {
            return false;
        }
        open.extend(inner.map(|value| (value, depth + 1)));
    }
    true
}
