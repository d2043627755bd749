//! Whether a value has the shape of a document: every missing, unknown and mistyped field with its path.
//!
//! Walks the JSON Schema that is generated from the types, so that shape and types cannot come apart. Durations and
//! expressions, which have types of their own, are read on the way.

use serde_json::{Map, Value};

use super::code::Code;
use super::finding::{At, Finding, MOST, Path, nearest, shown};
use crate::duration::Span;
use crate::expression::{Expression, ExpressionError};

/// Most expressions in one document, and most bytes of them all: each is parsed, which is what takes time.
const EXPRESSIONS: usize = 1_000;
const EXPRESSION_BYTES: usize = 128 << 10;

/// Every way in which `value` does not have the shape that `schema` describes.
pub(super) fn check(schema: &Value, value: &Value) -> Vec<Finding> {
    let mut walk = Walk { root: schema, findings: Vec::new(), expressions: 0, bytes: 0 };
    walk.value(schema, value, &Path::default());
    walk.findings
}

/// The finding about an expression that is refused.
pub(super) fn bad_expression(error: &ExpressionError, path: Path) -> Finding {
    let message = format!("{}: {}", error.code, error.message);
    let at = if error.line > 0 { At::Inside(error.line, error.column) } else { At::Value };
    Finding::error(Code::BadExpression, path, message, error.hint.clone()).at(at)
}

struct Walk<'s> {
    root: &'s Value,
    findings: Vec<Finding>,
    expressions: usize,
    bytes: usize,
}

impl<'s> Walk<'s> {
    fn value(&mut self, schema: &'s Value, value: &Value, path: &Path) {
        if self.findings.len() >= MOST {
            return;
        }
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let name = name.rsplit('/').next().unwrap_or(name);
            return match name {
                "Span" => self.span(value, path),
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
            return self.one_of(&allowed.iter().collect::<Vec<_>>(), value, path);
        }
        if let Some(constant) = schema.get("const") {
            return self.one_of(&[constant], value, path);
        }
        if let Some(expected) = schema.get("type").filter(|expected| !has_type(expected, value)) {
            let message = format!("expected {}, found {}", words(expected), found(value));
            let hint = match value {
                Value::Bool(_) | Value::Number(_) if allows(expected, "string") => {
                    format!("quote it if text is meant: \"{value}\"")
                }
                Value::String(text) if !text.contains('"') && is_literal(expected, text) => {
                    "leave the quotes out".into()
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
                let message = format!("the field `{name}` is missing");
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
                        nearest(name, known.into_iter().flat_map(Map::keys).map(String::as_str));
                    let message = format!("the field `{}` is not known here", shown(name, 64));
                    self.findings.push(
                        Finding::error(Code::UnknownField, path.key(name), message, hint)
                            .at(At::Key),
                    );
                }
                (None, Some(schema)) => self.value(schema, value, &path.key(name)),
                (None, None) => {}
            }
        }
    }

    /// The one branch that fits, or what the branch that comes nearest says.
    fn branches(&mut self, branches: &'s [Value], value: &Value, path: &Path) {
        let constants: Option<Vec<&Value>> =
            branches.iter().map(constants).collect::<Option<Vec<_>>>().map(|lists| lists.concat());
        if let Some(constants) = constants {
            return self.one_of(&constants, value, path);
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
            // A branch of another type altogether is farther off than any number of faults inside one that fits.
            let is_other_type = usize::from(findings.iter().any(|finding| finding.path == *path));
            if best.as_ref().is_none_or(|best| (is_other_type, findings.len()) < (best.0, best.1)) {
                best = Some((is_other_type, findings.len(), findings));
            }
        }
        self.findings.extend(best.into_iter().flat_map(|(_, _, findings)| findings));
    }

    fn one_of(&mut self, allowed: &[&Value], value: &Value, path: &Path) {
        if allowed.contains(&value) {
            return;
        }
        let names: Vec<&str> = allowed.iter().filter_map(|value| value.as_str()).collect();
        let (message, hint) = match value.as_str() {
            Some(text) => (
                format!("`{}` is not one of those allowed here", shown(text, 64)),
                nearest(text, names.iter().copied()),
            ),
            None => (
                format!("expected one of {}, found {}", names.join(", "), found(value)),
                String::new(),
            ),
        };
        let hint = if hint.is_empty() { format!("allowed: {}", names.join(", ")) } else { hint };
        self.findings.push(Finding::error(Code::NotOneOf, path.clone(), message, hint));
    }

    fn number(&mut self, schema: &Value, number: f64, path: &Path) {
        let least = schema.get("minimum").and_then(Value::as_f64);
        let most = schema.get("maximum").and_then(Value::as_f64).or(
            match schema.get("format").and_then(Value::as_str) {
                Some("uint32") => Some(f64::from(u32::MAX)),
                Some(_) | None => None,
            },
        );
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            let bound =
                |bound: Option<f64>, word: &str| bound.map(|bound| format!("{word} {bound}"));
            let bounds: Vec<String> =
                [bound(least, "at least"), bound(most, "at most")].into_iter().flatten().collect();
            let message = format!("{number} is out of range: {}", bounds.join(" and "));
            self.findings.push(Finding::error(Code::OutOfRange, path.clone(), message, ""));
        }
    }

    fn span(&mut self, value: &Value, path: &Path) {
        let message = match value.as_str().map(Span::parse) {
            Some(Ok(_)) => return,
            Some(Err(error)) => error.to_string(),
            None => format!("expected a duration, found {}", found(value)),
        };
        let hint = "write units h, m, s or ms: `90s`, `5m`, `1h30m`; no sign, at most 30 days";
        self.findings.push(Finding::error(Code::BadDuration, path.clone(), message, hint));
    }

    fn expression(&mut self, value: &Value, path: &Path) {
        let Some(source) = value.as_str() else {
            let hint = format!("quote it: \"{value}\"");
            let hint = if value.is_object() || value.is_array() {
                "write CEL in quotes".into()
            } else {
                hint
            };
            let message = format!("expected an expression, found {}", found(value));
            self.findings.push(Finding::error(Code::WrongType, path.clone(), message, hint));
            return;
        };
        self.expressions += 1;
        self.bytes += source.len();
        if self.expressions > EXPRESSIONS || self.bytes > EXPRESSION_BYTES {
            // Said once: whatever follows is not parsed.
            if self.expressions < usize::MAX / 2 {
                self.expressions = usize::MAX / 2;
                let message = format!(
                    "more than {EXPRESSIONS} expressions, or more than {EXPRESSION_BYTES} bytes of them"
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
            self.findings.push(bad_expression(&error, path.clone()));
        }
    }
}

/// The constants of a branch that is nothing else.
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

/// Whether `text` without its quotes would be of the type.
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

fn words(expected: &Value) -> String {
    let word = |name: &str| match name {
        "null" => "null",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        "object" => "an object",
        _ => "something else",
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
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            "something else".into()
        }
    }
}

/// What stands there, in a few words.
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        Value::String(text) => format!("the text `{}`", shown(text, 40)),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}
