//! What an expression may name where it stands.

use std::collections::BTreeSet;

use serde_json::Value;

use super::code::Code;
use super::finding::{At, Finding, Path, nearest, shown};
use super::shape::bad_expression;
use crate::expression::{Expression, Template};

/// The names that are known at one place.
pub(super) struct Scope<'a> {
    /// Variables.
    pub(super) variables: BTreeSet<String>,
    /// Parameters, where `params` is a variable.
    pub(super) parameters: BTreeSet<&'a str>,
    /// Every step of the workflow.
    pub(super) steps: BTreeSet<&'a str>,
    /// The steps that have ended before: whose output is there.
    pub(super) ended: BTreeSet<&'a str>,
}

impl<'a> Scope<'a> {
    /// The same, with more variables.
    pub(super) fn with<'n>(&self, names: impl Iterator<Item = &'n String>) -> Self {
        let mut variables = self.variables.clone();
        variables.extend(names.cloned());
        Self {
            variables,
            parameters: self.parameters.clone(),
            steps: self.steps.clone(),
            ended: self.ended.clone(),
        }
    }

    /// The same, where these steps have ended.
    pub(super) fn after(&self, ended: impl Iterator<Item = &'a str>) -> Self {
        Self { ended: ended.collect(), ..self.with(std::iter::empty()) }
    }

    /// The findings about an expression.
    pub(super) fn check(&self, expression: &Expression, path: &Path) -> Vec<Finding> {
        self.check_at(expression, path, At::Inside)
    }

    /// The findings about the holes of every text in a value.
    pub(super) fn check_holes(
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
                .flat_map(|(at, item)| self.check_holes(item, &path.index(at), budget))
                .collect(),
            Value::Object(members) => members
                .iter()
                .flat_map(|(key, value)| self.check_holes(value, &path.key(key), budget))
                .collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
        }
    }

    /// The findings about the holes of a text; `budget` is how many more holes are read in this document.
    pub(super) fn check_text(&self, text: &str, path: &Path, budget: &mut usize) -> Vec<Finding> {
        let holes = text.matches("${{").count();
        if holes == 0 {
            return Vec::new();
        }
        let Some(rest) = budget.checked_sub(holes) else {
            // Said once: with nothing left, later texts are passed over.
            let is_first = std::mem::take(budget) > 0;
            let finding = Finding::error(
                Code::TooManyExpressions,
                path.clone(),
                "more holes than are read in one document",
                "split the workflow",
            );
            return if is_first { vec![finding] } else { Vec::new() };
        };
        *budget = rest;
        match Template::parse(text) {
            Err(error) => vec![bad_expression(&error, path.clone())],
            Ok(template) => template
                .holes()
                .flat_map(|hole| {
                    let (line, column) =
                        super::document::place_of_byte(text.as_bytes(), hole.offset);
                    self.check_at(&hole.expression, path, |_, _| At::Inside(line, column))
                })
                .collect(),
        }
    }

    fn check_at(
        &self,
        expression: &Expression,
        path: &Path,
        at: impl Fn(usize, usize) -> At,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Err(error) = expression.check_variables(&self.variables) {
            findings.push(
                Finding::error(Code::UnknownVariable, path.clone(), error.message, error.hint)
                    .at(at(error.line, error.column)),
            );
        }
        if self.variables.contains("params") {
            for (name, place) in
                expression.members("params").filter(|(name, _)| !self.parameters.contains(name))
            {
                let message = format!("there is no parameter `{}`", shown(name, 64));
                let hint = nearest(name, self.parameters.iter().copied());
                let hint = if hint.is_empty() {
                    "declare it under `spec.parameters`".into()
                } else {
                    hint
                };
                findings.push(
                    Finding::error(Code::UnknownParameter, path.clone(), message, hint)
                        .at(at(place.0, place.1)),
                );
            }
        }
        if self.variables.contains("steps") {
            for (name, place) in
                expression.members("steps").filter(|(name, _)| !self.ended.contains(name))
            {
                let (message, hint) = if self.steps.contains(name) {
                    (
                        format!("step `{name}` need not have ended when this is read"),
                        format!("add `{name}` to `needs`"),
                    )
                } else {
                    (
                        format!("there is no step `{}`", shown(name, 64)),
                        nearest(name, self.steps.iter().copied()),
                    )
                };
                findings.push(
                    Finding::error(Code::UnknownStep, path.clone(), message, hint)
                        .at(at(place.0, place.1)),
                );
            }
        }
        findings
    }
}
