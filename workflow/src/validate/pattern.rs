//! Checks the fact patterns of a template and the parameters that their placeholders fill.

use std::collections::BTreeSet;

use serde_json::Value;

use super::code::Code;
use super::finding::{Finding, Path, suggest, truncated};
use crate::fact::{FactPattern, ValuePattern};
use crate::manifest::Parameter;

/// The placeholder for the incident's target.
const TARGET: &str = "$target";

/// Checks `match` of a template.
pub(super) fn check(patterns: &[FactPattern], parameters: &[Parameter]) -> Vec<Finding> {
    let spec = Path::of(&["spec"]);
    let path = spec.key("match");
    let mut findings = Vec::new();
    if patterns.is_empty() {
        findings.push(Finding::error(
            Code::NoPattern,
            path.clone(),
            "the template has no fact patterns",
            "add the facts that the template remediates",
        ));
    }
    for (at, pattern) in patterns.iter().enumerate() {
        let path = path.index(at);
        if !is_placeholder(&pattern.subject) {
            let message = format!(
                "the subject `{}` is not a placeholder; templates cannot refer to specific objects",
                truncated(&pattern.subject, 64)
            );
            findings.push(Finding::error(
                Code::NotAPlaceholder,
                path.key("subject"),
                message,
                "use `$target` or another name that starts with `$`",
            ));
        }
        if let Some(ValuePattern::Is(Value::Object(members))) = &pattern.value {
            let keys: Vec<&str> = members.keys().map(String::as_str).collect();
            let message =
                format!("`{{{}}}` is not a valid pattern", truncated(&keys.join(", "), 64));
            let hint = match keys.as_slice() {
                [key] => suggest(key, ["in", "not", "below", "above"].into_iter()),
                _ => "use one of {in: […]}, {not: …}, {below: …}, {above: …}, a value, or a placeholder"
                    .into(),
            };
            findings.push(Finding::error(Code::InvalidPattern, path.key("value"), message, hint));
        }
    }
    let placeholders: BTreeSet<&str> =
        std::iter::once(TARGET).chain(patterns.iter().flat_map(placeholders)).collect();
    for (at, parameter) in parameters.iter().enumerate() {
        if parameter.default.is_none()
            && !placeholders.iter().any(|placeholder| placeholder[1..] == parameter.name)
        {
            let message =
                format!("no placeholder fills the parameter `{}`", truncated(&parameter.name, 64));
            let hint = format!(
                "use the placeholder `${}` in `match`, or add a default",
                truncated(&parameter.name, 64)
            );
            findings.push(Finding::error(
                Code::UnfilledParameter,
                spec.key("parameters").index(at),
                message,
                hint,
            ));
        }
    }
    findings
}

fn is_placeholder(name: &str) -> bool {
    name.len() > 1 && name.starts_with('$')
}

fn placeholders(pattern: &FactPattern) -> impl Iterator<Item = &str> {
    let value = match &pattern.value {
        Some(ValuePattern::Is(value) | ValuePattern::Not { not: value }) => value.as_str(),
        Some(ValuePattern::In { .. } | ValuePattern::Below { .. } | ValuePattern::Above { .. })
        | None => None,
    };
    [Some(pattern.subject.as_str()), pattern.key.as_deref(), value]
        .into_iter()
        .flatten()
        .filter(|name| is_placeholder(name))
}
