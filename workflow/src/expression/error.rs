//! Why an expression was refused or has no value.

use serde::{Deserialize, Serialize};

/// Longest message shown, in bytes: an error never echoes a long input.
const MESSAGE_BYTES: usize = 256;

/// What kind of refusal this is, stable across versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpressionCode {
    /// Not an expression of the language.
    ExpressionSyntax,
    /// The source is longer than 2 KiB.
    ExpressionTooLong,
    /// Brackets, branches or comprehensions nest too deep.
    ExpressionTooDeep,
    /// More than 500 nodes after macros are expanded.
    ExpressionTooManyNodes,
    /// More than 200 tokens of one class of operators.
    ExpressionOperators,
    /// What the expression might cost or hold, given its inputs, is above the bound.
    ExpressionBudget,
    /// It names a variable that is not there.
    ExpressionUnknownVariable,
    /// It calls a function that is not there, or with a wrong number of arguments.
    ExpressionUnknownFunction,
    /// It is well formed, but has no value for these inputs.
    ExpressionEvaluation,
    /// A regular expression that is not one.
    RegexSyntax,
    /// A regular expression whose program would be larger than 1 MiB.
    RegexTooLarge,
    /// A hole `${{` in a template is not closed.
    TemplateSyntax,
    /// A template, or the text rendered from it, is longer than 256 KiB, or it has more than 100 holes.
    TemplateTooLong,
}

impl ExpressionCode {
    /// The code as it is written in answers and records.
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

/// Why an expression was refused, or has no value for its inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct ExpressionError {
    /// What kind of refusal.
    pub code: ExpressionCode,
    /// What failed, in lower case and without a full stop; at most 256 bytes.
    pub message: String,
    /// Line in the source, from 1; 0 where no place is known.
    pub line: usize,
    /// Column in the line, from 1, in characters; 0 where no place is known.
    pub column: usize,
    /// How to mend it; empty if nothing better can be said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl ExpressionError {
    pub(super) fn new(code: ExpressionCode, message: impl AsRef<str>) -> Self {
        Self {
            code,
            message: shortened(message.as_ref(), MESSAGE_BYTES),
            line: 0,
            column: 0,
            hint: String::new(),
        }
    }

    /// Names the place, from 1; (0, 0) if it is not known.
    pub(super) fn at(mut self, (line, column): (usize, usize)) -> Self {
        (self.line, self.column) = (line, column);
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// Cuts `text` to at most `bytes` bytes on one line, marking the cut.
pub(super) fn shortened(text: &str, bytes: usize) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if one_line.len() <= bytes {
        return one_line;
    }
    let end = one_line.floor_char_boundary(bytes - '…'.len_utf8());
    format!("{}…", &one_line[..end])
}
