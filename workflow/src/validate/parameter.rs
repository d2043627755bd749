//! Checks parameters: their names, types, ranges and values.

use std::collections::BTreeMap;

use cluster::Quantity;
use serde_json::Value;

use super::code::Code;
use super::finding::{Finding, Path, suggest, truncated};
use super::name;
use super::structure::describe;
use crate::duration::Duration;
use crate::manifest::{Parameter, ParameterType};

/// Checks the declared parameters.
pub(super) fn check(parameters: &[Parameter], path: &Path) -> Vec<Finding> {
    let names = parameters
        .iter()
        .enumerate()
        .map(|(at, parameter)| (parameter.name.as_str(), path.index(at).key("name")));
    let mut findings = name::check_unique("parameter", names);
    for (at, parameter) in parameters.iter().enumerate() {
        let path = path.index(at);
        findings.extend(name::check_identifier(&parameter.name, &path.key("name")));
        findings.extend(check_range(parameter, &path));
        for (position, value) in parameter.r#enum.iter().enumerate() {
            findings.extend(check_value(
                parameter,
                value,
                &path.key("enum").index(position),
                "the allowed value",
            ));
        }
        if let Some(default) = &parameter.default {
            findings.extend(check_value(parameter, default, &path.key("default"), "the default"));
        }
    }
    findings
}

/// Checks the values that are bound to parameters.
pub(super) fn check_bound(
    parameters: &[Parameter],
    bound: &BTreeMap<String, Value>,
    path: &Path,
) -> Vec<Finding> {
    let known = || parameters.iter().map(|parameter| parameter.name.as_str());
    let check_one = |(name, value): (&String, &Value)| match parameters
        .iter()
        .find(|parameter| parameter.name == *name)
    {
        Some(parameter) => check_value(parameter, value, &path.key(name), "the value"),
        None => {
            let message = format!("there is no parameter `{}`", truncated(name, 64));
            Some(Finding::error(
                Code::UnknownBound,
                path.key(name),
                message,
                suggest(name, known()),
            ))
        }
    };
    bound.iter().filter_map(check_one).collect()
}

fn check_range(parameter: &Parameter, path: &Path) -> Option<Finding> {
    let is_number = matches!(parameter.r#type, ParameterType::Integer | ParameterType::Number);
    let invalid = |key: &str, message: String, hint: &str| {
        Some(Finding::error(Code::InvalidRange, path.key(key), message, hint))
    };
    match (parameter.min, parameter.max) {
        (Some(_), _) if !is_number => invalid(
            "min",
            "`min` is only allowed for numbers".into(),
            "remove `min`, or use `enum`",
        ),
        (_, Some(_)) if !is_number => invalid(
            "max",
            "`max` is only allowed for numbers".into(),
            "remove `max`, or use `enum`",
        ),
        (Some(min), Some(max)) if min > max => {
            invalid("min", format!("min {min} is above max {max}"), "swap them")
        }
        (Some(_) | None, Some(_) | None) => None,
    }
}

fn check_value(parameter: &Parameter, value: &Value, path: &Path, what: &str) -> Option<Finding> {
    let invalid = |problem: String| {
        let message = format!("{what} of parameter `{}` {problem}", truncated(&parameter.name, 64));
        Some(Finding::error(Code::InvalidParameterValue, path.clone(), message, ""))
    };
    if !has_type(parameter.r#type, value) {
        return invalid(format!("is {}, not {}", describe(value), type_name(parameter.r#type)));
    }
    if let Some(number) = value.as_f64() {
        if let Some(min) = parameter.min.filter(|min| number < *min) {
            return invalid(format!("is {number}, below the minimum {min}"));
        }
        if let Some(max) = parameter.max.filter(|max| number > *max) {
            return invalid(format!("is {number}, above the maximum {max}"));
        }
    }
    if !parameter.r#enum.is_empty() && !parameter.r#enum.contains(value) {
        return invalid(format!("is {}, which is not in its `enum`", describe(value)));
    }
    None
}

fn has_type(r#type: ParameterType, value: &Value) -> bool {
    match r#type {
        ParameterType::String => value.is_string(),
        ParameterType::Integer => value.is_i64() || value.is_u64(),
        ParameterType::Number => value.is_number(),
        ParameterType::Boolean => value.is_boolean(),
        ParameterType::Duration => value.as_str().is_some_and(|text| Duration::parse(text).is_ok()),
        ParameterType::Quantity => {
            value.as_str().is_some_and(|text| Quantity::parse(text).is_ok()) || value.is_number()
        }
        ParameterType::ObjectRef => {
            ["kind", "name"].iter().all(|key| value.get(key).is_some_and(Value::is_string))
        }
    }
}

fn type_name(r#type: ParameterType) -> &'static str {
    match r#type {
        ParameterType::String => "a string",
        ParameterType::Integer => "an integer",
        ParameterType::Number => "a number",
        ParameterType::Boolean => "a boolean",
        ParameterType::Duration => "a duration such as `90s`",
        ParameterType::Quantity => "a quantity such as `128Mi`",
        ParameterType::ObjectRef => "an object with `kind` and `name`",
    }
}
