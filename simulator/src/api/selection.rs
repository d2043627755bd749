use std::str::FromStr;

use cluster::{Object, Selector};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which objects of a list or a watch are wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selection {
    /// By their labels.
    pub labels: Selector,
    /// By their fields.
    pub fields: FieldSelector,
}

impl Selection {
    /// Whether `object` is wanted.
    pub fn matches(&self, object: &Object) -> bool {
        self.labels.matches(&object.metadata().labels) && self.fields.matches(object)
    }
}

/// Which fields an object must have: `status.phase=Running,spec.nodeName!=node-1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldSelector(Vec<FieldDemand>);

/// One demand on one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FieldDemand {
    path: String,
    value: String,
    is_wanted: bool,
}

/// A text that is not a field selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid selector: '{text}'; can't understand '{part}'")]
pub struct BadFieldSelector {
    text: String,
    part: String,
}

impl FieldSelector {
    /// Whether nothing is demanded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names of the fields, as written.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|demand| demand.path.as_str())
    }

    /// Whether `object` meets every demand; a field that it does not have is empty.
    pub fn matches(&self, object: &Object) -> bool {
        self.0
            .iter()
            .all(|demand| (text_at(object, &demand.path) == demand.value) == demand.is_wanted)
    }
}

/// The field at a dotted path, as text.
fn text_at(object: &Object, path: &str) -> String {
    match path {
        "metadata.name" => return object.name().into(),
        "metadata.namespace" => return object.namespace().unwrap_or_default().into(),
        // Of an Event: the part of the cluster that wrote it.
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
    type Err = BadFieldSelector;
    fn from_str(text: &str) -> Result<Self, BadFieldSelector> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let demands = parts.map(|part| {
            let (path, value, is_wanted) = match (part.split_once("!="), part.split_once("=")) {
                (Some((path, value)), _) => (path, value, false),
                (None, Some((path, value))) => {
                    (path, value.strip_prefix('=').unwrap_or(value), true)
                }
                (None, None) => {
                    return Err(BadFieldSelector { text: text.into(), part: part.into() });
                }
            };
            Ok(FieldDemand { path: path.trim().into(), value: value.trim().into(), is_wanted })
        });
        demands.collect::<Result<_, _>>().map(Self)
    }
}
