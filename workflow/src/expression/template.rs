//! TemplateString strings with placeholders: `restart ${{ target.name }}`.
//!
//! The template is trusted text from a manifest; the values of its placeholders are data. A value is never scanned for
//! placeholders again, so a label with the value `${{ secrets.db }}` is inserted verbatim.

use serde_json::Value;

use super::cost::MAX_VALUE_BYTES;
use super::error::{ExpressionCode, ExpressionError};
use super::{Expression, Variables, token, value};

/// Start of a placeholder; `$${{` is the escaped form.
const OPEN: &str = "${{";
const CLOSE: &str = "}}";
const ESCAPE: &str = "$${{";
/// Maximum number of placeholders in one template string, because each is parsed separately.
const MAX_PLACEHOLDERS: usize = 100;

/// A placeholder in a template string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder {
    /// The expression.
    pub expression: Expression,
    /// Byte offset of `${{` in the template string.
    pub offset: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(Placeholder),
}

/// A parsed template string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateString {
    parts: Vec<Part>,
}

impl TemplateString {
    /// Parses a template string and every expression in it.
    ///
    /// # Errors
    /// [`ExpressionCode::TemplateSyntax`] if a placeholder is not closed; the error of [`Expression::parse`] with its
    /// position in the template; [`ExpressionCode::TemplateTooLong`] beyond 256 KiB or 100 placeholders.
    pub fn parse(template: &str) -> Result<Self, ExpressionError> {
        if template.len() as u64 > MAX_VALUE_BYTES {
            let message = format!(
                "the template has {} bytes; the limit is {MAX_VALUE_BYTES}",
                template.len()
            );
            return Err(ExpressionError::new(ExpressionCode::TemplateTooLong, message));
        }
        let mut count = 0;
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut offset = 0;
        while let Some(found) = template[offset..].find(OPEN) {
            let start = offset + found;
            if template[offset..start].ends_with('$') {
                text.push_str(&template[offset..start - 1]);
                text.push_str(OPEN);
                offset = start + OPEN.len();
                continue;
            }
            text.push_str(&template[offset..start]);
            let inner = start + OPEN.len();
            count += 1;
            if count > MAX_PLACEHOLDERS {
                let message = format!("the template has more than {MAX_PLACEHOLDERS} placeholders");
                return Err(ExpressionError::new(ExpressionCode::TemplateTooLong, message)
                    .at(token::position(template, start)));
            }
            let Some(length) = token::placeholder_end(&template[inner..]) else {
                return Err(ExpressionError::new(
                    ExpressionCode::TemplateSyntax,
                    "unterminated placeholder `${{`",
                )
                .at(token::position(template, start))
                .hint(format!(
                    "close it with `{CLOSE}`, or write `{ESCAPE}` for a literal `${{{{`"
                )));
            };
            let written = &template[inner..inner + length];
            let source = written.trim();
            let source_at = inner + (written.len() - written.trim_start().len());
            let expression = Expression::parse(source)
                .map_err(|error| with_offset(error, template, source_at))?;
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(Part::Placeholder(Placeholder { expression, offset: start }));
            offset = inner + length + CLOSE.len();
        }
        text.push_str(&template[offset..]);
        if !text.is_empty() || parts.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { parts })
    }

    /// Returns the placeholders in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(placeholder) => Some(placeholder),
            Part::Text(_) => None,
        })
    }

    /// Renders the template. If it consists of a single placeholder, the result is its value with its type: a number stays a
    /// number. Otherwise the result is a string, with lists and maps as JSON.
    ///
    /// # Errors
    /// If an expression has no value, a value within a text is null, or the text exceeds 256 KiB.
    pub fn render(&self, bindings: &Variables) -> Result<Value, ExpressionError> {
        if let [Part::Placeholder(placeholder)] = self.parts.as_slice() {
            return placeholder.expression.evaluate(bindings);
        }
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(written) => text.push_str(written),
                Part::Placeholder(placeholder) => {
                    match placeholder.expression.evaluate(bindings)? {
                        Value::String(value) => text.push_str(&value),
                        Value::Null => {
                            let message =
                                format!("`{}` is null within a text", placeholder.expression);
                            return Err(ExpressionError::new(
                                ExpressionCode::ExpressionEvaluation,
                                message,
                            )
                            .hint("provide a default: has(x) ? x : 'none'"));
                        }
                        value @ (Value::Bool(_)
                        | Value::Number(_)
                        | Value::Array(_)
                        | Value::Object(_)) => {
                            text.push_str(&value.to_string());
                        }
                    }
                }
            }
            if text.len() as u64 > MAX_VALUE_BYTES {
                let message = format!("the rendered text has more than {MAX_VALUE_BYTES} bytes");
                return Err(ExpressionError::new(ExpressionCode::TemplateTooLong, message));
            }
        }
        Ok(Value::String(text))
    }
}

/// Moves the position of an error from the expression to the template that contains it at `byte`.
fn with_offset(error: ExpressionError, template: &str, byte: usize) -> ExpressionError {
    let (line, column) = token::position(template, byte);
    match (error.line, error.column) {
        (0, _) => error.at((line, column)),
        (1, inner) => error.at((line, column + inner - 1)),
        (inner_line, inner) => error.at((line + inner_line - 1, inner)),
    }
}

/// Parses and renders a template string; see [`TemplateString::render`].
///
/// # Errors
/// Those of [`TemplateString::parse`] and [`TemplateString::render`].
pub fn render(template: &str, bindings: &Variables) -> Result<Value, ExpressionError> {
    TemplateString::parse(template)?.render(bindings)
}

/// Parses a template string and returns its placeholders.
///
/// # Errors
/// Those of [`TemplateString::parse`].
pub fn placeholders(template: &str) -> Result<Vec<Placeholder>, ExpressionError> {
    Ok(TemplateString::parse(template)?.placeholders().cloned().collect())
}

/// Renders every string in a JSON value; field names are not rendered.
///
/// # Errors
/// The error of [`render`] for the first string that fails; [`ExpressionCode::ExpressionBudget`] if the value is nested
/// deeper than 64 levels.
pub fn render_value(value: &Value, bindings: &Variables) -> Result<Value, ExpressionError> {
    if !value::is_shallow(value) {
        let message = format!("the value is nested deeper than {} levels", value::MAX_DEPTH);
        return Err(ExpressionError::new(ExpressionCode::ExpressionBudget, message));
    }
    render_nested(value, bindings)
}

fn render_nested(value: &Value, bindings: &Variables) -> Result<Value, ExpressionError> {
    Ok(match value {
        Value::String(text) => render(text, bindings)?,
        Value::Array(items) => Value::Array(
            items.iter().map(|item| render_nested(item, bindings)).collect::<Result<_, _>>()?,
        ),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| Ok((name.clone(), render_nested(value, bindings)?)));
            Value::Object(fields.collect::<Result<_, _>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}
