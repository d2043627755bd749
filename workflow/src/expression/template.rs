//! Text with holes: `restart ${{ target.name }}`.
//!
//! A template is text that a person wrote; what fills its holes is data. The result of a hole is never read for holes
//! again, so a label that says `${{ secrets.db }}` stays those words.

use serde_json::Value;

use super::bound::SIZE_BYTES;
use super::error::{ExpressionCode, ExpressionError};
use super::{Bindings, Expression, token, value};

/// What opens a hole; `$${{` writes it as text.
const OPEN: &str = "${{";
const CLOSE: &str = "}}";
const ESCAPE: &str = "$${{";
/// Most holes of one template: each is parsed on its own.
const HOLES: usize = 100;

/// A hole of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// What fills it.
    pub expression: Expression,
    /// Where `${{` stands in the template: the first byte.
    pub offset: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(Hole),
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

impl Template {
    /// Reads a template and checks every expression in it.
    ///
    /// # Errors
    /// [`ExpressionCode::TemplateSyntax`] if a hole is not closed; what [`Expression::parse`] says of an expression,
    /// with its place in the template; [`ExpressionCode::TemplateTooLong`] beyond 256 KiB or 100 holes.
    pub fn parse(template: &str) -> Result<Self, ExpressionError> {
        if template.len() as u64 > SIZE_BYTES {
            let message = format!(
                "the template has {} bytes, at most {SIZE_BYTES} are allowed",
                template.len()
            );
            return Err(ExpressionError::new(ExpressionCode::TemplateTooLong, message));
        }
        let mut count = 0;
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut at = 0;
        while let Some(found) = template[at..].find(OPEN) {
            let start = at + found;
            if template[at..start].ends_with('$') {
                text.push_str(&template[at..start - 1]);
                text.push_str(OPEN);
                at = start + OPEN.len();
                continue;
            }
            text.push_str(&template[at..start]);
            let inner = start + OPEN.len();
            count += 1;
            if count > HOLES {
                let message = format!("the template has more than {HOLES} holes");
                return Err(ExpressionError::new(ExpressionCode::TemplateTooLong, message)
                    .at(token::place(template, start)));
            }
            let Some(length) = token::hole_end(&template[inner..]) else {
                return Err(ExpressionError::new(
                    ExpressionCode::TemplateSyntax,
                    "a hole `${{` is not closed",
                )
                .at(token::place(template, start))
                .hint(format!(
                    "close it with `{CLOSE}`, or write `{ESCAPE}` for the text itself"
                )));
            };
            let written = &template[inner..inner + length];
            let source = written.trim();
            let source_at = inner + (written.len() - written.trim_start().len());
            let expression =
                Expression::parse(source).map_err(|error| moved(error, template, source_at))?;
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(Part::Hole(Hole { expression, offset: start }));
            at = inner + length + CLOSE.len();
        }
        text.push_str(&template[at..]);
        if !text.is_empty() || parts.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { parts })
    }

    /// The holes, in order.
    pub fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.parts.iter().filter_map(|part| match part {
            Part::Hole(hole) => Some(hole),
            Part::Text(_) => None,
        })
    }

    /// Fills the holes. A template that is one hole and nothing else keeps the type of its value: a number stays a
    /// number. Else the result is text, with lists and maps as JSON.
    ///
    /// # Errors
    /// If an expression has no value, a value inside a text is null, or the text grows beyond 256 KiB.
    pub fn render(&self, bindings: &Bindings) -> Result<Value, ExpressionError> {
        if let [Part::Hole(hole)] = self.parts.as_slice() {
            return hole.expression.evaluate(bindings);
        }
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(written) => text.push_str(written),
                Part::Hole(hole) => match hole.expression.evaluate(bindings)? {
                    Value::String(value) => text.push_str(&value),
                    Value::Null => {
                        let message = format!("`{}` is null inside a text", hole.expression);
                        return Err(ExpressionError::new(
                            ExpressionCode::ExpressionEvaluation,
                            message,
                        )
                        .hint("say what stands for it: has(x) ? x : 'none'"));
                    }
                    value @ (Value::Bool(_)
                    | Value::Number(_)
                    | Value::Array(_)
                    | Value::Object(_)) => {
                        text.push_str(&value.to_string());
                    }
                },
            }
            if text.len() as u64 > SIZE_BYTES {
                let message = format!("the rendered text has more than {SIZE_BYTES} bytes");
                return Err(ExpressionError::new(ExpressionCode::TemplateTooLong, message));
            }
        }
        Ok(Value::String(text))
    }
}

/// An error of an expression, placed in the template that holds it at `byte`.
fn moved(error: ExpressionError, template: &str, byte: usize) -> ExpressionError {
    let (line, column) = token::place(template, byte);
    match (error.line, error.column) {
        (0, _) => error.at((line, column)),
        (1, inner) => error.at((line, column + inner - 1)),
        (inner_line, inner) => error.at((line + inner_line - 1, inner)),
    }
}

/// Fills the holes of a template; see [`Template::render`].
///
/// # Errors
/// What [`Template::parse`] and [`Template::render`] say.
pub fn render(template: &str, bindings: &Bindings) -> Result<Value, ExpressionError> {
    Template::parse(template)?.render(bindings)
}

/// The holes of a template, checked.
///
/// # Errors
/// What [`Template::parse`] says.
pub fn holes(template: &str) -> Result<Vec<Hole>, ExpressionError> {
    Ok(Template::parse(template)?.holes().cloned().collect())
}

/// Fills the holes of every string in a JSON value; names of fields are left as they are.
///
/// # Errors
/// What [`render`] says of the first string that fails; [`ExpressionCode::ExpressionBudget`] if the value nests deeper
/// than 64.
pub fn render_value(value: &Value, bindings: &Bindings) -> Result<Value, ExpressionError> {
    if !value::is_shallow(value) {
        let message = format!("the value nests deeper than {}", value::DEPTH);
        return Err(ExpressionError::new(ExpressionCode::ExpressionBudget, message));
    }
    filled(value, bindings)
}

fn filled(value: &Value, bindings: &Bindings) -> Result<Value, ExpressionError> {
    Ok(match value {
        Value::String(text) => render(text, bindings)?,
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| filled(item, bindings)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let fields =
                fields.iter().map(|(name, value)| Ok((name.clone(), filled(value, bindings)?)));
            Value::Object(fields.collect::<Result<_, _>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}
