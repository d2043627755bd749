//! Checks arguments against the JSON Schema that an action declares for them.
//!
//! The subset of JSON Schema (2020-12) that the catalogue uses: `type` (a name or a list), `enum`, `properties`,
//! `required`, `additionalProperties`, `minProperties`, `items`, `minLength`, `maxLength`, `pattern`, `minimum`,
//! `maximum`. Annotations (`description`, `default`, `$schema`, …) are ignored.

use regex::Regex;
use serde_json::{Map, Value};

use super::{ActionSpec, Args};

/// All keywords that [`check`] evaluates or deliberately ignores.
pub const KEYWORDS: [&str; 15] = [
    "additionalProperties",
    "default",
    "description",
    "enum",
    "items",
    "maxLength",
    "maximum",
    "minLength",
    "minProperties",
    "minimum",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
];

/// An argument that does not match its schema.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mismatch {
    /// Path within the arguments: `target.name`, `ports[2]`.
    pub path: String,
    /// What is expected, and what was found.
    pub message: String,
    /// What does not match.
    pub part: MismatchPart,
}

/// The part of an argument that does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MismatchPart {
    /// The name: the schema has no such argument.
    Name,
    /// The value, or its absence.
    Value,
}

impl Mismatch {
    fn value(path: impl Into<String>, message: String) -> Self {
        Self { path: path.into(), message, part: MismatchPart::Value }
    }

    fn unknown(path: String, message: String) -> Self {
        Self { path, message, part: MismatchPart::Name }
    }
}

/// Checks `args` against the schema of `spec` and returns every mismatch, sorted by path.
///
/// A string that contains a placeholder (`${{ … }}`) matches every schema, because its value is not known yet.
pub fn check(spec: &ActionSpec, args: &Args) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    check_object(&spec.parameters, args, "", &mut mismatches);
    mismatches.sort();
    mismatches
}

