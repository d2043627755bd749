//! Findings during validation: with a path whose position in the text is looked up at the end.

use std::fmt;

use super::code::Code;
use crate::diagnostic::{Diagnostic, Severity};

/// Maximum number of findings per document; more would not help the author.
pub(super) const MAX_FINDINGS: usize = 100;
/// Maximum bytes of a message: enough for long cycles, but bounded for hostile values.
const MAX_MESSAGE_BYTES: usize = 32 << 10;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Key(String),
    Index(usize),
}

/// A path in a document: `spec.steps[2].arguments.replicas`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path(pub(super) Vec<Segment>);

impl Path {
    /// Creates a path of keys.
    pub(super) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Segment::Key((*key).into())).collect())
    }

    /// Returns the path of the member `key`.
    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.into()))
    }

    /// Returns the path of the item `index`.
    pub(super) fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    /// Appends a path in the form `target.ports[2].name`.
    pub(super) fn append(&self, suffix: &str) -> Self {
        let mut path = self.clone();
        for part in suffix.split('.').filter(|part| !part.is_empty()) {
            let mut indices = part.split('[');
            let name = indices.next().unwrap_or_default();
            if !name.is_empty() {
                path.0.push(Segment::Key(name.into()));
            }
            let numbers = indices.filter_map(|index| index.trim_end_matches(']').parse().ok());
            path.0.extend(numbers.map(Segment::Index));
        }
        path
    }

    fn with(&self, segment: Segment) -> Self {
        let mut path = self.clone();
        path.0.push(segment);
        path
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key)
                    if key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-$".contains(&b))
                        && key.len() <= 64 =>
                {
                    write!(f, "{}{key}", if position == 0 { "" } else { "." })?;
                }
                Segment::Key(key) => write!(f, "[{:?}]", truncated(key, 64))?,
            }
        }
        Ok(())
    }
}

/// The location of a finding, relative to the value at its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// The value.
    Value,
    /// The key of the value.
    Key,
    /// Line and column within the string value, from 1.
    Inside(usize, usize),
    /// Line and column of the document, from 1.
    Position(usize, usize),
}

/// One finding.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) code: Code,
    pub(super) severity: Severity,
    pub(super) path: Path,
    pub(super) location: Location,
    pub(super) message: String,
    pub(super) hint: String,
}

impl Finding {
    /// Creates an error: the document is invalid.
    pub(super) fn error(
        code: Code,
        path: Path,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity: Severity::Error,
            path,
            location: Location::Value,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// Creates a warning: the document is valid.
    pub(super) fn warning(
        code: Code,
        path: Path,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, path, message, hint) }
    }

    /// Sets the location.
    pub(super) fn at(self, location: Location) -> Self {
        Self { location, ..self }
    }

    /// Converts the finding to a diagnostic at this line and column.
    pub(super) fn at_position(self, (line, column): (usize, usize)) -> Diagnostic {
        Diagnostic {
            code: self.code.as_str().into(),
            severity: self.severity,
            message: truncated(&self.message, MAX_MESSAGE_BYTES),
            path: self.path.to_string(),
            line,
            column,
            hint: self.hint,
        }
    }
}

/// Returns `text` on one line, truncated to `bytes` bytes. `text` is untrusted input.
pub(super) fn truncated(text: &str, bytes: usize) -> String {
    let end = text.floor_char_boundary(bytes);
    let mut line: String =
        text[..end].chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if end < text.len() {
        line.push('…');
    }
    line
}

/// Returns a hint with the name in `known` that is most similar to `name`. If none is similar, lists all of `known` if
/// there are at most 16, else returns an empty string.
pub(super) fn suggest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let closest =
        known.iter().map(|other| (crate::catalogue::edit_distance(other, name), *other)).min();
    match closest {
        Some((distance, other)) if distance <= 3 && distance < other.chars().count() => {
            format!("did you mean `{other}`?")
        }
        Some(_) if known.len() <= 16 => format!("expected one of: {}", known.join(", ")),
        Some(_) | None => String::new(),
    }
}
