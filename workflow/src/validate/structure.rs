//! Checks the structure of a document: reports every missing, unknown and mistyped field with its path.
//!
//! The check interprets the JSON Schema that is generated from the types, so it always agrees with them. Durations and
//! expressions are strings in the schema; they are parsed during the check.

use serde_json::{Map, Value};

use super::code::Code;
use super::finding::{Finding, Location, MAX_FINDINGS, Path, suggest, truncated};
use crate::duration::Duration;
use crate::expression::{Expression, ExpressionError};

/// Maximum number and total bytes of expressions in one document. Each is parsed, which dominates the validation time.
const MAX_EXPRESSIONS: usize = 1_000;
const MAX_EXPRESSION_BYTES: usize = 128 << 10;

/// Checks `value` against `schema` and returns all findings.
pub(super) fn check(schema: &Value, value: &Value) -> Vec<Finding> {
    let mut checker =
        SchemaChecker { root: schema, findings: Vec::new(), expressions: 0, bytes: 0 };
    checker.value(schema, value, &Path::default());
    checker.findings
}

/// Returns the finding for an invalid expression.
pub(super) fn expression_finding(error: &ExpressionError, path: Path) -> Finding {
    let message = format!("{}: {}", error.code, error.message);
    let location =
        if error.line > 0 { Location::Inside(error.line, error.column) } else { Location::Value };
    Finding::error(Code::InvalidExpression, path, message, error.hint.clone()).at(location)
}

struct SchemaChecker<'s> {
    root: &'s Value,
    findings: Vec<Finding>,
    expressions: usize,
    bytes: usize,
}

