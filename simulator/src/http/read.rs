//! GET: one object, or a list of them.

use std::str::FromStr as _;

use cluster::Selector;
use serde_json::Value;

use super::door::{Door, Request};
use super::media::Shape;
use super::respond::{self, Answered, List};
use super::table::{self, Columns, Included, Names};
use super::wire::Wire;
use crate::api::{FieldSelector, Refusal, Resource, Selection, builtin, shown};

/// Which objects a list, a watch or a deletion of many wants.
pub(super) fn selection(request: &Request, resource: &Resource) -> Result<Selection, Refusal> {
    let labels = match request.query.text("labelSelector") {
        None => Selector::default(),
        Some(text) => Selector::from_str(text).map_err(|error| {
            // The commonest slip in Kubernetes' own words.
            let is_open = text.matches('(').count() > text.matches(')').count();
            let why =
                if is_open { "found '', expected: ',' or ')'".into() } else { error.to_string() };
            Refusal::bad_request(format!("unable to parse requirement: {why}"))
        })?,
    };
    let fields = match request.query.text("fieldSelector") {
        None => FieldSelector::default(),
        Some(text) => FieldSelector::from_str(text)
            .map_err(|error| Refusal::bad_request(error.to_string()))?,
    };
    for path in fields.paths() {
        check_field(resource, path)?;
    }
    Ok(Selection { labels, fields })
}

/// Refuses a field by which objects of this kind cannot be selected.
fn check_field(resource: &Resource, path: &str) -> Result<(), Refusal> {
    let known: &[&str] = match resource.kind.kind.as_str() {
        "Pod" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        "Event" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "Namespace" => &["status.phase"],
        "Node" => &["spec.unschedulable"],
        "ReplicaSet" | "ReplicationController" => &["status.replicas"],
        "Secret" => &["type"],
        "Service" => &["spec.clusterIP", "spec.type"],
        "Job" => &["status.successful"],
        _ => &[],
    };
    if matches!(path, "metadata.name" | "metadata.namespace") || known.contains(&path) {
        return Ok(());
    }
    let message = if known.is_empty() {
        format!(
            "{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        )
    } else {
        format!("field label not supported: {path}")
    };
    Err(Refusal::bad_request(message))
}

/// How much of each object stands beside its row.
pub(super) fn included(request: &Request) -> Result<Included, Refusal> {
    match request.query.text("includeObject") {
        None | Some("Metadata") => Ok(Included::Metadata),
        Some("None") => Ok(Included::None),
        Some("Object") => Ok(Included::Object),
        Some(other) => Err(Refusal::bad_request(format!(
            "TableOptions.meta.k8s.io \"\" is invalid: includeObject: Unsupported value: {other:?}"
        ))),
    }
}

/// One object.
pub(super) fn get(door: &Door, request: &Request, resource: &Resource, name: &str) -> Answered {
    let namespace = request.place.namespace.as_deref();
    match request.accepted.shape {
        Shape::Table => {
            let (columns, object, now) = {
                let world = door.world();
                (
                    Columns::of(&world, resource),
                    world.find(&resource.kind, namespace, name)?,
                    world.now(),
                )
            };
            let version = Value::from(object.metadata().resource_version.clone());
            let metadata = serde_json::json!({"resourceVersion": version});
            let told =
                table::table(&columns, &[object], metadata, included(request)?, Names::Told, now);
            Ok(respond::written(200, &told, request.accepted.writing))
        }
        Shape::Whole | Shape::Metadata | Shape::Discovery => {
            let object = door.world().find(&resource.kind, namespace, name)?;
            Ok(respond::object(200, &object, request.accepted))
        }
    }
}

/// A list, or a page of one.
pub(super) fn list(door: &Door, request: &Request, resource: &Resource) -> Answered {
    let selection = selection(request, resource)?;
    let limit = match request.query.number("limit")? {
        Some(limit) if limit > 0 => usize::try_from(limit).ok(),
        Some(_) | None => None,
    };
    let continue_token = request.query.text("continue");
    let (listed, columns, now) = {
        let world = door.world();
        check_version(request, world.version(), continue_token.is_some())?;
        let namespace = request.place.namespace.as_deref();
        let listed = world.collect(&resource.kind, namespace, &selection, limit, continue_token)?;
        let columns =
            (request.accepted.shape == Shape::Table).then(|| Columns::of(&world, resource));
        (listed, columns, world.now())
    };
    let is_selected = request.query.text("labelSelector").is_some()
        || request.query.text("fieldSelector").is_some();
    // A real server does not count what a selector might still find.
    let remaining = listed.remaining.filter(|_| !is_selected);
    let metadata =
        respond::list_metadata(listed.version, listed.continue_token.as_deref(), remaining);
    let items = &listed.items;
    let writing = request.accepted.writing;
    if let Some(columns) = columns {
        let told = table::table(&columns, items, metadata, included(request)?, Names::Told, now);
        return Ok(respond::written(200, &told, writing));
    }
    if request.accepted.shape == Shape::Metadata {
        let items: Vec<Value> = items.iter().map(table::metadata_of).collect();
        let list = serde_json::json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items});
        return Ok(respond::written(200, &list, writing));
    }
    let items: Vec<cluster::Object> = items.iter().map(shown).collect();
    Ok(respond::written(200, &whole(resource, metadata, &items), writing))
}

