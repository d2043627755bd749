//! The names that an expression may use, depending on its position in the document.

use std::collections::BTreeSet;

use serde_json::Value;

use super::code::Code;
use super::finding::{Finding, Location, Path, suggest, truncated};
use super::structure::expression_finding;
use crate::expression::{Expression, TemplateString};

/// The available names at one position.
pub(super) struct Scope<'a> {
    /// Available variables.
    pub(super) variables: BTreeSet<String>,
    /// Declared parameters, if `params` is a variable.
    pub(super) parameters: BTreeSet<&'a str>,
    /// All steps of the workflow.
    pub(super) steps: BTreeSet<&'a str>,
    /// The steps that have ended before, so that their output is available.
    pub(super) completed_steps: BTreeSet<&'a str>,
}

impl<'a> Scope<'a> {
    /// Returns this scope with additional variables.
    pub(super) fn with<'n>(&self, names: impl Iterator<Item = &'n String>) -> Self {
        let mut variables = self.variables.clone();
        variables.extend(names.cloned());
        Self {
            variables,
            parameters: self.parameters.clone(),
            steps: self.steps.clone(),
            completed_steps: self.completed_steps.clone(),
        }
    }

    /// Returns this scope with these completed steps.
    pub(super) fn after(&self, completed_steps: impl Iterator<Item = &'a str>) -> Self {
        Self { completed_steps: completed_steps.collect(), ..self.with(std::iter::empty()) }
    }

    /// Checks an expression.
    pub(super) fn check(&self, expression: &Expression, path: &Path) -> Vec<Finding> {
        self.check_at(expression, path, Location::Inside)
    }

    /// Checks the placeholders of every string in a value.
    pub(super) fn check_placeholders(
        &self,
        value: &Value,
        path: &Path,
        budget: &mut usize,
    ) -> Vec<Finding> {
        match value {
            Value::String(text) => self.check_text(text, path, budget),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .flat_map(|(at, item)| self.check_placeholders(item, &path.index(at), budget))
                .collect(),
            Value::Object(members) => members
                .iter()
                .flat_map(|(key, value)| self.check_placeholders(value, &path.key(key), budget))
                .collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
        }
    }

    /// Checks the placeholders of a string; `budget` is the number of placeholders that may still be parsed in this document.
    pub(super) fn check_text(&self, text: &str, path: &Path, budget: &mut usize) -> Vec<Finding> {
        let placeholders = text.matches("${{").count();
        if placeholders == 0 {
            return Vec::new();
        }
        let Some(rest) = budget.checked_sub(placeholders) else {
            // Reported once: with an empty budget, later strings are skipped.
            let is_first = std::mem::take(budget) > 0;
            let finding = Finding::error(
                Code::TooManyExpressions,
                path.clone(),
                "too many placeholders in one document",
                "split the workflow",
            );
            return if is_first { vec![finding] } else { Vec::new() };
        };
        *budget = rest;
        match TemplateString::parse(text) {
            Err(error) => vec![expression_finding(&error, path.clone())],
            Ok(template) => template
                .placeholders()
                .flat_map(|placeholder| {
                    let (line, column) =
                        super::document::position_of_byte(text.as_bytes(), placeholder.offset);
                    self.check_at(&placeholder.expression, path, |_, _| {
                        Location::Inside(line, column)
                    })
                })
                .collect(),
        }
    }

    fn check_at(
        &self,
        expression: &Expression,
        path: &Path,
        location: impl Fn(usize, usize) -> Location,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Err(error) = expression.check_variables(&self.variables) {
            findings.push(
                Finding::error(Code::UnknownVariable, path.clone(), error.message, error.hint)
                    .at(location(error.line, error.column)),
            );
        }
        if self.variables.contains("params") {
            for (name, position) in
                expression.members("params").filter(|(name, _)| !self.parameters.contains(name))
            {
                let message = format!("there is no parameter `{}`", truncated(name, 64));
                let hint = suggest(name, self.parameters.iter().copied());
                let hint = if hint.is_empty() {
                    "declare it under `spec.parameters`".into()
                } else {
                    hint
                };
                findings.push(
                    Finding::error(Code::UnknownParameter, path.clone(), message, hint)
                        .at(location(position.0, position.1)),
                );
            }
        }
        if self.variables.contains("steps") {
            for (name, position) in
                expression.members("steps").filter(|(name, _)| !self.completed_steps.contains(name))
            {
                let (message, hint) = if self.steps.contains(name) {
                    (
                        format!(
                            "step `{name}` may not have ended when this expression is evaluated"
                        ),
                        format!("add `{name}` to `needs`"),
                    )
                } else {
                    (
                        format!("there is no step `{}`", truncated(name, 64)),
                        suggest(name, self.steps.iter().copied()),
                    )
                };
                findings.push(
                    Finding::error(Code::UnknownStep, path.clone(), message, hint)
                        .at(location(position.0, position.1)),
                );
            }
        }
        findings
    }
}