impl<'s> SchemaChecker<'s> {
    fn value(&mut self, schema: &'s Value, value: &Value, path: &Path) {
        if self.findings.len() >= MAX_FINDINGS {
            return;
        }
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let name = name.rsplit('/').next().unwrap_or(name);
            return match name {
                "Duration" => self.duration(value, path),
                "Expression" => self.expression(value, path),
                _ => {
                    if let Some(schema) = self.root.get("$defs").and_then(|defs| defs.get(name)) {
                        self.value(schema, value, path);
                    }
                }
            };
        }
        if let Some(branches) =
            schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array)
        {
            return self.branches(branches, value, path);
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
            return self.check_one_of(&allowed.iter().collect::<Vec<_>>(), value, path);
        }
        if let Some(constant) = schema.get("const") {
            return self.check_one_of(&[constant], value, path);
        }
        if let Some(expected) = schema.get("type").filter(|expected| !has_type(expected, value)) {
            let message = format!("expected {}, found {}", type_names(expected), describe(value));
            let hint = match value {
                Value::Bool(_) | Value::Number(_) if allows(expected, "string") => {
                    format!("quote it for a string: \"{value}\"")
                }
                Value::String(text) if !text.contains('"') && is_literal(expected, text) => {
                    "remove the quotes".into()
                }
                _ => String::new(),
            };
            self.findings.push(Finding::error(Code::WrongType, path.clone(), message, hint));
            return;
        }
        match value {
            Value::Number(number) => self.number(schema, number.as_f64().unwrap_or(f64::NAN), path),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Some(schema) = schema.get("items") {
                        self.value(schema, item, &path.index(index));
                    }
                }
            }
            Value::Object(members) => self.object(schema, members, path),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }

    fn object(&mut self, schema: &'s Value, members: &Map<String, Value>, path: &Path) {
        let known = schema.get("properties").and_then(Value::as_object);
        for name in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if !members.contains_key(name) {
                let message = format!("missing field `{name}`");
                self.findings.push(Finding::error(
                    Code::MissingField,
                    path.key(name),
                    message,
                    format!("add `{name}:`"),
                ));
            }
        }
        for (name, value) in members {
            match (known.and_then(|known| known.get(name)), schema.get("additionalProperties")) {
                (Some(schema), _) => self.value(schema, value, &path.key(name)),
                (None, Some(Value::Bool(false))) => {
                    let hint =
                        suggest(name, known.into_iter().flat_map(Map::keys).map(String::as_str));
                    let message = format!("unknown field `{}`", truncated(name, 64));
                    self.findings.push(
                        Finding::error(Code::UnknownField, path.key(name), message, hint)
                            .at(Location::Key),
                    );
                }
                (None, Some(schema)) => self.value(schema, value, &path.key(name)),
                (None, None) => {}
            }
        }
    }

    /// Accepts the value if one branch matches; otherwise reports the findings of the closest branch.
    fn branches(&mut self, branches: &'s [Value], value: &Value, path: &Path) {
        let constants: Option<Vec<&Value>> =
            branches.iter().map(constants).collect::<Option<Vec<_>>>().map(|lists| lists.concat());
        if let Some(constants) = constants {
            return self.check_one_of(&constants, value, path);
        }
        if value.is_null()
            && branches.iter().any(|branch| branch.get("type") == Some(&"null".into()))
        {
            return;
        }
        let (expressions, bytes) = (self.expressions, self.bytes);
        let mut best: Option<(usize, usize, Vec<Finding>)> = None;
        for branch in branches.iter().filter(|branch| branch.get("type") != Some(&"null".into())) {
            (self.expressions, self.bytes) = (expressions, bytes);
            let outer = std::mem::take(&mut self.findings);
            self.value(branch, value, path);
            let findings = std::mem::replace(&mut self.findings, outer);
            // A type mismatch at this path counts more than any number of findings inside a branch of the right type.
            let is_other_type = usize::from(findings.iter().any(|finding| finding.path == *path));
            if best.as_ref().is_none_or(|best| (is_other_type, findings.len()) < (best.0, best.1)) {
                best = Some((is_other_type, findings.len(), findings));
            }
        }
        self.findings.extend(best.into_iter().flat_map(|(_, _, findings)| findings));
    }

    fn check_one_of(&mut self, allowed: &[&Value], value: &Value, path: &Path) {
        if allowed.contains(&value) {
            return;
        }
        let names: Vec<&str> = allowed.iter().filter_map(|value| value.as_str()).collect();
        let (message, hint) = match value.as_str() {
            Some(text) => (
                format!("`{}` is not an allowed value", truncated(text, 64)),
                suggest(text, names.iter().copied()),
            ),
            None => (
                format!("expected one of {}, found {}", names.join(", "), describe(value)),
                String::new(),
            ),
        };
        let hint = if hint.is_empty() { format!("allowed: {}", names.join(", ")) } else { hint };
        self.findings.push(Finding::error(Code::NotOneOf, path.clone(), message, hint));
    }

    fn number(&mut self, schema: &Value, number: f64, path: &Path) {
        let min = schema.get("minimum").and_then(Value::as_f64);
        let max = schema.get("maximum").and_then(Value::as_f64).or(
            match schema.get("format").and_then(Value::as_str) {
                Some("uint32") => Some(f64::from(u32::MAX)),
                Some(_) | None => None,
            },
        );
        if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
            let bound =
                |bound: Option<f64>, word: &str| bound.map(|bound| format!("{word} {bound}"));
            let bounds: Vec<String> =
                [bound(min, "at least"), bound(max, "at most")].into_iter().flatten().collect();
            let message = format!("{number} is out of range: {}", bounds.join(" and "));
            self.findings.push(Finding::error(Code::OutOfRange, path.clone(), message, ""));
        }
    }

    fn duration(&mut self, value: &Value, path: &Path) {
        let message = match value.as_str().map(Duration::parse) {
            Some(Ok(_)) => return,
            Some(Err(error)) => error.to_string(),
            None => format!("expected a duration, found {}", describe(value)),
        };
        let hint = "use units h, m, s or ms: `90s`, `5m`, `1h30m`; no sign, at most 30 days";
        self.findings.push(Finding::error(Code::InvalidDuration, path.clone(), message, hint));
    }

    fn expression(&mut self, value: &Value, path: &Path) {
        let Some(source) = value.as_str() else {
            let hint = format!("quote it: \"{value}\"");
            let hint = if value.is_object() || value.is_array() {
                "write the CEL expression in quotes".into()
            } else {
                hint
            };
            let message = format!("expected an expression, found {}", describe(value));
            self.findings.push(Finding::error(Code::WrongType, path.clone(), message, hint));
            return;
        };
        self.expressions += 1;
        self.bytes += source.len();
        if self.expressions > MAX_EXPRESSIONS || self.bytes > MAX_EXPRESSION_BYTES {
            // Reported once: the remaining expressions are not parsed.
            if self.expressions < usize::MAX / 2 {
                self.expressions = usize::MAX / 2;
                let message = format!(
                    "more than {MAX_EXPRESSIONS} expressions, or more than {MAX_EXPRESSION_BYTES} bytes of them"
                );
                self.findings.push(Finding::error(
                    Code::TooManyExpressions,
                    path.clone(),
                    message,
                    "split the workflow",
                ));
            }
            return;
        }
        if let Err(error) = Expression::parse(source) {
            self.findings.push(expression_finding(&error, path.clone()));
        }
    }
}

/// Returns the constants of a branch that consists only of constants.
fn constants(branch: &Value) -> Option<Vec<&Value>> {
    match (branch.get("const"), branch.get("enum").and_then(Value::as_array)) {
        (Some(constant), _) => Some(vec![constant]),
        (None, Some(list)) => Some(list.iter().collect()),
        (None, None) => None,
    }
}

fn allows(expected: &Value, name: &str) -> bool {
    expected == name || expected.as_array().is_some_and(|names| names.iter().any(|one| one == name))
}

/// Whether the unquoted `text` would have the expected type.
fn is_literal(expected: &Value, text: &str) -> bool {
    super::scalar::resolve(text)
        .is_ok_and(|value| !value.is_string() && !value.is_null() && has_type(expected, &value))
}

fn has_type(expected: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    match expected {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
    }
}

fn type_names(expected: &Value) -> String {
    let word = |name: &str| match name {
        "null" => "null",
        "boolean" => "a boolean",
        "integer" => "an integer",
        "number" => "a number",
        "string" => "a string",
        "array" => "a list",
        "object" => "an object",
        _ => "another type",
    };
    match expected {
        Value::String(name) => word(name).into(),
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| *name != "null")
            .map(word)
            .collect::<Vec<_>>()
            .join(" or "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => "another type".into(),
    }
}

/// Describes a value for a message.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        Value::String(text) => format!("the string `{}`", truncated(text, 40)),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}