fn check_value(schema: &Value, value: &Value, path: &str, mismatches: &mut Vec<Mismatch>) {
    if value.as_str().is_some_and(|text| text.contains("${{")) {
        return;
    }
    if let Some(expected) = schema.get("type").filter(|expected| !is_of_type(expected, value)) {
        mismatches.push(Mismatch::value(
            path,
            format!("expected {}, found {}", type_name(expected), truncated(value)),
        ));
        return;
    }
    if let Some(allowed) =
        schema.get("enum").and_then(Value::as_array).filter(|allowed| !allowed.contains(value))
    {
        let words: Vec<String> = allowed.iter().map(Value::to_string).collect();
        mismatches.push(Mismatch::value(
            path,
            format!("expected one of {}, found {}", words.join(", "), truncated(value)),
        ));
    }
    match value {
        Value::String(text) => check_text(schema, text, path, mismatches),
        Value::Number(number) => {
            check_number(schema, number.as_f64().unwrap_or(f64::NAN), path, mismatches)
        }
        Value::Object(map) => check_object(schema, map, path, mismatches),
        Value::Array(list) => {
            if let Some(items) = schema.get("items") {
                for (index, item) in list.iter().enumerate() {
                    check_value(items, item, &format!("{path}[{index}]"), mismatches);
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn check_object(
    schema: &Value,
    map: &Map<String, Value>,
    path: &str,
    mismatches: &mut Vec<Mismatch>,
) {
    let child_path =
        |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
    for name in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !map.contains_key(name) {
            mismatches.push(Mismatch::value(child_path(name), format!("`{name}` is missing")));
        }
    }
    if let Some(minimum) = schema
        .get("minProperties")
        .and_then(Value::as_u64)
        .filter(|minimum| (map.len() as u64) < *minimum)
    {
        mismatches.push(Mismatch::value(
            path,
            format!("expected at least {minimum} members, found {}", map.len()),
        ));
    }
    let known = schema.get("properties").and_then(Value::as_object);
    for (name, value) in map {
        match (known.and_then(|known| known.get(name)), schema.get("additionalProperties")) {
            (Some(schema), _) => check_value(schema, value, &child_path(name), mismatches),
            (None, Some(Value::Bool(false))) => {
                let names: Vec<&str> =
                    known.into_iter().flat_map(|known| known.keys().map(String::as_str)).collect();
                mismatches.push(Mismatch::unknown(
                    child_path(name),
                    format!("unknown argument `{name}`; expected one of: {}", names.join(", ")),
                ));
            }
            (None, Some(schema @ Value::Object(_))) => {
                check_value(schema, value, &child_path(name), mismatches)
            }
            (None, _) => {}
        }
    }
}

fn check_text(schema: &Value, text: &str, path: &str, mismatches: &mut Vec<Mismatch>) {
    let length = text.chars().count() as u64;
    if let Some(minimum) =
        schema.get("minLength").and_then(Value::as_u64).filter(|minimum| length < *minimum)
    {
        mismatches.push(Mismatch::value(
            path,
            format!("expected at least {minimum} characters, found {length}"),
        ));
    }
    if let Some(maximum) =
        schema.get("maxLength").and_then(Value::as_u64).filter(|maximum| length > *maximum)
    {
        mismatches.push(Mismatch::value(
            path,
            format!("expected at most {maximum} characters, found {length}"),
        ));
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        match Regex::new(pattern) {
            Ok(regex) if regex.is_match(text) => {}
            Ok(_) => mismatches.push(Mismatch::value(
                path,
                format!("{} does not match `{pattern}`", truncated(&text.into())),
            )),
            Err(_) => mismatches.push(Mismatch::value(
                path,
                format!("the pattern `{pattern}` in the catalogue is invalid"),
            )),
        }
    }
}

fn check_number(schema: &Value, number: f64, path: &str, mismatches: &mut Vec<Mismatch>) {
    if let Some(minimum) =
        schema.get("minimum").and_then(Value::as_f64).filter(|minimum| number < *minimum)
    {
        mismatches.push(Mismatch::value(path, format!("{number} is below the minimum {minimum}")));
    }
    if let Some(maximum) =
        schema.get("maximum").and_then(Value::as_f64).filter(|maximum| number > *maximum)
    {
        mismatches.push(Mismatch::value(path, format!("{number} is above the maximum {maximum}")));
    }
}

fn is_of_type(expected: &Value, value: &Value) -> bool {
    match expected {
        Value::Array(any) => any.iter().any(|one| is_of_type(one, value)),
        Value::String(name) => match name.as_str() {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => {
                value.is_i64()
                    || value.is_u64()
                    || value.as_f64().is_some_and(|number| number.fract() == 0.0)
            }
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            _ => false,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

fn type_name(expected: &Value) -> String {
    match expected {
        Value::Array(any) => any.iter().map(type_name).collect::<Vec<_>>().join(" or "),
        Value::String(name) => match name.as_str() {
            "null" => "null".into(),
            "integer" => "an integer".into(),
            "object" | "array" => format!("an {name}"),
            "string" => "a string".into(),
            _ => format!("a {name}"),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            "an unsupported type".into()
        }
    }
}

/// Returns the value as JSON, truncated to 80 characters because it is untrusted input.
fn truncated(value: &Value) -> String {
    crate::text::truncate(&value.to_string(), 80)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mismatches(schema: Value, value: Value) -> Vec<String> {
        let mut mismatches = Vec::new();
        check_value(&schema, &value, "", &mut mismatches);
        mismatches
            .into_iter()
            .map(|Mismatch { path, message, .. }| format!("{path}: {message}"))
            .collect()
    }

    #[test]
    fn every_keyword_accepts_valid_and_rejects_invalid_values() {
        let fits = [
            (json!({"type": "integer"}), json!(3)),
            (json!({"type": "integer"}), json!(3.0)),
            (json!({"type": ["string", "null"]}), json!(null)),
            (json!({"enum": ["a", 1]}), json!(1)),
            (
                json!({"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^[a-z]+$"}),
                json!("abc"),
            ),
            (json!({"minimum": 0, "maximum": 10}), json!(10)),
            (
                json!({"properties": {"a": {"type": "string"}}, "additionalProperties": false}),
                json!({"a": "x"}),
            ),
            (
                json!({"additionalProperties": {"type": "string"}, "minProperties": 1}),
                json!({"any": "x"}),
            ),
            (json!({"items": {"type": "boolean"}}), json!([true, false])),
            (json!({"type": "integer", "minimum": 1}), json!("${{ params.replicas }}")),
        ];
        for (schema, value) in fits {
            assert_eq!(mismatches(schema.clone(), value.clone()), [""; 0], "{schema} {value}");
        }
        let fails = [
            (json!({"type": "integer"}), json!(3.5), ": expected an integer, found 3.5"),
            (json!({"type": ["string", "null"]}), json!(7), ": expected a string or null, found 7"),
            (json!({"enum": ["a", "b"]}), json!("c"), r#": expected one of "a", "b", found "c""#),
            (json!({"minLength": 1}), json!(""), ": expected at least 1 characters, found 0"),
            (json!({"maxLength": 2}), json!("äöü"), ": expected at most 2 characters, found 3"),
            (json!({"pattern": "^[a-z]+$"}), json!("A"), r#": "A" does not match `^[a-z]+$`"#),
            (json!({"minimum": 0}), json!(-1), ": -1 is below the minimum 0"),
            (json!({"maximum": 5}), json!(6), ": 6 is above the maximum 5"),
            (json!({"required": ["a"]}), json!({}), "a: `a` is missing"),
            (json!({"minProperties": 1}), json!({}), ": expected at least 1 members, found 0"),
            (
                json!({"properties": {"a": {}, "b": {}}, "additionalProperties": false}),
                json!({"c": 1}),
                "c: unknown argument `c`; expected one of: a, b",
            ),
            (
                json!({"properties": {"a": {"items": {"type": "null"}}}}),
                json!({"a": [null, 0]}),
                "a[1]: expected null, found 0",
            ),
        ];
        for (schema, value, message) in fails {
            assert_eq!(mismatches(schema.clone(), value.clone()), [message], "{schema} {value}");
        }
    }

    #[test]
    fn wrong_type_is_reported_once_and_truncated() {
        let messages = mismatches(
            json!({"type": "integer", "minimum": 0, "pattern": "x"}),
            json!("y".repeat(10_000)),
        );
        assert_eq!(messages.len(), 1);
        assert!(messages[0].len() < 200, "{}", messages[0]);
    }
}
