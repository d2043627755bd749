//! Errors of parsing and evaluating expressions.

use serde::{Deserialize, Serialize};

/// Maximum length of a message in bytes, so that an error never repeats a long input.
const MAX_MESSAGE_BYTES: usize = 256;

/// The kind of an expression error; stable across versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpressionCode {
    /// The source is not a valid expression.
    ExpressionSyntax,
    /// The source is longer than 2 KiB.
    ExpressionTooLong,
    /// Brackets, branches or comprehensions are nested too deeply.
    ExpressionTooDeep,
    /// The tree has more than 500 nodes after macro expansion.
    ExpressionTooManyNodes,
    /// The source has more than 200 tokens of one class of operators.
    ExpressionOperators,
    /// The estimated cost or memory of the evaluation exceeds the limit.
    ExpressionBudget,
    /// The expression uses an unknown variable.
    ExpressionUnknownVariable,
    /// The expression calls an unknown function, or a function with a wrong number of arguments.
    ExpressionUnknownFunction,
    /// The expression is valid but has no value for these variables.
    ExpressionEvaluation,
    /// The regular expression is invalid.
    RegexSyntax,
    /// The compiled regular expression would be larger than 1 MiB.
    RegexTooLarge,
    /// A placeholder `${{` in a template string is not closed.
    TemplateSyntax,
    /// A template string or its rendered text is longer than 256 KiB, or it has more than 100 placeholders.
    TemplateTooLong,
}

impl ExpressionCode {
    /// Returns the code as it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExpressionSyntax => "expression_syntax",
            Self::ExpressionTooLong => "expression_too_long",
            Self::ExpressionTooDeep => "expression_too_deep",
            Self::ExpressionTooManyNodes => "expression_too_many_nodes",
            Self::ExpressionOperators => "expression_operators",
            Self::ExpressionBudget => "expression_budget",
            Self::ExpressionUnknownVariable => "expression_unknown_variable",
            Self::ExpressionUnknownFunction => "expression_unknown_function",
            Self::ExpressionEvaluation => "expression_evaluation",
            Self::RegexSyntax => "regex_syntax",
            Self::RegexTooLarge => "regex_too_large",
            Self::TemplateSyntax => "template_syntax",
            Self::TemplateTooLong => "template_too_long",
        }
    }
}

impl std::fmt::Display for ExpressionCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error of parsing or evaluating an expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct ExpressionError {
    /// The kind of error.
    pub code: ExpressionCode,
    /// What failed, in lower case, without a trailing period; at most 256 bytes.
    pub message: String,
    /// Line in the source, from 1; 0 if unknown.
    pub line: usize,
    /// Column in the line in characters, from 1; 0 if unknown.
    pub column: usize,
    /// How to fix it; empty if there is no hint.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl ExpressionError {
    pub(super) fn new(code: ExpressionCode, message: impl AsRef<str>) -> Self {
        Self {
            code,
            message: truncated(message.as_ref(), MAX_MESSAGE_BYTES),
            line: 0,
            column: 0,
            hint: String::new(),
        }
    }

    /// Sets line and column, from 1; (0, 0) if unknown.
    pub(super) fn at(mut self, (line, column): (usize, usize)) -> Self {
        (self.line, self.column) = (line, column);
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// Truncates `text` to at most `bytes` bytes on one line; an ellipsis marks the truncation.
pub(super) fn truncated(text: &str, bytes: usize) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if one_line.len() <= bytes {
        return one_line;
    }
    let end = one_line.floor_char_boundary(bytes - '…'.len_utf8());
    format!("{}…", &one_line[..end])
}
