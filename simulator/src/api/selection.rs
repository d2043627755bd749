use std::str::FromStr;

use cluster::{Object, Selector};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The label and field selectors of a list or watch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selection {
    /// The label selector.
    pub labels: Selector,
    /// The field selector.
    pub fields: FieldSelector,
}

impl Selection {
    /// Whether `object` matches both selectors.
    pub fn matches(&self, object: &Object) -> bool {
        self.labels.matches(&object.metadata().labels) && self.fields.matches(object)
    }
}

/// A field selector: `status.phase=Running,spec.nodeName!=node-1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldSelector(Vec<FieldRequirement>);

/// One requirement of a field selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FieldRequirement {
    path: String,
    value: String,
    is_equal: bool,
}

/// The text is not a valid field selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid selector: '{text}'; can't understand '{part}'")]
pub struct ParseFieldSelectorError {
    text: String,
    part: String,
}

impl FieldSelector {
    /// Whether the selector matches every object.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the paths of the selected fields.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|requirement| requirement.path.as_str())
    }

    /// Whether `object` meets every requirement. An absent field has the empty value.
    pub fn matches(&self, object: &Object) -> bool {
        self.0.iter().all(|requirement| {
            (text_at(object, &requirement.path) == requirement.value) == requirement.is_equal
        })
    }
}

/// Returns the field at a dotted path, as text.
fn text_at(object: &Object, path: &str) -> String {
    match path {
        "metadata.name" => return object.name().into(),
        "metadata.namespace" => return object.namespace().unwrap_or_default().into(),
        // `source` of an Event selects by the component.
        "source" => return text_at(object, "source.component"),
        _ => {}
    }
    match object.at(&format!("/{}", path.replace('.', "/"))) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(is)) => is.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        None if path == "spec.unschedulable" => "false".into(),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => String::new(),
    }
}

impl FromStr for FieldSelector {
    type Err = ParseFieldSelectorError;
    fn from_str(text: &str) -> Result<Self, ParseFieldSelectorError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let requirements = parts.map(|part| {
            let (path, value, is_equal) = match (part.split_once("!="), part.split_once("=")) {
                (Some((path, value)), _) => (path, value, false),
                (None, Some((path, value))) => {
                    (path, value.strip_prefix('=').unwrap_or(value), true)
                }
                (None, None) => {
                    return Err(ParseFieldSelectorError { text: text.into(), part: part.into() });
                }
            };
            Ok(FieldRequirement { path: path.trim().into(), value: value.trim().into(), is_equal })
        });
        requirements.collect::<Result<_, _>>().map(Self)
    }
}
