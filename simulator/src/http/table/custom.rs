//! Columns of custom kinds, from `additionalPrinterColumns` of their CustomResourceDefinition.

use cluster::Object;
use jiff::Timestamp;
use serde_json::Value;

use super::cell;
use super::column::ColumnPriority;
use crate::api::{ServedResource, group, version_of};
use crate::world::World;

/// One printer column.
pub(in crate::http) struct PrinterColumn {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) priority: ColumnPriority,
    path: String,
}

impl PrinterColumn {
    /// Returns the columns of a custom resource, or `None` if `resource` is not custom.
    pub(super) fn of(world: &World, resource: &ServedResource) -> Option<Vec<Self>> {
        let name = format!("{}.{}", resource.plural, group(&resource.kind));
        let kind = cluster::Kind::new("apiextensions.k8s.io/v1", "CustomResourceDefinition");
        let definition = world.get(&kind, None, &name).ok()?;
        let version = version_of(&resource.kind);
        let versions = cell::list(&definition, "/spec/versions");
        let wanted = versions.iter().find(|known| known["name"] == version)?;
        let column = |name: &str, kind: &str, priority, path: &str| Self {
            name: name.into(),
            kind: kind.into(),
            priority,
            path: path.into(),
        };
        let mut columns = vec![column("Name", "string", ColumnPriority::Always, ".metadata.name")];
        let printer_columns = wanted["additionalPrinterColumns"]
            .as_array()
            .filter(|printer_columns| !printer_columns.is_empty());
        match printer_columns {
            None => columns.push(column(
                "Age",
                "date",
                ColumnPriority::Always,
                ".metadata.creationTimestamp",
            )),
            Some(printer_columns) => columns.extend(printer_columns.iter().map(|one| {
                let priority = if one["priority"].as_i64().unwrap_or_default() > 0 {
                    ColumnPriority::Wide
                } else {
                    ColumnPriority::Always
                };
                let text = |field: &str| one[field].as_str().unwrap_or_default();
                column(text("name"), text("type"), priority, text("jsonPath"))
            })),
        }
        Some(columns)
    }

    pub(super) fn cell(&self, object: &Object, now: Timestamp) -> Value {
        let Some(value) = at(&object.to_value(), &self.path) else {
            return if self.kind == "date" { "<unknown>".into() } else { "<none>".into() };
        };
        match (&value, self.kind.as_str()) {
            (Value::String(timestamp), "date") => cell::since(timestamp, now).into(),
            (Value::String(_) | Value::Number(_) | Value::Bool(_), _) => value,
            (other, _) => other.to_string().into(),
        }
    }
}

/// Returns the value at a JSON path of fields, indices and filters: `.status.conditions[?(@.type=="Ready")].status`.
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
    let filter = inside.strip_prefix("?(@.")?.strip_suffix(')')?;
    let (field, wanted) = filter.split_once("==")?;
    let wanted = wanted.trim().trim_matches(['"', '\'']);
    let found = inner.as_array()?.iter().find(|one| one[field.trim()] == wanted)?;
    at(found, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_paths_of_printer_columns_find_values() {
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
