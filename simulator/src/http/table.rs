//! Tables, as `kubectl get` prints them.

mod cell;
mod column;
mod core;
mod custom;
mod pod;
mod policy;
mod workload;

use cluster::Object;
use jiff::Timestamp;
use serde_json::{Value, json};

pub(super) use column::TableColumns;

use super::wire::WireObject;

/// `includeObject`: how much of its object a table row contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IncludeObject {
    None,
    Metadata,
    Object,
}

/// Returns one row: the cells and the requested part of the object.
fn row(
    columns: &TableColumns,
    object: &Object,
    include_object: IncludeObject,
    now: Timestamp,
) -> Value {
    let mut row = json!({"cells": columns.cells(object, now)});
    match include_object {
        IncludeObject::None => row["object"] = Value::Null,
        IncludeObject::Metadata => row["object"] = metadata_of(object),
        IncludeObject::Object => row["object"] = WireObject::with_type(object).to_value(),
    }
    if object.kind().kind == "Pod" {
        let phase = object.at("/status/phase").and_then(Value::as_str);
        let completed = match phase {
            Some("Succeeded") => Some(("Succeeded", "The pod has completed successfully.")),
            Some("Failed") => Some(("Failed", "The pod failed.")),
            Some(_) | None => None,
        };
        if let Some((reason, message)) = completed {
            row["conditions"] = json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]);
        }
    }
    row
}

/// Returns an object as `PartialObjectMetadata`.
pub(super) fn metadata_of(object: &Object) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": WireObject::metadata(object)})
}

/// Returns the table of `objects`.
pub(super) fn table(
    columns: &TableColumns,
    objects: &[Object],
    metadata: Value,
    include_object: IncludeObject,
    column_definitions: ColumnDefinitions,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> =
        objects.iter().map(|object| row(columns, object, include_object, now)).collect();
    let definitions = match column_definitions {
        ColumnDefinitions::Include => columns.definitions(),
        ColumnDefinitions::Omit => Value::Null,
    };
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": definitions, "rows": rows})
}

/// Whether a table contains its column definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnDefinitions {
    Include,
    /// An earlier table of the same watch contained them.
    Omit,
}
