//! Tables: what `kubectl get` shows of objects.

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

pub(super) use column::Columns;

use super::wire::Wire;

/// How much of each object stands beside its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Included {
    None,
    Metadata,
    Object,
}

/// One row: the cells, and beside them as much of the object as was asked for.
fn row(columns: &Columns, object: &Object, included: Included, now: Timestamp) -> Value {
    let mut row = json!({"cells": columns.cells(object, now)});
    match included {
        Included::None => row["object"] = Value::Null,
        Included::Metadata => row["object"] = metadata_of(object),
        Included::Object => row["object"] = Wire::with_type(object).to_value(),
    }
    if object.kind().kind == "Pod" {
        let phase = object.at("/status/phase").and_then(Value::as_str);
        let ended = match phase {
            Some("Succeeded") => Some(("Succeeded", "The pod has completed successfully.")),
            Some("Failed") => Some(("Failed", "The pod failed.")),
            Some(_) | None => None,
        };
        if let Some((reason, message)) = ended {
            row["conditions"] = json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]);
        }
    }
    row
}

/// An object of which only the metadata is told.
pub(super) fn metadata_of(object: &Object) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": Wire::metadata(object)})
}

/// The table of `objects`; its columns are named where `is_named` (a watch names them once).
pub(super) fn table(
    columns: &Columns,
    objects: &[Object],
    metadata: Value,
    included: Included,
    names: Names,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> =
        objects.iter().map(|object| row(columns, object, included, now)).collect();
    let definitions = match names {
        Names::Told => columns.definitions(),
        Names::Known => Value::Null,
    };
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": definitions, "rows": rows})
}

/// Whether a table tells the names of its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Told,
    /// An earlier table of the same watch told them.
    Known,
}
