//! Columns of custom kinds, as `additionalPrinterColumns` of their definition says.

use cluster::Object;
use jiff::Timestamp;
use serde_json::Value;

use super::cell;
use super::column::Shown;
use crate::api::{Resource, group, version_of};
use crate::world::World;

/// One column: where its value stands, and what it is.
pub(in crate::http) struct Printed {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) shown: Shown,
    path: String,
}

impl Printed {
    /// The columns of a custom resource, none where it is not one.
    pub(super) fn of(world: &World, resource: &Resource) -> Option<Vec<Self>> {
        let name = format!("{}.{}", resource.plural, group(&resource.kind));
        let kind = cluster::Kind::new("apiextensions.k8s.io/v1", "CustomResourceDefinition");
        let definition = world.find(&kind, None, &name).ok()?;
        let version = version_of(&resource.kind);
        let versions = cell::list(&definition, "/spec/versions");
        let wanted = versions.iter().find(|known| known["name"] == version)?;
        let column = |name: &str, kind: &str, shown, path: &str| Self {
            name: name.into(),
            kind: kind.into(),
            shown,
            path: path.into(),
        };
        let mut columns = vec![column("Name", "string", Shown::Always, ".metadata.name")];
        let printed =
            wanted["additionalPrinterColumns"].as_array().filter(|printed| !printed.is_empty());
        match printed {
            None => {
                columns.push(column("Age", "date", Shown::Always, ".metadata.creationTimestamp"))
            }
            Some(printed) => columns.extend(printed.iter().map(|one| {
                let shown = if one["priority"].as_i64().unwrap_or_default() > 0 {
                    Shown::Wide
                } else {
                    Shown::Always
                };
                let text = |field: &str| one[field].as_str().unwrap_or_default();
                column(text("name"), text("type"), shown, text("jsonPath"))
            })),
        }
        Some(columns)
    }

    pub(super) fn cell(&self, object: &Object, now: Timestamp) -> Value {
        let Some(value) = at(&object.to_value(), &self.path) else {
            return if self.kind == "date" { "<unknown>".into() } else { "<none>".into() };
        };
        match (&value, self.kind.as_str()) {
            (Value::String(written), "date") => cell::since(written, now).into(),
            (Value::String(_) | Value::Number(_) | Value::Bool(_), _) => value,
            (other, _) => other.to_string().into(),
        }
    }
}

/// The value at a path of fields and filters: `.status.conditions[?(@.type=="Ready")].status`.
fn at(value: &Value, path: &str) -> Option<Value> {
    let path = path.strip_prefix('.').unwrap_or(path);
    if path.is_empty() {
        return Some(value.clone());
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (field, rest) = path.split_at(end);
    let inner = if field.is_empty() { value } else { value.get(field.trim_matches('\''))? };
    let Some(bracket) = rest.strip_prefix('[') else { return at(inner, rest) };
    let (inside, rest) = bracket.split_once(']')?;
    if let Ok(index) = inside.parse::<usize>() {
        return at(inner.get(index)?, rest);
    }
    let demand = inside.strip_prefix("?(@.")?.strip_suffix(')')?;
    let (field, wanted) = demand.split_once("==")?;
    let wanted = wanted.trim().trim_matches(['"', '\'']);
    let found = inner.as_array()?.iter().find(|one| one[field.trim()] == wanted)?;
    at(found, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_of_printed_columns_find_their_values() {
        let value = json!({"spec": {"size": 3}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        assert_eq!(at(&value, ".spec.size"), Some(json!(3)));
        assert_eq!(
            at(&value, ".status.conditions[?(@.type==\"Ready\")].status"),
            Some(json!("True"))
        );
        assert_eq!(at(&value, ".status.conditions[0].type"), Some(json!("Ready")));
        assert_eq!(at(&value, ".spec.nothing"), None);
    }
}
