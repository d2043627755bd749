//! Findings while they are gathered: with a path whose place in the text is looked up at the end.

use std::fmt;

use super::code::Code;
use crate::diagnostic::{Diagnostic, Severity};

/// Most findings that are gathered about one document: who has a hundred to mend does not read the next.
pub(super) const MOST: usize = 100;
/// Most bytes of a message: names of long cycles fit, a hostile value does not.
const MESSAGE_BYTES: usize = 32 << 10;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Key(String),
    Index(usize),
}

/// Where in a document: `spec.steps[2].arguments.replicas`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path(pub(super) Vec<Segment>);

impl Path {
    /// A path of keys.
    pub(super) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Segment::Key((*key).into())).collect())
    }

    /// The member `key` of what stands here.
    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.into()))
    }

    /// The item `index` of what stands here.
    pub(super) fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    /// What stands at `below`, written as `target.ports[2].name`.
    pub(super) fn below(&self, below: &str) -> Self {
        let mut path = self.clone();
        for part in below.split('.').filter(|part| !part.is_empty()) {
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
                Segment::Key(key) => write!(f, "[{:?}]", shown(key, 64))?,
            }
        }
        Ok(())
    }
}

/// Which part of what the path names a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The value.
    Value,
    /// The key before the value.
    Key,
    /// A line and column inside the text that the value holds, from 1.
    Inside(usize, usize),
    /// A line and column of the document, from 1.
    Place(usize, usize),
}

/// One finding.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) code: Code,
    pub(super) severity: Severity,
    pub(super) path: Path,
    pub(super) at: At,
    pub(super) message: String,
    pub(super) hint: String,
}

impl Finding {
    /// Something for which the document is refused.
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
            at: At::Value,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// Something worth a look.
    pub(super) fn warning(
        code: Code,
        path: Path,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, path, message, hint) }
    }

    /// About this part.
    pub(super) fn at(self, at: At) -> Self {
        Self { at, ..self }
    }

    /// As it is shown, at this place.
    pub(super) fn placed(self, (line, column): (usize, usize)) -> Diagnostic {
        Diagnostic {
            code: self.code.as_str().into(),
            severity: self.severity,
            message: shown(&self.message, MESSAGE_BYTES),
            path: self.path.to_string(),
            line,
            column,
            hint: self.hint,
        }
    }
}

/// `text` on one line and cut to `bytes` bytes: it may be anything that somebody wrote.
pub(super) fn shown(text: &str, bytes: usize) -> String {
    let end = text.floor_char_boundary(bytes);
    let mut line: String =
        text[..end].chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if end < text.len() {
        line.push('…');
    }
    line
}

/// The one of `known` that is nearest to `name`, as a hint; all of them where none is near and they are few.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let near = known.iter().map(|word| (crate::catalogue::edit_distance(word, name), *word)).min();
    match near {
        Some((distance, word)) if distance <= 3 && distance < word.chars().count() => {
            format!("did you mean `{word}`?")
        }
        Some(_) if known.len() <= 16 => format!("known here: {}", known.join(", ")),
        Some(_) | None => String::new(),
    }
}