/// A list whose items name their type only where the list cannot.
pub(super) fn whole<'a>(
    resource: &'a Resource,
    metadata: Value,
    items: &'a [cluster::Object],
) -> List<'a> {
    let is_built_in = builtin(&resource.kind).is_some();
    let wire = if is_built_in { Wire::without_type } else { Wire::with_type };
    List {
        kind: format!("{}List", resource.kind.kind),
        api_version: &resource.kind.api_version,
        metadata,
        items: items.iter().map(wire).collect(),
    }
}

/// Refuses a list at a version that is no version, is to come, or is past and must be met exactly.
fn check_version(request: &Request, current: u64, is_continued: bool) -> Result<(), Refusal> {
    let text = request.query.text("resourceVersion");
    let wanted = text.map(version).transpose();
    let wanted =
        wanted.map_err(|why| Refusal::bad_request(format!("invalid resource version: {why}")))?;
    let matching = request.query.text("resourceVersionMatch");
    let forbidden = |why: &str| {
        let why = format!("Forbidden: {why}");
        Refusal::bad_option("ListOptions", "FieldValueForbidden", "resourceVersionMatch", &why)
    };
    match (matching, wanted) {
        (None, _) => {}
        (Some("Exact" | "NotOlderThan"), Some(_)) if !is_continued => {}
        (Some("Exact" | "NotOlderThan"), Some(_)) => {
            return Err(forbidden("resourceVersionMatch is forbidden when continue is provided"));
        }
        (Some("Exact" | "NotOlderThan"), None) => {
            return Err(forbidden(
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        (Some(other), _) => {
            let why = format!(
                "Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\", \"\""
            );
            let reason = "FieldValueNotSupported";
            return Err(Refusal::bad_option("ListOptions", reason, "resourceVersionMatch", &why));
        }
    }
    match wanted {
        Some(wanted) if wanted > current => Err(too_large(wanted, current)),
        Some(wanted) if matching == Some("Exact") && wanted != current => {
            Err(Refusal::expired("The resourceVersion for the provided list is too old."))
        }
        Some(_) | None => Ok(()),
    }
}

/// A resource version out of a query; else why it is none.
pub(super) fn version(text: &str) -> Result<u64, String> {
    let why = "strconv.ParseUint: parsing";
    text.parse().map_err(|_| {
        format!("resourceVersion: Invalid value: {text:?}: {why} {text:?}: invalid syntax")
    })
}

/// 504 for a version that is still to come.
fn too_large(wanted: u64, current: u64) -> Refusal {
    let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
    let cause = crate::api::Cause {
        reason: "ResourceVersionTooLarge".into(),
        message: "Too large resource version".into(),
        field: String::new(),
    };
    Refusal {
        causes: vec![cause],
        retry_after_seconds: Some(1),
        ..Refusal::new(504, "Timeout", message)
    }
}
