//! The fact patterns of a template, and the parameters that their holes fill.

use std::collections::BTreeSet;

use serde_json::Value;

use super::code::Code;
use super::finding::{Finding, Path, nearest, shown};
use crate::fact::{FactPattern, ValuePattern};
use crate::manifest::Parameter;

/// The hole that the incident's target fills.
const TARGET: &str = "$target";

/// The findings about what a template matches.
pub(super) fn check(patterns: &[FactPattern], parameters: &[Parameter]) -> Vec<Finding> {
    let spec = Path::of(&["spec"]);
    let path = spec.key("match");
    let mut findings = Vec::new();
    if patterns.is_empty() {
        findings.push(Finding::error(
            Code::NoPattern,
            path.clone(),
            "the template has no fact patterns",
            "say which facts call for it",
        ));
    }
    for (at, pattern) in patterns.iter().enumerate() {
        let path = path.index(at);
        if !is_hole(&pattern.subject) {
            let message = format!(
                "the subject `{}` is no hole: a template names no object",
                shown(&pattern.subject, 64)
            );
            findings.push(Finding::error(
                Code::NotAHole,
                path.key("subject"),
                message,
                "write `$target`, or another word that begins with `$`",
            ));
        }
        if let Some(ValuePattern::Is(Value::Object(members))) = &pattern.value {
            let keys: Vec<&str> = members.keys().map(String::as_str).collect();
            let message = format!("`{{{}}}` is no pattern", shown(&keys.join(", "), 64));
            let hint = match keys.as_slice() {
                [key] => nearest(key, ["in", "not", "below", "above"].into_iter()),
                _ => "write one of {in: […]}, {not: …}, {below: …}, {above: …}, a value, or a hole"
                    .into(),
            };
            findings.push(Finding::error(Code::BadPattern, path.key("value"), message, hint));
        }
    }
    let holes: BTreeSet<&str> =
        std::iter::once(TARGET).chain(patterns.iter().flat_map(holes)).collect();
    for (at, parameter) in parameters.iter().enumerate() {
        if parameter.default.is_none() && !holes.iter().any(|hole| hole[1..] == parameter.name) {
            let message = format!("nothing fills the parameter `{}`", shown(&parameter.name, 64));
            let hint = format!(
                "use the hole `${}` in `match`, or give it a default",
                shown(&parameter.name, 64)
            );
            findings.push(Finding::error(
                Code::Unfilled,
                spec.key("parameters").index(at),
                message,
                hint,
            ));
        }
    }
    findings
}

fn is_hole(word: &str) -> bool {
    word.len() > 1 && word.starts_with('$')
}

fn holes(pattern: &FactPattern) -> impl Iterator<Item = &str> {
    let value = match &pattern.value {
        Some(ValuePattern::Is(value) | ValuePattern::Not { not: value }) => value.as_str(),
        Some(ValuePattern::In { .. } | ValuePattern::Below { .. } | ValuePattern::Above { .. })
        | None => None,
    };
    [Some(pattern.subject.as_str()), pattern.key.as_deref(), value]
        .into_iter()
        .flatten()
        .filter(|word| is_hole(word))
}
